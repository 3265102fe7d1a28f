// Lossless PNG from bytes, without a canvas: what a canvas writes may differ where a picture is transparent.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});
const COLOUR_TYPE = { 1: 0, 3: 2, 4: 6 };

/** @param {Uint8Array} bytes @returns {number} CRC-32 */
export function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
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

/**
 * @param {number} width @param {number} height
 * @param {1 | 3 | 4} channels grey, RGB or RGBA
 * @param {Uint8Array | Uint8ClampedArray} pixels height * width * channels
 * @returns {Promise<Blob>}
 */
export async function encodePNG(width, height, channels, pixels) {
  const stride = width * channels,
    rows = new Uint8Array((stride + 1) * height);
  for (let y = 0; y < height; y++) {
    const from = y * stride,
      to = y * (stride + 1) + 1;
    if (y === 0) {
      rows.set(pixels.subarray(0, stride), to);
      continue;
    }
    rows[to - 1] = 2; // each row as the difference to the one above it
    for (let at = 0; at < stride; at++) rows[to + at] = pixels[from + at] - pixels[from + at - stride];
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const head = new Uint8Array(13),
    view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, COLOUR_TYPE[channels], 0, 0, 0], 8);
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const parts = [signature, chunk("IHDR", head), chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}
