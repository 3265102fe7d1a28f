// A mask carried from one picture to others, of its size or not. No DOM here: the same file runs in Node's tests.

import { Layer, TILE } from "./layer.js";
import * as raster from "./raster.js";

/** @typedef {import("./raster.js").Box} Box */
/** @typedef {"auto" | "scaled" | "left top" | "right top" | "left bottom" | "right bottom"} Place */

/** @type {Place[]} */
export const PLACES = ["auto", "scaled", "left top", "right top", "left bottom", "right bottom"];

/**
 * Where a mask belongs in pictures of other sizes, unless told otherwise: what lies in the middle third keeps its share
 * of the picture, what lies elsewhere its distance to the nearest corner.
 * @param {Layer} layer @returns {Place}
 */
export function placeOf(layer) {
  const { box } = layer.measure();
  if (!box) return "scaled";
  const x = (box.left + box.right) / 2 / layer.width,
    y = (box.top + box.bottom) / 2 / layer.height,
    middle = (at) => at > 1 / 3 && at < 2 / 3;
  if (middle(x) && middle(y)) return "scaled";
  return /** @type {Place} */ (`${x < 0.5 ? "left" : "right"} ${y < 0.5 ? "top" : "bottom"}`);
}

/**
 * @param {Layer} layer the mask @param {number} width @param {number} height of the other picture @param {Place} place
 * @returns {{layer: Layer, lost: number}} `lost`: share of the hole that lies outside of the other picture
 */
export function carried(layer, width, height, place) {
  const { box, count } = layer.measure(),
    made = new Layer(width, height, 1);
  if (!box) return { layer: made, lost: 0 };
  if (width === layer.width && height === layer.height) {
    made.tiles = new Map(layer.tiles);
    return { layer: made, lost: 0 };
  }
  const where = place === "auto" ? placeOf(layer) : place,
    bytes = layer.read(box),
    across = box.right - box.left;
  if (where === "scaled") {
    const x = width / layer.width,
      y = height / layer.height,
      to = raster.intersection(
        {
          left: Math.floor(box.left * x),
          top: Math.floor(box.top * y),
          right: Math.ceil(box.right * x),
          bottom: Math.ceil(box.bottom * y),
        },
        { left: 0, top: 0, right: width, bottom: height },
      );
    const within = (at, low, high) => Math.min(high - 1, Math.max(low, Math.floor(at))) - low;
    fill(made, to, (column, row) => {
      const from = within((row + 0.5) / y, box.top, box.bottom) * across;
      return bytes[from + within((column + 0.5) / x, box.left, box.right)];
    });
    return { layer: made, lost: 0 };
  }
  const dx = where.startsWith("right") ? width - layer.width : 0,
    dy = where.endsWith("bottom") ? height - layer.height : 0,
    to = raster.intersection(
      { left: box.left + dx, top: box.top + dy, right: box.right + dx, bottom: box.bottom + dy },
      { left: 0, top: 0, right: width, bottom: height },
    );
  if (!to) return { layer: made, lost: 1 };
  fill(made, to, (column, row) => bytes[(row - dy - box.top) * across + column - dx - box.left]);
  return { layer: made, lost: 1 - made.measure().count / count };
}

/** @param {Layer} layer @param {Box} box @param {(x: number, y: number) => number} value */
function fill(layer, box, value) {
  for (const index of layer.touched(box)) {
    const here = layer.box(index),
      part = raster.intersection(here, box),
      tile = new Uint8Array(TILE * TILE);
    for (let y = part.top; y < part.bottom; y++)
      for (let x = part.left; x < part.right; x++) tile[(y - here.top) * TILE + x - here.left] = value(x, y) && 255;
    if (tile.some(Boolean)) layer.tiles.set(index, tile);
  }
}
