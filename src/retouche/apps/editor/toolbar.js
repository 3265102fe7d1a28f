// The tools, one beside the other.

import { setTool } from "./actions.js";
import { t } from "./strings.js";
import { TOOLS } from "./tools/index.js";
import { element, takes, work } from "./work.js";

export function showTools() {
  const bar = element("tools"),
    { settings } = work;
  if (!bar.childElementCount)
    for (const tool of TOOLS) {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `tool-${tool.name}`;
      button.setAttribute("aria-keyshortcuts", tool.key);
      button.innerHTML = `<svg aria-hidden="true"><use href="#i-${tool.name}"/></svg>`;
      button.addEventListener("click", () => setTool(tool.name));
      bar.append(button);
    }
  for (const tool of TOOLS) {
    const button = element(`tool-${tool.name}`);
    button.hidden = Boolean(tool.guide) && !takes(tool.guide);
    button.title = `${t(`tool.${tool.name}`)} (${tool.key})`;
    button.setAttribute("aria-label", t(`tool.${tool.name}`));
    button.setAttribute("aria-pressed", String(tool.name === settings.tool));
    button.tabIndex = tool.name === settings.tool ? 0 : -1; // arrow keys move inside the bar
  }
}

export function setUpTools() {
  showTools();
  element("tools").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const shown = [...element("tools").querySelectorAll("button:not([hidden])")];
    const next = shown[(shown.indexOf(document.activeElement) + by + shown.length) % shown.length];
    next.click();
    next.focus();
  });
}
