// The keyboard. Keys act on the picture unless a field that takes text has the focus.

import { choosing, drop, keep, turn } from "./choice.js";
import { cancel, fill } from "./fill.js";
import { help } from "./help.js";
import { grow, redo, setTool, undo, use } from "./actions.js";
import { choose, chooseFolder } from "./doors.js";
import { jumpPanel } from "./panel.js";
import { walk } from "./walk.js";
import { abandon, cursor, keyboard, press, step, toggleKeyboard } from "./pointer.js";
import { copyPicture, save } from "./save.js";
import { element, set, takes, work } from "./work.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const COMMANDS = {
  z: undo,
  y: redo,
  i: () => use("invert"),
  d: () => use("clear"),
  s: save,
  o: choose,
  0: () => work.view.fit(),
  1: () => work.view.zoomTo(1),
};

/** @param {KeyboardEvent} event @returns {boolean} whether it was meant for the picture and is done */
function command(event) {
  const key = event.key.toLowerCase();
  if (key === "c" && String(getSelection())) return false;
  if (key === "c") copyPicture();
  else if (key === "z" && event.shiftKey) redo();
  else if (key === "o" && event.shiftKey) chooseFolder();
  else if (COMMANDS[key]) COMMANDS[key]();
  else return false;
  return true;
}

/** @param {number} factor of the tool's size */
function resize(factor) {
  const name = work.settings.tool === "pen" ? "penSize" : "size",
    old = work.settings[name];
  const next = Math.round(old * factor);
  set({ [name]: Math.min(1000, Math.max(1, next === old ? old + Math.sign(factor - 1) : next)) });
  cursor();
}

const LETTERS = {
  b: () => setTool("brush"),
  e: () => setTool("eraser"),
  l: () => setTool("lasso"),
  m: () => setTool("box"),
  w: () => setTool("wand"),
  p: () => takes("sketch") && setTool("pen"),
  h: () => setTool("hand"),
  x: () => setTool(work.settings.tool === "brush" ? "eraser" : "brush"),
  d: () => use("compare"),
  k: toggleKeyboard,
  "[": () => resize(1 / 1.2),
  "]": () => resize(1.2),
  "+": () => grow(1),
  "-": () => grow(-1),
  "?": help,
};

/** @param {KeyboardEvent} event @param {boolean} onPicture @returns {boolean} */
function plain(event, onPicture) {
  const key = event.key,
    arrow = ARROWS[key];
  if (key === "Escape") return abandon() || drop() || cancel();
  if (choosing() && arrow) {
    turn(arrow[0] + arrow[1]);
    return true;
  }
  if (key === "Enter" && (onPicture || choosing())) {
    if (choosing()) keep();
    else fill();
    return true;
  }
  if (key === "R" && event.shiftKey) {
    fill();
    return true;
  }
  if (onPicture && keyboard.on && arrow) {
    step(arrow[0] * (event.shiftKey ? 10 : 1), arrow[1] * (event.shiftKey ? 10 : 1));
    return true;
  }
  if (onPicture && arrow && work.files) {
    // a key held down is no second answer to the question whether unsaved work may be left
    if (arrow[0] && !(event.repeat && work.document?.unsaved)) walk(arrow[0] > 0 ? 1 : -1);
    return Boolean(arrow[0]);
  }
  if (key === " " && onPicture) {
    if (keyboard.on && !event.repeat) press();
    else if (!keyboard.on) keyboard.space = true;
    cursor();
    return true;
  }
  // Tab leaves the picture only with Shift, or by F6, as its label says
  if (key === "Tab" && !event.shiftKey && onPicture && work.document) {
    compare(true);
    return true;
  }
  if (key === "F6") {
    jumpPanel(event.shiftKey);
    return true;
  }
  const act = LETTERS[key.length === 1 ? key.toLowerCase() : key];
  act?.();
  return Boolean(act);
}

/** @param {boolean} on */
function compare(on) {
  if (work.view.before === on) return;
  work.view.before = on;
  element("original").hidden = !on;
  work.view.draw();
}

export function setUpKeys() {
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (document.querySelector("dialog[open]")) return;
    const typing = target.matches("input:not([type=range]):not([type=checkbox]), textarea");
    const control = target.matches("button, select, input, summary, a, [role=slider], pre");
    const third = event.getModifierState("AltGraph"); // where brackets are typed with it, it is no command
    if ((event.ctrlKey || event.metaKey) && !third) {
      if (!(typing && "zycxva".includes(event.key.toLowerCase())) && command(event)) event.preventDefault();
      return;
    }
    if (typing && event.key === "Enter") element("overlay").focus(); // takes the number; the next Enter fills
    if (typing || (event.altKey && !third)) return;
    if (
      control &&
      target.matches("select, input:not([type=checkbox]), [role=slider]") &&
      !["?", "F6", "Escape"].includes(event.key)
    )
      return;
    if (plain(event, !control)) event.preventDefault();
  });
  addEventListener("keyup", (event) => {
    if (event.key === "Tab") compare(false);
    if (event.key === " ") {
      keyboard.space = false;
      cursor();
    }
  });
  addEventListener("blur", () => {
    compare(false);
    keyboard.space = false;
  });
}
