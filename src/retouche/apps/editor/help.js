// The list of keys.

import { t } from "./strings.js";
import { element } from "./work.js";

/** @type {[string, [string, string][]][]} heading, keys and meaning, as strings are called */
const KEYS = [
  [
    "tools",
    [
      ["B", "tool.brush"],
      ["E", "tool.eraser"],
      ["L", "tool.lasso"],
      ["M", "tool.box"],
      ["W", "tool.wand"],
      ["P", "tool.pen"],
      ["H", "tool.hand"],
      ["X", "key.turn"],
      ["[ ]", "key.size"],
    ],
  ],
  [
    "keys.mask",
    [
      ["Shift", "key.add"],
      ["Shift Click", "key.line"],
      ["Alt", "key.subtract"],
      ["Ctrl I", "invert"],
      ["Ctrl D", "clear"],
    ],
  ],
  [
    "fill",
    [
      ["Enter", "key.fill"],
      ["Shift R", "fill"],
      ["Esc", "key.cancel"],
      ["Left Right", "key.walk"],
    ],
  ],
  [
    "picture",
    [
      ["Wheel", "key.scroll"],
      ["Ctrl Wheel", "key.zoom"],
      ["Space", "key.pan"],
      ["Ctrl 0", "key.fit"],
      ["Ctrl 1", "key.full"],
      ["Tab", "key.original"],
      ["D", "key.divider"],
    ],
  ],
  [
    "keys.file",
    [
      ["Ctrl O", "key.open"],
      ["Shift Ctrl O", "key.folder"],
      ["Ctrl S", "save"],
      ["Ctrl C", "key.copy"],
      ["Ctrl V", "key.paste"],
      ["Ctrl Z", "undo"],
      ["Shift Ctrl Z", "redo"],
    ],
  ],
  [
    "keys.blind",
    [
      ["K", "key.pointer"],
      ["Arrows", "key.move"],
      ["Space", "key.press"],
      ["F6", "key.panels"],
      ["Shift Tab", "key.leave"],
    ],
  ],
];

export function help() {
  const dialog = element("keys");
  if (dialog.open) return dialog.close();
  if (dialog.lang !== document.documentElement.lang) {
    dialog.lang = document.documentElement.lang;
    const head = document.createElement("header");
    const title = Object.assign(document.createElement("h2"), { id: "keystitle", textContent: t("keys.title") });
    const columns = Object.assign(document.createElement("div"), { className: "columns" });
    for (const [heading, rows] of KEYS) {
      const group = document.createElement("section"),
        list = document.createElement("dl");
      group.append(Object.assign(document.createElement("h3"), { textContent: t(heading) }), list);
      for (const [keys, meaning] of rows) {
        const term = document.createElement("dt");
        term.append(
          ...keys.split(" ").map((key) => Object.assign(document.createElement("kbd"), { textContent: key })),
        );
        list.append(term, Object.assign(document.createElement("dd"), { textContent: t(meaning) }));
      }
      columns.append(group);
    }
    const close = Object.assign(document.createElement("button"), { textContent: t("close"), type: "button" });
    close.addEventListener("click", () => dialog.close());
    head.append(title, close);
    dialog.replaceChildren(head, columns);
  }
  dialog.showModal();
}
