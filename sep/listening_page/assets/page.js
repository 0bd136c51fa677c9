/* The page: reads the tracks from the document, opens the first, and joins the controls
   that all tracks share, and the keys, to the session of the track that is open.

   A track is {element, choice (of its systems), title, rate (Hz), channels, length, segment,
   hop (samples), levels, tile, pool, systems and sources (their names), lines: [{element,
   id, exponent, source, system}]}; sources and systems of lines are numbers. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const $ = (id) => document.getElementById(id);

  function readTrack(element) {
    const numbers = {};
    for (const [name, value] of Object.entries(element.dataset)) numbers[name] = +value;
    const choice = $(`systems-${numbers.number}`);
    const texts = (found) => [...found].map((one) => one.textContent);
    const lines = [...element.querySelectorAll(".line")].map((line) => {
      const { id, exponent, source, system } = line.dataset;
      return { element: line, id, exponent: +exponent, source: +source, system: +system };
    });
    return {
      ...numbers,
      element,
      choice,
      title: element.querySelector("h2").textContent,
      systems: texts(choice.querySelectorAll("label")),
      sources: texts(element.querySelectorAll("h3")),
      lines,
    };
  }

  function start() {
    const tracks = [...document.querySelectorAll(".track")].map(readTrack);
    const open = (track) => (Sep.session = new Sep.Session(track));
    const select = $("track");
    if (select)
      select.onchange = () => {
        Sep.session.close();
        Sep.say("");
        open(tracks[select.value]);
      };
    const toggle = () =>
      Sep.session.player.playing ? Sep.session.player.pause() : Sep.session.player.play();
    const zoom = (factor) => Sep.session.view.zoom(factor, Sep.session.player.heard);
    $("play").onclick = toggle;
    $("save").onclick = () => Sep.session.save();
    $("zoom-in").onclick = () => zoom(2);
    $("zoom-out").onclick = () => zoom(0.5);
    $("position").oninput = () =>
      Sep.session.seek($("position").value * Sep.session.track.rate);
    const actions = {
      toggle,
      zoom,
      move: (seconds) =>
        Sep.session.seek(Sep.session.player.position + seconds * Sep.session.track.rate),
      moveTo: (share) => Sep.session.seek(share * Sep.session.track.length),
      system: (number) => Sep.session.choose(number),
      solo: (number) => Sep.session.toggle(number, "solo"),
      swap: () => Sep.session.choose(Sep.session.mix.previous),
    };
    Sep.listenToKeys(actions, () => $("keys").checked);
    addEventListener("resize", () => Sep.session.view.draw());
    open(tracks[0]);
  }

  start();
})(window.Sep);
