"""What a run leaves to read: one JSON object a line, and TensorBoard's events beside it.

Every line has `step` (steps done when it was written) and `kind`: "train" (losses, gradient norms, learning rates,
pictures per second, most memory so far in bytes, seconds trained), "validation" (mean absolute error inside the hole,
0..1, PSNR, feature distance), "note" and "warning" (words).
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, TextIO

from retouche.errors import InputError
from retouche.files import atomic_write

LOG = "log.jsonl"


class RunLog:
    """Writes the log; lines beyond the checkpoint that a run resumes from are cut off first."""

    def __init__(self, folder: Path, step: int, wandb: str = "", config: dict[str, Any] | None = None) -> None:
        """Open the log of a run that has done `step` steps.

        Args:
            wandb: project of Weights & Biases to log to as well; "" = none
            config: all settings, for it

        Raises: InputError if a package for it is not installed
        """
        self._wandb: Any = _wandb(folder, wandb, config or {}) if wandb else None
        self.path = folder / LOG
        _cut_back(self.path, step)
        self._file: TextIO = self.path.open("a", encoding="utf-8")
        self._events = _events(folder / "tensorboard", step)

    def write(self, step: int, kind: str, **values: Any) -> None:
        """One line; numbers go to TensorBoard too."""
        self._file.write(json.dumps({"step": step, "kind": kind, **values}, ensure_ascii=False) + "\n")
        self._file.flush()
        numbers = _numbers(values, kind)
        for name, value in numbers:
            self._events.add_scalar(name, value, step)
        if self._wandb is not None and numbers:
            self._wandb.log(dict(numbers), step=step)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """A picture (H, W, 3) uint8 for TensorBoard."""
        self._events.add_image(name, pixels, step, dataformats="HWC")
        if self._wandb is not None:
            import wandb

            self._wandb.log({name: wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        """Write out all that is pending."""
        self._file.close()
        self._events.close()
        if self._wandb is not None:
            self._wandb.finish()


def _numbers(values: dict[str, Any], place: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _numbers(value, f"{place}/{name}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append((f"{place}/{name}", float(value)))
    return found


def _events(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined,unused-ignore]
    except ImportError:
        raise InputError('training needs tensorboard: pip install "retouche[train]"') from None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)  # type: ignore[no-untyped-call,unused-ignore]


def _wandb(folder: Path, project: str, config: dict[str, Any]) -> Any:
    """The same run again when a training goes on: its name is kept in the run folder."""
    try:
        import wandb
    except ImportError:
        raise InputError("--wandb needs its package: pip install wandb; log.jsonl and tensorboard/ need none") from None
    kept = folder / "wandb.id"
    name = kept.read_text(encoding="utf-8").strip() if kept.is_file() else uuid.uuid4().hex[:12]
    run = wandb.init(project=project, id=name, name=folder.name, dir=str(folder), config=config, resume="allow")
    with atomic_write(kept) as temporary:
        temporary.write_text(name + "\n", encoding="utf-8")
    return run


def _cut_back(path: Path, step: int) -> None:
    """Drop what was logged after `step`, and a last line that a crash left unfinished."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
