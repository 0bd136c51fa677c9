/* The mixer: which system plays, and the gain, mute and solo of each source.

   A mix is {system, previous, sources: [{db, muted, solo}]}; systems and sources are
   indices. All functions are pure and return a new mix. The settings of a source apply to
   every system, so that systems are compared under equal conditions. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const SILENT_DB = -60; // the lowest position of a gain slider means silence

  Sep.newMix = function (track, system) {
    const sources = track.sources.map(() => ({ db: 0, muted: false, solo: false }));
    return { system, previous: system, sources };
  };

  /* Returns the linear gain of each line of the track, 0 for lines that are silent. */
  Sep.gains = function (track, mix) {
    const chosen = track.lines.filter((line) => line.system === mix.system);
    const solo = chosen.some((line) => mix.sources[line.source].solo);
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

  /* Returns a mix with changed settings of a source, {db, muted, solo}. If the chosen system
     lacks the source, the mix switches to a system that has it: the previous one if
     possible, and only if that makes at least one line audible. */
  Sep.setSource = function (track, mix, source, settings) {
    const sources = mix.sources.map((old, s) =>
      s === source ? { ...old, ...settings } : old,
    );
    const changed = { ...mix, sources };
    const systems = track.lines
      .filter((line) => line.source === source)
      .map((line) => line.system);
    if (systems.includes(mix.system)) return changed;
    const other = systems.includes(mix.previous) ? mix.previous : systems[0];
    const switched = Sep.chooseSystem(changed, other);
    return Sep.gains(track, switched).some((gain) => gain > 0) ? switched : changed;
  };
})(window.Sep);
