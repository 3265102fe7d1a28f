// What all parts of the page share: the open picture, the view, the settings, and a line to say things in.

/** @param {string} id @returns {any} */
export const element = (id) => document.getElementById(id);

const KEPT = "retouche settings";
const DEFAULTS = {
  size: 40,
  penSize: 3,
  tolerance: 24,
  snap: false, // the lasso keeps to edges
  step: 4,
  keepMask: false,
  onRelease: false,
  tool: "brush",
  context: "near",
  device: null,
  face: "simple", // or "full"
  language: null, // else the browser's
  dilate: null,
  feather: null,
  seed: 0,
  model: null,
  served: null, // the server's own choice when the model was chosen: another one has the word again
};

/** @type {{document: import("./document.js").Document | null, view: import("./view.js").View, settings: any,
 *   config: any, models: any[], files: any, changed: Set<() => void>}} */
export const work = {
  document: null,
  view: null,
  settings: { ...DEFAULTS, ...kept() },
  config: {},
  models: [],
  files: null,
  changed: new Set(),
};

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    return Object.fromEntries(Object.entries(found).filter(([name]) => name in DEFAULTS));
  } catch {
    return {}; // a browser that keeps nothing
  }
}

/** @param {object} values */
export function set(values) {
  Object.assign(work.settings, values);
  try {
    const stored = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, work.settings[name]]));
    localStorage.setItem(KEPT, JSON.stringify(stored));
  } catch {
    // a browser that keeps nothing: the settings last as long as the page
  }
  update();
}

/** Tell all parts that something changed. */
export function update() {
  for (const listener of work.changed) listener();
}

/** @param {string} name @returns {any} what the server says of a model */
export const model = (name = work.settings.model) => work.models.find((each) => each.name === name);

/** @param {"sketch" | "structure"} guide */
export const takes = (guide) => Boolean(model()?.conditioning?.includes(guide));

/** @returns {string[]} names of the server's devices */
export const devices = () => work.config.devices?.map((each) => each.name) ?? ["cpu"];

/** @param {string | null} [name] @returns {string | null} that device, if this server has it and others; null = any */
export const device = (name = work.settings.device) => (devices().length > 1 && devices().includes(name) ? name : null);

/** Whether a stroke is filled when it ends. */
export const releases = () => work.settings.face === "simple" || work.settings.onRelease;

/** Whether the mask stays after a fill, and goes along through a folder. */
export const keepsMask = () => work.settings.face === "full" && work.settings.keepMask;

/** Pixels by which the hole grows, as set or by default. */
export const dilation = () => work.settings.dilate ?? work.document?.defaultDilation ?? 1;

let clearing = 0;

/** One line at the bottom. @param {string} text @param {boolean} [wrong] */
export function say(text, wrong = false) {
  const line = element("message");
  line.textContent = text;
  line.title = text;
  line.classList.toggle("error", wrong);
  clearTimeout(clearing);
  if (text && !wrong) clearing = setTimeout(() => (line.textContent = ""), 6000);
}

/** For screen readers alone. @param {string} text */
export function announce(text) {
  element("told").textContent = text;
}

/** @param {unknown} error */
export function sayError(error) {
  const text = error instanceof Error ? error.message : String(error);
  say(text.charAt(0).toUpperCase() + text.slice(1), true);
}

/** @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {string} name @returns {string} without its suffix */
export const stem = (name) => name.replace(/^.*\//, "").replace(/\.[^.]*$/, "");
