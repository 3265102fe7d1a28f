// How pictures come in: drop, paste, dialog, folders, example. A dropped mask or sidecar goes onto the open picture.

import * as api from "./api.js";
import { bitmapOf, bytesOf, faithful, shows, sixteen } from "./decode.js";
import { Document } from "./document.js";
import { drop } from "./choice.js";
import { abortLost, cancel, fill } from "./fill.js";
import { called, fromEntries, fromFiles, natural } from "./folder.js";
import { fileOf, forget, keep, lastWork } from "./kept.js";
import { sha256 } from "./save.js";
import { t } from "./strings.js";
import { Tiles } from "./view.js";
import { element, keepsMask, listens, releases, say, sayError, set, update, work } from "./work.js";

const THUMB = 28; // width of the brush on a touch screen, in its pixels
let warned = null; // the unsaved fills that were pointed out

/** Whether the open picture may be left; asks once, and again when there are other fills. */
function leaving() {
  const { document } = work;
  if (!document?.unsaved || warned === document.fills) return true;
  warned = document.fills;
  say(t("leave.unsaved"), true);
  return false;
}

/**
 * A picture as documents take it.
 * @param {Blob} blob @param {string} name
 * @param {{path?: string | null, listed?: boolean}} [place] below the server's folder; whether from an opened folder
 * @returns {Promise<{source: import("./steps.js").Source, tiles: Tiles}>}
 */
export async function pictureOf(blob, name, { path = null, listed = false } = {}) {
  const type = blob.type || "";
  let bitmap,
    deep = await sixteen(blob);
  try {
    if (!(await shows(blob))) throw new Error("shown by the server");
    bitmap = await bitmapOf(blob);
  } catch {
    const body = new FormData();
    body.append("image", blob, "picture");
    const shown = await api.ask("/api/v1/view", { method: "POST", body });
    deep = shown.headers.get("X-Retouche-Depth") === "16";
    bitmap = await bitmapOf(await shown.blob());
  }
  const most = work.config.limits?.pixels;
  if (most && bitmap.width * bitmap.height > most)
    throw new Error(
      t("open.large", { name, width: bitmap.width, height: bitmap.height, mega: Math.round(most / 1e6) }),
    );
  const tiles = await Tiles.from(bitmap),
    { width, height } = tiles;
  return { source: { name, path, listed, deep, type, blob, width, height, read: (box) => tiles.read(box) }, tiles };
}

/**
 * @param {Blob} blob @param {string} name
 * @param {{path?: string | null, listed?: boolean, kept?: import("./kept.js").Work | null}} [place] below the server's
 *   folder; whether from an opened folder; the work to go on with
 */
export async function openPicture(blob, name, { kept = null, ...place } = {}) {
  if (!leaving()) return false;
  if (!faithful())
    throw new Error(t("open.altered"));
  const { source, tiles } = await pictureOf(blob, name, place),
    first = !work.document,
    document = new Document(source);
  await keep(document, kept);
  cancel(); // a fill under way was for the picture that is left
  drop();
  work.document = document;
  document.on(({ layer }) => {
    if (layer === "steps") update();
    if (layer === "pending") abortLost();
  });
  element("empty").hidden = true;
  element("chip").hidden = true;
  work.view.show(document, tiles);
  if (matchMedia("(pointer: coarse)").matches) set({ size: Math.round((THUMB * work.view.ratio) / work.view.zoom) });
  else if (first && !kept) set({ size: Math.max(8, Math.round(Math.min(tiles.width, tiles.height) / 14)) });
  say("");
  update();
  element("overlay").focus({ preventScroll: true });
  return true;
}

/** Go on with the work that was kept. @param {import("./kept.js").Work} kept */
async function goOn(kept) {
  const { name, path, listed } = kept;
  try {
    if (!(await openPicture(await fileOf(kept), name, { path, listed, kept }))) return;
    if (work.files) work.files.at = work.files.names.indexOf(path ?? name);
    update();
    say(t("continue.done", { name }));
  } catch (error) {
    if (error.status !== undefined) return sayError(error); // the server is away: another time
    element("continue").hidden = true;
    await forget(kept.id);
    say(t("continue.gone", { name }), true);
  }
}

/** What the page begins with: what a reload interrupted, the server's folder, or the offer to go on. */
export async function begin() {
  const last = await lastWork();
  await listFolder();
  if (last && (last.reloaded || (work.files?.names.length && last.work.unsaved))) return goOn(last.work);
  if (work.files?.names.length) return walk(1);
  if (!last) return;
  const button = element("continue");
  button.hidden = false;
  button.textContent = t("continue", { name: last.work.name.replace(/^.*\//, "") });
  element("choose").classList.remove("main");
  button.addEventListener("click", () => goOn(last.work));
}

/** Whatever was dropped, pasted or chosen. @param {File} file */
export async function take(file) {
  try {
    if (/\.json$/i.test(file.name) || file.type === "application/json")
      return await replay(JSON.parse(await file.text()));
    if (work.document && (await takeMask(file))) return true;
    return await openPicture(file, file.name || "pasted.png");
  } catch (error) {
    sayError(unreadable(error) ? t("open.unreadable", { name: file.name }) : error);
    return false;
  }
}

/** @param {Error} error @returns {boolean} whether a browser's own decoder gave up */
const unreadable = (error) => error instanceof SyntaxError || error.name === "InvalidStateError";

/** Several files at once: a picture and what belongs to it, or pictures to walk through. @param {File[]} files */
async function takeAll(files) {
  const pictures = files.filter((file) => !called(file.name) && !/\.json$/i.test(file.name));
  if (pictures.length > 1) {
    if ((await openFolder(fromFiles(pictures))) && pictures.length < files.length)
      say(t("open.leftout"), true);
    return;
  }
  // the picture before its mask, and a sidecar last, whatever the order they came in
  const rank = (file) => (/\.json$/i.test(file.name) ? 2 : called(file.name) ? 1 : 0);
  for (const file of [...files].sort((one, two) => rank(one) - rank(two))) await take(file);
}

/** A picture of the open one's size in black and white, or called a mask, is one. @param {File} file */
async function takeMask(file) {
  const { document } = work,
    kind = called(file.name);
  let bitmap;
  try {
    bitmap = await bitmapOf(file);
  } catch {
    return false; // the server may be able to show it
  }
  const fits = bitmap.width === document.width && bitmap.height === document.height;
  if (!fits) {
    if (!kind) return false;
    const { width, height } = bitmap;
    throw new Error(t("mask.size", { name: file.name, width, height, across: document.width, down: document.height }));
  }
  const rgba = bytesOf(bitmap),
    bytes = new Uint8Array(rgba.length / 4);
  let plain = true;
  for (let at = 0; at < bytes.length; at++) {
    const red = rgba[at * 4],
      green = rgba[at * 4 + 1],
      blue = rgba[at * 4 + 2];
    bytes[at] = Math.round((red * 299 + green * 587 + blue * 114) / 1000);
    if (red !== green || green !== blue || (red > 0 && red < 255)) plain = false;
  }
  if (!plain && !kind) return false;
  const sketch = kind === "sketch" && listens("sketch");
  document.setMask(document.box, bytes, sketch ? "load sketch" : "load mask", sketch ? "sketch" : "mask");
  say(t(sketch ? "sketch.taken" : "mask.taken", { name: file.name }));
  update();
  return true;
}

export async function openExample() {
  try {
    const response = await api.ask("example.jpg");
    const opened = await openPicture(await response.blob(), "example.jpg");
    if (opened) say(t(releases() ? "open.example" : "open.example.full"));
  } catch (error) {
    sayError(error);
  }
}

let doubted = ""; // the sidecar and picture about which was asked

/** Whether a sidecar may be used on the open picture; asks once where it was made for another. @param {any} source */
async function belongs({ sha256: wanted, name }) {
  const { blob } = work.document.source;
  if (!wanted || !blob || !crypto.subtle) return true;
  const found = await sha256(blob);
  if (found === wanted || doubted === `${wanted} ${found}`) return true;
  doubted = `${wanted} ${found}`;
  say(t("sidecar.other", { name }), true);
  return false;
}

/** Do again what a sidecar tells, on the open picture. @param {any} sidecar */
async function replay(sidecar) {
  const { document } = work;
  if (!String(sidecar.format).startsWith("retouche-edit"))
    throw new Error(t("sidecar.none"));
  const { data, name } = sidecar.source;
  if (!document && data) {
    const opened = await openPicture(new Blob([bytesFrom(data)]), name);
    return opened && replay(sidecar);
  }
  if (!document) throw new Error(t("sidecar.first"));
  const { width, height } = sidecar.source;
  if (width !== document.width || height !== document.height)
    throw new Error(t("sidecar.size", { width, height, across: document.width, down: document.height }));
  if (!(await belongs(sidecar.source))) return false;
  drop();
  const made = [];
  for (const [index, step] of sidecar.fills.entries()) {
    // each sees the fills beneath that it saw the first time
    for (const [at, each] of made.entries()) document.reveal(each, step.over?.includes(at) ?? true);
    say(t("sidecar.at", { at: index + 1, count: sidecar.fills.length, model: step.model }));
    document.clear("mask");
    document.setMask(step.box, await greyOf(step.mask), "load mask");
    if (step.sketch) document.setMask(step.box, await greyOf(step.sketch), "load sketch", "sketch");
    if (!(await fill(step))) return false;
    made.push(document.fills[document.fills.length - 1]);
  }
  for (const [at, each] of made.entries()) document.reveal(each, !sidecar.fills[at].hidden);
  say(t("sidecar.done", { count: sidecar.fills.length }));
  return true;
}

/** @param {string} text base64 */
const bytesFrom = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

/** @param {string} text base64 of a grey PNG @returns {Promise<Uint8Array>} */
async function greyOf(text) {
  const rgba = bytesOf(await bitmapOf(new Blob([bytesFrom(text)], { type: "image/png" })));
  return Uint8Array.from({ length: rgba.length / 4 }, (_, at) => rgba[at * 4]);
}

// Folders -------------------------------------------------------------------------------------------------------------

let steps = 0, // still to go; the arrow key may come faster than pictures can be decoded
  walking = false;

async function listFolder() {
  if (!work.config.input) return;
  const { files } = await api.json("/api/v1/files");
  const names = files.map(({ name }) => name).sort(natural);
  const address = (at) => `/api/v1/files/${names[at].split("/").map(encodeURIComponent).join("/")}`;
  work.files = { names, at: -1, served: true, open: async (at) => (await api.ask(address(at))).blob() };
}

/** Walk through a folder of this computer. @param {import("./folder.js").Listing} files */
async function openFolder(files) {
  if (walking) {
    say(t("open.busy"));
    return false;
  }
  const before = work.files;
  if (!files.names.length) {
    say(t("open.empty"), true);
    return false;
  }
  work.files = files;
  if (await walk(1)) return true;
  work.files = before;
  update();
  return false;
}

/** Go through the folder, one picture decoded at a time; tool, settings and mask policy stay. @param {1 | -1} by */
export async function walk(by) {
  if (!work.files?.names.length) return false;
  steps += by;
  if (walking) return false; // the walk under way takes this step, too
  walking = true;
  let shown = false;
  try {
    while (steps) {
      const next = steps;
      steps = 0;
      shown = await step(work.files, next);
    }
  } finally {
    walking = false;
    steps = 0;
  }
  return shown;
}

const BETTER_LATER = [0, 401, 429]; // the server is away, wants its token, is busy: nothing is wrong with the picture

/** @type {{width: number, height: number, layer: import("./layer.js").Layer} | null} a mask for all of the folder */
let carried = null;

/** Take the mask along, where the user said that it is kept. */
function carryMask() {
  const { document } = work;
  if (!keepsMask() || !document) return void (carried = null);
  const { width, height } = document,
    layer = document.committed("mask");
  if (layer.measure().count) carried = { width, height, layer };
  else if (carried?.width === width && carried.height === height) carried = null; // it was cleared
}

function layMask() {
  const { document } = work;
  if (!carried) return;
  const { width, height, layer } = carried;
  if (width === document.width && height === document.height) document.paint(layer, "kept mask");
  else say(t("mask.waits", { width, height }));
}

/** Open the next picture that can be read. @param {import("./folder.js").Listing} files @param {number} by */
async function step(files, by) {
  if (!leaving()) return false;
  const count = files.names.length;
  let refused = "";
  carryMask();
  for (let tried = 0; tried < count; tried++) {
    const at = (((files.at + by + tried * Math.sign(by)) % count) + count) % count,
      name = files.names[at];
    try {
      const place = { path: files.served ? name : null, listed: !files.served };
      if (!(await openPicture(await files.open(at), name, place))) return false;
      files.at = at;
      layMask();
      update();
      if (refused) say(refused, true);
      return true;
    } catch (error) {
      if (BETTER_LATER.includes(error.status)) {
        sayError(error);
        return false;
      }
      refused ||= t("open.passed", { name, why: unreadable(error) ? t("open.passed.why") : error.message });
    }
  }
  say(refused, true);
  return false;
}

// Doors ---------------------------------------------------------------------------------------------------------------

export function choose() {
  element("file").click();
}

export function chooseFolder() {
  element("folder").click();
}

export function setUpDoors() {
  element("open").addEventListener("click", choose);
  element("choose").addEventListener("click", choose);
  element("example").addEventListener("click", openExample);
  element("previous").addEventListener("click", () => walk(-1));
  element("next").addEventListener("click", () => walk(1));
  for (const id of ["openfolder", "choosefolder"]) {
    element(id).addEventListener("click", chooseFolder);
    element(id).hidden = !("webkitdirectory" in HTMLInputElement.prototype); // telephones have no folders to choose
  }
  element("file").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    await takeAll(files);
  });
  element("folder").addEventListener("change", async (event) => {
    const files = fromFiles([...event.target.files]);
    event.target.value = "";
    await openFolder(files);
  });
  let depth = 0;
  const hint = (on) => (element("drop").hidden = !on);
  addEventListener("dragenter", (event) => {
    if (event.dataTransfer?.types.includes("Files")) hint(++depth > 0);
  });
  addEventListener("dragleave", () => hint((depth = Math.max(0, depth - 1)) > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    hint((depth = 0) > 0);
    // both lists are gone once this has waited
    const files = [...(event.dataTransfer?.files ?? [])],
      entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    try {
      if (entries.some((entry) => entry.isDirectory)) await openFolder(await fromEntries(entries));
      else await takeAll(files);
    } catch (error) {
      sayError(error); // a folder that may not be read
    }
  });
  addEventListener("paste", async (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    await takeAll(files);
  });
  addEventListener("beforeunload", (event) => {
    if (work.document?.unsaved) event.preventDefault();
  });
}
