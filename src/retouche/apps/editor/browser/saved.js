// A picture saved where its server is away: as PNG, for only the server writes the source's own format.

import { encodePNG } from "../png.js";
import { download, stem } from "../work.js";
import { runtime } from "./engine.js";

/**
 * @param {import("../document.js").Document} document
 * @returns {Promise<string | null>} the name of what was saved; null where nothing can be saved without loss
 */
export async function savePNG(document) {
  if (!runtime() || document.source.deep) return null;
  const { width, height } = document,
    rgba = document.read(document.box),
    opaque = rgba.every((value, at) => at % 4 !== 3 || value === 255),
    name = `${stem(document.source.name)}_filled.png`,
    pixels = opaque ? rgba.filter((_, at) => at % 4 !== 3) : rgba;
  download(await encodePNG(width, height, opaque ? 3 : 4, pixels), name);
  return name;
}
