// Takes holes away; with Shift it paints them.

import { painter } from "./brush.js";

export default {
  name: "eraser",
  key: "E",
  round: "size",
  ...painter("mask", true),
};
