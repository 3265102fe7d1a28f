// Picture files to bitmaps and bytes, with the file's own values: no colour management, or saving would shift colours.

import { t } from "./strings.js";

/** @param {Blob} blob @returns {Promise<ImageBitmap>} upright */
export const bitmapOf = (blob) =>
  createImageBitmap(blob, { colorSpaceConversion: "none", imageOrientation: "from-image" });

/**
 * Whether browsers show a file as the server reads it. Not so TIFF, which they do not know, and not JPEG in four inks,
 * which each turns into RGB by a rule of its own.
 * @param {Blob} blob
 */
export async function shows(blob) {
  const bytes = async (at, count) => new DataView(await blob.slice(at, at + count).arrayBuffer());
  const head = await bytes(0, 4);
  if (head.byteLength < 4) return true;
  const magic = head.getUint32(0);
  if (magic === 0x49492a00 || magic === 0x4d4d002a || magic === 0x49492b00 || magic === 0x4d4d002b) return false;
  if (magic >>> 8 !== 0xffd8ff) return true;
  for (let at = 2; ;) {
    const segment = await bytes(at, 10);
    if (segment.byteLength < 10 || segment.getUint8(0) !== 0xff) return true;
    const marker = segment.getUint8(1);
    if (marker === 0xff)
      at += 1; // padding
    else if (marker === 0xda || marker === 0xd9) return true;
    // a frame header, of any of the ways to code; the others of the range are tables
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return segment.getUint8(9) !== 4;
    else at += 2 + segment.getUint16(2);
  }
}

/** Whether it is a PNG of 16 bits, of which a browser shows eight. @param {Blob} blob */
export async function sixteen(blob) {
  const head = new DataView(await blob.slice(0, 26).arrayBuffer());
  return head.byteLength === 26 && head.getUint32(0) === 0x89504e47 && head.getUint8(24) === 16;
}

/**
 * Whether canvases give back the bytes put in. What browsers do against fingerprinting alters them, and saving would
 * then change pixels outside the hole.
 */
export function faithful() {
  const put = new ImageData(64, 64);
  for (let at = 0; at < put.data.length; at++) put.data[at] = at % 4 === 3 ? 255 : (at * 73) % 251;
  const context = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
  context.putImageData(put, 0, 0);
  return context.getImageData(0, 0, 64, 64).data.every((value, at) => value === put.data[at]);
}

/** @param {ImageBitmap} bitmap @returns {Uint8ClampedArray} RGBA */
export function bytesOf(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** @param {Blob} blob @param {number} width @param {number} height @returns {Promise<Uint8ClampedArray>} RGBA */
export async function decode(blob, width, height) {
  const bitmap = await bitmapOf(blob);
  if (bitmap.width !== width || bitmap.height !== height)
    throw new Error(t("server.size", { width: bitmap.width, height: bitmap.height, across: width, down: height }));
  return bytesOf(bitmap);
}
