/* The remix: a WAV file with the sum of all lines at their current gains.

   Segments are loaded one after another, added in double precision, rounded to 24 bits and
   stored as pieces of a Blob, which browsers may keep on disk. If the sum exceeds full
   scale, everything is rendered again with a lower gain, so that it does not clip. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const TOP = 2 ** 23;
  const LOUDEST = (TOP - 1) / TOP;

  /* Returns {blob, lowered}: the WAV file, and by how many dB it was lowered (0: not at
     all). onProgress(share) is called with the completed share; if it returns false,
     rendering stops and the result is null. */
  Sep.remix = async function (track, gains, onProgress) {
    const size = track.length * track.channels * 3;
    if (size > 2 ** 32 - 100)
      throw new Error("the remix exceeds 4 GB, the limit of WAV; use a shorter recording");
    let scale = 1;
    for (;;) {
      const result = await render(track, gains, scale, onProgress);
      if (!result) return null;
      if (result.parts) {
        const pad = new Uint8Array(size % 2); // chunks of RIFF have even length
        const bytes = [header(track, size), ...result.parts, pad];
        const blob = new Blob(bytes, { type: "audio/wav" });
        return { blob, lowered: -20 * Math.log10(scale) };
      }
      scale = 1 / result.excess;
    }
  };

  /* Returns {parts}, the remix times `scale`; or, if that would clip, {excess}, the peak
     before scaling, where 1 is full scale. */
  async function render(track, gains, scale, onProgress) {
    const audible = track.lines.filter((line, i) => gains[i] > 0);
    const factors = gains.filter((gain) => gain > 0);
    const count = Math.ceil(track.length / track.segment);
    let parts = [];
    let excess = 0;
    for (let n = 0; n < count; n++) {
      if (onProgress(n / count) === false) return null;
      const lines = await Promise.all(audible.map((line) => Sep.loadSegment(line, n)));
      const length = Math.min(track.segment, track.length - n * track.segment);
      const sum = Sep.addLines(lines, factors, track.channels, length);
      for (const value of sum) excess = Math.max(excess, -value, value / LOUDEST);
      if (excess * scale > 1 + 1e-12) parts = null;
      if (parts) parts.push(new Blob([pack(sum, scale)]));
    }
    return parts ? { parts } : { excess };
  }

  /* Returns the sum of lines (arrays of channels) times their factors, interleaved. */
  Sep.addLines = function (lines, factors, channels, length) {
    const sum = new Float64Array(length * channels);
    lines.forEach((line, i) => {
      line.forEach((samples, c) => {
        for (let t = 0; t < length; t++) sum[t * channels + c] += factors[i] * samples[t];
      });
    });
    return sum;
  };

  function pack(sum, scale) {
    const bytes = new Uint8Array(sum.length * 3);
    sum.forEach((value, i) => {
      const integer = Math.min(Math.max(Math.round(value * scale * TOP), -TOP), TOP - 1);
      bytes[3 * i] = integer;
      bytes[3 * i + 1] = integer >> 8;
      bytes[3 * i + 2] = integer >> 16;
    });
    return bytes;
  }

  function header({ rate, channels }, size) {
    const view = new DataView(new ArrayBuffer(44));
    const text = (at, letters) =>
      [...letters].forEach((l, i) => view.setUint8(at + i, l.charCodeAt(0)));
    text(0, "RIFF");
    view.setUint32(4, 36 + size + (size % 2), true);
    text(8, "WAVEfmt ");
    view.setUint32(16, 16, true);
    view.setUint16(20, 1, true); // PCM
    view.setUint16(22, channels, true);
    view.setUint32(24, rate, true);
    view.setUint32(28, rate * channels * 3, true);
    view.setUint16(32, channels * 3, true);
    view.setUint16(34, 24, true);
    text(36, "data");
    view.setUint32(40, size, true);
    return view.buffer;
  }

  /* Downloads a Blob under a name without characters that file systems refuse. */
  Sep.download = function (blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const plain = name.replace(/[\u0000-\u001f\u007f/\\:*?"<>|]+/g, "_");
    link.download = `${[...plain].slice(0, 80).join("")}.wav`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
})(window.Sep);
