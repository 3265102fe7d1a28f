// Picture files to bitmaps and bytes, with the file's own values: no colour management, or saving would shift colours.

/** @param {Blob} blob @returns {Promise<ImageBitmap>} upright */
export const bitmapOf = (blob) =>
  createImageBitmap(blob, { colorSpaceConversion: "none", imageOrientation: "from-image" });

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
    throw new Error(`the server answered ${bitmap.width}x${bitmap.height} pixels for ${width}x${height}`);
  return bytesOf(bitmap);
}
