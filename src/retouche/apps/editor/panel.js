// Bars and panel: shows the state, turns what is pressed into commands.

import { showChip } from "./chip.js";
import { choosing, drop, keep, several } from "./choice.js";
import * as filling from "./fill.js";
import { simple, touched } from "./face.js";
import { help } from "./help.js";
import { showLayers } from "./layers.js";
import { abandon, cursor, outline, showSize } from "./pointer.js";
import { placeBadges } from "./progress.js";
import { command, copyCommand, save, saveMask, saveSidecar } from "./save.js";
import { goodFor, t } from "./strings.js";
import { TOOLS } from "./tools/index.js";
import { device, devices, dilation, element, listens, model, say, set, update, work } from "./work.js";

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
function touch() {
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

const ACTIONS = {
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

// Before and after ----------------------------------------------------------------------------------------------------

/** @param {number | null} share of the stage; null = no divider */
function divide(share) {
  const bar = element("divider"),
    { view } = work;
  view.divider = share === null ? null : Math.min(1, Math.max(0, share));
  bar.hidden = element("sides").hidden = share === null;
  element("compare").setAttribute("aria-pressed", String(share !== null));
  if (share !== null) {
    bar.style.left = `${view.divider * 100}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(view.divider * 100)));
  }
  view.draw();
}

function setUpDivider() {
  const bar = element("divider"),
    { view } = work;
  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    event.preventDefault();
    bar.focus();
  });
  bar.addEventListener("pointermove", (event) => {
    if (!bar.hasPointerCapture(event.pointerId)) return;
    const rect = view.stage.getBoundingClientRect();
    divide((event.clientX - rect.left) / rect.width);
  });
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (by) {
      event.preventDefault();
      divide(view.divider + by);
    } else if (event.key === "Escape") divide(null);
  });
}

/** From the picture to the tools, to the settings, to the bar, and round. @param {boolean} back */
export function jumpPanel(back) {
  const stops = ["overlay", "tools", "panel", "status", "bar"].map(element);
  const here = stops.findIndex((stop) => stop.contains(document.activeElement));
  const next = stops[(Math.max(0, here) + (back ? stops.length - 1 : 1)) % stops.length];
  const able = "button:not(:disabled):not([hidden]):not([tabindex='-1']), select, input";
  (next.tabIndex >= 0 ? next : next.querySelector(able))?.focus();
}

// What is shown -------------------------------------------------------------------------------------------------------

const LYING = matchMedia("(max-height: 500px)"),
  SMALL = matchMedia("(max-width: 700px), (max-height: 500px)");
const LARGEST = 1000;
const toSlider = (size) => (Math.log(size) / Math.log(LARGEST)) * 100;
const fromSlider = (value) => Math.max(1, Math.round(LARGEST ** (value / 100)));

function showTools() {
  const bar = element("tools"),
    { settings } = work;
  if (!bar.childElementCount)
    for (const tool of TOOLS) {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `tool-${tool.name}`;
      button.setAttribute("aria-keyshortcuts", tool.key);
      button.innerHTML = `<svg aria-hidden="true"><use href="#i-${tool.name}"/></svg>`;
      button.addEventListener("click", () => setTool(tool.name));
      bar.append(button);
    }
  for (const tool of TOOLS) {
    const button = element(`tool-${tool.name}`);
    button.hidden = Boolean(tool.guide) && !listens(tool.guide);
    button.title = `${t(`tool.${tool.name}`)} (${tool.key})`;
    button.setAttribute("aria-label", t(`tool.${tool.name}`));
    button.setAttribute("aria-pressed", String(tool.name === settings.tool));
    button.tabIndex = tool.name === settings.tool ? 0 : -1; // arrow keys move inside the bar
  }
}

function showOptions() {
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
  element("feather").placeholder = work.document
    ? t("auto.is", { value: Math.floor(dilation() / 2) })
    : t("auto");
  element("clearsketch").hidden = !listens("sketch");
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

let shownFills = null;

function showHistory(open) {
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

/** @returns {NodeListOf<HTMLSelectElement>} */
const deviceLists = () => document.querySelectorAll("select.devices");

let shownIn = ""; // language of the models' words

export function showModels() {
  const { models, config, settings } = work,
    chosen = new Set([...element("candidates").querySelectorAll("input")].map((box) => box.checked && box.value)),
    first = !element("candidates").childElementCount;
  shownIn = document.documentElement.lang;
  const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  element("model").replaceChildren(...models.map((each) => option(each.name, each.name)));
  element("model").value = settings.model;
  const label = (name) => (name === "cpu" ? "CPU" : name),
    several = devices().length > 1;
  element("device").textContent = devices().map(label).join(" + ");
  element("device").hidden = several;
  for (const list of deviceLists()) {
    list.hidden = !several;
    list.replaceChildren(option("", t("device.any")), ...devices().map((name) => option(name, label(name))));
  }
  element("devicerow").hidden = !several;
  element("device").parentElement.title = config.devices?.map((each) => `${each.name}: ${each.why}`).join("\n") ?? "";
  element("candidates").replaceChildren(
    ...models.map((each) => {
      const row = document.createElement("label"),
        box = document.createElement("input");
      row.className = "check";
      const checked = first ? each.kind !== "network" : chosen.has(each.name);
      Object.assign(box, { type: "checkbox", value: each.name, checked });
      const name = document.createElement("span"),
        words = document.createElement("small");
      name.textContent = each.name;
      words.textContent = goodFor(each.method);
      row.append(box, name, words);
      row.title = [each.title, each.licence].filter(Boolean).join("; ");
      return row;
    }),
  );
}

export function setUpPanel() {
  if (SMALL.matches) for (const part of document.querySelectorAll("#panel .part")) part.removeAttribute("open");
  const on = (id, event, act) => element(id).addEventListener(event, act);
  showTools();
  element("tools").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const shown = [...element("tools").querySelectorAll("button:not([hidden])")];
    const next = shown[(shown.indexOf(document.activeElement) + by + shown.length) % shown.length];
    next.click();
    next.focus();
  });
  for (const name of Object.keys(ACTIONS)) on(name, "click", () => use(name));
  on("undo", "click", undo);
  on("redo", "click", redo);
  on("help", "click", help);
  on("fill", "click", () => (choosing() ? keep() : filling.fill()));
  on("cancel", "click", () => filling.cancel());
  on("try", "click", () => {
    const names = [...element("candidates").querySelectorAll("input:checked")].map((box) => box.value);
    if (!names.length) return say(t("several.none"));
    several(names.map((name) => ({ model: name })));
  });
  // in the open list what each is good for, closed the name alone
  const name = (words) => () => {
    for (const option of element("model").options) {
      const about = words && goodFor(model(option.value)?.method);
      option.textContent = about ? `${option.value}: ${about}` : option.value;
    }
  };
  on("model", "focus", name(true));
  on("model", "blur", name(false));
  on("model", "change", (event) => {
    set({ model: event.target.value });
    if (work.settings.tool === "pen" && !listens("sketch")) setTool("brush");
    if (!listens("sketch") && work.document?.layers.sketch.tiles.size)
      say(t("sketch.deaf", { model: model().name }));
  });
  for (const list of deviceLists())
    list.addEventListener("change", () => set({ device: list.value || null }));
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
  };
  work.changed.add(() => {
    showTools();
    showOptions();
    showPicture();
    if (shownIn !== document.documentElement.lang) showModels();
    element("modelhint").textContent = goodFor(model()?.method);
    if (element("model").value !== work.settings.model) element("model").value = work.settings.model;
    for (const list of deviceLists())
      if (list.value !== (device() ?? "")) list.value = device() ?? "";
    work.view.draw();
  });
}
