/* Segments: loads the sound of a track from script files.

   A track is cut into segments of a few seconds (`track.segment` samples). Each line has a
   script file for each segment, which calls sep_segment(line, number, payloads). A payload
   is FLAC in base64 with one or two channels. The files are scripts because browsers do
   not let a page on disk fetch other data.

   Full scale is ±1; positions and lengths are in samples. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const NOMINAL_RATE = 44100; // Hz, in every FLAC header; decoding at this rate avoids resampling
  const arriving = new Map(); // "line/number" -> function that takes its payloads

  window.sep_segment = function (line, number, payloads) {
    const key = `${line}/${number}`;
    const resolve = arriving.get(key);
    arriving.delete(key);
    if (resolve) resolve(payloads);
  };

  const pending = new Map(); // "line/number" -> promise, to share simultaneous loads

  /* Returns a promise of the samples of a line's segment, a Float32Array for each channel.
     Callers share the arrays and must not write to them. */
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
      script.onload = failed; // without effect if the script has called sep_segment
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

  /* Holds the requested segments of all lines of a track in memory, and no others. */
  Sep.Window = class {
    constructor(track, onLoad, onError) {
      this.track = track;
      this.onLoad = onLoad;
      this.onError = onError;
      this.requested = [];
      this.held = new Map(); // segment -> an AudioBuffer for each line
      this.failed = new Set();
      this.filling = false;
    }

    /* Replaces the requested segments; they are loaded in this order. */
    request(numbers) {
      this.requested = numbers;
      for (const number of this.held.keys())
        if (!numbers.includes(number)) this.held.delete(number);
      this.fill();
    }

    /* Allows another attempt to load segments that failed. */
    retry() {
      this.failed.clear();
    }

    get(number) {
      return this.held.get(number);
    }

    /* Loads one segment at a time, so that rapid seeks do not fill the memory. */
    async fill() {
      if (this.filling) return;
      this.filling = true;
      const missing = (n) => !this.held.has(n) && !this.failed.has(n);
      for (let n; (n = this.requested.find(missing)) !== undefined;) {
        try {
          const lines = await Promise.all(
            this.track.lines.map((line) => Sep.loadSegment(line, n)),
          );
          if (!this.requested.includes(n)) continue;
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

  /* Web Audio mixes 1, 2, 4 (quadraphonic) and 6 (5.1) channels down to two loudspeakers.
     With any other number it would drop channels, so their mean is played instead. */
  function toBuffer(channels, rate) {
    const played = [1, 2, 4, 6].includes(channels.length) ? channels : [mean(channels)];
    const length = played[0].length;
    const buffer = new AudioBuffer({
      length,
      numberOfChannels: played.length,
      sampleRate: rate,
    });
    played.forEach((samples, c) => buffer.copyToChannel(samples, c));
    return buffer;
  }

  function mean(channels) {
    return channels[0].map(
      (_, t) => channels.reduce((sum, samples) => sum + samples[t], 0) / channels.length,
    );
  }
})(window.Sep);
