// How much the border of a fill shows: the seam score of the reports, `retouche.metrics.seam_score`, in grey levels.

import { bounds, dilate } from "./raster.js";

const RING = 8; // pixels on either side of the border that are compared
const ROOM = RING + 4; // pixels around the hole that are looked at

/** A mean in the making. */
const mean = () => ({ sum: 0, count: 0 });
/** @param {{sum: number, count: number}} of @param {number} value */
function add(of, value) {
  of.sum += value;
  of.count++;
}
/** @param {{sum: number, count: number}} of */
const value = ({ sum, count }) => (count ? sum / count : NaN);

/**
 * @param {Uint8ClampedArray} rgba @param {Uint8Array} inside the hole, as filled @param {number} width
 * @param {number} height @returns {number | null} grey levels, 0 = like its surroundings; null where there are none
 */
export function seamScore(rgba, inside, width, height) {
  const box = bounds(inside, width);
  if (!box) return null;
  const left = Math.max(0, box.left - ROOM),
    top = Math.max(0, box.top - ROOM),
    across = Math.min(width, box.right + ROOM) - left,
    down = Math.min(height, box.bottom + ROOM) - top;
  const grey = new Float64Array(across * down),
    hole = new Uint8Array(across * down);
  for (let y = 0; y < down; y++)
    for (let x = 0; x < across; x++) {
      const from = (top + y) * width + left + x;
      grey[y * across + x] = 0.299 * rgba[from * 4] + 0.587 * rgba[from * 4 + 1] + 0.114 * rgba[from * 4 + 2];
      hole[y * across + x] = inside[from] ? 255 : 0;
    }
  return score(grey, hole, across, down);
}

/** @param {Float64Array} grey @param {Uint8Array} hole @param {number} width @param {number} height */
function score(grey, hole, width, height) {
  const near = dilate(hole, width, height, RING),
    known = hole.map((each) => 255 - each),
    edge = dilate(known, width, height, RING);
  const ring = near.map((each, at) => each & known[at]),
    rim = edge.map((each, at) => each & hole[at]);
  const bends = { border: mean(), ring: mean() },
    slopes = { rim: mean(), ring: mean() };
  for (const [step, lines, long, stride] of [
    [1, height, width, width],
    [width, width, height, 1],
  ])
    for (let line = 0; line < lines; line++)
      for (let place = 0; place + 1 < long; place++) {
        const a = line * stride + place * step,
          b = a + step;
        const slope = Math.abs(grey[b] - grey[a]);
        if (ring[a] && ring[b]) add(slopes.ring, slope);
        if (rim[a] && rim[b]) add(slopes.rim, slope);
        if (place + 3 >= long) continue;
        const c = b + step,
          d = c + step;
        const bend = Math.abs(grey[c] - grey[b] - (grey[b] - grey[a] + (grey[d] - grey[c])) / 2);
        if ((known[a] && known[b] && hole[c]) || (known[d] && known[c] && hole[b])) add(bends.border, bend);
        if (ring[a] && ring[b] && ring[c] && ring[d]) add(bends.ring, bend);
      }
  const around = value(slopes.ring),
    fill = slopes.rim.count ? value(slopes.rim) : around; // a hole one pixel wide has no texture of its own
  const found = Math.abs(value(bends.border) - value(bends.ring)) + Math.abs(fill - around);
  return Number.isNaN(found) ? null : found;
}
