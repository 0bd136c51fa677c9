/* The view: spectrograms of all lines below one ruler, with a cursor in each.

   It shows samples `start` to `start + span`. Zooming halves or doubles the span. When the
   cursor leaves the view, the view moves on to it. Pictures are pyramids of tiles: a
   column of level l covers hop · pool^l samples, and a tile has `tile` columns. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  const SHARPEST = 3000; // columns in view up to which the finer level is used
  const NARROWEST = 4; // seconds in view at the highest zoom

  /* Formats seconds as h:mm:ss or m:ss, with decimals. */
  Sep.clock = function (seconds, decimals) {
    const unit = 10 ** decimals;
    const total = Math.floor(seconds * unit + 1e-6) / unit;
    const pad = (value) => String(value).padStart(2, "0");
    const [h, m] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
    const s = (total % 60).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
    return h ? `${h}:${pad(m)}:${s}` : `${m}:${s}`;
  };

  Sep.View = class {
    /* onSeek(position) is called on clicks and drags in a picture. */
    constructor(track, onSeek) {
      this.track = track;
      this.start = 0;
      this.span = track.length;
      this.ruler = document.getElementById("ruler");
      for (const line of track.lines) {
        const picture = line.element.querySelector(".picture");
        const seek = (event) => {
          const box = picture.getBoundingClientRect();
          onSeek(this.start + ((event.clientX - box.left) / box.width) * this.span);
        };
        picture.onclick = seek;
        picture.onpointermove = (event) => {
          if (event.pointerType === "mouse" && event.buttons === 1) seek(event);
        };
      }
    }

    /* Moves the cursor, and the view if the cursor lies outside it. */
    show(position) {
      if (position < this.start || position > this.start + this.span) {
        this.start = this.clamp(position - 0.05 * this.span);
        this.draw();
      }
      const share = (position - this.start) / this.span;
      this.track.element.style.setProperty("--cursor", `${100 * share}%`);
    }

    /* Divides the span by a factor. `position` keeps its place, or moves into view. */
    zoom(factor, position) {
      const { length, rate } = this.track;
      const narrowest = Math.min(length, NARROWEST * rate);
      const span = Math.min(Math.max(this.span / factor, narrowest), length);
      const share = Math.min(Math.max((position - this.start) / this.span, 0), 1);
      this.span = span;
      this.start = this.clamp(position - share * span);
      this.draw();
      this.show(position);
    }

    clamp(start) {
      return Math.min(Math.max(start, 0), this.track.length - this.span);
    }

    draw() {
      const { hop, pool, tile, levels, length, lines } = this.track;
      let level = 0;
      while (level < levels - 1 && this.span / (hop * pool ** level) > SHARPEST) level++;
      const width = hop * pool ** level * tile; // samples
      const first = Math.floor(this.start / width);
      const last = Math.floor(Math.min(this.start + this.span, length - 1) / width);
      for (const line of lines) {
        const box = line.element.querySelector(".tiles");
        const old = new Map([...box.children].map((image) => [image.dataset.tile, image]));
        const images = [];
        for (let n = first; n <= last; n++) {
          const key = `${level}-${n}`;
          const image = old.get(key) || Sep.View.image(line, key);
          const columns = Math.min(
            tile,
            Math.ceil((length - n * width) / (hop * pool ** level)),
          );
          image.style.left = `${(100 * (n * width - this.start)) / this.span}%`;
          image.style.width = `${(100 * columns * width) / tile / this.span}%`;
          images.push(image);
        }
        box.replaceChildren(...images);
      }
      this.drawRuler();
    }

    static image(line, key) {
      const image = new Image();
      image.alt = "";
      image.draggable = false;
      image.dataset.tile = key;
      image.src = `pictures/${line.id}/${key}.png`;
      return image;
    }

    drawRuler() {
      const { rate } = this.track;
      const most = Math.max(2, this.ruler.clientWidth / 64); // ticks
      const steps = [
        0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
      ];
      const step = steps.find((s) => this.span / rate / s <= most) || 7200;
      const ticks = [];
      const end = (this.start + this.span) / rate;
      for (let i = Math.ceil(this.start / rate / step); i * step < end; i++) {
        const tick = document.createElement("span");
        tick.textContent = Sep.clock(i * step, step < 1 ? 1 : 0);
        tick.style.left = `${(100 * (i * step * rate - this.start)) / this.span}%`;
        ticks.push(tick);
      }
      this.ruler.replaceChildren(...ticks);
    }
  };
})(window.Sep);
