// Keeps the shell alone, so that an installed page opens while its server is away, and says so. Pictures, fills and all
// else that the server answers are never kept: the network has the first word, and for the shell the last one, too.

const SHELL = "retouche shell";
const KINDS = /\/([\w.-]+\.(m?js|wasm|css|svg|png|webmanifest))?$/; // files of the page; addresses of the server have no suffix
const worker = /** @type {any} */ (self);

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const { request } = event,
    { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin || pathname.startsWith("/api/") || !KINDS.test(pathname))
    return;
  event.respondWith(answer(request));
});

/** @param {Request} request @returns {Promise<Response>} */
async function answer(request) {
  const shell = await caches.open(SHELL);
  try {
    const response = await fetch(request);
    // what asks for the token is not the page
    if (response.ok && !response.redirected) await shell.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await shell.match(request, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}
