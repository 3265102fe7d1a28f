// Everything that travels: to this page's own server, and nowhere else.

/** An answer that is no success; its message is the server's one line. */
export class ServerError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<Response>} */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "the server does not answer: is `retouche start` still running?");
  }
  if (response.ok) return response;
  let text = await response.text();
  try {
    const { error, detail } = JSON.parse(text);
    text = error ?? (typeof detail === "string" ? detail : "");
  } catch {
    text = "";
  }
  const fallback = {
    401: "the server asks for its token: reload this page",
    413: "this is more than the server takes in one request: a smaller hole, or a crop",
    429: "the server is busy with other fills: try again in a moment",
    504: "the fill took longer than the server allows: a smaller hole, or another model",
  };
  throw new ServerError(response.status, text || fallback[response.status] || `the server said ${response.status}`);
}

/** @param {string} path @param {object} [body] sent as JSON where given */
export async function json(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  return (await ask(path, options)).json();
}

/**
 * Fill a crop.
 * @param {{image: Blob, mask: Blob, sketch?: Blob | null, model: string, dilate: number, feather: number | null,
 *   seed: number, device: string | null, job: string}} request @param {AbortSignal} signal
 * @returns {Promise<{blob: Blob, report: object | null}>}
 */
export async function inpaint(request, signal) {
  const body = new FormData();
  for (const [name, value] of Object.entries(request)) {
    if (value === null || value === undefined) continue;
    if (value instanceof Blob) body.append(name, value, `${name}.png`);
    else body.append(name, String(value));
  }
  const response = await ask("/api/v1/inpaint", { method: "POST", body, signal });
  const header = response.headers.get("X-Retouche-Report");
  return { blob: await response.blob(), report: header ? JSON.parse(header) : null };
}

/** @returns {string} a name for a request that nobody guesses */
export const jobName = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const ASK_FIRST = 250, // milliseconds
  ASK_AGAIN = 400;

/**
 * Ask again and again how far a request is.
 * @param {string} name as sent with it
 * @param {(state: {state: string, place: number | null, fraction: number | null}) => void} heard
 * @returns {() => void} ends it
 */
export function follow(name, heard) {
  let over = false,
    timer = setTimeout(look, ASK_FIRST);
  async function look() {
    try {
      const state = await json(`/api/v1/jobs/${name}`);
      if (!over) heard(state);
    } catch {
      return; // the request itself tells what is wrong
    }
    if (!over) timer = setTimeout(look, ASK_AGAIN);
  }
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

/** @param {Blob} blob @returns {Promise<string>} base64 */
export async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer()),
    parts = [];
  for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(parts.join(""));
}
