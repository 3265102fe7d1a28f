// Many files as one: a ZIP archive without compression, for pictures are compressed already.

import { crc } from "./png.js";

const MOST = 0xffffffff; // bytes, and no more, without the format's extensions
const DATE = ((2000 - 1980) << 9) | (1 << 5) | 1; // 2000-01-01: the same bytes every time
const UTF8 = 0x0800;

/**
 * @param {{name: string, blob: Blob}[]} files names with "/" between folders
 * @returns {Promise<Blob | null>} null where they are too large for one archive
 */
export async function zip(files) {
  const parts = [],
    entries = [];
  let at = 0,
    listed = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer()),
      title = new TextEncoder().encode(name),
      sum = crc(bytes),
      head = new DataView(new ArrayBuffer(30)),
      entry = new DataView(new ArrayBuffer(46));
    head.setUint32(0, 0x04034b50, true);
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(4, 20, true); // made by, and below needed: version 2.0
    for (const [view, from] of /** @type {[DataView, number][]} */ ([[head, 4], [entry, 6]])) {
      view.setUint16(from, 20, true);
      view.setUint16(from + 2, UTF8, true);
      view.setUint16(from + 8, DATE, true);
      view.setUint32(from + 10, sum, true);
      view.setUint32(from + 14, bytes.length, true);
      view.setUint32(from + 18, bytes.length, true);
      view.setUint16(from + 22, title.length, true);
    }
    entry.setUint32(42, at, true);
    parts.push(head.buffer, title, bytes);
    entries.push(entry.buffer, title);
    at += 30 + title.length + bytes.length;
    listed += 46 + title.length;
    if (at + listed > MOST || entries.length / 2 > 0xffff) return null;
  }
  const end = new DataView(new ArrayBuffer(22)),
    count = entries.length / 2;
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, count, true);
  end.setUint16(10, count, true);
  end.setUint32(12, listed, true);
  end.setUint32(16, at, true);
  return new Blob([...parts, ...entries, end.buffer], { type: "application/zip" });
}
