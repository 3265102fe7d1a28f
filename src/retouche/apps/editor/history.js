// The fills so far, in small: a click goes back to one.

import { touch } from "./actions.js";
import { t } from "./strings.js";
import { element, say, update, work } from "./work.js";

let shownFills = null;

export function showHistory(open) {
  const language = document.documentElement.lang;
  if (
    shownFills === open.fills &&
    element("history").dataset.name === open.source.name &&
    element("history").lang === language
  )
    return;
  shownFills = open.fills;
  element("history").lang = language;
  element("history").dataset.name = open.source.name;
  element("historysection").hidden = !open.fills.length && !open.undoneFills.length;
  // also those taken back, which a click brings again
  const entries = [null, ...open.fills, ...open.undoneFills].map((fill, index) => {
    const item = document.createElement("span"),
      button = document.createElement("button"),
      text = document.createElement("span");
    item.setAttribute("role", "listitem");
    button.type = "button";
    text.textContent = index ? String(index) : t("history.start");
    button.title = fill ? `${index}: ${fill.label}` : t("history.came");
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-current", String(index === open.fills.length));
    const picture = document.createElement("canvas"),
      small = fill?.thumbnail ?? work.view.tiles.overview;
    const scale = Math.min(1, 192 / Math.max(small.width, small.height));
    Object.assign(picture, { width: Math.ceil(small.width * scale), height: Math.ceil(small.height * scale) });
    picture.getContext("2d").drawImage(small, 0, 0, picture.width, picture.height);
    button.append(picture);
    button.append(text);
    button.addEventListener("click", () => jump(index));
    item.append(button);
    return item;
  });
  element("history").replaceChildren(...entries);
}

/** @param {number} count fills to have */
function jump(count) {
  const { document: open } = work;
  touch();
  while (open.fills.length > count && open.undo());
  while (open.fills.length < count && open.redo());
  if (open.fills.length !== count) say(t("undo.gone"));
  update();
}
