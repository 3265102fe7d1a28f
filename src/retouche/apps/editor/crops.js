// Which parts of a picture travel for a fill: holes with their surroundings. No DOM here.

import { TILE } from "./layer.js";
import * as raster from "./raster.js";

/** @typedef {import("./raster.js").Box} Box @typedef {import("./layer.js").Layer} Layer */

const CELL = 64; // grid on which holes are grouped, pixels
const WHOLE = 1 << 20; // pixels of a picture that travels as a whole

/**
 * Crops that hold all holes with their surroundings; holes whose crops meet share one.
 * @param {Layer} mask
 * @param {number} reach pixels the mask grows by
 * @param {"near" | "wide" | "whole"} context
 * @returns {Box[]}
 */
export function cropsOf(mask, reach, context) {
  const whole = { left: 0, top: 0, right: mask.width, bottom: mask.height };
  const { box: bounds } = mask.measure();
  if (!bounds) return [];
  if (context === "whole" || mask.width * mask.height <= WHOLE) return [whole];
  let crops = groups(mask).map((box) => {
    const longest = Math.max(box.right - box.left, box.bottom - box.top);
    const margin = Math.max(256, Math.round(longest * (context === "wide" ? 2 : 0.75))) + reach;
    return raster.intersection(raster.grown(box, margin), whole);
  });
  for (let merged = true; merged;) {
    merged = false;
    outer: for (let one = 0; one < crops.length; one++)
      for (let two = one + 1; two < crops.length; two++)
        if (raster.intersection(crops[one], crops[two])) {
          crops[one] = raster.union(crops[one], crops[two]);
          crops = crops.filter((_, index) => index !== two);
          merged = true;
          break outer;
        }
  }
  return crops;
}

/** @param {Layer} layer @returns {Box[]} bounding boxes of holes, those less than a cell apart together */
function groups(layer) {
  const across = Math.ceil(layer.width / CELL),
    cells = new Map();
  for (const [index, tile] of layer.tiles) {
    const here = layer.box(index);
    for (let y = here.top; y < here.bottom; y++)
      for (let x = here.left; x < here.right; x++) {
        if (!tile[(y - here.top) * TILE + x - here.left]) continue;
        const key = Math.floor(y / CELL) * across + Math.floor(x / CELL),
          cell = cells.get(key);
        if (!cell) cells.set(key, { left: x, top: y, right: x + 1, bottom: y + 1 });
        else {
          if (x < cell.left) cell.left = x;
          if (x >= cell.right) cell.right = x + 1;
          if (y >= cell.bottom) cell.bottom = y + 1;
        }
      }
  }
  const found = [];
  while (cells.size) {
    const [first] = cells.keys(),
      stack = [first];
    let box = cells.get(first);
    while (stack.length) {
      const key = stack.pop(),
        cell = cells.get(key);
      if (!cell) continue;
      cells.delete(key);
      box = raster.union(box, cell);
      const column = key % across;
      for (let dy = -1; dy <= 1; dy++)
        for (let dx = -1; dx <= 1; dx++)
          if (column + dx >= 0 && column + dx < across) stack.push(key + dy * across + dx);
    }
    found.push(box);
  }
  return found;
}
