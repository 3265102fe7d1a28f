// Where files come in: buttons, drop, paste.

import { openExample } from "./begin.js";
import { fromEntries, fromFiles } from "./folder.js";
import { takeAll } from "./take.js";
import { openFolder, walk } from "./walk.js";
import { element, sayError, work } from "./work.js";

export function choose() {
  element("file").click();
}

export function chooseFolder() {
  element("folder").click();
}

export function setUpDoors() {
  element("open").addEventListener("click", choose);
  element("choose").addEventListener("click", choose);
  element("example").addEventListener("click", openExample);
  element("previous").addEventListener("click", () => walk(-1));
  element("next").addEventListener("click", () => walk(1));
  for (const id of ["openfolder", "choosefolder"]) {
    element(id).addEventListener("click", chooseFolder);
    element(id).hidden = !("webkitdirectory" in HTMLInputElement.prototype); // telephones have no folders to choose
  }
  element("file").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    await takeAll(files);
  });
  element("folder").addEventListener("change", async (event) => {
    const files = fromFiles([...event.target.files]);
    event.target.value = "";
    await openFolder(files);
  });
  let depth = 0;
  const hint = (on) => (element("drop").hidden = !on);
  addEventListener("dragenter", (event) => {
    if (event.dataTransfer?.types.includes("Files")) hint(++depth > 0);
  });
  addEventListener("dragleave", () => hint((depth = Math.max(0, depth - 1)) > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    hint((depth = 0) > 0);
    // both lists are gone once this has waited
    const files = [...(event.dataTransfer?.files ?? [])],
      entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    try {
      if (entries.some((entry) => entry.isDirectory)) await openFolder(await fromEntries(entries));
      else await takeAll(files);
    } catch (error) {
      sayError(error); // a folder that may not be read
    }
  });
  addEventListener("paste", async (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    await takeAll(files);
  });
  addEventListener("beforeunload", (event) => {
    if (work.document?.unsaved) event.preventDefault();
  });
}
