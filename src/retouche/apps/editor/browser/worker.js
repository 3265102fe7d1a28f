// Runs exported networks by ONNX Runtime Web, beside the page: WebGPU where there is one, else WebAssembly.

import { fill } from "./network.js";

/** @typedef {{sha256: string, form: string, inputs: string, window: import("./windows.js").Window}} Row */
/** @typedef {{run: import("./network.js").Network["run"], on: string, remarks: string[]}} Session */

const here = /** @type {any} */ (self);
/** @type {{sha256: string, session: Session} | null} */
let open = null;

here.addEventListener("message", async ({ data }) => {
  const { row, file, runtime, part } = data,
    began = performance.now();
  try {
    if (open?.sha256 !== row.sha256) {
      open = null; // its memory first
      open = { sha256: row.sha256, session: await started(file, runtime) };
    }
    const { run, on, remarks } = open.session,
      ready = performance.now();
    here.postMessage({ ready: true });
    const network = { form: row.form, inputs: row.inputs.split(" "), window: row.window, run },
      spots = await fill(network, part, (share) => here.postMessage({ share })),
      seconds = (performance.now() - ready) / 1000;
    const windows = spots.map(({ crop, scale }) => ({ crop: [crop.left, crop.top, crop.right, crop.bottom], scale }));
    here.postMessage({ rgba: part.rgba, windows, seconds, starting: (ready - began) / 1000, on, remarks }, [part.rgba.buffer]);
  } catch (error) {
    open = null; // what failed is begun anew
    here.postMessage({ failed: String(error?.message ?? error).split("\n")[0].slice(0, 300) });
  }
});

/** Whether there is a GPU that pages may use; one that is played by the processor is slower than WebAssembly. */
async function gpu() {
  try {
    const adapter = await /** @type {any} */ (navigator).gpu?.requestAdapter();
    return Boolean(adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
  } catch {
    return false;
  }
}

/** @param {Blob} file @param {string} runtime folder of ONNX Runtime Web @returns {Promise<Session>} */
async function started(file, runtime) {
  const bytes = new Uint8Array(await file.arrayBuffer()),
    remarks = [];
  if (await gpu()) {
    try {
      return { ...(await session(bytes, runtime, "webgpu")), on: "WebGPU", remarks };
    } catch (error) {
      remarks.push(`WebGPU: ${String(error?.message ?? error).split("\n")[0]}`);
    }
  }
  return { ...(await session(bytes, runtime, "wasm")), on: "WebAssembly", remarks };
}

/** @param {Uint8Array} bytes @param {string} runtime @param {"webgpu" | "wasm"} provider */
async function session(bytes, runtime, provider) {
  const ort = await import(`${runtime}ort.${provider}.min.mjs`);
  ort.env.wasm.wasmPaths = new URL(runtime, location.href).href;
  if (!here.crossOriginIsolated) ort.env.wasm.numThreads = 1; // more need shared memory
  ort.env.logLevel = "error";
  const made = await ort.InferenceSession.create(bytes, {
    executionProviders: provider === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
    logSeverityLevel: 3,
  });
  /** @type {Session["run"]} */
  const run = async (feeds) => {
    const tensors = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]),
      found = (await made.run(Object.fromEntries(tensors)))[made.outputNames[0]];
    return found.getData();
  };
  return { run };
}
