// Everything that travels: to this page's own server, and nowhere else.

import { has, t } from "./strings.js";

/** An answer that is no success; its message is the server's one line. */
export class ServerError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Whether the server runs on this machine. */
export const near = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(globalThis.location?.hostname ?? "");

const PATIENCE = 10 * 60_000; // milliseconds for which a full queue is asked again
/** @type {{unlock: () => Promise<boolean>}} asks for the token, and tells whether it was given */
export const door = { unlock: async () => false };

/** @param {number} milliseconds @param {AbortSignal} [signal] */
const pause = (milliseconds, signal) =>
  new Promise((done, failed) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(new DOMException("", "AbortError"));
    });
  });

/**
 * @param {string} path @param {RequestInit} [options]
 * @param {{patient?: boolean, waits?: (() => void) | null}} [manner] `patient`: come again to a full queue when it says,
 *   and ask for the token where it has expired; `waits` is called before each wait
 * @returns {Promise<Response>}
 */
export async function ask(path, options = {}, { patient = true, waits = null } = {}) {
  const until = performance.now() + PATIENCE;
  for (;;) {
    const response = await once(path, options);
    if (response.ok) return response;
    const seconds = Number(response.headers.get("Retry-After"));
    if (patient && response.status === 429 && seconds > 0 && performance.now() + seconds * 1000 < until) {
      waits?.();
      await pause(seconds * 1000, options.signal);
    } else if (!patient || response.status !== 401 || !(await door.unlock())) throw await refusal(response);
  }
}

/** @param {string} path @param {RequestInit} options */
async function once(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, t("server.away"));
  }
}

/** @param {Response} response @returns {Promise<ServerError>} in words */
async function refusal(response) {
  let text = await response.text();
  try {
    const { error, detail } = JSON.parse(text);
    text = error ?? (typeof detail === "string" ? detail : "");
  } catch {
    text = "";
  }
  const known = `server.${response.status}`;
  text ||= has(known) ? t(known) : t("server.said", { status: response.status });
  return new ServerError(response.status, text);
}

/** @param {string} path @param {object | null} [body] sent as JSON where given @param {object} [manner] as of `ask` */
export async function json(path, body, manner) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  return (await ask(path, options ?? {}, manner)).json();
}

/**
 * Fill a crop: the answer is the part of it that holds the grown hole, and where that lies.
 * @param {{image: Blob, mask: Blob, sketch?: Blob | null, model: string, dilate: number, feather: number | null,
 *   seed: number, device: string | null, job: string}} request @param {AbortSignal} signal
 * @param {() => void} waits called while the queue is full
 * @returns {Promise<{blob: Blob, box: import("./raster.js").Box, report: object | null}>}
 */
export async function inpaint(request, signal, waits) {
  const body = new FormData();
  body.append("answer", "hole");
  for (const [name, value] of Object.entries(request)) {
    if (value === null || value === undefined) continue;
    if (value instanceof Blob) body.append(name, value, `${name}.png`);
    else body.append(name, String(value));
  }
  const response = await ask("/api/v1/inpaint", { method: "POST", body, signal }, { waits });
  const header = response.headers.get("X-Retouche-Report"),
    [left, top, right, bottom] = response.headers.get("X-Retouche-Box").split(",").map(Number);
  return {
    blob: await response.blob(),
    box: { left, top, right, bottom },
    report: header ? JSON.parse(header) : null,
  };
}

/** @returns {string} a name for a request that nobody guesses */
export const jobName = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const ASK_FIRST = 250, // milliseconds
  ASK_AGAIN = 400,
  ASK_LATER = 6400, // at the most, after answers that failed
  ANSWER_LATEST = 10_000; // later it is taken for lost

/**
 * Ask again and again how far a request is. An answer that fails or does not come ends nothing: the next is asked for
 * after a longer pause, and what is wrong with the request is told by the request itself.
 * @param {string} name as sent with it
 * @param {(state: {state: string, place: number | null, fraction: number | null}) => void} heard
 * @returns {() => void} ends it
 */
export function follow(name, heard) {
  let over = false,
    wait = ASK_AGAIN,
    timer = setTimeout(look, ASK_FIRST);
  async function look() {
    try {
      const signal = AbortSignal.timeout(ANSWER_LATEST),
        state = await (await ask(`/api/v1/jobs/${name}`, { signal }, { patient: false })).json();
      if (!over) heard(state);
      wait = ASK_AGAIN;
    } catch {
      wait = Math.min(ASK_LATER, wait * 2);
    }
    if (!over) timer = setTimeout(look, wait);
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
