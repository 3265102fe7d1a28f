// Floods from a pixel over its neighbours of a similar colour; with Alt it takes them away.

import { TILE } from "../layer.js";
import { flood } from "../raster.js";

export default {
  name: "wand",
  key: "W",
  cursor: "crosshair",
  down(work, point) {
    const { document, settings } = work,
      layer = document.layers.pixels;
    const start = { x: Math.floor(point.x), y: Math.floor(point.y) };
    if (start.x < 0 || start.y < 0 || start.x >= document.width || start.y >= document.height) return;
    const tiles = new Map(); // read only where the flood comes by
    const colour = (x, y) => {
      const index = Math.floor(y / TILE) * layer.across + Math.floor(x / TILE);
      let tile = tiles.get(index);
      if (!tile) tiles.set(index, (tile = layer.tiles.get(index) ?? document.sourceTile(index)));
      const at = ((y % TILE) * TILE + (x % TILE)) * 4;
      return (tile[at] << 16) | (tile[at + 1] << 8) | tile[at + 2];
    };
    document.begin();
    const { run, end } = document.runs("mask", point.alt ? 0 : 255);
    flood(document.width, document.height, start, colour, settings.tolerance, run);
    end();
  },
  move() {},
  up: (work) => work.document.commit("wand"),
};
