// Settings of the tool, the mask and the fill.

import { simple, touched } from "./face.js";
import { cursor, showSize } from "./pointer.js";
import { t } from "./strings.js";
import { TOOLS } from "./tools/index.js";
import { dilation, element, model, set, takes, work } from "./work.js";

const LYING = matchMedia("(max-height: 500px)");
const LARGEST = 1000;
const toSlider = (size) => (Math.log(size) / Math.log(LARGEST)) * 100;
const fromSlider = (value) => Math.max(1, Math.round(LARGEST ** (value / 100)));

export function showOptions() {
  const { settings } = work,
    tool = TOOLS.find((each) => each.name === settings.tool);
  element("toolname").textContent = t(`tool.${tool.name}`);
  element("toolhint").textContent = t(`tool.${tool.name}.hint`);
  element("sizerow").hidden = !tool.round;
  element("tolerancerow").hidden = tool.name !== "wand";
  element("thumb").hidden = !work.document || !tool.round || !(simple() || touched());
  // slider and chip lie below the picture, where the stage is high enough
  const room = LYING.matches ? 0 : simple() || touched() ? 64 : 48;
  if (work.view.room !== room) {
    work.view.room = room;
    if (work.view.fitted) work.view.fit();
  }
  if (tool.round) {
    for (const id of ["size", "thumbsize"]) {
      element(id).value = String(toSlider(settings[tool.round]));
      element(id).setAttribute("aria-valuetext", t("pixels", { count: settings[tool.round] }));
    }
    element("sizevalue").textContent = `${settings[tool.round]} px`;
  }
  element("tolerance").value = String(settings.tolerance);
  element("tolerancevalue").textContent = String(settings.tolerance);
  element("snaprow").hidden = tool.name !== "lasso";
  element("snap").checked = settings.snap;
  element("step").value = String(settings.step);
  element("keepmask").checked = settings.keepMask;
  element("onrelease").checked = settings.onRelease;
  element("context").value = settings.context;
  element("dilate").value = settings.dilate ?? "";
  element("feather").value = settings.feather ?? "";
  element("dilate").placeholder = work.document ? t("auto.is", { value: dilation() }) : t("auto");
  element("feather").placeholder = model()?.browser
    ? "0"
    : work.document
      ? t("auto.is", { value: Math.floor(dilation() / 2) })
      : t("auto");
  element("clearsketch").hidden = !takes("sketch");
}

export function setUpOptions() {
  const on = (id, event, act) => element(id).addEventListener(event, act);
  for (const id of ["size", "thumbsize"])
    on(id, "input", (event) => {
      const tool = TOOLS.find((each) => each.name === work.settings.tool);
      set({ [tool.round]: fromSlider(Number(event.target.value)) });
      if (id === "thumbsize") showSize(true);
      else cursor();
    });
  on("thumbsize", "change", () => showSize(false));
  on("tolerance", "input", (event) => set({ tolerance: Number(event.target.value) }));
  on("step", "change", (event) => set({ step: Math.min(200, Math.max(1, Number(event.target.value) || 1)) }));
  on("snap", "change", (event) => set({ snap: event.target.checked }));
  on("keepmask", "change", (event) => set({ keepMask: event.target.checked }));
  on("onrelease", "change", (event) => set({ onRelease: event.target.checked }));
  on("context", "change", (event) => set({ context: event.target.value }));
  for (const id of ["dilate", "feather", "seed"])
    on(id, "change", (event) => {
      const text = event.target.value,
        limit = id === "seed" ? Number.MAX_SAFE_INTEGER : 500;
      const value =
        text === "" ? (id === "seed" ? 0 : null) : Math.min(limit, Math.max(0, Math.round(Number(text)) || 0));
      set({ [id]: value });
      event.target.value = value ?? "";
      work.view.draw();
    });
}
