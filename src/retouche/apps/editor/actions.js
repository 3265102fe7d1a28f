// What buttons and keys do to the open picture.

import { drop } from "./choice.js";
import { divide } from "./divider.js";
import { abandon, cursor } from "./pointer.js";
import { copyCommand, save, saveMask, saveSidecar } from "./save.js";
import { t } from "./strings.js";
import { element, say, set, update, work } from "./work.js";

/** @param {string} name */
export function setTool(name) {
  abandon();
  set({ tool: name });
  cursor();
}

export function undo() {
  if (!work.document || abandon()) return;
  touch();
  const { hole } = work.document.done[work.document.done.length - 1] ?? {},
    label = work.document.undo();
  say(hole ? t("fill.undone") : label ? t("undone", { what: t(`did.${label}`) }) : t("undone.none"));
  update();
}

export function redo() {
  if (!work.document) return;
  const label = (touch(), work.document.redo());
  say(label ? t("redone", { what: t(`did.${label}`) }) : t("redone.none"));
  update();
}

/** An action: the last fill's outline has been seen. */
export function touch() {
  work.view.film.pointed = null;
  element("chip").hidden = true;
  drop();
}

/** @param {1 | -1} sign */
export function grow(sign) {
  if (!work.document) return;
  touch();
  work.document.grow(sign * work.settings.step);
  update();
}

export const ACTIONS = {
  invert: () => work.document.invert(),
  clear: () => work.document.clear("mask"),
  clearsketch: () => work.document.clear("sketch"),
  grow: () => grow(1),
  shrink: () => grow(-1),
  savemask: saveMask,
  savesidecar: () => saveSidecar(),
  savewhole: () => saveSidecar(true),
  copycommand: copyCommand,
  save,
  compare: () => divide(work.view.divider === null ? 0.5 : null),
};
const CHANGES_MASK = new Set(["invert", "clear", "clearsketch"]);

/** @param {string} name of an action on the open picture */
export function use(name) {
  if (!work.document) return;
  if (CHANGES_MASK.has(name)) touch();
  ACTIONS[name]();
  update();
}
