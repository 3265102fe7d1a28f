// Masks that find themselves, by the server's finders: specks and scratches of the open picture, the date in its corner,
// or the mark that the pictures of the folder share.

import * as api from "./api.js";
import { carried } from "./carry.js";
import { bitmapOf, bytesOf } from "./decode.js";
import { Document } from "./document.js";
import { t } from "./strings.js";
import { element, say, sayError, update, work } from "./work.js";

const FEWEST = 8; // pictures in which a mark shows
const MOST = 24;
const SMALL = 1024; // longest side of their copies that travel
const MIDDLE = 50; // of the slider: sensitivity 1

let looking = false;

/** @param {number} value of the slider @returns {number} 0.25 to 4 */
const sensitivity = (value) => 4 ** ((value - MIDDLE) / MIDDLE);

/** @param {import("./document.js").Document} document @returns {Promise<Blob>} the mask */
async function dust({ source }) {
  const body = new FormData();
  body.append("kind", "dust");
  body.append("sensitivity", String(sensitivity(Number(element("sensitivity").value))));
  body.append("image", source.blob, "picture");
  return (await api.ask("/api/v1/find_mask", { method: "POST", body })).blob();
}

/** @param {import("./document.js").Document} document @returns {Promise<Blob>} the mask */
async function date({ source }) {
  const body = new FormData();
  body.append("kind", "date");
  body.append("image", source.blob, "picture");
  return (await api.ask("/api/v1/find_mask", { method: "POST", body })).blob();
}

/** @param {import("./document.js").Document} document @returns {Promise<Blob>} the mask, in small */
async function mark({ width, height }) {
  const { files } = work,
    names = files?.names ?? [],
    images = [],
    scale = Math.min(1, SMALL / Math.max(width, height)),
    step = Math.max(1, names.length / MOST);
  for (let at = 0; at < names.length; at += step) {
    try {
      const bitmap = await bitmapOf(await files.open(Math.floor(at)));
      if (bitmap.width === width && bitmap.height === height) images.push(await copy(bitmap, scale));
      bitmap.close();
    } catch {
      // what cannot be read tells nothing
    }
  }
  if (images.length < FEWEST) throw new Error(t("find.few", { count: FEWEST }));
  const body = JSON.stringify({ kind: "mark", images }),
    headers = { "Content-Type": "application/json" };
  return (await api.ask("/api/v1/find_mask", { method: "POST", body, headers })).blob();
}

/** @param {ImageBitmap} bitmap @param {number} scale @returns {Promise<string>} base64 of a PNG */
async function copy(bitmap, scale) {
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)),
    context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return api.base64(await canvas.convertToBlob({ type: "image/png" }));
}

const KINDS = { dust, date, mark };

/** Look, and add what is found to the mask. @param {boolean} [instead] of what was found last */
async function find(instead = false) {
  const { document } = work,
    last = document?.done[document.done.length - 1];
  if (!document || looking || (instead && last?.label !== "find")) return;
  looking = true;
  element("find").disabled = true;
  say(t("find.looking"));
  try {
    const bitmap = await bitmapOf(await KINDS[element("findkind").value](document)),
      { width, height } = bitmap,
      rgba = bytesOf(bitmap),
      bytes = Uint8Array.from({ length: width * height }, (_, at) => rgba[at * 4]);
    if (document !== work.document) return;
    if (instead && document.done[document.done.length - 1] === last) document.undo();
    const small = new Document({ ...document.source, width, height });
    small.setMask(small.box, bytes, "find");
    const { layer } = carried(small.layers.mask, document.width, document.height, "scaled"),
      { count } = layer.measure();
    document.paint(layer, "find");
    if (count && width < document.width) document.grow(Math.ceil(document.width / width)); // its edge was seen in small
    const share = ((count / (document.width * document.height)) * 100).toFixed(2);
    say(count ? t("find.found", { share }) : t("find.none"));
  } catch (error) {
    sayError(error);
  } finally {
    looking = false;
    update();
  }
}

export function setUpFind() {
  element("find").addEventListener("click", () => find());
  element("sensitivity").addEventListener("change", () => find(true));
  element("findkind").addEventListener("change", update);
  work.changed.add(() => {
    const several = (work.files?.names.length ?? 0) >= FEWEST,
      kind = element("findkind");
    kind.querySelector("[value=mark]").disabled = !several;
    if (!several && kind.value === "mark") kind.value = "dust";
    element("sensitivityrow").hidden = kind.value !== "dust";
    element("find").disabled = !work.document || looking;
  });
}
