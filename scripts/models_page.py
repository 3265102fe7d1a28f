"""Writes docs/models.md from the methods' own records: `python scripts/models_page.py > docs/models.md`."""

from __future__ import annotations

from retouche.backbones import PUBLISHED
from retouche.methods import METHODS, find, methods
from retouche.methods.method import Method, Weights
from retouche.weights.layout import Layout
from retouche.weights.store import needs_browser

HEAD = """\
# Models and their weights

This page is written by `scripts/models_page.py` from the records in `src/retouche/methods`; do not edit it by hand.

Retouche ships no other people's weights. `retouche download NAME:TAG` fetches a published file where its address
leads to the file itself; the others open in a browser only, and are saved under the cache folder by hand
(`retouche download` prints the address and the place). Any file can be given by its path as well:
`retouche run --model FILE ...` or `retouche.load(FILE)` recognises it by its content.

- **Hashes.** A file is checked against its SHA-256 whenever it is used. Where the table says *not known*, nobody has
  published the hash: the file is refused unless `--accept-unknown-hash` is said once, then its hash is recorded in
  `accepted-hashes.json` in the cache and demanded from then on.
- **Licences** are those stated by the publishers, of the weights as far as anything is said about them; the pictures
  they were trained on may carry terms of their own. "Not stated" means that nothing was found.
- **Containers.** safetensors; PyTorch `.pth`, `.pt`, `.p`, `.bin` old and new; Paddle `.pdparams`; TensorFlow V2
  checkpoints (prefix, `.index` file or folder); Lua Torch `.t7` in binary; Caffe `.caffemodel`; Keras HDF5;
  TorchScript archives. No code in a file is run: all readers are our own and know tensors, arrays and containers
  alone, within bounds that follow from the file's size.
  ONNX and pickled modules are refused with the remedy.
- **Colours.** Some networks were trained on pictures in the order blue, green, red. Each method's first table says
  which order its files' networks see and how that is known; Retouche exchanges the colours for them, so that pictures
  go in and come out as they are. A file fed in the wrong order still fills, with wrong colours. Where the order is not
  known, `retouche compare --orders --model FILE --image P --mask P --output SHEET` shows a picture filled both ways
  (take one with strong reds or blues), and `retouche convert FILE OUT.safetensors --order bgr`, or
  `retouche.load(FILE, order="bgr")`, holds on to what was seen. `model.critics` are called as they were published, in
  their own order.
- **Cache.** `$RETOUCHE_HOME/weights/METHOD/TAG/FILE`; without `RETOUCHE_HOME` in `retouche` below the XDG cache folder
  (`~/.cache/retouche`).
- `retouche convert FILE OUT.safetensors` makes a file of our own from any of these.

"""


def where(weights: Weights) -> str:
    """How one gets the file."""
    if weights.url is None:
        return f"by hand: {weights.remark}" if weights.remark else "by hand"
    kind = "browser" if needs_browser(weights.url) else "download"
    return f"[{kind}]({weights.url})" + (f"; {weights.remark}" if weights.remark else "")


def row(weights: Weights) -> str:
    """One line of a method's table."""
    size = f"{weights.size_bytes / 1e6:.1f} MB" if weights.size_bytes else "not known"
    sha256 = f"`{weights.sha256}`" if weights.sha256 else "not known"
    cells = (
        f"`{weights.tag}`",
        f"`{weights.file}`",
        weights.layout,
        weights.trained_on,
        weights.licence,
        size,
        sha256,
        where(weights),
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def layout_row(layout: Layout) -> str:
    """One line of a method's table of layouts."""
    order = ", ".join(layout.order.upper()) + ("" if layout.order_source else " as its program feeds them")
    source = layout.order_source or "not known: try both, see above"
    return f"| `{layout.name}` | {order} | {source} |\n"


def section(name: str, record: Method) -> str:
    """A method's heading, layouts and table."""
    text = f"## {name}\n\n{record.title}. {record.source}\n\n"
    if record.layouts:
        lines = dict.fromkeys(layout_row(layout) for layout in record.layouts)
        text += "| layout recognised | colours its networks see | how that is known |\n|---|---|---|\n"
        text += "".join(lines) + "\n"
    if not record.weights:
        return f"{text}No weights are published: train it, or give a file.\n\n"
    text += (
        "| tag | file | layout | trained on | licence | size | SHA-256 | where |\n|---|---|---|---|---|---|---|---|\n"
    )
    return text + "".join(row(weights) for weights in record.weights) + "\n"


def page() -> str:
    """The whole page."""
    records = {name: find(name) for name in methods() if name in METHODS}
    fills = [f"`{name}` ({record.title})" for name, record in records.items() if record.build is None]
    networks = [section(name, record) for name, record in records.items() if record.build is not None]
    return f"{HEAD}{''.join(networks)}## Fills without weights\n\n{', '.join(fills)}.\n\n{backbones()}"


def backbones() -> str:
    """The table of backbones."""
    rows = "".join(row(weights).replace(f"`{weights.tag}`", f"`{name}`", 1) for name, weights in PUBLISHED.items())
    return (
        "## Backbones\n\nFrozen networks whose features are compared, in losses (`--perceptual-weights vgg19`) and\n"
        "tables (`--lpips-weights alexnet lpips-alex`, `--inception-weights inception`);\n"
        "`retouche download NAME` fetches one.\n\n"
        "| name | file | layout | trained on | licence | size | SHA-256 | where |\n|---|---|---|---|---|---|---|---|\n"
        + rows
    )


if __name__ == "__main__":
    print(page(), end="")
