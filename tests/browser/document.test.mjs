// The editor's state and tools in Node, without a browser: `node --test tests/browser/document.test.mjs`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";

// browsers take .js as modules; here a loader says so, without a package.json in the served folder
const folder = new URL("../../src/retouche/apps/editor/", import.meta.url);
const cache = new Map();

/** @param {string} path below the editor @returns {Promise<any>} */
async function load(path) {
  const url = new URL(path, folder).href;
  if (!cache.has(url)) cache.set(url, link(url));
  return import(await cache.get(url));
}

async function link(url) {
  let text = readFileSync(fileURLToPath(url), "utf8");
  for (const [whole, target] of [...text.matchAll(/from "(\.[^"]+)"/g)].map((match) => [match[0], match[1]])) {
    const inner = new URL(target, url).href;
    if (!cache.has(inner)) cache.set(inner, link(inner));
    text = text.replace(whole, `from "${await cache.get(inner)}"`);
  }
  return `data:text/javascript,${encodeURIComponent(text)}`;
}

const { Document } = await load("document.js");
const { TILE } = await load("layer.js");
const { STEPS } = await load("steps.js");
const { carried, placeOf } = await load("carry.js");
const { seamScore } = await load("seam.js");
const raster = await load("raster.js");
const { encodePNG } = await load("png.js");
const { membrane } = await load("membrane.js");

/** @param {number} width @param {number} height */
function made(width, height) {
  const read = (box) => {
    const across = box.right - box.left,
      bytes = new Uint8ClampedArray(across * (box.bottom - box.top) * 4);
    for (let y = box.top; y < box.bottom; y++)
      for (let x = box.left; x < box.right; x++)
        bytes.set([x % 251, y % 241, (x + y) % 239, 255], ((y - box.top) * across + x - box.left) * 4);
    return bytes;
  };
  return new Document({ name: "a.png", type: "image/png", width, height, blob: null, read });
}

/** @param {any} tool @param {any} document @param {{x: number, y: number}[]} points */
function stroke(tool, document, points, more = {}) {
  const settings = { size: 20, penSize: 3, tolerance: 0, ...more.settings };
  const [first, ...rest] = points.map((point) => ({
    alt: false,
    shift: false,
    pen: false,
    pressure: 0.5,
    ...point,
    ...more,
  }));
  tool.down({ document, settings }, first);
  if (rest.length) tool.move({ document, settings }, rest);
  return tool.up({ document, settings });
}

const maskOf = (document) => document.layers.mask.read(document.box);

test("a brush, its eraser, undo and redo give back the same bytes", async () => {
  const document = made(600, 500),
    brush = (await load("tools/brush.js")).default,
    eraser = (await load("tools/eraser.js")).default;
  const states = [maskOf(document)];
  stroke(brush, document, [
    { x: 250, y: 250 },
    { x: 300, y: 260 },
  ]);
  states.push(maskOf(document));
  stroke(eraser, document, [
    { x: 270, y: 200 },
    { x: 270, y: 300 },
  ]);
  states.push(maskOf(document));
  stroke(brush, document, [
    { x: -40, y: 499.5 },
    { x: 700, y: 499.5 },
  ]); // beyond the picture
  states.push(maskOf(document));
  assert.equal(document.layers.mask.measure().box.right, 600);
  for (let step = 2; step >= 0; step--) {
    document.undo();
    assert.deepEqual(maskOf(document), states[step]);
  }
  assert.equal(document.undo(), null);
  for (let step = 1; step <= 3; step++) {
    document.redo();
    assert.deepEqual(maskOf(document), states[step]);
  }
});

test("a disc holds exactly the pixels whose centres are within its radius", () => {
  for (const radius of [0.5, 1, 3.3, 10, 25.5]) {
    const set = new Set();
    const centre = { x: 40.3, y: 39.8, radius };
    raster.segment(centre, centre, (y, left, right) => {
      for (let x = left; x < right; x++) set.add(`${x} ${y}`);
    });
    for (let y = 0; y < 80; y++)
      for (let x = 0; x < 80; x++) {
        const inside = (x + 0.5 - 40.3) ** 2 + (y + 0.5 - 39.8) ** 2 <= radius * radius;
        if (radius > 1) assert.equal(set.has(`${x} ${y}`), inside, `${x} ${y} of radius ${radius}`);
      }
    assert.ok(set.size >= 1);
  }
});

test("growing is by a disc, as the server grows", () => {
  const width = 41,
    height = 37,
    map = new Uint8Array(width * height);
  for (const at of [5 * width + 7, 20 * width + 30, 36 * width]) map[at] = 255;
  for (const pixels of [0, 1, 4, 9]) {
    const grown = raster.dilate(map, width, height, pixels);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const near = [
          [7, 5],
          [30, 20],
          [0, 36],
        ].some(([a, b]) => (x - a) ** 2 + (y - b) ** 2 <= pixels ** 2);
        assert.equal(grown[y * width + x] > 0, near);
      }
  }
});

test("grow and shrink, invert and clear", () => {
  const document = made(300, 280),
    box = { left: 100, top: 100, right: 140, bottom: 140 };
  document.setMask(box, new Uint8Array(1600).fill(255), "load mask");
  document.grow(5);
  assert.deepEqual(document.layers.mask.measure().box, { left: 95, top: 95, right: 145, bottom: 145 });
  document.grow(-5);
  assert.equal(document.layers.mask.measure().count, 1600);
  document.invert();
  assert.equal(document.layers.mask.measure().count, 300 * 280 - 1600);
  document.invert();
  assert.deepEqual(document.layers.mask.measure(), { box, count: 1600 });
  document.clear();
  assert.equal(document.layers.mask.measure().count, 0);
  document.undo();
  assert.equal(document.layers.mask.measure().count, 1600);
});

test("lasso, box and wand", async () => {
  const document = made(300, 280),
    lasso = (await load("tools/lasso.js")).default;
  const box = (await load("tools/box.js")).default,
    wand = (await load("tools/wand.js")).default;
  stroke(lasso, document, [
    { x: 10, y: 10 },
    { x: 50, y: 10 },
    { x: 50, y: 40 },
    { x: 10, y: 40 },
  ]);
  assert.equal(document.layers.mask.measure().count, 40 * 30);
  stroke(
    box,
    document,
    [
      { x: 60.4, y: 60.2 },
      { x: 20.1, y: 30.7 },
    ],
    { alt: true },
  );
  assert.equal(document.layers.mask.measure().count, 40 * 30 - 30 * 10);
  document.clear();
  document.apply(
    [
      {
        box: { left: 200, top: 200, right: 270, bottom: 270 },
        inside: new Uint8Array(4900).fill(255),
        rgba: new Uint8ClampedArray(19600).fill(7),
      },
    ],
    { model: "x" },
  );
  stroke(wand, document, [{ x: 230, y: 230 }], { settings: { tolerance: 0 } });
  assert.deepEqual(document.layers.mask.measure(), {
    box: { left: 200, top: 200, right: 270, bottom: 270 },
    count: 4900,
  });
});

test("a fill changes what is inside its mask and nothing else, and undo takes it back with the mask", () => {
  const document = made(700, 600),
    box = { left: 240, top: 240, right: 300, bottom: 290 };
  const bytes = new Uint8Array(60 * 50);
  for (let at = 0; at < bytes.length; at++) bytes[at] = at % 3 ? 255 : 0;
  document.setMask(box, bytes, "load mask");
  const before = document.read(document.box),
    rgba = new Uint8ClampedArray(bytes.length * 4).fill(99);
  const hole = document.lift();
  assert.deepEqual([document.layers.mask.measure().count, hole.count], [0, 2000]);
  document.apply([{ box, inside: bytes, rgba }], { model: "x" }, hole);
  const after = document.read(document.box);
  for (let y = 0; y < 600; y++)
    for (let x = 0; x < 700; x++) {
      const here = x >= box.left && x < box.right && y >= box.top && y < box.bottom;
      const set = here && bytes[(y - box.top) * 60 + x - box.left];
      assert.equal(after[(y * 700 + x) * 4], set ? 99 : before[(y * 700 + x) * 4]);
    }
  assert.equal(document.layers.mask.measure().count, 0);
  assert.equal(document.fills.length, 1);
  assert.ok(document.unsaved);
  const changed = document.changed();
  assert.ok(changed.length <= 4 && changed.every((patch) => patch.inside.length === raster.area(patch.box)));
  document.undo();
  assert.deepEqual(document.read(document.box), before);
  assert.equal(document.layers.mask.measure().count, 2000);
  assert.equal(document.fills.length, 0);
});

const BOX = { left: 250, top: 250, right: 262, bottom: 262 }; // over four tiles
const full = (box, value = 255) => new Uint8Array(raster.area(box)).fill(value);
const patch = (box, value) => ({ box, inside: full(box), rgba: new Uint8ClampedArray(raster.area(box) * 4).fill(value) });
const redAt = (document, x, y) => document.read({ left: x, top: y, right: x + 1, bottom: y + 1 })[0];

test("a fill that ends under a stroke leaves the stroke alone, and is its own step below it", async () => {
  const document = made(600, 500),
    brush = (await load("tools/brush.js")).default,
    work = { document, settings: { size: 20, penSize: 3 } },
    at = (x, y) => ({ x, y, alt: false, shift: false, pen: false, pressure: 0.5 });
  document.setMask(BOX, full(BOX), "load mask");
  const hole = document.lift();
  brush.down(work, at(300, 300));
  brush.move(work, [at(320, 300)]);
  document.apply([patch(BOX, 99)], { model: "x" }, hole);
  brush.move(work, [at(340, 300)]);
  assert.ok(brush.up(work));
  assert.ok([300, 320, 340].every((x) => document.layers.mask.at(x, 300)) && !document.layers.mask.at(255, 255));
  assert.deepEqual([redAt(document, 255, 255), document.done.length], [99, 3]);
  assert.equal(document.undo(), "brush"); // the whole stroke, and only it
  assert.deepEqual([document.layers.mask.measure().count, redAt(document, 255, 255)], [0, 99]);
  assert.equal(document.undo(), "fill");
  assert.deepEqual([document.layers.mask.measure().count, redAt(document, 255, 255)], [144, 255 % 251]);
  document.redo();
  document.redo();
  assert.ok(document.layers.mask.at(320, 300) && redAt(document, 255, 255) === 99);
});

test("commands under an open stroke change what was there before it", async () => {
  const brush = (await load("tools/brush.js")).default,
    point = { x: 100, y: 100, alt: false, shift: false, pen: false, pressure: 0.5 };
  for (const [act, corner] of [
    [(document) => document.clear(), 0],
    [(document) => document.invert(), 255],
    [(document) => document.grow(4), 0],
  ]) {
    const document = made(300, 280),
      work = { document, settings: { size: 20, penSize: 3 } };
    document.setMask({ left: 200, top: 200, right: 210, bottom: 210 }, new Uint8Array(100).fill(255), "load mask");
    brush.down(work, point);
    act(document);
    brush.move(work, [{ ...point, x: 130 }]);
    brush.up(work);
    assert.ok(document.layers.mask.at(100, 100) && document.layers.mask.at(130, 100));
    assert.equal(document.layers.mask.at(1, 1), corner);
    // what is painted on a mask that holds it already is no step
    assert.equal(document.undo(), corner ? "invert" : "brush");
    assert.equal(document.layers.mask.at(100, 100), 0);
    if (!corner) document.undo();
    assert.equal(document.layers.mask.measure().count, 100);
  }
});

test("a hole on its way is no part of the mask; taken back it is again", () => {
  const document = made(600, 500),
    other = { left: 10, top: 10, right: 20, bottom: 20 };
  document.setMask(BOX, full(BOX), "load mask");
  const hole = document.lift();
  document.setMask(other, full(other), "more");
  assert.equal(document.lift().count, 100); // not the first hole again
  assert.equal(document.layers.mask.measure().count, 0);
  assert.equal(document.undo(), "fill"); // the newer fill is cancelled, its hole is back
  assert.deepEqual([document.layers.mask.measure().count, document.pending.size], [100, 1]);
  assert.ok(document.giveBack(hole) && !document.giveBack(hole));
  assert.equal(document.layers.mask.measure().count, 244);
  assert.deepEqual(
    document.done.map(({ label }) => label),
    ["load mask", "more"],
  );
  document.undo();
  assert.equal(document.layers.mask.measure().count, 144);
  document.undo();
  assert.equal(document.layers.mask.measure().count, 0);
});

test("a stroke that asks for its fill is one step with it", () => {
  const document = made(600, 500);
  document.setMask(BOX, full(BOX), "brush");
  const hole = document.lift(true);
  document.apply([patch(BOX, 7)], { model: "x" }, hole);
  assert.equal(document.done.length, 1);
  document.undo();
  assert.deepEqual([document.layers.mask.measure().count, redAt(document, 255, 255)], [0, 4]);
  document.redo();
  assert.deepEqual([document.layers.mask.measure().count, redAt(document, 255, 255)], [0, 7]);
  document.setMask(BOX, full(BOX), "brush"); // while the next one is filled, undo takes stroke and fill back at once
  document.lift(true);
  document.undo();
  assert.deepEqual([document.layers.mask.measure().count, document.pending.size, document.fills.length], [0, 0, 1]);
  document.redo();
  assert.equal(document.layers.mask.measure().count, 144); // the stroke can be had again
});

test("fills that end in another order lie in the order they were asked for", () => {
  const document = made(600, 500),
    near = { left: 256, top: 256, right: 300, bottom: 300 };
  document.setMask(BOX, full(BOX), "one");
  const one = document.lift();
  document.setMask(near, full(near), "two");
  const two = document.lift();
  document.apply([patch(near, 22)], { model: "two" }, two);
  document.apply([patch(BOX, 11)], { model: "one" }, one);
  assert.deepEqual([redAt(document, 251, 251), redAt(document, 258, 258), redAt(document, 290, 290)], [11, 22, 22]);
  assert.deepEqual(
    document.fills.map(({ model }) => model),
    ["one", "two"],
  );
  document.undo();
  assert.deepEqual([redAt(document, 258, 258), redAt(document, 290, 290)], [11, 290 % 251]);
});

test("whatever the order of strokes, fills, cancels and undo: all the way back is as it came, and forth again", () => {
  for (let seed = 1; seed <= 12; seed++) {
    let state = seed * 7919;
    const random = (below) => (state = (state * 48271) % 2147483647) % below;
    const document = made(300, 270),
      source = document.read(document.box),
      holes = [];
    const box = () => {
      const left = random(260),
        top = random(230);
      return { left, top, right: left + 1 + random(38), bottom: top + 1 + random(38) };
    };
    const paint = () => {
      const { left, right, top, bottom } = box(),
        { run, end } = document.runs("mask", random(4) ? 255 : 0);
      for (let y = top; y < bottom; y++) run(y, left, right);
      end();
    };
    for (let turn = 0; turn < 40; turn++) {
      const act = random(11);
      if (act < 3 && document.open) paint();
      else if (act < 3) {
        document.begin();
        paint();
      } else if (act < 5 && document.open) document.commit("stroke");
      else if (act === 5) {
        const hole = document.lift(Boolean(random(2)));
        if (hole) holes.push(hole);
      } else if (act < 8 && holes.length) {
        const [hole] = holes.splice(random(holes.length), 1);
        if (document.pending.has(hole))
          if (act === 6) document.giveBack(hole);
          else document.apply([patch(hole.box, random(250))], { model: String(turn) }, hole, Boolean(random(2)));
      } else if (act === 8) document.undo();
      else if (act === 9) document.redo();
      else if (random(2)) document.setMask(BOX, full(BOX, 255), "add", "mask", "add");
      else document.invert();
    }
    if (document.open) document.commit("stroke");
    for (const hole of [...document.pending]) document.giveBack(hole);
    while (document.redo());
    const last = [maskOf(document), document.read(document.box), document.fills.map(({ model }) => model)];
    const count = document.done.length;
    while (document.undo());
    assert.ok(maskOf(document).every((value) => value === 0), `seed ${seed}`);
    assert.deepEqual(document.read(document.box), source, `seed ${seed}`);
    assert.deepEqual(document.fills, []);
    while (document.redo());
    const again = [maskOf(document), document.read(document.box), document.fills.map(({ model }) => model)];
    assert.deepEqual(again, last, `seed ${seed}`);
    assert.equal(document.done.length, count);
  }
});

test("a hundred steps are kept, and no more memory than allowed", async () => {
  const document = made(600, 500),
    brush = (await load("tools/brush.js")).default;
  for (let step = 0; step < STEPS + 20; step++)
    stroke(brush, document, [{ x: (step * 37) % 600, y: (step * 53) % 500 }], { settings: { size: 9 } });
  assert.equal(document.done.length, STEPS);
  // a plain mask of 50 megapixels costs next to nothing: its tiles are one
  const large = made(8660, 5773);
  for (let step = 0; step < 6; step++) large.invert();
  assert.ok(large.done.reduce((sum, step) => sum + step.bytes, 0) < 1 << 20);
});

test("a gesture that changes nothing is no step; an unfinished one can be taken back", async () => {
  const document = made(300, 280),
    eraser = (await load("tools/eraser.js")).default;
  assert.equal(stroke(eraser, document, [{ x: 50, y: 50 }]), false);
  assert.equal(document.done.length, 0);
  document.begin();
  document.runs("mask", 255).run(5, 0, 300);
  document.cancel();
  assert.equal(document.layers.mask.measure().count, 0);
});

test("only crops around the holes travel, those near each other together", () => {
  const document = made(6000, 4000);
  for (const [left, top] of [
    [500, 500],
    [560, 520],
    [5000, 3000],
  ])
    document.setMask({ left, top, right: left + 30, bottom: top + 30 }, new Uint8Array(900).fill(255), "load mask");
  const crops = document.crops(23);
  assert.equal(crops.length, 2);
  for (const crop of crops) assert.ok(raster.area(crop) < 800 * 800);
  assert.deepEqual(document.crops(23, "whole"), [document.box]);
  assert.deepEqual(made(300, 200).crops(1), []);
});

test("the default growth rounds halves to even, as Python does", () => {
  assert.equal(made(384, 10).defaultDilation, 2);
  assert.equal(made(640, 10).defaultDilation, 2);
  assert.equal(made(896, 10).defaultDilation, 4);
  assert.equal(made(10, 10).defaultDilation, 1);
});

test("PNG files hold their bytes", async () => {
  const { encodePNG } = await load("png.js");
  for (const channels of [1, 3, 4]) {
    const pixels = Uint8Array.from({ length: 13 * 7 * channels }, (_, at) => (at * 37) % 256);
    const file = Buffer.from(await (await encodePNG(13, 7, channels, pixels)).arrayBuffer());
    assert.equal(file.readUInt32BE(16), 13);
    const length = file.readUInt32BE(33),
      rows = zlib.inflateSync(file.subarray(41, 41 + length)),
      stride = 13 * channels;
    const back = new Uint8Array(pixels.length);
    for (let y = 0; y < 7; y++)
      for (let x = 0; x < stride; x++) {
        const above = rows[y * (stride + 1)] === 2 ? back[(y - 1) * stride + x] : 0;
        back[y * stride + x] = rows[y * (stride + 1) + 1 + x] + above;
      }
    assert.deepEqual(back, pixels);
  }
});

test("folders list their pictures in natural order, and only those", async () => {
  const { listing, natural, called } = await load("folder.js");
  const names = ["b/10.png", "b/9.JPG", "b/a/1.tiff", "a 10.webp", "a 2.bmp", "B.jpeg", "a 02.bmp", "c.txt", "d.gif"];
  const found = listing([...names, ".e.png", "b/.f/g.png", "jpg"].map((name) => ({ name, open: async () => name })));
  const wanted = ["a 02.bmp", "a 2.bmp", "a 10.webp", "B.jpeg", "b/9.JPG", "b/10.png", "b/a/1.tiff"];
  assert.deepEqual(found.names, wanted);
  assert.equal(await found.open(2), "a 10.webp");
  for (const one of wanted)
    for (const two of wanted) assert.equal(Math.sign(natural(one, two)), -Math.sign(natural(two, one)) || 0);
  assert.equal(called("photo_mask.png"), "mask");
  assert.equal(called("Sketch.png"), "sketch");
  assert.equal(called("masked ball.png"), undefined);
});

test("a dropped folder is read in parts, to its end", async () => {
  const { fromEntries } = await load("folder.js");
  const file = (name) => ({ name, isFile: true, file: (done) => done(`file ${name}`) });
  const folder = (name, parts) => ({
    name,
    isDirectory: true,
    createReader: () => ({ readEntries: (done) => done(parts.shift() ?? []) }),
  });
  const trip = () => folder("trip", [[file("2.png"), folder("in", [[file("3.png")], [file("4.jpg")]])], [file("1.png")]]);
  const alone = await fromEntries([trip()]);
  assert.deepEqual(alone.names, ["1.png", "2.png", "in/3.png", "in/4.jpg"]);
  assert.equal(await alone.open(1), "file 2.png");
  const more = await fromEntries([folder(".git", [[file("5.png")]]), trip(), file("6.png")]);
  assert.deepEqual(more.names, ["6.png", "trip/1.png", "trip/2.png", "trip/in/3.png", "trip/in/4.jpg"]);
});

test("a visible border scores higher than a smooth one", () => {
  const inside = new Uint8Array(400),
    flat = new Uint8ClampedArray(1600).fill(100),
    patched = flat.slice();
  for (let y = 6; y < 14; y++)
    for (let x = 6; x < 14; x++) {
      inside[y * 20 + x] = 255;
      patched.fill(180, (y * 20 + x) * 4, (y * 20 + x) * 4 + 4);
    }
  assert.equal(seamScore(flat, inside, 20, 20), 0);
  assert.ok(seamScore(patched, inside, 20, 20) > 50);
});
assert.equal(TILE, 256);

test("a mask carried to another size keeps its corner, or its share", () => {
  const document = made(600, 400);
  document.setMask({ left: 540, top: 360, right: 580, bottom: 390 }, new Uint8Array(40 * 30).fill(255), "load mask");
  const mask = document.layers.mask;
  assert.equal(placeOf(mask), "right bottom");
  assert.equal(carried(mask, 600, 400, "scaled").layer.tiles.get(mask.tiles.keys().next().value), [...mask.tiles.values()][0]);
  const box = (width, height, place) => {
    const { layer, lost } = carried(mask, width, height, place);
    return { ...layer.measure(), lost };
  };
  assert.deepEqual(box(900, 800, "auto"), {
    box: { left: 840, top: 760, right: 880, bottom: 790 },
    count: 1200,
    lost: 0,
  });
  assert.deepEqual(box(1200, 800, "scaled").box, { left: 1080, top: 720, right: 1160, bottom: 780 });
  assert.equal(box(1200, 800, "scaled").count, 4800);
  assert.equal(box(570, 400, "left top").lost, 0.25);
  assert.equal(box(100, 100, "left top").lost, 1);
  assert.equal(box(300, 200, "scaled").count, 300);
});

test("a PNG for a program on this machine holds its pixels as they are", async () => {
  for (const [width, height, channels] of [[1, 1, 1], [65535, 2, 1], [300, 150, 4], [257, 129, 3]]) {
    const pixels = Uint8Array.from({ length: width * height * channels }, (_, at) => (at * 73 + (at >> 8)) % 256),
      stride = width * channels;
    for (const near of [false, true]) {
      const bytes = Buffer.from(await (await encodePNG(width, height, channels, pixels, near)).arrayBuffer()),
        at = bytes.indexOf("IDAT"),
        rows = zlib.inflateSync(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at - 4)));
      assert.equal(rows.length, (stride + 1) * height);
      for (let y = 0, above = new Uint8Array(stride); y < height; y++) {
        const row = rows.subarray(y * (stride + 1) + 1, (y + 1) * (stride + 1)),
          up = rows[y * (stride + 1)] === 2;
        above = row.map((value, x) => value + (up ? above[x] : 0));
        assert.ok(Buffer.from(above).equals(Buffer.from(pixels.subarray(y * stride, (y + 1) * stride))));
      }
    }
  }
});

test("a membrane continues what is around it, and touches nothing else", () => {
  const width = 93,
    height = 71,
    value = (x, y, channel) => [20 + 2 * x, 30 + x + y, 230 - 2 * y][channel],
    rgba = new Uint8ClampedArray(width * height * 4).fill(255),
    inside = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if ((x - 50) ** 2 + (y - 34) ** 2 < 30 ** 2) inside[at] = 255;
      for (let channel = 0; channel < 3; channel++) rgba[at * 4 + channel] = inside[at] ? 0 : value(x, y, channel);
    }
  rgba.fill(0, 0, 4); // a clear pixel: its colour is not known, and stays
  membrane(rgba, width, height, inside);
  let off = 0;
  for (let at = 1; at < inside.length; at++)
    for (let channel = 0; channel < 3; channel++) {
      const gap = Math.abs(rgba[at * 4 + channel] - value(at % width, Math.floor(at / width), channel));
      if (inside[at]) off = Math.max(off, gap); // a plane is its own membrane
      else assert.equal(gap, 0);
    }
  assert.ok(off <= 4, `${off} grey levels`);
  assert.deepEqual([...rgba.subarray(0, 4)], [0, 0, 0, 0]);
  const all = new Uint8ClampedArray(16).fill(9);
  membrane(all, 2, 2, new Uint8Array(4).fill(1)); // nothing is known: nothing is made up
  assert.deepEqual([...all], new Array(16).fill(9));
});
