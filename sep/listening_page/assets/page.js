/* The page: reads the tracks from the document, opens the first, and connects the shared
   controls and the keys to the session of the open track.

   A track has

     element, choice    elements of the track and of the choice of its systems
     title
     rate               in Hz
     channels
     length             in samples
     segment            samples per segment of sound
     hop                samples per column of a spectrogram at level 0
     levels             zoom levels of the spectrograms
     tile               columns per tile
     pool               columns of a level per column of the next
     systems, sources   names
     lines              [{element, id, exponent, source, system}], where source and system
                        are indices */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const $ = (id) => document.getElementById(id);

  function readTrack(element) {
    const numbers = {};
    for (const [name, value] of Object.entries(element.dataset)) numbers[name] = +value;
    const choice = $(`systems-${numbers.number}`);
    const texts = (elements) => [...elements].map((one) => one.textContent);
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
        Sep.showStatus("");
        open(tracks[select.value]);
      };
    const toggle = () =>
      Sep.session.player.playing ? Sep.session.player.pause() : Sep.session.player.play();
    const zoom = (factor) => Sep.session.view.zoom(factor, Sep.session.player.audiblePosition);
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
    Sep.bindKeys(actions, () => $("keys").checked);
    addEventListener("resize", () => Sep.session.view.draw());
    open(tracks[0]);
  }

  start();
})(window.Sep);
