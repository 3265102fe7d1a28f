// What an ONNX file says of itself, read from its bytes: ONNX Runtime Web tells nothing of it. No DOM here.

const FORMAT = "1"; // of what `retouche export` writes
const MOST_FIELDS = 10_000; // of a model, and
const MOST_BYTES = 1 << 20; // of one of its notes
/** @type {Record<string, [number, number]>} bounds of the numbers of `window`, those of the command line */
const BOUNDS = {
  multiple: [1, 1024],
  smallest: [0, 1 << 13],
  only: [0, 1 << 13],
  side: [1, 1 << 24],
  hole: [1, 1 << 24],
  context: [0, 1000],
};
/** @type {Record<string, string>} form: name of its first input */
const PICTURES = { network: "image", pipeline: "picture" };
const [VARINT, EIGHT, LENGTH, FOUR] = [0, 1, 2, 5]; // how a field of protobuf lies in the file
const NOTE = 14; // ModelProto.metadata_props

/**
 * @param {Blob} file
 * @returns {Promise<any>} the metadata with its `window` read; null where it is no file of `retouche export`
 */
export async function factsOf(file) {
  const notes = await notesOf(file).catch(() => null);
  if (!notes?.retouche || !notes.method || notes.format !== FORMAT) return null;
  try {
    const window = JSON.parse(notes.window),
      [picture, mask] = notes.inputs.split(" "),
      sound = picture === PICTURES[notes.form] && mask === "mask" && fits(window);
    return sound ? { ...notes, window } : null;
  } catch {
    return null;
  }
}

/** Whether a picture can be brought before a network by these numbers. @param {any} window */
function fits({ centre = null, ...window }) {
  const within = (value, [low, high]) => typeof value === "number" && value >= low && value <= high,
    [side, hole] = centre ?? [1, 1];
  return (
    Object.entries(BOUNDS).every(([name, bounds]) => within(window[name] ?? (name === "context" ? 0 : null), bounds)) &&
    within(side, [1, 1 << 13]) &&
    within(hole, [1, side])
  );
}

/** @param {Blob} file @returns {Promise<Record<string, string> | null>} null where it is no protobuf */
async function notesOf(file) {
  /** @type {Record<string, string>} */
  const found = {};
  let at = 0;
  for (let count = 0; at < file.size; count++) {
    const head = reader(new Uint8Array(await file.slice(at, at + 20).arrayBuffer())),
      tag = head.varint(),
      kind = tag % 8;
    if (count > MOST_FIELDS || head.failed()) return null;
    if (kind === LENGTH) {
      const length = head.varint(),
        from = at + head.at();
      if (head.failed() || from + length > file.size) return null;
      if (Math.floor(tag / 8) === NOTE && length <= MOST_BYTES) {
        const [key, value] = pair(new Uint8Array(await file.slice(from, from + length).arrayBuffer()));
        found[key] = value;
      }
      at = from + length;
    } else {
      if (kind === VARINT) head.varint();
      else if (kind !== EIGHT && kind !== FOUR) return null;
      at += head.at() + (kind === EIGHT ? 8 : kind === FOUR ? 4 : 0);
    }
  }
  return found;
}

/** @param {Uint8Array} bytes of a note @returns {string[]} its key and its value */
function pair(bytes) {
  const found = ["", ""],
    head = reader(bytes);
  while (head.at() < bytes.length && !head.failed()) {
    const tag = head.varint(),
      length = head.varint(),
      field = Math.floor(tag / 8);
    if (tag % 8 !== LENGTH) break;
    if (field === 1 || field === 2) found[field - 1] = new TextDecoder().decode(bytes.subarray(head.at(), head.at() + length));
    head.skip(length);
  }
  return found;
}

/** @param {Uint8Array} bytes */
function reader(bytes) {
  let at = 0,
    failed = false;
  return {
    at: () => at,
    failed: () => failed,
    skip: (count) => void (at += count),
    varint() {
      let value = 0;
      for (let shift = 0; shift < 50; shift += 7) {
        if (at >= bytes.length) break;
        const byte = bytes[at++];
        value += (byte & 127) * 2 ** shift;
        if (byte < 128) return value;
      }
      failed = true;
      return 0;
    },
  };
}
