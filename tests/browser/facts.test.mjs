// What the editor believes of an exported file: `node --test tests/browser/facts.test.mjs`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { factsOf } from "../../src/retouche/apps/editor/browser/facts.js";

const WINDOW = { multiple: 8, smallest: 0, largest: 0, only: 0, side: 512, hole: 256, centre: null };
const NOTES = { retouche: "0", method: "thin", format: "1", form: "pipeline", inputs: "picture mask sketch" };

const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]);
const field = (number, bytes) => [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
const text = (words) => [...new TextEncoder().encode(words)];
const file = (notes, window, more = []) =>
  new Blob([
    Uint8Array.from([
      ...[0x08, 9], // a number, as ONNX begins
      ...field(7, Array(300).fill(1)),
      ...Object.entries({ ...NOTES, window: JSON.stringify({ ...WINDOW, ...window }), ...notes }).flatMap(([key, value]) =>
        field(14, [...field(1, text(key)), ...field(2, text(value))]),
      ),
      ...more,
    ]),
  ]);

test("a file tells what it is", async () => {
  const facts = await factsOf(file({ title: "Dünn" }, { context: 1 }));
  assert.deepEqual(facts, { ...NOTES, title: "Dünn", window: { ...WINDOW, context: 1 } });
  assert.ok(await factsOf(file({ form: "network", inputs: "image mask" }, { only: 256, centre: [256, 128] })));
});

const WRONG = {
  "no method": [{ method: "" }],
  "a newer format": [{ format: "2" }],
  "no window": [{ window: "" }],
  "inputs of another form": [{ inputs: "image mask" }],
  "a form of its own": [{ form: "constructor" }],
  "sides without end": [{}, { only: 1e9 }],
  "no sides": [{}, { multiple: 0 }],
  "words for numbers": [{}, { hole: "256" }],
  "a hole beyond its square": [{}, { centre: [64, 128] }],
  "a field that ends beyond the file": [{}, {}, [...varint(14 * 8 + 2), 100, 1]],
  "a number without end": [{}, {}, Array(40).fill(255)],
};
for (const [name, [notes, window = {}, more = []]] of Object.entries(WRONG))
  test(`no: ${name}`, async () => assert.equal(await factsOf(file(notes, window, more)), null));
test("no: other files", async () => {
  for (const words of ["", "# Read me", "{}"]) assert.equal(await factsOf(new Blob([words])), null);
});
