/* The mixer: which system is heard, and for each source its gain, mute and solo.

   A mix is {system, previous, sources: [{db, muted, solo}]}; systems and sources are
   numbers. All functions are pure: they return a new mix. What is set for a source holds
   for every system, so that systems are compared alike. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const SILENT_DB = -60; // the lower end of the gain, which is silence

  Sep.newMix = function (track, system) {
    const sources = track.sources.map(() => ({ db: 0, muted: false, solo: false }));
    return { system, previous: system, sources };
  };

  /* The linear gain of each line of the track, 0 where it is not heard. */
  Sep.gains = function (track, mix) {
    const heard = track.lines.filter((line) => line.system === mix.system);
    const solo = heard.some((line) => mix.sources[line.source].solo);
    return track.lines.map((line) => {
      const source = mix.sources[line.source];
      const silent = line.system !== mix.system || source.muted || (solo && !source.solo);
      return silent ? 0 : Sep.linear(source.db);
    });
  };

  Sep.linear = (db) => (db <= SILENT_DB ? 0 : 10 ** (db / 20));

  Sep.decibels = (db) =>
    db <= SILENT_DB ? "−∞ dB" : `${db > 0 ? "+" : ""}${db}`.replace("-", "−") + " dB";

  Sep.chooseSystem = (mix, system) =>
    system === mix.system ? mix : { ...mix, system, previous: mix.system };

  /* Changes settings of a source, {db, muted, solo}. If the system that is heard lacks the
     source, one is chosen that has it, unless nothing would be heard. */
  Sep.setSource = function (track, mix, source, settings) {
    const sources = mix.sources.map((old, s) =>
      s === source ? { ...old, ...settings } : old,
    );
    const changed = { ...mix, sources };
    const having = track.lines
      .filter((line) => line.source === source)
      .map((line) => line.system);
    if (having.includes(mix.system)) return changed;
    const other = having.includes(mix.previous) ? mix.previous : having[0];
    const moved = Sep.chooseSystem(changed, other);
    return Sep.gains(track, moved).some((gain) => gain > 0) ? moved : changed;
  };
})(window.Sep);
