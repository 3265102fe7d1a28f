// A picture file becomes the open document.

import * as api from "./api.js";
import { drop } from "./choice.js";
import { bitmapOf, faithful, shows, sixteen } from "./decode.js";
import { Document } from "./document.js";
import { abortLost, cancel } from "./fill.js";
import { keep } from "./kept.js";
import { t } from "./strings.js";
import { Tiles } from "./view.js";
import { element, say, set, update, work } from "./work.js";

const THUMB = 28; // width of the brush on a touch screen, in its pixels
let warned = null; // the unsaved fills that were pointed out

/** Whether the open picture may be left; asks once, and again when there are other fills. */
export function leaving() {
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

/** @param {Error} error @returns {boolean} whether a browser's own decoder gave up */
export const unreadable = (error) => error instanceof SyntaxError || error.name === "InvalidStateError";
