// Exported files that this browser keeps, so that a fill needs neither a second transfer nor, in the end, a server.

const SHELF = "retouche networks";
const PLACE = "/browser-models/"; // below it by their hash; the server has its files there, too
const ROW = "X-Retouche-Model"; // beside a file: what the page knows of it
const MOST_OPENED = 4; // files that the user opened: the one opened longest ago makes room
/** @type {Map<string, {row: Row, file: Blob}>} where a browser keeps nothing: as long as the page */
const held = new Map();

/**
 * A file that fills in this browser: `served` where the server offers it, else the user opened it.
 * @typedef {{name: string, sha256: string, bytes: number, address: string, served: boolean, opened?: number,
 *   method: string, title: string, licence: string | null, form: string, inputs: string,
 *   window: import("./windows.js").Window}} Row
 */

const shelf = async () => (globalThis.caches ? caches.open(SHELF).catch(() => null) : null);

/** @param {Row} row */
const keyOf = (row) => PLACE + row.sha256;

/** @returns {Promise<Row[]>} what is kept, the oldest first */
export async function kept() {
  const place = await shelf(),
    answers = await Promise.all((await place?.keys() ?? []).map((key) => place.match(key))),
    rows = answers.map((answer) => JSON.parse(decodeURIComponent(answer.headers.get(ROW))));
  return [...rows, ...[...held.values()].map(({ row }) => row)].sort((one, two) => (one.opened ?? 0) - (two.opened ?? 0));
}

/** @param {Row} row @returns {Promise<Blob | null>} */
export async function find(row) {
  const answer = await (await shelf())?.match(keyOf(row));
  return answer ? answer.blob() : (held.get(row.sha256)?.file ?? null);
}

/** @param {Row} row @param {Blob} file */
export async function put(row, file) {
  const place = await shelf(),
    headers = { [ROW]: encodeURIComponent(JSON.stringify(row)), "Content-Type": "application/octet-stream" };
  try {
    if (!place) throw new Error("keeps nothing");
    await place.put(keyOf(row), new Response(file, { headers }));
  } catch {
    held.set(row.sha256, { row, file }); // no room: as long as the page
  }
  if (row.served) return;
  for (const old of (await kept()).filter(({ served }) => !served).slice(0, -MOST_OPENED)) await drop(old);
}

/** @param {Row} row */
export async function drop(row) {
  held.delete(row.sha256);
  await (await shelf())?.delete(keyOf(row));
}

/**
 * A row's file: kept, or brought by the server and kept from then on.
 * @param {Row} row @param {AbortSignal} signal @param {(share: number) => void} heard told how much of it is here
 * @param {(path: string, options: RequestInit) => Promise<Response>} ask the server
 * @returns {Promise<Blob | null>} null where it is not what it should be
 */
export async function fileOf(row, signal, heard, ask) {
  const here = await find(row);
  if (here) return here;
  const response = await ask(row.address, { signal }),
    parts = [];
  let bytes = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    heard(Math.min(1, (bytes += value.length) / row.bytes));
  }
  const file = new Blob(parts, { type: "application/octet-stream" }),
    hash = await sha256(file);
  if (file.size !== row.bytes || (hash !== null && hash !== row.sha256)) return null;
  await put(row, file);
  return file;
}

/** @param {Blob} file @returns {Promise<string | null>} hexadecimal digits; null where pages may not compute it */
export async function sha256(file) {
  if (!globalThis.crypto?.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
