// Encloses a hole by hand, or along the edges that the hand passes by; with Alt it takes away what it encloses.

import { Edges } from "../livewire.js";
import { polygon } from "../raster.js";

const LONGEST = 1024; // side of the reduced picture in which edges are looked for
const STRETCH = 14; // its cells after which what was passed stays

/** @type {WeakMap<object, Edges>} of each picture's tiles */
const EDGES = new WeakMap();

let points = [],
  value = 255;
/** @type {Edges | null} where the lasso keeps to edges */
let edges = null;
let anchor = null, // the last cell that stays
  tail = [];

/** @param {any} work @returns {Edges} */
function edgesOf(work) {
  const { tiles } = work.view;
  let found = EDGES.get(tiles);
  if (!found) {
    const { overview, width, height } = tiles,
      scale = Math.min(1, LONGEST / Math.max(width, height)),
      across = Math.max(1, Math.round(width * scale)),
      down = Math.max(1, Math.round(height * scale)),
      context = new OffscreenCanvas(across, down).getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(overview, 0, 0, across, down);
    EDGES.set(tiles, (found = new Edges(context.getImageData(0, 0, across, down).data, across, down, scale)));
  }
  return found;
}

/** Lead the line to where the hand is. @param {{x: number, y: number}} point */
function lead(point) {
  const cell = edges.snapped(edges.cell(point)),
    way = edges.way(anchor, cell).map((each) => edges.middle(each));
  tail = way;
  if (Math.hypot(cell.x - anchor.x, cell.y - anchor.y) < STRETCH) return;
  points.push(...way);
  tail = [];
  anchor = cell;
}

export default {
  name: "lasso",
  key: "L",
  cursor: "crosshair",
  down(work, point) {
    value = point.alt ? 0 : 255;
    points = [point];
    tail = [];
    edges = work.settings.snap ? edgesOf(work) : null;
    if (!edges) return;
    anchor = edges.snapped(edges.cell(point));
    points = [edges.middle(anchor)];
  },
  move(work, more) {
    if (!edges) points.push(...more);
    else for (const point of more) lead(point);
  },
  up(work) {
    work.document.begin();
    const { run, end } = work.document.runs("mask", value);
    points.push(...tail);
    if (edges && points.length > 2)
      points.push(...edges.way(edges.cell(points[points.length - 1]), edges.cell(points[0])).map((each) => edges.middle(each)));
    polygon(points, run);
    end();
    points = [];
    tail = [];
    return work.document.commit("lasso");
  },
  cancel() {
    points = [];
    tail = [];
  },
  outline: () => [...points, ...tail],
};
