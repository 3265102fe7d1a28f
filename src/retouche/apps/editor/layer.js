// Planes of values kept as tiles. No DOM here: the same file runs in Node's tests.

import * as raster from "./raster.js";

/** @typedef {import("./raster.js").Box} Box */

export const TILE = 256;
export const FULL = new Uint8Array(TILE * TILE).fill(255); // shared by all tiles that are set throughout

/** A plane of values kept as tiles; a tile that is not there is empty (mask, sketch) or the source's (pixels). */
export class Layer {
  /** @param {number} width @param {number} height @param {1 | 4} channels */
  constructor(width, height, channels) {
    this.width = width;
    this.height = height;
    this.channels = channels;
    this.across = Math.ceil(width / TILE);
    this.down = Math.ceil(height / TILE);
    /** @type {Map<number, Uint8Array>} */
    this.tiles = new Map();
  }

  /** @param {number} index @returns {Box} where a tile lies, cut at the picture's border */
  box(index) {
    const left = (index % this.across) * TILE,
      top = Math.floor(index / this.across) * TILE;
    return { left, top, right: Math.min(left + TILE, this.width), bottom: Math.min(top + TILE, this.height) };
  }

  /** @param {Box} box @returns {number[]} tiles it touches */
  touched(box) {
    const found = [];
    const inside = raster.intersection(box, { left: 0, top: 0, right: this.width, bottom: this.height });
    if (!inside) return found;
    for (let y = Math.floor(inside.top / TILE); y <= Math.floor((inside.bottom - 1) / TILE); y++)
      for (let x = Math.floor(inside.left / TILE); x <= Math.floor((inside.right - 1) / TILE); x++)
        found.push(y * this.across + x);
    return found;
  }

  /** @param {number} x @param {number} y @returns {number} the value of a one-channel layer */
  at(x, y) {
    const tile = this.tiles.get(Math.floor(y / TILE) * this.across + Math.floor(x / TILE));
    return tile ? tile[(y % TILE) * TILE + (x % TILE)] : 0;
  }

  /** @param {Box} box inside the picture @returns {Uint8Array} the values of a one-channel layer, row by row */
  read(box) {
    const width = box.right - box.left,
      bytes = new Uint8Array(width * (box.bottom - box.top));
    for (const index of this.touched(box)) {
      const tile = this.tiles.get(index);
      if (!tile) continue;
      const here = this.box(index),
        part = raster.intersection(here, box);
      for (let y = part.top; y < part.bottom; y++) {
        const from = (y - here.top) * TILE - here.left;
        bytes.set(tile.subarray(from + part.left, from + part.right), (y - box.top) * width + part.left - box.left);
      }
    }
    return bytes;
  }

  /** @returns {{box: Box | null, count: number}} bounding box and number of set pixels of a one-channel layer */
  measure() {
    let box = null,
      count = 0;
    for (const [index, tile] of this.tiles) {
      const here = this.box(index);
      const found = tile === FULL ? { box: here, count: raster.area(here) } : measured(tile, here);
      if (!found.count) continue;
      count += found.count;
      box = box ? raster.union(box, found.box) : found.box;
    }
    return { box, count };
  }
}

const MEASURES = new WeakMap(); // tile -> {box, count}

/** A tile is written to: what was measured of it holds no more. @param {Uint8Array} tile */
export const written = (tile) => MEASURES.delete(tile);

/** @param {Uint8Array} tile @param {Box} here */
function measured(tile, here) {
  const known = MEASURES.get(tile);
  if (known) return known;
  let left = Infinity,
    top = Infinity,
    right = -1,
    bottom = -1,
    count = 0;
  for (let y = 0; y < here.bottom - here.top; y++)
    for (let x = 0; x < here.right - here.left; x++) {
      if (!tile[y * TILE + x]) continue;
      count++;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  const { left: x, top: y } = here;
  const box = { left: x + left, top: y + top, right: x + right + 1, bottom: y + bottom + 1 };
  const found = { box: count ? box : null, count };
  MEASURES.set(tile, found);
  return found;
}

/**
 * @param {Uint8Array | undefined} one @param {Uint8Array | undefined} two
 * @param {boolean} pixels a missing tile is the source's, not an empty one
 */
export function same(one, two, pixels) {
  if (one === two) return true;
  if (!one || !two) return !pixels && (one ?? two).every((value) => value === 0);
  for (let at = 0; at < one.length; at++) if (one[at] !== two[at]) return false;
  return true;
}
