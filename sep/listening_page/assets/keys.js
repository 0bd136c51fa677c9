/* Keys: a table from a key to what it does. Controls that have a use for a key keep it. */

"use strict";
window.Sep = window.Sep || {};

(function (Sep) {
  /* `actions` are functions: toggle, move(seconds), moveTo(share), system(n), solo(n),
     swap, zoom(factor). `enabled()` tells whether keys are to be used. */
  Sep.listenToKeys = function (actions, enabled) {
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
      if (!action || keeps(event.target, event.key)) return;
      event.preventDefault();
      action(event);
    });
  };

  function keeps(element, key) {
    if (!(element instanceof Element)) return false;
    const letter = key.length === 1 && key !== " ";
    if (element.matches("select")) return true;
    if (element.matches("button, summary, input[type=checkbox]")) return key === " ";
    if (element.matches("#position")) return false; // its arrows are ours: 5 seconds
    if (element.matches("input[type=range]")) return !letter && key !== " ";
    if (element.matches("input[type=radio]")) return key.startsWith("Arrow");
    return false;
  }
})(window.Sep);
