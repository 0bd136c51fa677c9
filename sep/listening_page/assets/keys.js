/* Keyboard shortcuts. A key that the focused control uses itself is left to that control. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  /* Runs one of `actions` for each shortcut, while `enabled()` returns true. `actions` has
     the functions toggle, move(seconds), moveTo(share), system(n), solo(n), swap and
     zoom(factor). */
  Sep.bindKeys = function (actions, enabled) {
    const table = {
      " ": actions.toggle,
      k: actions.toggle,
      arrowleft: (event) => actions.move(event.shiftKey ? -1 : -5),
      arrowright: (event) => actions.move(event.shiftKey ? 1 : 5),
      home: () => actions.moveTo(0),
      end: () => actions.moveTo(1),
      x: actions.swap,
      "+": () => actions.zoom(2),
      "=": () => actions.zoom(2),
      "-": () => actions.zoom(0.5),
    };
    document.addEventListener("keydown", (event) => {
      if (
        !enabled() ||
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        event.defaultPrevented
      )
        return;
      const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
      const action = digit
        ? () => (event.shiftKey ? actions.solo : actions.system)(digit[1] - 1)
        : table[event.key.toLowerCase()];
      if (!action || usesKey(event.target, event.key)) return;
      event.preventDefault();
      action(event);
    });
  };

  /* Whether a control uses a key itself. */
  function usesKey(element, key) {
    if (!(element instanceof Element)) return false;
    const letter = key.length === 1 && key !== " ";
    if (element.matches("select")) return true;
    if (element.matches("button, summary, input[type=checkbox]")) return key === " ";
    if (element.matches("#position")) return false; // arrows move by 5 seconds here too
    if (element.matches("input[type=range]")) return !letter && key !== " ";
    if (element.matches("input[type=radio]")) return key.startsWith("Arrow");
    return false;
  }
})(window.Sep);
