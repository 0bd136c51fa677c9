/* Segments: the sound of a track, from script files to samples.

   A track is cut into segments of a few seconds (`track.segment` samples). Each line of
   it, "the piano by this system", say, has a script file for each segment, which calls
   sep_segment(line, number, payloads); a payload is FLAC in base64 and holds one or two
   channels. Scripts, for no browser lets a page on a disk fetch anything else.

   Samples are numbers around ±1, full scale; positions and lengths are in samples. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const NOMINAL_RATE = 44100; // Hz, what every FLAC says: decoded at it, none is resampled
  const arriving = new Map(); // "line/number" -> what to do with its payloads

  window.sep_segment = function (line, number, payloads) {
    const key = `${line}/${number}`;
    const resolve = arriving.get(key);
    arriving.delete(key);
    if (resolve) resolve(payloads);
  };

  const pending = new Map(); // "line/number" -> promise: none is loaded twice at once

  /* The samples of a segment of a line: a Float32Array for each channel. They are shared:
     not to be written to. */
  Sep.loadSegment = function (line, number) {
    const key = `${line.id}/${number}`;
    if (!pending.has(key)) {
      const loading = insertScript(key).then((payloads) => decode(payloads, line.exponent));
      pending.set(key, loading);
      loading.catch(() => {}).then(() => pending.delete(key));
    }
    return pending.get(key);
  };

  function insertScript(key) {
    const script = document.createElement("script");
    const payloads = new Promise((resolve, reject) => {
      const failed = () =>
        reject(new Error(`sound/${key}.js cannot be loaded; is the folder complete?`));
      arriving.set(key, resolve);
      script.onload = failed; // no matter if the call has come, as it should
      script.onerror = failed;
    });
    script.src = `sound/${key}.js`;
    document.head.append(script);
    return payloads.finally(() => {
      arriving.delete(key);
      script.remove();
    });
  }

  async function decode(payloads, exponent) {
    const channels = [];
    for (const payload of payloads) {
      const decoder = new OfflineAudioContext(1, 1, NOMINAL_RATE);
      const pair = await decoder.decodeAudioData(bytes(payload).buffer);
      for (let c = 0; c < pair.numberOfChannels; c++) channels.push(pair.getChannelData(c));
    }
    const scale = 2 ** exponent;
    for (const samples of channels)
      for (let t = 0; t < samples.length; t++) samples[t] *= scale;
    return channels;
  }

  function bytes(base64) {
    const text = atob(base64);
    const array = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
    return array;
  }

  /* A window on a track: it holds the segments that are wanted, of all lines, no others. */
  Sep.Window = class {
    constructor(track, onLoad, onError) {
      this.track = track;
      this.onLoad = onLoad;
      this.onError = onError;
      this.wanted = [];
      this.held = new Map(); // segment -> an AudioBuffer for each line
      this.failed = new Set();
      this.filling = false;
    }

    /* From now on holds these segments, the most urgent first. */
    want(numbers) {
      this.wanted = numbers;
      for (const number of this.held.keys())
        if (!numbers.includes(number)) this.held.delete(number);
      this.fill();
    }

    /* What could not be loaded is asked for again. */
    retry() {
      this.failed.clear();
    }

    get(number) {
      return this.held.get(number);
    }

    /* One segment at a time, so that memory is bounded however fast one seeks. */
    async fill() {
      if (this.filling) return;
      this.filling = true;
      const missing = (n) => !this.held.has(n) && !this.failed.has(n);
      for (let n; (n = this.wanted.find(missing)) !== undefined;) {
        try {
          const lines = await Promise.all(
            this.track.lines.map((line) => Sep.loadSegment(line, n)),
          );
          if (!this.wanted.includes(n)) continue;
          this.held.set(
            n,
            lines.map((channels) => toBuffer(channels, this.track.rate)),
          );
          this.onLoad();
        } catch (error) {
          this.failed.add(n);
          this.onError(error);
        }
      }
      this.filling = false;
    }
  };

  /* Web Audio knows how to play 1, 2, 4 (quadraphonic) and 6 (5.1) channels on two
     loudspeakers; of any other number it would leave some out, so they are heard in mono. */
  function toBuffer(channels, rate) {
    const heard = [1, 2, 4, 6].includes(channels.length) ? channels : [mean(channels)];
    const length = heard[0].length;
    const buffer = new AudioBuffer({
      length,
      numberOfChannels: heard.length,
      sampleRate: rate,
    });
    heard.forEach((samples, c) => buffer.copyToChannel(samples, c));
    return buffer;
  }

  function mean(channels) {
    return channels[0].map(
      (_, t) => channels.reduce((sum, samples) => sum + samples[t], 0) / channels.length,
    );
  }
})(window.Sep);
