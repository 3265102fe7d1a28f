// Draws a document: the picture as tiles, over it what `film.js` makes of mask and holes; zoom, pan, compare. Changes
// nothing.

import { TILE } from "./layer.js";
import { Film } from "./film.js";
import { intersection } from "./raster.js";

/** @typedef {import("./raster.js").Box} Box @typedef {import("./document.js").Document} Document */

const BIG = 1024; // side of a picture tile
const OVERVIEW = 2048; // longest side of the picture that is drawn when zoomed out
const NEAR = 2; // from this zoom on single pixels are shown
const FADE = 150; // milliseconds

/** The source's pixels, as bitmaps to draw and bytes to read. */
export class Tiles {
  width = 0;
  height = 0;
  scale = 1; // of the overview
  overview = new OffscreenCanvas(1, 1);
  /** @type {(Box & {image: ImageBitmap})[]} */
  list = [];

  /** @param {ImageBitmap} bitmap of the whole picture; it is closed */
  static async from(bitmap) {
    const tiles = new Tiles();
    tiles.width = bitmap.width;
    tiles.height = bitmap.height;
    for (let top = 0; top < bitmap.height; top += BIG)
      for (let left = 0; left < bitmap.width; left += BIG) {
        const right = Math.min(left + BIG, bitmap.width),
          bottom = Math.min(top + BIG, bitmap.height);
        const image = await createImageBitmap(bitmap, left, top, right - left, bottom - top);
        tiles.list.push({ left, top, right, bottom, image });
      }
    const scale = Math.min(1, OVERVIEW / Math.max(bitmap.width, bitmap.height));
    tiles.overview = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
    tiles.scale = scale;
    const context = tiles.overview.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, tiles.overview.width, tiles.overview.height);
    bitmap.close();
    return tiles;
  }

  /** @param {Box} box inside the picture @returns {Uint8ClampedArray} RGBA */
  read(box) {
    const width = box.right - box.left,
      height = box.bottom - box.top;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    for (const tile of this.list)
      if (intersection(tile, box)) context.drawImage(tile.image, tile.left - box.left, tile.top - box.top);
    return context.getImageData(0, 0, width, height).data;
  }

  close() {
    for (const tile of this.list) tile.image.close();
  }
}

const CANVASES = new WeakMap(); // bytes -> canvas

/**
 * @param {Uint8Array | Uint8ClampedArray} bytes RGBA @param {number} width @param {number} height
 * @param {Uint8Array | null} inside what is opaque; null = all
 */
function canvasOf(bytes, width, height, inside = null) {
  let canvas = CANVASES.get(bytes);
  if (canvas) return canvas;
  const data = new ImageData(new Uint8ClampedArray(bytes), width, height);
  if (inside) for (let at = 0; at < inside.length; at++) data.data[at * 4 + 3] = inside[at] ? 255 : 0;
  canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(data, 0, 0);
  CANVASES.set(bytes, canvas);
  return canvas;
}

export class View {
  /** @param {HTMLElement} stage holding the canvases "picture" and "overlay" */
  constructor(stage) {
    this.stage = stage;
    this.picture = /** @type {HTMLCanvasElement} */ (stage.querySelector("#picture"));
    this.overlay = /** @type {HTMLCanvasElement} */ (stage.querySelector("#overlay"));
    this.paper = this.picture.getContext("2d", { alpha: false, desynchronized: true });
    this.film = new Film(this);
    /** @type {Document | null} */
    this.document = null;
    /** @type {Tiles | null} */
    this.tiles = null;
    this.zoom = 1; // device pixels for one of the picture's
    this.left = 0; // the picture's point at the stage's corner
    this.top = 0;
    this.room = 0; // stage pixels at the bottom that a fitted picture leaves free
    this.fitted = true;
    this.owed = { x: 0, y: 0 }; // device pixels not panned yet
    this.before = false; // the original alone
    /** @type {number | null} share of the stage left of which the original shows */
    this.divider = null;
    this.maskShown = true;
    this.ring = 0; // pixels of growth that are hinted at
    this.soft = 0; // the outermost of them that blend
    this.drawing = false; // a gesture is under way: only what it touches is redrawn
    this.rested = false; // a kept mask after its fill: not shown until it is worked on
    /** @type {Map<import("./steps.js").Hole, {box: Box, rgba: Uint8ClampedArray, inside: Uint8Array}[]>} quick fills */
    this.previews = new Map();
    /** @type {{box: Box, rgba: Uint8ClampedArray, inside: Uint8Array}[] | null} results not yet taken */
    this.preview = null;
    /** @type {{image: OffscreenCanvas, started: number} | null} */
    this.fade = null;
    /** @type {() => void} called after each change of zoom or place */
    this.moved = () => {};
    this.quiet = matchMedia("(prefers-reduced-motion: reduce)");
    this.pending = 0;
    new ResizeObserver(() => this.resize()).observe(stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.resize();
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  /** @param {Document} document @param {Tiles} tiles */
  show(document, tiles) {
    this.tiles?.close();
    this.document = document;
    this.tiles = tiles;
    this.preview = this.fade = null;
    this.rested = false;
    this.previews.clear();
    this.film.forget();
    document.on(({ layer, box }) => {
      if (layer === "mask") this.wake();
      if (layer === "pixels") this.draw();
      else if (layer === "pending") this.film.draw();
      else if (layer === "mask" || layer === "sketch") this.film.changed(document.layers[layer], box);
    });
    this.fit();
  }

  resize() {
    const width = Math.max(1, Math.round(this.stage.clientWidth * this.ratio));
    const height = Math.max(1, Math.round(this.stage.clientHeight * this.ratio));
    if (this.picture.width === width && this.picture.height === height) return;
    const fitted = this.fitted;
    for (const canvas of [this.picture, this.overlay]) Object.assign(canvas, { width, height });
    if (fitted && this.document) this.fit();
    this.draw(true);
  }

  // Place -----------------------------------------------------------------------------------------------------------

  /** @param {Box} [box] of the picture and around it; else the picture */
  fit(box = this.document?.box) {
    if (!this.document) return;
    const width = box.right - box.left,
      height = box.bottom - box.top,
      edge = 24 * this.ratio,
      low = Math.max(edge, this.room * this.ratio);
    const across = (this.picture.width - edge * 2) / width,
      down = (this.picture.height - edge - low) / height;
    this.zoom = Math.max(0.01, Math.min(across, down, this.ratio * 4));
    this.left = box.left + width / 2 - this.picture.width / this.zoom / 2;
    this.top = box.top + height / 2 - (this.picture.height - low + edge) / this.zoom / 2;
    this.fitted = box.left === 0 && width === this.document.width && height === this.document.height;
    this.draw();
    this.moved();
  }

  /** @param {number} zoom in screen pixels @param {number} [x] @param {number} [y] stage point that stays */
  zoomTo(zoom, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const at = this.toPicture(x, y);
    this.zoom = Math.min(64, Math.max(0.01, zoom)) * this.ratio;
    this.left = at.x - (x * this.ratio) / this.zoom;
    this.top = at.y - (y * this.ratio) / this.zoom;
    this.settle();
  }

  /** @param {number} dx @param {number} dy stage pixels */
  pan(dx, dy) {
    // by whole pixels of the screen, so that what is drawn of the mask can be moved along; the rest waits for the next
    const { owed, ratio, zoom } = this,
      x = Math.round(dx * ratio + owed.x),
      y = Math.round(dy * ratio + owed.y);
    this.owed = { x: dx * ratio + owed.x - x, y: dy * ratio + owed.y - y };
    this.left -= x / zoom;
    this.top -= y / zoom;
    this.settle();
  }

  /** Keep a part of the picture in sight. */
  settle() {
    if (!this.document) return;
    const across = this.picture.width / this.zoom,
      down = this.picture.height / this.zoom,
      share = 0.85;
    this.left = Math.max(-across * share, Math.min(this.document.width - across * (1 - share), this.left));
    this.top = Math.max(-down * share, Math.min(this.document.height - down * (1 - share), this.top));
    this.fitted = false;
    this.draw();
    this.moved();
  }

  /** Bring a point into sight. @param {number} x @param {number} y of the picture */
  reveal(x, y) {
    const here = this.toStage(x, y),
      edge = 32;
    const beyond = (at, size) => (at < edge ? edge - at : at > size - edge ? size - edge - at : 0);
    const dx = beyond(here.x, this.stage.clientWidth),
      dy = beyond(here.y, this.stage.clientHeight);
    if (dx || dy) this.pan(dx, dy);
  }

  /** @param {number} x @param {number} y stage pixels */
  toPicture(x, y) {
    return { x: this.left + (x * this.ratio) / this.zoom, y: this.top + (y * this.ratio) / this.zoom };
  }

  /** @param {number} x @param {number} y of the picture */
  toStage(x, y) {
    return { x: ((x - this.left) * this.zoom) / this.ratio, y: ((y - this.top) * this.zoom) / this.ratio };
  }

  /** @param {Box} box @returns {Box} device pixels, rounded outward */
  onScreen(box) {
    return {
      left: Math.floor((box.left - this.left) * this.zoom) - 2,
      top: Math.floor((box.top - this.top) * this.zoom) - 2,
      right: Math.ceil((box.right - this.left) * this.zoom) + 2,
      bottom: Math.ceil((box.bottom - this.top) * this.zoom) + 2,
    };
  }

  // Drawing ---------------------------------------------------------------------------------------------------------

  /** Picture and film, in the next frame. @param {boolean} now */
  draw(now = false) {
    if (now) return this.paint();
    this.pending ||= requestAnimationFrame(() => this.paint());
  }

  /** What lies outside of steps has changed: results on show, or what is to be seen of the mask. */
  stale() {
    this.film.forget();
    this.draw();
  }

  /** Show a kept mask again. */
  wake() {
    if (!this.rested) return;
    this.rested = false;
    this.stale();
  }

  /**
   * A fill has come in: its outline is seen for a moment.
   * @param {import("./steps.js").Hole} hole @param {boolean} hide the mask, of which the hole is all
   */
  rest(hole, hide) {
    this.rested = hide;
    this.film.point(hole);
    this.stale();
  }

  /** @returns {boolean} whether mask and holes are to be seen */
  get masked() {
    return this.maskShown && !this.before && !this.preview;
  }

  /** Keep what is shown, to fade from it. */
  remember() {
    if (this.quiet.matches) return;
    const image = new OffscreenCanvas(this.picture.width, this.picture.height);
    image.getContext("2d").drawImage(this.picture, 0, 0);
    this.fade = { image, started: performance.now() };
  }

  paint() {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    const { paper, picture } = this;
    paper.globalAlpha = 1;
    paper.fillStyle = getComputedStyle(this.stage).backgroundColor;
    paper.fillRect(0, 0, picture.width, picture.height);
    if (!this.document) return;
    const { side } = this;
    if (this.before) this.paintPicture(true);
    else if (this.divider === null) this.paintPicture(false);
    else {
      this.clipped(0, side, () => this.paintPicture(true));
      this.clipped(side, picture.width, () => this.paintPicture(false));
    }
    if (this.fade) {
      const share = 1 - (performance.now() - this.fade.started) / FADE;
      if (share > 0 && this.fade.image.width === picture.width) {
        paper.globalAlpha = share;
        paper.drawImage(this.fade.image, 0, 0);
        paper.globalAlpha = 1;
        this.draw();
      } else this.fade = null;
    }
    this.film.paint();
  }

  /** Device pixels at the left that show the original. */
  get side() {
    return Math.round((this.divider ?? 0) * this.picture.width);
  }

  /** @param {number} left @param {number} right @param {() => void} paint */
  clipped(left, right, paint) {
    this.paper.save();
    this.paper.beginPath();
    this.paper.rect(left, 0, right - left, this.picture.height);
    this.paper.clip();
    paint();
    this.paper.restore();
  }

  /** @param {boolean} original */
  paintPicture(original) {
    const { paper, zoom, document, tiles } = this;
    paper.imageSmoothingEnabled = zoom < NEAR * this.ratio;
    paper.imageSmoothingQuality = "high";
    /** @returns {[number, number, number, number] | null} */
    const place = (box) => {
      const left = Math.round((box.left - this.left) * zoom),
        top = Math.round((box.top - this.top) * zoom);
      const right = Math.round((box.right - this.left) * zoom),
        bottom = Math.round((box.bottom - this.top) * zoom);
      const seen = right > 0 && bottom > 0 && left < this.picture.width && top < this.picture.height;
      return seen ? [left, top, right - left, bottom - top] : null;
    };
    const whole = place(document.box);
    if (!whole) return;
    if (document.source.type !== "image/jpeg") this.checker(whole);
    if (zoom <= tiles.scale) paper.drawImage(tiles.overview, ...whole);
    else
      for (const tile of tiles.list) {
        const at = place(tile);
        if (at) paper.drawImage(tile.image, ...at);
      }
    if (original) return;
    const layer = document.layers.pixels;
    for (const [index, bytes] of layer.tiles) {
      const box = layer.box(index),
        at = place(box);
      if (!at) continue;
      const canvas = canvasOf(bytes, TILE, TILE);
      paper.drawImage(canvas, 0, 0, box.right - box.left, box.bottom - box.top, ...at);
    }
    for (const patch of this.preview ?? [...this.previews.values()].flat()) {
      const at = place(patch.box),
        width = patch.box.right - patch.box.left;
      if (at) paper.drawImage(canvasOf(patch.rgba, width, patch.box.bottom - patch.box.top, patch.inside), ...at);
    }
  }

  /** @param {number[]} at */
  checker(at) {
    if (!this.checks) {
      const tile = new OffscreenCanvas(16, 16),
        context = tile.getContext("2d");
      context.fillStyle = "#9a9a9a";
      context.fillRect(0, 0, 16, 16);
      context.fillStyle = "#8a8a8a";
      context.fillRect(0, 0, 8, 8);
      context.fillRect(8, 8, 8, 8);
      this.checks = this.paper.createPattern(tile, "repeat");
    }
    this.paper.fillStyle = this.checks;
    this.paper.fillRect(at[0], at[1], at[2], at[3]);
  }
}
