// What the last fill did, in a line on the picture; in the full face a click tells more.

import { isHere } from "./browser/engine.js";
import { simple } from "./face.js";
import { again } from "./fill.js";
import { elapsed } from "./progress.js";
import { t } from "./strings.js";
import { element, work } from "./work.js";

let chipped = null,
  chippedAs = "";

/** @param {import("./document.js").Document} open */
export function showChip(open) {
  const last = open.fills[open.fills.length - 1],
    as = `${work.settings.face} ${document.documentElement.lang}`;
  if (chipped === last && chippedAs === as) return;
  if (chipped !== last) element("chip").hidden = !last || open.undoneFills.length > 0;
  chipped = last;
  chippedAs = as;
  if (!last) return;
  const more = document.createElement("div"),
    row = document.createElement("p"),
    retry = document.createElement("button");
  retry.type = "button";
  retry.id = "again";
  retry.textContent = t("again");
  retry.hidden = isHere(last.model);
  retry.addEventListener("click", () => again());
  more.hidden = true;
  if (simple()) {
    const text = t("done", { time: elapsed(last.waited ?? last.report.seconds) });
    row.append(Object.assign(document.createElement("span"), { textContent: text }), retry);
  } else row.append(detailsOf(last, more), retry);
  element("chip").replaceChildren(more, row);
}

/**
 * @param {any} last fill @param {HTMLElement} more where the details go
 * @returns {HTMLElement} the button that shows them
 */
function detailsOf(last, more) {
  const { report } = last,
    hole = report.holes?.[0],
    button = document.createElement("button"),
    list = document.createElement("dl");
  const words = [last.label, t("seconds", { count: report.seconds.toFixed(1) })];
  if (hole)
    words.push(
      `${report.strategy} ${hole.crop[2] - hole.crop[0]}`,
      t("chip.scale", { scale: Number(hole.scale.toFixed(2)) }),
    );
  if (last.seam !== null) words.push(t("chip.seam", { seam: last.seam.toFixed(1) }));
  button.type = "button";
  button.textContent = words.join("  ·  ");
  button.setAttribute("aria-expanded", "false");
  const paths = report.holes?.filter(({ why }) => why).map(({ method, why }) => `${method} (${why})`) ?? [];
  const sizes = report.crops.map(({ sent }) => `${sent.right - sent.left} × ${sent.bottom - sent.top}`);
  const facts = [
    [t("model"), `${report.model ?? last.model}${report.layout ? `, ${report.layout}` : ""}`],
    [t("fact.by"), [...new Set(paths)].join(", ")],
    [t("device"), report.device],
    [t("fact.time"), t("seconds", { count: report.seconds.toFixed(2) })],
    [
      t("fact.memory"),
      report.peak_memory_bytes && t("fact.memory.is", { mega: (report.peak_memory_bytes / 2 ** 20).toFixed(0) }),
    ],
    [t("fact.sent"), sizes.join(", ")],
    [
      t("context"),
      hole
        ? t("fact.seen", { strategy: report.strategy, scale: Number(hole.scale.toFixed(2)), passes: hole.passes })
        : report.strategy,
    ],
    [
      t("fact.grown"),
      t("fact.grown.is", { dilate: last.options.dilate, feather: last.options.feather ?? t("auto") }),
    ],
    [t("fact.seam"), last.seam === null ? null : t("fact.seam.is", { seam: last.seam.toFixed(2) })],
    [t("fact.remarks"), report.remarks?.join("; ")],
  ];
  for (const [term, fact] of facts) {
    if (!fact) continue;
    list.append(
      Object.assign(document.createElement("dt"), { textContent: term }),
      Object.assign(document.createElement("dd"), { textContent: fact }),
    );
  }
  more.append(list);
  button.addEventListener("click", () => {
    more.hidden = !more.hidden;
    button.setAttribute("aria-expanded", String(!more.hidden));
  });
  return button;
}
