// Sources of 16 bits. The page shows eight of them; so the server cuts what is to be filled out of the file itself,
// with the fills so far, and what a fill made is kept as it came until it is saved.

import * as api from "./api.js";
import { encodePNG } from "./png.js";
import * as raster from "./raster.js";

/** @typedef {{box: raster.Box, image: Blob, mask: Blob}} Patch what a fill made, in all its bits, and where */

/** A request's body that says which file is meant. @param {import("./steps.js").Source} source */
export function bodyOf(source) {
  const body = new FormData();
  if (source.path) body.append("name", source.path);
  else body.append("image", source.blob, "picture");
  return body;
}

/** @param {Patch[]} patches @returns {Promise<object[]>} as the server takes them */
export const packed = (patches) =>
  Promise.all(
    patches.map(async ({ box, image, mask }) => ({
      left: box.left,
      top: box.top,
      image: await api.base64(image),
      mask: await api.base64(mask),
    })),
  );

/** @param {any[]} fills @returns {Patch[]} what they made, the oldest first */
export const patchesOf = (fills) => fills.flatMap((fill) => fill.deep ?? []);

/**
 * A part of the picture as it is now, in all its bits.
 * @param {import("./steps.js").Source} source @param {any[]} fills @param {raster.Box} box
 * @param {AbortSignal} signal @returns {Promise<Blob>} PNG of the file's depth
 */
export async function crop(source, fills, box, signal) {
  const near = patchesOf(fills).filter((patch) => raster.intersection(patch.box, box)),
    body = bodyOf(source);
  if (near.length) body.append("patches", JSON.stringify(await packed(near)));
  body.append("box", JSON.stringify([box.left, box.top, box.right, box.bottom]));
  return (await api.ask("/api/v1/cut", { method: "POST", body, signal })).blob();
}

/**
 * What to keep of a filled crop: the part that came back, in all its bits.
 * @param {Blob} part @param {raster.Box} crop where it lies in the picture @param {raster.Box} box of the part in it
 * @param {Uint8Array} inside what changed in the crop @returns {Promise<Patch>}
 */
export async function kept(part, crop, box, inside) {
  const across = crop.right - crop.left,
    width = box.right - box.left,
    height = box.bottom - box.top,
    mask = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const from = (box.top + y) * across + box.left;
    mask.set(inside.subarray(from, from + width), y * width);
  }
  const left = crop.left + box.left,
    top = crop.top + box.top;
  return {
    box: { left, top, right: left + width, bottom: top + height },
    image: part,
    mask: await encodePNG(width, height, 1, mask),
  };
}
