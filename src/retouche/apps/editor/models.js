// Which model fills, on which device, and those that are tried together.

import { setTool } from "./actions.js";
import * as api from "./api.js";
import { fileName, label as named, open, runtime } from "./browser/engine.js";
import { several } from "./choice.js";
import { goodFor, t } from "./strings.js";
import { device, devices, element, model, say, sayError, set, takes, work } from "./work.js";

/** @returns {NodeListOf<HTMLSelectElement>} */
const deviceLists = () => document.querySelectorAll("select.devices");

const OPEN = "open"; // what the list of models offers beside them
/** @param {string} name of a device */
const label = (name) => (name === "cpu" ? "CPU" : name);
let shownIn = ""; // language of the models' words

export function showModels() {
  const { models, config, settings } = work,
    chosen = new Set([...element("candidates").querySelectorAll("input")].map((box) => box.checked && box.value)),
    first = !element("candidates").childElementCount;
  shownIn = document.documentElement.lang;
  const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  const [own, served] = [true, false].map((here) => models.filter(({ browser }) => Boolean(browser) === here));
  element("model").replaceChildren(...served.map(({ name }) => option(name, name)));
  if (runtime()) {
    const group = Object.assign(document.createElement("optgroup"), { label: t("browser") });
    group.append(...own.map(({ name }) => option(name, fileName(name))), option(OPEN, t("browser.open")));
    element("model").append(group);
  }
  element("model").value = settings.model;
  for (const list of deviceLists()) {
    list.replaceChildren(option("", t("device.any")), ...devices().map((name) => option(name, label(name))));
  }
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
      name.textContent = named(each.name);
      words.textContent = goodFor(each.method);
      row.append(box, name, words);
      row.title = [each.title, each.licence].filter(Boolean).join("; ");
      return row;
    }),
  );
}

/** A file was loaded for the first time: what it is, and what it takes beside the picture, is known now. */
export async function learn() {
  if (model()?.method) return;
  const own = work.models.filter(({ browser }) => browser);
  work.models = [...(await api.json("/api/v1/models")), ...own];
  showModels();
  set({});
}

/** A file of an exported network, which fills from now on, in this browser. @param {File} file */
export async function openNetwork(file) {
  const name = await open(file);
  showModels();
  set({ model: name });
  say(t("browser.opened", { name: file.name }));
}

/** The model and the device that are chosen. */
export function showModel() {
  if (shownIn !== document.documentElement.lang) showModels();
  const { browser: row = null, method = null } = model() ?? {},
    mega = row && Math.max(1, Math.round(row.bytes / 2 ** 20));
  // its network's window decides, and draws no numbers
  for (const id of ["feather", "context", "seed"]) element(id).disabled = Boolean(row);
  element("modelhint").textContent = [goodFor(method), row && t("browser.hint", { mega })].filter(Boolean).join("; ");
  if (element("model").value !== work.settings.model) element("model").value = work.settings.model;
  const several = !row && devices().length > 1; // of which one can be chosen
  element("device").textContent = row ? t("browser") : devices().map(label).join(" + ");
  element("device").hidden = several;
  element("devicerow").hidden = !several;
  for (const list of deviceLists()) list.hidden = !several;
  for (const list of deviceLists()) if (list.value !== (device() ?? "")) list.value = device() ?? "";
}

export function setUpModels() {
  const on = (id, event, act) => element(id).addEventListener(event, act);
  on("try", "click", () => {
    const names = [...element("candidates").querySelectorAll("input:checked")].map((box) => box.value);
    if (!names.length) return say(t("several.none"));
    several(names.map((name) => ({ model: name })));
  });
  // in the open list what each is good for, closed the name alone
  const name = (words) => () => {
    for (const option of element("model").options) {
      if (option.value === OPEN) continue;
      const about = words && goodFor(model(option.value)?.method);
      option.textContent = about ? `${fileName(option.value)}: ${about}` : fileName(option.value);
    }
  };
  on("model", "focus", name(true));
  on("model", "blur", name(false));
  on("model", "change", (event) => {
    if (event.target.value === OPEN) {
      event.target.value = work.settings.model;
      return element("network").click();
    }
    set({ model: event.target.value });
    if (work.settings.tool === "pen" && !takes("sketch")) setTool("brush");
    if (!takes("sketch") && work.document?.layers.sketch.tiles.size)
      say(t("sketch.deaf", { model: model().name }));
  });
  on("network", "change", (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) openNetwork(file).catch(sayError);
  });
  for (const list of deviceLists())
    list.addEventListener("change", () => set({ device: list.value || null }));
}
