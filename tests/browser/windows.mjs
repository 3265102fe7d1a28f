// Cases as lines of JSON on stdin: filled by the editor's own code, with an arithmetic in the network's place that is the
// same in Python and of which every byte counts. Results as lines of base64.

import { createInterface } from "node:readline";

import { fill } from "../../src/retouche/apps/editor/browser/network.js";
import { partsOf } from "../../src/retouche/apps/editor/browser/windows.js";

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

async function stand(feeds) {
  const { type, data } = feeds.picture ?? feeds.image,
    strokes = feeds.sketch?.data ?? [0],
    from = (at) => data[(at * 7 + 13) % data.length];
  if (type === "float32") return Float32Array.from(data, (_, at) => from(at) * 0.875);
  return Uint8Array.from(data, (_, at) => from(at) + (at % 50) + strokes[(at * 5) % strokes.length]);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { form, inputs, window, width, height, rgba, hole, sketch } = JSON.parse(line),
    picture = { rgba: new Uint8ClampedArray(bytes(rgba)), hole: bytes(hole), sketch: sketch && bytes(sketch), width, height };
  const parts = partsOf(picture.hole, { left: 0, top: 0, right: width, bottom: height }, width, height, window);
  await fill({ form, inputs, window, run: stand }, picture);
  console.log(JSON.stringify({ rgba: Buffer.from(picture.rgba.buffer).toString("base64"), parts }));
}
