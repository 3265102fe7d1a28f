// Bars and panel: they show the state of the picture, and turn what is pressed into commands.

import { ACTIONS, redo, undo, use } from "./actions.js";
import { showChip } from "./chip.js";
import { choosing, keep } from "./choice.js";
import { setUpDivider } from "./divider.js";
import { placeEdges } from "./edges.js";
import { simple } from "./face.js";
import * as filling from "./fill.js";
import { help } from "./help.js";
import { showHistory } from "./history.js";
import { showLayers } from "./layers.js";
import { setUpModels, showModel } from "./models.js";
import { setUpOptions, showOptions } from "./options.js";
import { cursor, outline } from "./pointer.js";
import { placeBadges } from "./progress.js";
import { command } from "./save.js";
import { t } from "./strings.js";
import { setUpTools, showTools } from "./toolbar.js";
import { dilation, element, work } from "./work.js";

const SMALL = matchMedia("(max-width: 700px), (max-height: 500px)");

/** From the picture to the tools, to the settings, to the bar, and round. @param {boolean} back */
export function jumpPanel(back) {
  const stops = ["overlay", "tools", "panel", "status", "bar"].map(element);
  const here = stops.findIndex((stop) => stop.contains(document.activeElement));
  const next = stops[(Math.max(0, here) + (back ? stops.length - 1 : 1)) % stops.length];
  const able = "button:not(:disabled):not([hidden]):not([tabindex='-1']), select, input";
  (next.tabIndex >= 0 ? next : next.querySelector(able))?.focus();
}

function showPicture() {
  const { document: open, files, settings } = work;
  for (const id of ["invert", "clear", "shrink", "grow", "savemask", "compare", "try"]) element(id).disabled = !open;
  element("undo").disabled = !open?.done.length;
  element("redo").disabled = !open?.undone.length;
  element("undo").title = open?.done.length
    ? t("undo.what", { what: t(`did.${open.done[open.done.length - 1].label}`) })
    : t("undo.title");
  element("save").disabled = !open;
  element("walk").hidden = !files?.names.length;
  if (files) element("place").textContent = t("place", { at: files.at + 1, count: files.names.length });
  element("commandsection").hidden = !open;
  element("savesidecar").hidden = element("savewhole").hidden = !open?.fills.length;
  element("command").textContent = command();
  const measure = open?.layers.mask.measure() ?? { count: 0 };
  element("fill").disabled = !open || (!measure.count && !choosing());
  element("fill").textContent = t(choosing() ? "keep" : "fill");
  element("fill").hidden = simple() && (!open || (!measure.count && !choosing())); // each stroke is filled by itself
  element("bar").querySelector(".dot").classList.toggle("busy", filling.filling());
  if (!open) return;
  element("history").dataset.fills = String(open.fills.length);
  const share = (measure.count / (open.width * open.height)) * 100;
  element("hole").textContent = measure.count
    ? t("hole", {
        share: share.toFixed(share < 0.1 ? 2 : 1),
        mega: (measure.count / 1e6).toFixed(measure.count < 1e5 ? 3 : 2),
      })
    : t("hole.none");
  element("hole").hidden = simple() && !measure.count;
  const name = document.createElement("b");
  name.textContent = open.source.name.replace(/^.*\//, "");
  const about = document.createElement("span");
  about.textContent = `  ${open.width} × ${open.height}${open.unsaved ? `  ${t("edited")}` : ""}`;
  element("name").replaceChildren(name, about);
  element("name").classList.toggle("edited", open.unsaved);
  document.title = `${open.unsaved ? "• " : ""}${name.textContent} - Retouche`;
  work.view.ring = dilation();
  work.view.soft = Math.min(settings.feather ?? Math.floor(dilation() / 2), dilation());
  showHistory(open);
  showLayers(open);
  showChip(open);
}

export function setUpPanel() {
  if (SMALL.matches) for (const part of document.querySelectorAll("#panel .part")) part.removeAttribute("open");
  const on = (id, event, act) => element(id).addEventListener(event, act);
  setUpTools();
  setUpOptions();
  setUpModels();
  for (const name of Object.keys(ACTIONS)) on(name, "click", () => use(name));
  on("undo", "click", undo);
  on("redo", "click", redo);
  on("help", "click", help);
  on("fill", "click", () => (choosing() ? keep() : filling.fill()));
  on("cancel", "click", () => filling.cancel());
  on("zoomin", "click", () => work.view.zoomTo((work.view.zoom / work.view.ratio) * 1.5));
  on("zoomout", "click", () => work.view.zoomTo(work.view.zoom / work.view.ratio / 1.5));
  on("zoom", "click", () => work.view.fit());
  on("more", "click", () => {
    const open = element("panel").classList.toggle("open");
    element("more").setAttribute("aria-expanded", String(open));
  });
  on("overlay", "pointerdown", () => {
    element("panel").classList.remove("open");
    element("more").setAttribute("aria-expanded", "false");
  });
  setUpDivider();
  work.view.moved = () => {
    element("zoom").textContent = `${Math.round((work.view.zoom / work.view.ratio) * 100)} %`;
    outline();
    cursor();
    placeBadges();
    placeEdges();
  };
  work.changed.add(() => {
    showTools();
    showOptions();
    showPicture();
    showModel();
    work.view.draw();
  });
}
