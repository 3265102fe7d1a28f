// Moves the picture; the pointer's code pans for it.
export default { name: "hand", key: "H", cursor: "grab" };
