/* The player: plays all lines of a track on the clock of one AudioContext.

   While it plays, sample `from + n` of every line sounds at frame `anchor + n` of the
   context, which runs at the track's sample rate. Lines therefore cannot drift apart.
   Segments are scheduled ahead when they are loaded. If one is late, all lines wait. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const AHEAD = 3; // segments in memory: the current one and those after it
  const TICK = 100; // ms between two calls of `tick`
  const LEAD = 0.06; // seconds between scheduling and sound
  const FADE = 0.008; // seconds; prevents clicks at seeks and switches

  /* Returns a graph with an input for each line, with its gain, and one output. */
  Sep.buildGraph = function (context, gains) {
    const output = new GainNode(context);
    output.connect(context.destination);
    const inputs = gains.map((gain) => new GainNode(context, { gain }));
    for (const input of inputs) input.connect(output);
    return { context, inputs, output };
  };

  /* Starts the buffers of all lines at the same frame, from sample `offset` on. */
  Sep.startBuffers = function (graph, buffers, frame, offset) {
    const rate = graph.context.sampleRate;
    return buffers.map((buffer, i) => {
      const source = new AudioBufferSourceNode(graph.context, { buffer });
      source.connect(graph.inputs[i]);
      // Start a millionth of a sample late: a time rounded down would lie between two
      // frames, and Chromium would interpolate between samples.
      source.start((frame + 1e-6) / rate, offset / rate);
      return source;
    });
  };

  Sep.Player = class {
    /* onChange() is called when playback starts or stops, onError(error) on failure. */
    constructor(track, gains, onChange, onError) {
      this.track = track;
      this.gains = gains;
      this.onChange = onChange;
      this.onError = onError;
      this.window = new Sep.Window(track, () => this.tick(), onError);
      this.playing = false;
      this.halt(0);
      this.tick();
    }

    /* The position in samples. */
    get position() {
      if (this.anchor === null) return this.from;
      const played = this.context.currentTime * this.track.rate - this.anchor;
      return Math.min(this.from + Math.max(0, played), this.until);
    }

    /* The position that leaves the loudspeaker now: `position` less the output latency. */
    get audiblePosition() {
      const latency = this.playing
        ? this.context.outputLatency || this.context.baseLatency || 0
        : 0;
      return Math.max(
        Math.min(this.from, this.position),
        this.position - latency * this.track.rate,
      );
    }

    async play() {
      try {
        if (this.position >= this.track.length) this.seek(0);
        this.window.retry();
        if (!this.graph) {
          this.context = new AudioContext({
            sampleRate: this.track.rate,
            latencyHint: "interactive",
          });
          this.graph = Sep.buildGraph(this.context, this.gains);
          this.timer = setInterval(() => this.tick(), TICK);
        }
        this.playing = true;
        this.onChange();
        await this.context.resume();
        this.tick();
      } catch (error) {
        if (this.closed) return; // another track was opened meanwhile
        this.playing = false;
        this.onChange();
        this.onError(error);
      }
    }

    pause() {
      if (!this.playing) return;
      this.playing = false;
      this.context.suspend();
      this.onChange();
    }

    seek(position) {
      this.halt(Math.round(Math.min(Math.max(position, 0), this.track.length)));
      this.window.retry();
      this.tick();
    }

    setGains(gains) {
      const old = this.gains;
      this.gains = gains;
      if (!this.graph) return;
      this.graph.inputs.forEach((input, i) => {
        if (gains[i] !== old[i])
          ramp(input.gain, old[i], gains[i], this.context.currentTime);
      });
    }

    close() {
      clearInterval(this.timer);
      this.closed = true;
      this.playing = false;
      this.window.request([]);
      if (this.context) this.context.close();
    }

    /* Stops all that is scheduled; playback continues at `from`. */
    halt(from) {
      if (this.started && this.started.size) {
        const { output, context } = this.graph;
        ramp(output.gain, 1, 0, context.currentTime);
        // While suspended there is no fade: it would sound when playback resumes.
        const end = context.currentTime + (this.playing ? FADE : 0);
        for (const sources of this.started.values())
          for (const source of sources) source.stop(end);
      }
      this.from = from;
      this.until = from; // end of the scheduled samples
      this.anchor = null; // frame of the context at which sample `from` sounds
      this.started = new Map(); // segment -> its source nodes, until they have finished
    }

    /* Requests the segments that are needed, and schedules those that are loaded. */
    tick() {
      const { length, segment } = this.track;
      const position = this.position;
      if (position >= length && this.playing) return this.pause();
      const here = Math.floor(position / segment);
      const last = Math.floor((length - 1) / segment);
      this.window.request(
        Array.from({ length: AHEAD }, (_, i) => here + i).filter((n) => n <= last),
      );
      if (!this.playing || this.context.state !== "running") return undefined;
      for (const number of this.started.keys())
        if (number < here) this.started.delete(number);
      while (this.until < length) {
        const number = Math.floor(this.until / segment);
        const buffers = this.window.get(number);
        if (!buffers) break;
        this.schedule(number, buffers);
      }
      return undefined;
    }

    schedule(number, buffers) {
      const { rate, segment } = this.track;
      const now = this.context.currentTime * rate;
      if (this.anchor === null || this.anchor + this.until - this.from < now) {
        const late = this.anchor !== null;
        this.from = this.until;
        this.anchor = Math.ceil(now + LEAD * rate);
        if (!late) ramp(this.graph.output.gain, 0, 1, this.anchor / rate);
      }
      const frame = this.anchor + this.until - this.from;
      const sources = Sep.startBuffers(
        this.graph,
        buffers,
        frame,
        this.until - number * segment,
      );
      this.started.set(number, sources);
      this.until = number * segment + buffers[0].length;
    }
  };

  function ramp(parameter, from, to, when) {
    parameter.cancelScheduledValues(when);
    parameter.setValueAtTime(from, when);
    parameter.linearRampToValueAtTime(to, when + FADE);
  }
})(window.Sep);
