// Moves the picture; the pointer's code pans for it.
export default { name: "hand", key: "H", label: "Hand", hint: "drag to move the picture", cursor: "grab" };
