// Folders opened in the browser: which of their files are pictures, and in which order. Nothing is read here, and no
// DOM: the same file runs in Node's tests.

/**
 * @typedef {{names: string[], at: number, served: boolean, open: (at: number) => Promise<Blob>}} Listing pictures to
 *   walk through; `served` ones lie in the server's folder
 */

const PICTURE = /\.(jpe?g|png|webp|tiff?|bmp)$/i; // what the server lists, too
const MOST_FILES = 10_000; // as in a listing of the server
const NATURAL = new Intl.Collator("en", { numeric: true });

/** @param {string} name @returns {string | undefined} "mask" or "sketch" where it is called one */
export const called = (name) => /(?:^|[_\-. ])(mask|sketch)(?:[_\-. ]|$)/i.exec(name)?.[1].toLowerCase();

/**
 * The order of paths: 2 before 10, the files of a folder before those of its subfolders.
 * @param {string} one @param {string} two
 */
export function natural(one, two) {
  const first = one.split("/"),
    second = two.split("/");
  for (let at = 0; ; at++) {
    const inner = Number(at < first.length - 1) - Number(at < second.length - 1);
    const order = inner || NATURAL.compare(first[at], second[at]) || (first[at] < second[at] ? -1 : 1);
    if (first[at] !== second[at] || inner) return order;
    if (at === first.length - 1) return 0;
  }
}

/** @param {string} path @returns {boolean} a picture, and neither it nor a folder around it hidden */
const listed = (path) => PICTURE.test(path) && !path.split("/").some((part) => part.startsWith("."));

/**
 * @param {{name: string, open: () => Promise<Blob>}[]} found any files
 * @returns {Listing} the pictures among them
 */
export function listing(found) {
  const pictures = found.filter(({ name }) => listed(name)).sort((one, two) => natural(one.name, two.name));
  return { names: pictures.map(({ name }) => name), at: -1, served: false, open: (at) => pictures[at].open() };
}

/** Files as a dialog or a drop gives them; a chosen folder's own name is left away. @param {File[]} files */
export function fromFiles(files) {
  return listing(
    files.map((file) => {
      const path = file.webkitRelativePath || file.name;
      return { name: path.slice(path.indexOf("/") + 1), open: async () => file };
    }),
  );
}

/** What dropped folders and files hold. @param {any[]} entries FileSystemEntry of each @returns {Promise<Listing>} */
export async function fromEntries(entries) {
  const found = [];
  /** @param {any} entry @param {string} name */
  const visit = async (entry, name) => {
    if (found.length >= MOST_FILES || entry.name.startsWith(".")) return;
    if (entry.isFile) {
      if (listed(name)) found.push({ name, open: () => new Promise((done, failed) => entry.file(done, failed)) });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // a part of the folder at a time; an empty one is the last
      const part = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!part.length) break;
      for (const each of part) await visit(each, name ? `${name}/${each.name}` : each.name);
    }
  };
  const alone = entries.length === 1 && entries[0].isDirectory;
  for (const entry of entries) await visit(entry, alone ? "" : entry.name);
  return listing(found);
}
