/* A session: the state of the page while one track is open. It holds the mix, and updates
   player, view and controls when the mix changes. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const $ = (id) => document.getElementById(id);
  const SLOW_CURSOR = matchMedia("(prefers-reduced-motion: reduce)");

  /* Shows a text in the status line, which screen readers announce. */
  Sep.showStatus = function (text) {
    $("status").textContent = text;
    $("status").classList.remove("error");
  };

  Sep.showError = function (error) {
    Sep.showStatus(`Error: ${error.message}`);
    $("status").classList.add("error");
  };

  function explain(error, track) {
    if (error.name !== "NotSupportedError") return error;
    return new Error(`this browser cannot play sound at ${track.rate} Hz; save a remix instead`);
  }

  Sep.Session = class {
    constructor(track) {
      this.track = track;
      const chosen = track.choice.querySelector("input:checked");
      this.mix = Sep.newMix(track, +chosen.value);
      this.view = new Sep.View(track, (position) => this.seek(position));
      this.player = new Sep.Player(
        track,
        Sep.gains(track, this.mix),
        () => this.onPlaying(),
        (error) => Sep.showError(explain(error, track)),
      );
      this.saving = null;
      this.connect();
      this.show(true);
      $("position").max = track.length / track.rate;
      $("duration").textContent = Sep.clock(track.length / track.rate, 0);
      this.view.draw();
      this.showMix();
      this.onPlaying();
    }

    connect() {
      for (const input of this.track.choice.querySelectorAll("input"))
        input.onchange = () => this.choose(+input.value);
      for (const strip of this.track.element.querySelectorAll(".source")) {
        const source = +strip.dataset.source;
        const gain = strip.querySelector(".gain");
        const setGain = (db) => this.set(source, { db });
        strip.querySelector(".solo").onclick = () => this.toggle(source, "solo");
        strip.querySelector(".mute").onclick = () => this.toggle(source, "muted");
        gain.oninput = () => setGain(+gain.value);
        gain.ondblclick = () => setGain(0);
      }
    }

    choose(system) {
      if (system in this.track.systems) this.change(Sep.chooseSystem(this.mix, system));
    }

    toggle(source, what) {
      if (source in this.mix.sources)
        this.set(source, { [what]: !this.mix.sources[source][what] });
    }

    set(source, settings) {
      this.change(Sep.setSource(this.track, this.mix, source, settings));
    }

    change(mix) {
      this.mix = mix;
      this.player.setGains(Sep.gains(this.track, mix));
      this.showMix();
    }

    seek(position) {
      this.player.seek(position);
      this.showPosition();
    }

    showMix() {
      const { element, choice, lines } = this.track;
      const gains = Sep.gains(this.track, this.mix);
      choice.querySelectorAll("input")[this.mix.system].checked = true;
      lines.forEach((line, i) => {
        line.element.classList.toggle("chosen", line.system === this.mix.system);
        line.element.classList.toggle("audible", gains[i] > 0);
      });
      for (const strip of element.querySelectorAll(".source")) {
        const { db, muted, solo } = this.mix.sources[strip.dataset.source];
        strip.querySelector(".solo").setAttribute("aria-pressed", solo);
        strip.querySelector(".mute").setAttribute("aria-pressed", muted);
        const gain = strip.querySelector(".gain");
        gain.value = db;
        gain.setAttribute("aria-valuetext", Sep.decibels(db));
        strip.querySelector(".decibels").textContent = Sep.decibels(db);
      }
    }

    onPlaying() {
      const playing = this.player.playing;
      $("play").classList.toggle("playing", playing);
      $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
      this.showPosition();
      if (playing) this.animate();
    }

    animate() {
      cancelAnimationFrame(this.frame);
      let shown = 0;
      const step = (now) => {
        if (!this.player.playing) return;
        if (now - shown > (SLOW_CURSOR.matches ? 250 : 0)) {
          shown = now;
          this.showPosition();
        }
        this.frame = requestAnimationFrame(step);
      };
      this.frame = requestAnimationFrame(step);
    }

    showPosition() {
      const seconds = this.player.audiblePosition / this.track.rate;
      this.view.show(this.player.audiblePosition);
      $("now").textContent = Sep.clock(seconds, 1);
      $("position").value = seconds;
      const text = `${Sep.clock(seconds, 0)} of ${$("duration").textContent}`;
      if ($("position").getAttribute("aria-valuetext") !== text)
        $("position").setAttribute("aria-valuetext", text);
    }

    /* Saves the remix, or cancels if one is being saved. */
    async save() {
      if (this.saving) {
        this.endSave();
        return Sep.showStatus("Remix cancelled.");
      }
      const gains = Sep.gains(this.track, this.mix);
      if (!gains.some((gain) => gain > 0))
        return Sep.showStatus("Nothing to save: every source is silent.");
      const current = (this.saving = {}); // a unique object: tells this save from later ones
      $("save").textContent = "Cancel";
      Sep.showStatus("Saving the remix …");
      try {
        const result = await Sep.remix(this.track, gains, (share) => {
          if (this.saving !== current) return false;
          $("save").textContent = `Cancel (${Math.round(100 * share)} %)`;
          return true;
        });
        if (this.saving !== current) return undefined;
        Sep.download(result.blob, `${this.track.title} remix`);
        const lowered = result.lowered
          ? `, ${result.lowered.toFixed(1)} dB lower so that it does not clip`
          : "";
        Sep.showStatus(`Remix saved${lowered}.`);
      } catch (error) {
        if (this.saving !== current) return undefined;
        Sep.showError(error);
      }
      this.endSave();
      return undefined;
    }

    /* Ends saving; a remix still being rendered stops at its next segment. */
    endSave() {
      this.saving = null;
      $("save").textContent = "Save remix";
    }

    close() {
      this.endSave();
      this.player.close();
      this.show(false);
    }

    show(shown) {
      this.track.element.hidden = !shown;
      this.track.choice.hidden = !shown;
    }
  };
})(window.Sep);
