// Lossless PNG from bytes, without a canvas: what a canvas writes may differ where a picture is transparent.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});
const BLOCK = 65535; // bytes of a block that is stored as it is
const ADLER = 3800; // bytes that can be summed before the sums leave what numbers hold exactly
const COLOUR_TYPE = { 1: 0, 3: 2, 4: 6 };

/** @param {Uint8Array} bytes @returns {number} CRC-32 */
export function crc(bytes) {
  let value = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) value = TABLE[(value ^ bytes[at]) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** @param {string} name @param {Uint8Array} content */
function chunk(name, content) {
  const bytes = new Uint8Array(content.length + 12),
    view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  for (let index = 0; index < 4; index++) bytes[4 + index] = name.charCodeAt(index);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, crc(bytes.subarray(4, content.length + 8)));
  return bytes;
}

/** @param {Uint8Array} bytes @returns {Uint8Array} as zlib holds them without having made them smaller */
function stored(bytes) {
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK)),
    made = new Uint8Array(2 + 5 * blocks + bytes.length + 4),
    view = new DataView(made.buffer);
  made.set([0x78, 1]);
  for (let block = 0, to = 2; block < blocks; block++) {
    const part = bytes.subarray(block * BLOCK, (block + 1) * BLOCK);
    view.setUint8(to, Number(block === blocks - 1));
    view.setUint16(to + 1, part.length, true);
    view.setUint16(to + 3, ~part.length, true);
    made.set(part, to + 5);
    to += 5 + part.length;
  }
  let one = 1,
    two = 0;
  for (let at = 0; at < bytes.length;) {
    for (const end = Math.min(bytes.length, at + ADLER); at < end; at++) two += one += bytes[at];
    one %= 65521;
    two %= 65521;
  }
  view.setUint32(made.length - 4, ((two << 16) | one) >>> 0);
  return made;
}

/** @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<Uint8Array>} made smaller, beside what the page does */
async function deflated(bytes) {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/**
 * @param {number} width @param {number} height
 * @param {1 | 3 | 4} channels grey, RGB or RGBA
 * @param {Uint8Array | Uint8ClampedArray} pixels height * width * channels
 * @param {boolean} [near] it only goes to a program on this machine: making it smaller would take longer than it saves
 * @returns {Promise<Blob>}
 */
export async function encodePNG(width, height, channels, pixels, near = false) {
  const stride = width * channels,
    rows = new Uint8Array((stride + 1) * height);
  for (let y = 0; y < height; y++) {
    const from = y * stride,
      to = y * (stride + 1) + 1;
    if (y === 0 || near) {
      rows.set(pixels.subarray(from, from + stride), to);
      continue;
    }
    rows[to - 1] = 2; // each row as the difference to the one above it
    for (let at = 0; at < stride; at++) rows[to + at] = pixels[from + at] - pixels[from + at - stride];
  }
  const data = near ? stored(rows) : await deflated(rows);
  const head = new Uint8Array(13),
    view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, COLOUR_TYPE[channels], 0, 0, 0], 8);
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const parts = [signature, chunk("IHDR", head), chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}
