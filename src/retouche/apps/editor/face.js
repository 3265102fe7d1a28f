// How much of the page is shown, and in which language: one brush that fills on release, or all tools and settings.

import { LANGUAGES, speak, speakToFingers, t } from "./strings.js";
import { element, set, work } from "./work.js";

const KINDS = { t: "textContent", tTitle: "title", tLabel: "aria-label" }; // data-t, data-t-title, data-t-label
const fingers = matchMedia("(pointer: coarse)");

/** @returns {NodeListOf<HTMLSelectElement>} */
const languages = () => document.querySelectorAll("select.languages");

/** Put the words of the language in their places. */
function translate() {
  document.documentElement.lang = speak(work.settings.language, navigator.languages);
  speakToFingers(fingers.matches);
  for (const [name, target] of Object.entries(KINDS)) {
    const attribute = `data-${name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)}`;
    for (const each of document.querySelectorAll(`[${attribute}]`)) {
      const text = t(each.getAttribute(attribute));
      if (target === "textContent") each.textContent = text;
      else each.setAttribute(target, text);
    }
  }
  for (const list of languages()) list.value = document.documentElement.lang;
}

export function setUpLanguage() {
  for (const list of languages()) {
    for (const [value, textContent] of Object.entries(LANGUAGES))
      list.append(Object.assign(document.createElement("option"), { value, textContent, lang: value }));
    list.addEventListener("change", () => {
      work.settings.language = list.value;
      translate();
      set({});
    });
  }
  translate();
  fingers.addEventListener("change", () => {
    translate();
    set({});
  });
}

export const simple = () => work.settings.face === "simple";
/** Whether fingers paint. */
export const touched = () => fingers.matches;

export function setUpFace() {
  element("face").addEventListener("click", () => {
    const face = simple() ? "full" : "simple";
    set({ face, ...(face === "simple" && { tool: "brush" }) });
  });
  work.changed.add(() => {
    const face = element("face"),
      name = t(simple() ? "more" : "less");
    document.body.dataset.face = work.settings.face;
    face.querySelector("use").setAttribute("href", simple() ? "#i-panel" : "#i-brush");
    face.querySelector("span").textContent = name;
    face.title = t(simple() ? "more.title" : "less.title");
    face.setAttribute("aria-label", name);
    face.setAttribute("aria-pressed", String(!simple()));
    element("how").textContent = t(simple() ? "empty.how" : "empty.how.full");
  });
}
