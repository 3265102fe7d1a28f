// What the page says, in the language chosen: `words/` has one file for each, with the same keys.

import en from "./words/en.js";
import zh from "./words/zh.js";

export const LANGUAGES = { en: "English", zh: "中文" };
/** @type {Record<string, Record<string, string>>} */
const WORDS = { en, zh };

let chosen = "en";
let touch = false;

/** @param {string | null} kept @param {readonly string[]} wanted by the browser @returns {string} the language */
export function speak(kept, wanted = []) {
  const asked = [kept, ...wanted].map((name) => String(name ?? "").slice(0, 2).toLowerCase());
  return (chosen = asked.find((name) => name in WORDS) ?? "en");
}

/** Whether fingers paint. @param {boolean} on */
export function speakToFingers(on) {
  touch = on;
}

/** @param {string} key @returns {boolean} whether there are words for it */
export const has = (key) => key in WORDS[chosen];

/** @param {string} key @param {Record<string, string | number>} [values] @returns {string} */
export function t(key, values = {}) {
  const words = WORDS[chosen],
    text = (touch && words[`${key}.touch`]) || words[key];
  if (text === undefined) throw new Error(`no string "${key}"`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** What a method is good for, where that is known. @param {string | null | undefined} method */
export const goodFor = (method) => (method && has(`for.${method}`) ? t(`for.${method}`) : method ? "" : t("for.file"));
