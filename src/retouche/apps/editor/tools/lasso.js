// Encloses a hole by hand; with Alt it takes away what it encloses.

import { polygon } from "../raster.js";

let points = [],
  value = 255;

export default {
  name: "lasso",
  key: "L",
  cursor: "crosshair",
  down(work, point) {
    value = point.alt ? 0 : 255;
    points = [point];
  },
  move(work, more) {
    points.push(...more);
  },
  up(work) {
    work.document.begin();
    const { run, end } = work.document.runs("mask", value);
    polygon(points, run);
    end();
    points = [];
    return work.document.commit("lasso");
  },
  cancel() {
    points = [];
  },
  outline: () => points,
};
