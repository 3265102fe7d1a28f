// Takes holes away; with Shift it paints them.

import { painter } from "./brush.js";

export default {
  name: "eraser",
  key: "E",
  label: "Eraser",
  hint: "take parts of the mask away; Shift paints",
  round: "size",
  ...painter("mask", true),
};
