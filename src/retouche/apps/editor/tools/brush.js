// Paints holes; with Alt, or as the eraser, takes them away; with Shift, straight from where the last stroke ended.

import { segment } from "../raster.js";

/**
 * @param {"mask" | "sketch"} layer @param {boolean} erases without modifier keys
 * @returns {{down: Function, move: Function, up: Function}} a stroke from pointer positions
 */
export function painter(layer, erases) {
  let last = null,
    value = 255;
  /** @type {{document: any, at: any} | null} where the last stroke ended */
  let ended = null;
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
      // with Shift, straight on from where the last stroke ended; the eraser's Shift paints
      const from = point.shift && !erases && ended?.document === work.document ? ended.at : last;
      stamp(work, { ...from, radius: last.radius }, last);
    },
    move(work, points) {
      for (const point of points) {
        const next = { x: point.x, y: point.y, radius: radius(point, work.settings) };
        stamp(work, last, next);
        last = next;
      }
    },
    up(work) {
      ended = { document: work.document, at: last };
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
