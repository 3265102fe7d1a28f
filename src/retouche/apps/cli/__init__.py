"""The command line: `retouche VERB`, one file a verb, imported only when the verb is called.

A verb's module holds its help text (the module's docstring), a frozen dataclass `Options` whose fields and their
docstrings are the flags, and `main(options) -> int`, the exit code: 0 done, 1 some pictures of a batch failed, 2 wrong
use or bad input. Adding a verb is its file and one line in `VERBS`.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from retouche.errors import RetoucheError
from retouche.folders.names import shown


class Verb(NamedTuple):
    """Where a verb lives and what it does, in one line of `retouche --help`."""

    module: str
    help: str


VERBS = {
    "run": Verb("retouche.apps.cli.run", "fill the holes of a picture, or of a whole folder"),
    "video": Verb("retouche.apps.cli.video", "fill one hole through a film, steady in time"),
    "start": Verb("retouche.apps.cli.start", "open the editor in a browser, and the HTTP API beside it"),
    "replay": Verb("retouche.apps.cli.replay", "do again what an edit file of the editor records"),
    "eval": Verb("retouche.apps.cli.eval", "evaluate models on pictures: a table with intervals, plots, pictures"),
    "reproduce": Verb("retouche.apps.cli.reproduce", "a paper's protocol: its table with our value beside each cell"),
    "compare": Verb("retouche.apps.cli.compare", "several models on one picture, side by side on one sheet"),
    "check": Verb("retouche.apps.cli.check", "verify that nothing outside the hole has changed"),
    "train": Verb("retouche.apps.cli.train", "train a method on a folder of pictures, or go on training"),
    "mask": Verb("retouche.apps.cli.mask", "make a set of masks, with its hash"),
    "faces": Verb("retouche.apps.cli.faces", "prepare CelebA's or CelebA-HQ's faces: lists by their split, copies"),
    "structure": Verb("retouche.apps.cli.structure", "make edge-preserving smoothed (structure) pictures"),
    "sketch": Verb("retouche.apps.cli.sketch", "make sketches, the lines of a picture's edges, for guided fills"),
    "models": Verb("retouche.apps.cli.models", "list methods and weights: kind, licence, size, installed or not"),
    "download": Verb("retouche.apps.cli.download", "fetch published weights, checked and resumable"),
    "convert": Verb("retouche.apps.cli.convert", "turn a foreign weight file into one of ours"),
    "export": Verb("retouche.apps.cli.export", "write a network as one ONNX file, compared with PyTorch"),
    "doctor": Verb("retouche.apps.cli.doctor", "say what is installed, which device is used and why; self-test"),
}

INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended

_HELP = """\
usage: retouche VERB [options]

Fill holes in pictures: remove objects, scratches, text. Nothing outside the hole changes.

{verbs}

  --help       this text; `retouche VERB --help` explains a verb and all its flags
  --version    the version

examples:
  retouche run --image photo.jpg --mask mask.png --output filled.jpg
  retouche run --image photos/ --mask masks/ --output filled/ --resume
  retouche check photo.jpg filled.jpg mask.png --lossy

A mask is a picture of the same size: white is the hole, black is kept.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `retouche`; None = those of this process

    Returns: the exit code
    """
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv), owns_process=argv is None)
        sys.stdout.flush()
        return code
    except RetoucheError as error:
        print(f"retouche: {shown(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("retouche: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has gone (`| head`): say no more, and keep the interpreter's own last flush silent
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        print(f"retouche: {shown(error.filename or 'file system')}: {error.strerror}", file=sys.stderr)
        return 2


def _main(words: list[str], owns_process: bool) -> int:
    if not words or words[0] in {"--help", "-h", "help"}:
        width = max(map(len, VERBS))
        print(_HELP.format(verbs="\n".join(f"  {name:{width}}  {verb.help}" for name, verb in VERBS.items())), end="")
        return 0 if words else 2
    if words[0] in {"--version", "-V"}:
        from retouche import __version__

        print(f"retouche {__version__}")
        return 0
    name = words[0]
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, 1)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        raise RetoucheError(f'no verb "{name}"; {hint}known: {", ".join(VERBS)}')
    from retouche.apps.cli import terminal

    if owns_process:
        terminal.own_the_process()
        terminal.share_the_cores()
        terminal.bound_the_kernels()
        terminal.take_any_encoding()
    try:
        with terminal.loading():
            module = importlib.import_module(VERBS[name].module)
            if hasattr(module, "parse"):  # flags that depend on the words
                options = module.parse(words[1:])
            else:
                options = terminal.parse(module.Options, words[1:], name, module.__doc__ or "")
    except SystemExit as exit:  # tyro has printed the help (0) or what is wrong with the flags (2)
        return exit.code if isinstance(exit.code, int) else 2
    terminal.show_warnings()
    if owns_process:
        terminal.keep_freed_memory()
        terminal.hide_python_warnings()
    try:
        return int(module.main(options) or 0)
    finally:
        terminal.leave_quickly()
