// The list of keys, and what the numbers mean.

import { element } from "./work.js";

const KEYS = [
  [
    "Tools",
    [
      ["B", "brush"],
      ["E", "eraser"],
      ["L", "lasso"],
      ["M", "box"],
      ["W", "wand"],
      ["P", "sketch pen"],
      ["H", "hand"],
      ["X", "brush and eraser in turn"],
      ["[ ]", "smaller, larger"],
    ],
  ],
  [
    "Mask",
    [
      ["Shift", "adds"],
      ["Alt", "subtracts"],
      ["Ctrl I", "invert"],
      ["Ctrl D", "clear"],
    ],
  ],
  [
    "Fill",
    [
      ["Enter", "fill, keep a result"],
      ["Shift R", "fill"],
      ["Esc", "cancel"],
      ["Left Right", "choose a result, or walk through the folder"],
    ],
  ],
  [
    "Picture",
    [
      ["Wheel", "zoom"],
      ["Space", "hold to pan"],
      ["Ctrl 0", "fit"],
      ["Ctrl 1", "100 %"],
      ["Tab", "hold for the original"],
      ["D", "before and after divider"],
    ],
  ],
  [
    "File",
    [
      ["Ctrl O", "open"],
      ["Shift Ctrl O", "open a folder"],
      ["Ctrl S", "save"],
      ["Ctrl C", "copy the picture"],
      ["Ctrl V", "paste a picture"],
      ["Ctrl Z", "undo"],
      ["Shift Ctrl Z", "redo"],
    ],
  ],
  [
    "Without a pointer",
    [
      ["K", "a pointer for the arrow keys"],
      ["Arrows", "move it; with Shift ten times"],
      ["Space", "put the tool down, lift it"],
      ["F6", "from the picture to tools and settings"],
      ["Shift Tab", "leave the picture"],
    ],
  ],
];

export function help() {
  const dialog = element("keys");
  if (dialog.open) return dialog.close();
  if (!dialog.childElementCount) {
    const head = document.createElement("header");
    const title = Object.assign(document.createElement("h2"), { id: "keystitle", textContent: "Keys" });
    const columns = Object.assign(document.createElement("div"), { className: "columns" });
    for (const [heading, rows] of KEYS) {
      const group = document.createElement("section"),
        list = document.createElement("dl");
      group.append(Object.assign(document.createElement("h3"), { textContent: heading }), list);
      for (const [keys, meaning] of rows) {
        const term = document.createElement("dt");
        term.append(
          ...keys.split(" ").map((key) => Object.assign(document.createElement("kbd"), { textContent: key })),
        );
        list.append(term, Object.assign(document.createElement("dd"), { textContent: meaning }));
      }
      columns.append(group);
    }
    const close = Object.assign(document.createElement("button"), { textContent: "Close", type: "button" });
    close.addEventListener("click", () => dialog.close());
    head.append(title, close);
    dialog.append(head, columns);
  }
  dialog.showModal();
}
