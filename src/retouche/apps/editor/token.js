// The form for a token that has expired, in its place: who asked waits, and goes on.

import { door } from "./api.js";
import { t } from "./strings.js";
import { element } from "./work.js";

/** @type {Promise<boolean> | null} one form for all who ask */
let asking = null;

/** @param {string} token @returns {Promise<boolean>} whether the server took it */
async function give(token) {
  const answer = await fetch("/token", {
    method: "POST",
    credentials: "same-origin",
    redirect: "manual", // what it leads to is this page
    body: new URLSearchParams({ token }),
  });
  return answer.type === "opaqueredirect" || answer.ok;
}

/** @returns {Promise<boolean>} whether a token was given that holds */
function unlock() {
  asking ??= new Promise((done) => {
    const dialog = element("token"),
      form = element("tokenform"),
      word = element("tokenword"),
      message = element("tokenmessage");
    const submit = async (event) => {
      event.preventDefault();
      try {
        if (await give(word.value)) return dialog.close("given");
        message.textContent = t("token.wrong");
      } catch {
        message.textContent = t("server.away");
      }
      word.select();
    };
    form.addEventListener("submit", submit);
    element("tokenlater").onclick = () => dialog.close("");
    dialog.addEventListener(
      "close",
      () => {
        form.removeEventListener("submit", submit);
        asking = null;
        word.value = message.textContent = "";
        done(dialog.returnValue === "given");
      },
      { once: true },
    );
    dialog.returnValue = "";
    dialog.showModal();
    word.focus();
  });
  return asking;
}

export function setUpToken() {
  door.unlock = unlock;
}
