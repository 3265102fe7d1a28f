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
 * @param {FormData} body which file @param {raster.Box} box @param {AbortSignal} signal
 * @returns {Promise<Blob>} PNG of the file's depth
 */
async function cut(body, box, signal) {
  body.append("box", JSON.stringify([box.left, box.top, box.right, box.bottom]));
  return (await api.ask("/api/v1/cut", { method: "POST", body, signal })).blob();
}

/**
 * A part of the picture as it is now, in all its bits.
 * @param {import("./steps.js").Source} source @param {any[]} fills @param {raster.Box} box
 * @param {AbortSignal} signal
 */
export async function crop(source, fills, box, signal) {
  const near = patchesOf(fills).filter((patch) => raster.intersection(patch.box, box)),
    body = bodyOf(source);
  if (near.length) body.append("patches", JSON.stringify(await packed(near)));
  return cut(body, box, signal);
}

/**
 * What to keep of a filled crop: the part around what changed.
 * @param {Blob} filled @param {raster.Box} at where the crop lies @param {Uint8Array} inside what changed in it
 * @param {AbortSignal} signal @returns {Promise<Patch>}
 */
export async function kept(filled, at, inside, signal) {
  const across = at.right - at.left,
    box = { left: across, top: inside.length / across, right: 0, bottom: 0 };
  for (let index = 0; index < inside.length; index++) {
    if (!inside[index]) continue;
    const x = index % across,
      y = Math.floor(index / across);
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x + 1);
    box.top = Math.min(box.top, y);
    box.bottom = y + 1;
  }
  const width = box.right - box.left,
    height = box.bottom - box.top,
    mask = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const from = (box.top + y) * across + box.left;
    mask.set(inside.subarray(from, from + width), y * width);
  }
  const body = new FormData();
  body.append("image", filled, "picture.png");
  const image = await cut(body, box, signal);
  const place = { left: at.left + box.left, top: at.top + box.top };
  return {
    box: { ...place, right: place.left + width, bottom: place.top + height },
    image,
    mask: await encodePNG(width, height, 1, mask),
  };
}
