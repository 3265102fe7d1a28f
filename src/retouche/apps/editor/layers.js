// The fills as layers: each can be hidden, done again with another model or seed, or tried with three seeds.

import { label as named } from "./browser/engine.js";
import { several } from "./choice.js";
import { again } from "./fill.js";
import { t } from "./strings.js";
import { element, model, say, update, work } from "./work.js";

/** @typedef {import("./steps.js").Fill} Fill */

const SEEDS = 3;
let shown = ""; // what the list was made for

/** @param {import("./document.js").Document} open */
export function showLayers(open) {
  const { models } = work,
    as = [document.documentElement.lang, models.length, open.fills.map(({ hidden }) => Number(Boolean(hidden))).join("")].join();
  const list = element("layers");
  element("fillsdetails").hidden = !open.fills.length;
  if (shown === as && list.dataset.of === open.source.name && kept === open.fills) return;
  shown = as;
  kept = open.fills;
  list.dataset.of = open.source.name;
  const rows = open.fills.map((fill, at) => rowOf(open, fill, at + 1));
  list.replaceChildren(...rows.reverse()); // the topmost first
}

/** @type {Fill[] | null} */
let kept = null;

/** @param {string} kind @param {string} text @param {string} label @param {() => void} act */
function button(kind, text, label, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", className: kind, title: label });
  if (text) made.textContent = text;
  else made.innerHTML = `<svg aria-hidden="true"><use href="#i-eye"/></svg>`;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

/** @param {import("./document.js").Document} open @param {Fill} fill @param {number} number */
function rowOf(open, fill, number) {
  const row = document.createElement("div"),
    name = document.createElement("b"),
    facts = document.createElement("small"),
    list = document.createElement("select");
  row.setAttribute("role", "listitem");
  row.classList.toggle("hidden", Boolean(fill.hidden));
  name.textContent = `${number}  ${fill.label}`;
  facts.textContent = [
    t("layer.seed", { seed: fill.options.seed }),
    fill.seam === null ? "" : t("chip.seam", { seam: fill.seam.toFixed(1) }),
  ]
    .filter(Boolean)
    .join(" · ");
  const eye = button("quiet icon eye", "", t("layer.eye", { number }), () => {
    if (!open.reveal(fill, Boolean(fill.hidden))) say(t("undo.gone"));
    update();
    element("layers").querySelectorAll(".eye")[open.fills.length - number]?.focus();
  });
  eye.setAttribute("aria-pressed", String(!fill.hidden));
  for (const each of work.models)
    list.append(Object.assign(document.createElement("option"), { value: each.name, textContent: named(each.name) }));
  list.value = model(fill.model) ? fill.model : "";
  list.setAttribute("aria-label", t("layer.model", { number }));
  const chosen = () => list.value || fill.model;
  row.append(
    eye,
    name,
    facts,
    list,
    button("", t("layer.again"), t("layer.again.title", { number }), () =>
      // another model begins with the seed that it is compared at
      again(fill, { model: chosen(), seed: fill.options.seed + Number(chosen() === fill.model) }),
    ),
    button("", t("layer.seeds"), t("layer.seeds.title", { number }), () => {
      const { seed } = fill.options;
      if (!open.paint(fill.hole.layer, "load mask")) return say(t("layer.covered"));
      several(
        Array.from({ length: SEEDS }, (_, more) => ({
          model: chosen(),
          seed: seed + 1 + more,
          label: t("layer.seed", { seed: seed + 1 + more }),
        })),
        fill.options,
      );
    }),
  );
  return row;
}
