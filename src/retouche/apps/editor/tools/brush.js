// Paints holes; with Alt, or as the eraser, takes them away.

import { segment } from "../raster.js";

/**
 * @param {"mask" | "sketch"} layer @param {boolean} erases without modifier keys
 * @returns {{down: Function, move: Function, up: Function}} a stroke from pointer positions
 */
export function painter(layer, erases) {
  let last = null,
    value = 255;
  const radius = (point, settings) => {
    const size = layer === "sketch" ? settings.penSize : settings.size;
    return Math.max(0.5, (size / 2) * (point.pen ? 0.25 + 0.75 * point.pressure : 1));
  };
  const stamp = (work, from, to) => {
    const { run, end } = work.document.runs(layer, value);
    segment(from, to, run);
    end();
  };
  return {
    down(work, point) {
      value = (point.alt ? true : point.shift ? false : erases) ? 0 : 255;
      work.document.begin();
      last = { x: point.x, y: point.y, radius: radius(point, work.settings) };
      stamp(work, last, last);
    },
    move(work, points) {
      for (const point of points) {
        const next = { x: point.x, y: point.y, radius: radius(point, work.settings) };
        stamp(work, last, next);
        last = next;
      }
    },
    up(work) {
      last = null;
      return work.document.commit(layer === "sketch" ? "sketch" : value ? "brush" : "erase");
    },
  };
}

export default {
  name: "brush",
  key: "B",
  round: "size",
  ...painter("mask", false),
};
