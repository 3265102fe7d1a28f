// Which parts of a picture an exported network is shown: the rules of `retouche.runtime`, so that a fill here is the fill
// there. No DOM here: the same file runs in Node's tests.

import * as raster from "../raster.js";

/** @typedef {import("../raster.js").Box} Box */
/**
 * What an exported file says of what its network wants to see, see `retouche export`.
 * @typedef {{multiple: number, smallest: number, only?: number | null, hole: number, side: number, context?: number,
 *   centre?: number[] | null}} Window
 */
/**
 * A box to fill and what is shown of its surroundings: `crop` may reach beyond the picture, `rows` and `columns` are
 * mirrored there; `scale` is the size seen / the size in the picture.
 * @typedef {{box: Box, crop: Box, rows: Int32Array, columns: Int32Array, scale: number}} Spot
 */

export const APART = 64; // pixels of known rows or columns from which on two holes have windows of their own
const OVERVIEW = 256; // the least side of a window, in pixels as the network sees them

/**
 * Boxes around groups of holes that rows or columns of known pixels part.
 * @param {Uint8Array} hole a byte a pixel, not 0 in the hole @param {number} width @param {number} height
 * @returns {Box[]} from the top left on
 */
export function boxes(hole, width, height) {
  const todo = [{ left: 0, top: 0, right: width, bottom: height }],
    found = [];
  while (todo.length) {
    const { rows, columns } = occupied(hole, width, todo.pop());
    if (!rows.length) continue; // only a picture without a hole
    const parts = [runs(rows), runs(columns)],
      [[top, bottom], [left, right]] = [ends(rows), ends(columns)];
    if (parts[0].length > 1) todo.push(...parts[0].map(([from, to]) => ({ left, top: from, right, bottom: to })).reverse());
    else if (parts[1].length > 1)
      todo.push(...parts[1].map(([from, to]) => ({ left: from, top, right: to, bottom })).reverse());
    else found.push({ left, top, right, bottom });
  }
  return found;
}

/** Rows and columns of a box that hold a part of the hole. @param {Uint8Array} hole @param {number} width @param {Box} box */
function occupied(hole, width, { left, top, right, bottom }) {
  const rows = [],
    marked = new Uint8Array(right - left);
  for (let y = top; y < bottom; y++) {
    let any = false;
    for (let x = left, at = y * width + left; x < right; x++, at++)
      if (hole[at]) {
        any = true;
        marked[x - left] = 1;
      }
    if (any) rows.push(y);
  }
  const columns = [];
  for (const [x, value] of marked.entries()) if (value) columns.push(left + x);
  return { rows, columns };
}

/** @param {number[]} places @returns {[number, number]} the first, and what comes after the last */
const ends = (places) => [places[0], places[places.length - 1] + 1];

/** Places in order, parted wherever `APART` lie between. @param {number[]} places */
function runs(places) {
  const found = [];
  let first = 0;
  for (let at = 1; at <= places.length; at++)
    if (at === places.length || places[at] - places[at - 1] > APART) {
      found.push(ends(places.slice(first, at)));
      first = at;
    }
  return found;
}

/**
 * What is shown of a box's surroundings. A network that knows one side alone gets a square, which may reach beyond the
 * picture; others stay inside it.
 * @param {Box} box @param {number} width @param {number} height of the picture @param {Window} window @returns {Spot}
 */
export function spotOf(box, width, height, window) {
  const { left, top, right, bottom } = box,
    extent = Math.max(right - left, bottom - top);
  let crop, scale;
  if (window.only) {
    const fits = window.centre ? window.centre[1] : window.hole,
      length = Math.max(window.only, Math.ceil((window.only * extent) / fits)),
      // the hole may lie anywhere in the square, unless it must be in the middle: look at the picture
      place = (sum, end) => {
        const middle = Math.floor((sum - length) / 2);
        return window.centre ? middle : Math.max(0, Math.min(middle, end - length));
      },
      x = place(left + right, width),
      y = place(top + bottom, height);
    crop = { left: x, top: y, right: x + length, bottom: y + length };
    scale = window.only / length;
  } else {
    const shrunk = Math.min(1, window.hole / extent),
      wanted = Math.min((window.context ?? 1) * extent, Math.max(width, height)),
      around = Math.ceil(Math.max(wanted, (OVERVIEW / shrunk - extent) / 2));
    crop = raster.intersection(raster.grown(box, around), { left: 0, top: 0, right: width, bottom: height });
    scale = Math.min(shrunk, window.side / Math.max(crop.right - crop.left, crop.bottom - crop.top));
  }
  const rows = mirrored(crop.top, crop.bottom, height),
    columns = mirrored(crop.left, crop.right, width);
  return { box, crop, rows, columns, scale };
}

/**
 * Places of an axis that mirrors at both ends without repeating the end.
 * @param {number} start @param {number} stop @param {number} length of the axis
 */
export function mirrored(start, stop, length) {
  const period = Math.max(1, 2 * length - 2);
  return Int32Array.from({ length: stop - start }, (_, more) => {
    const at = (((start + more) % period) + period) % period;
    return Math.min(at, period - at);
  });
}

/**
 * Parts of a picture that can be filled one without the other: each holds all that its windows show, and no other hole.
 * @param {Uint8Array} hole of a part of the picture @param {Box} part of the picture @param {number} width
 * @param {number} height of the picture @param {Window} window @returns {Box[]} in the picture
 */
export function partsOf(hole, part, width, height, window) {
  let found = boxes(hole, part.right - part.left, part.bottom - part.top).map((box) => {
    const { left, top } = part,
      here = { left: box.left + left, top: box.top + top, right: box.right + left, bottom: box.bottom + top };
    return shown(spotOf(here, width, height, window));
  });
  for (let at = 0; at < found.length;) {
    const met = found.findIndex((each, other) => other > at && raster.intersection(found[at], each));
    if (met < 0) at++;
    else {
      found[at] = raster.union(found[at], found[met]);
      found = found.filter((_, other) => other !== met);
      at = 0; // it may meet those before it now
    }
  }
  return found;
}

/** @param {Spot} spot @returns {Box} what of the picture it shows */
function shown({ rows, columns }) {
  const span = (places) => places.reduce(([low, high], at) => [Math.min(low, at), Math.max(high, at + 1)], [Infinity, 0]),
    [top, bottom] = span(rows),
    [left, right] = span(columns);
  return { left, top, right, bottom };
}
