// The same edit on another picture: its masks are laid, filled and brought into the picture's own file.

import { cropsFor } from "./browser/engine.js";
import { carried } from "./carry.js";
import { Document } from "./document.js";
import { jobOf, recordOf, run, secondsOf, settled } from "./fill.js";
import { pictureOf } from "./open.js";
import * as raster from "./raster.js";
import { bodyFor } from "./save.js";
import { t } from "./strings.js";
import { work } from "./work.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {{layer: Layer, model: string, options: any}} Pass a mask, and what fills it */
/**
 * @typedef {{body: FormData, before: OffscreenCanvas, after: OffscreenCanvas, seam: number | null, share: number,
 *   lost: number, other: boolean, seconds: number}} Applied what to save; the holes' surroundings in small; the largest
 *   seam; the share of the picture that is hole, of the mask that found no place; whether the picture's size is another
 */

const SMALL = { width: 192, height: 144 };

/**
 * What is carried: every fill of a document, or one mask with the settings.
 * @param {Document} document @param {"edit" | "mask"} what @returns {Pass[]}
 */
export function passesOf(document, what) {
  const shown = document.visible;
  if (what === "edit") return shown.map(({ hole, model, options }) => ({ layer: hole.layer, model, options }));
  const mask = document.committed("mask"),
    layers = mask.measure().count ? [mask] : shown.map(({ hole }) => hole.layer),
    drawn = new Document(document.source);
  for (const layer of layers) drawn.paint(layer, "load mask");
  const layer = drawn.layers.mask;
  return layer.measure().count ? [{ layer, model: work.settings.model, options: settled(work.settings) }] : [];
}

/**
 * @param {Blob} blob @param {string} name @param {{path: string | null, listed: boolean}} place of the picture
 * @param {Pass[]} passes @param {import("./carry.js").Place} where @param {number} by added to the seeds
 * @param {AbortController} abort @returns {Promise<Applied>}
 */
export async function applied(blob, name, place, passes, where, by, abort) {
  const { source, tiles } = await pictureOf(blob, name, place),
    document = new Document(source);
  try {
    const { width, height } = document,
      other = passes.some(({ layer }) => layer.width !== width || layer.height !== height);
    let lost = 0,
      count = 0,
      seconds = 0;
    for (const { layer, model, options } of passes) {
      const laid = carried(layer, width, height, where);
      lost = Math.max(lost, laid.lost);
      if (!document.paint(laid.layer, "load mask")) continue;
      const hole = document.lift(true),
        // a growth that was left to the picture's size is left to this one's
        own = options.dilate === new Document({ ...source, width: layer.width, height: layer.height }).defaultDilation,
        chosen = { ...options, seed: options.seed + by, dilate: own ? document.defaultDilation : options.dilate },
        job = jobOf(document, hole, cropsFor(document, model, chosen, hole.layer), 1, abort),
        result = await run(job, model, chosen);
      document.apply(result.patches, await recordOf(job, result, chosen), hole);
      count += hole.count;
      seconds += secondsOf(result);
    }
    if (!document.fills.length) throw new Error(t("all.outside"));
    const seams = document.fills.flatMap(({ seam }) => seam ?? []),
      box = surroundings(document);
    return {
      body: await bodyFor(document),
      before: small(document.read(box, true), box),
      after: small(document.read(box), box),
      seam: seams.length ? Math.max(...seams) : null,
      share: count / (width * height),
      lost,
      other,
      seconds,
    };
  } finally {
    tiles.close();
  }
}

/** The holes and what is around them, in the shape of the small pictures. @param {Document} document */
function surroundings(document) {
  const box = document.fills.map((fill) => fill.box).reduce(raster.union),
    across = Math.max(48, (box.right - box.left) * 2, (((box.bottom - box.top) * 2) / SMALL.height) * SMALL.width),
    x = (box.left + box.right) / 2,
    y = (box.top + box.bottom) / 2,
    down = (across / SMALL.width) * SMALL.height;
  const wide = {
    left: Math.floor(x - across / 2),
    top: Math.floor(y - down / 2),
    right: Math.ceil(x + across / 2),
    bottom: Math.ceil(y + down / 2),
  };
  return raster.intersection(wide, document.box);
}

/** @param {Uint8ClampedArray} rgba @param {import("./raster.js").Box} box */
function small(rgba, box) {
  const across = box.right - box.left,
    down = box.bottom - box.top,
    whole = new OffscreenCanvas(across, down),
    made = new OffscreenCanvas(SMALL.width, SMALL.height),
    scale = Math.min(SMALL.width / across, SMALL.height / down),
    context = made.getContext("2d");
  whole.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba), across, down), 0, 0);
  context.imageSmoothingQuality = "high";
  const width = across * scale,
    height = down * scale;
  context.drawImage(whole, (SMALL.width - width) / 2, (SMALL.height - height) / 2, width, height);
  return made;
}
