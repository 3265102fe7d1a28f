// How pictures come in: drop, paste, dialog, folder, example. A dropped mask or sidecar goes onto the open picture.

import * as api from "./api.js";
import { bitmapOf, bytesOf } from "./decode.js";
import { Document } from "./document.js";
import { cancel, drop, fill } from "./fill.js";
import { Tiles } from "./view.js";
import { element, listens, say, sayError, set, update, work } from "./work.js";

const THUMB = 28; // width of the brush on a touch screen, in its pixels
let warned = null; // the document whose unsaved fills were pointed out

/** Whether the open picture may be left; asks once. */
function leaving() {
  const { document } = work;
  if (!document?.unsaved || warned === document) return true;
  warned = document;
  say("This picture has unsaved fills: save it, or do that again to leave it", true);
  return false;
}

/** @param {Blob} blob @param {string} name @param {string | null} [path] below the server's folder */
export async function openPicture(blob, name, path = null) {
  if (!leaving()) return false;
  const type = blob.type || "";
  let bitmap;
  try {
    if (/tiff?$/.test(type) || /\.tiff?$/i.test(name)) throw new Error("shown by the server");
    bitmap = await bitmapOf(blob);
  } catch {
    const body = new FormData();
    body.append("image", blob, "picture");
    const shown = await api.ask("/api/v1/view", { method: "POST", body });
    bitmap = await bitmapOf(await shown.blob());
  }
  const most = work.config.limits?.pixels;
  if (most && bitmap.width * bitmap.height > most)
    throw new Error(
      `${name} has ${bitmap.width}x${bitmap.height} pixels: this server takes ${Math.round(most / 1e6)} megapixels`,
    );
  cancel(); // a fill under way was for the picture that is left
  drop();
  const tiles = await Tiles.from(bitmap),
    first = !work.document;
  const source = { name, path, type, blob, width: tiles.width, height: tiles.height, read: (box) => tiles.read(box) };
  work.document = new Document(source);
  work.document.on(({ layer }) => layer === "steps" && update());
  element("empty").hidden = true;
  element("chip").hidden = true;
  work.view.show(work.document, tiles);
  if (matchMedia("(pointer: coarse)").matches) set({ size: Math.round((THUMB * work.view.ratio) / work.view.zoom) });
  else if (first) set({ size: Math.max(8, Math.round(Math.min(tiles.width, tiles.height) / 14)) });
  say("");
  update();
  element("overlay").focus({ preventScroll: true });
  return true;
}

/** Whatever was dropped, pasted or chosen. @param {File} file */
export async function take(file) {
  try {
    if (/\.json$/i.test(file.name) || file.type === "application/json")
      return await replay(JSON.parse(await file.text()));
    if (work.document && (await takeMask(file))) return true;
    return await openPicture(file, file.name || "pasted.png");
  } catch (error) {
    const unreadable = error instanceof SyntaxError || error.name === "InvalidStateError";
    sayError(unreadable ? `${file.name} cannot be read: give a JPEG, PNG, WebP, TIFF or BMP file` : error);
    return false;
  }
}

/** A picture of the open one's size in black and white, or called a mask, is one. @param {File} file */
async function takeMask(file) {
  const { document } = work,
    called = /(^|[_\-. ])(mask|sketch)([_\-. ]|$)/i.exec(file.name);
  let bitmap;
  try {
    bitmap = await bitmapOf(file);
  } catch {
    return false; // the server may be able to show it
  }
  const fits = bitmap.width === document.width && bitmap.height === document.height;
  if (!fits) {
    if (!called) return false;
    const sizes = `${bitmap.width}x${bitmap.height} but the picture is ${document.width}x${document.height}`;
    throw new Error(`${file.name} is ${sizes}: give one of the same size`);
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
  if (!plain && !called) return false;
  const sketch = called?.[2].toLowerCase() === "sketch" && listens("sketch");
  document.setMask(document.box, bytes, sketch ? "load sketch" : "load mask", sketch ? "sketch" : "mask");
  say(`${file.name} is the ${sketch ? "sketch" : "mask"} now`);
  update();
  return true;
}

export async function openExample() {
  try {
    const response = await api.ask("example.jpg");
    if (await openPicture(await response.blob(), "example.jpg")) say("Paint over the ball, then press Enter");
  } catch (error) {
    sayError(error);
  }
}

/** Do again what a sidecar tells, on the open picture. @param {any} sidecar */
async function replay(sidecar) {
  const { document } = work;
  if (!String(sidecar.format).startsWith("retouche-edit"))
    throw new Error("this JSON file is no sidecar of this editor");
  if (!document) throw new Error("open the sidecar's picture first, then drop the sidecar on it");
  const { width, height } = sidecar.source;
  if (width !== document.width || height !== document.height)
    throw new Error(
      `the sidecar is for ${width}x${height} pixels but the picture is ${document.width}x${document.height}`,
    );
  for (const [index, step] of sidecar.fills.entries()) {
    say(`Fill ${index + 1} of ${sidecar.fills.length}: ${step.model}`);
    document.clear("mask");
    document.setMask(step.box, await greyOf(step.mask), "load mask");
    if (step.sketch) document.setMask(step.box, await greyOf(step.sketch), "load sketch", "sketch");
    if (!(await fill(step))) return false;
  }
  say(`${sidecar.fills.length} fills done again`);
  return true;
}

/** @param {string} text base64 of a grey PNG @returns {Promise<Uint8Array>} */
async function greyOf(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const rgba = bytesOf(await bitmapOf(new Blob([bytes], { type: "image/png" })));
  return Uint8Array.from({ length: rgba.length / 4 }, (_, at) => rgba[at * 4]);
}

// The server's folder -------------------------------------------------------------------------------------------------

export async function loadFolder() {
  if (!work.config.input) return;
  const { files } = await api.json("/api/v1/files");
  work.files = { names: files.map((each) => each.name), at: -1 };
  if (files.length) await walk(1);
}

/** Go through the folder; tool and mask policy stay. @param {1 | -1} by */
export async function walk(by) {
  const { files } = work;
  if (!files?.names.length) return false;
  const at = (files.at + by + files.names.length) % files.names.length,
    name = files.names[at];
  try {
    const response = await api.ask(`/api/v1/files/${name.split("/").map(encodeURIComponent).join("/")}`);
    if (await openPicture(await response.blob(), name, name)) files.at = at;
    update();
    return true;
  } catch (error) {
    sayError(error);
    return false;
  }
}

// Doors ---------------------------------------------------------------------------------------------------------------

export function choose() {
  element("file").click();
}

export function setUpDoors() {
  element("open").addEventListener("click", choose);
  element("choose").addEventListener("click", choose);
  element("example").addEventListener("click", openExample);
  element("previous").addEventListener("click", () => walk(-1));
  element("next").addEventListener("click", () => walk(1));
  element("file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) await take(file);
    event.target.value = "";
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
    // the picture before its mask, and a sidecar last, whatever the order they were dropped in
    const rank = (file) => (/\.json$/i.test(file.name) ? 2 : /mask|sketch/i.test(file.name) ? 1 : 0);
    for (const file of [...(event.dataTransfer?.files ?? [])].sort((one, two) => rank(one) - rank(two)))
      await take(file);
  });
  addEventListener("paste", async (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (!file) return;
    event.preventDefault();
    await take(file);
  });
  addEventListener("beforeunload", (event) => {
    if (work.document?.unsaved) event.preventDefault();
  });
}
