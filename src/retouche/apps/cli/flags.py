"""Flags that several verbs have: type, metavar and help in one place; defaults stand with each verb."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tyro


def _flag(metavar: str | None, text: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help=text)


def _optional(metavar: str | None, text: str) -> Any:
    """Its help does not end in a default: the text says what happens without it."""
    return tyro.conf.arg(metavar=metavar, help=text, help_behavior_hint="")


Compile = Annotated[
    bool, _optional(None, "Compile the networks (torch.compile): minutes at each new size, quicker passes after.")
]
Device = Annotated[str, _flag("D", "auto (a GPU if there is one), cpu, cuda, cuda:N or mps.")]
EngineName = Annotated[
    Literal["torch", "onnx", "openvino"] | None,
    _optional(
        "torch|onnx|openvino",
        "Who runs the networks. Default: torch, and ONNX Runtime for a FILE.onnx. Weights are exported for another "
        "engine once (extras: onnx, openvino).",
    ),
]
Feather = Annotated[
    str, _flag("N|auto", "Width in pixels of the soft edge inside the grown ring. auto: half of --dilate.")
]
InvertMask = Annotated[bool, _optional(None, "Black is the hole.")]
Json = Annotated[bool, _optional(None, "One JSON object on stdout.")]
JsonOfEach = Annotated[bool, _optional(None, "One JSON object for each picture on stdout.")]
LargeHoles = Annotated[bool, _optional(None, "Masks that are mostly hole are meant so, not inverted.")]
Limit = Annotated[int | None, _optional("N", "Take the first N pictures only.")]
Memory = Annotated[str, _flag("SIZE", "What one pass of the model may take.")]
MemoryOfEach = Annotated[str, _flag("SIZE", "What one pass of a model may take.")]
ModelName = Annotated[
    str, _flag("M", "Who fills: a name, NAME:TAG, a weight file or a folder; `retouche models` lists the names.")
]
Overwrite = Annotated[bool, _optional(None, "Replace files that exist, even the input itself.")]
OverwriteOutput = Annotated[bool, _optional(None, "Replace the output if it exists.")]
Precision = Annotated[
    Literal["32", "tf32", "bf16", "fp16"],
    _flag(
        "32|tf32|bf16|fp16",
        "What networks compute in; how far their fills are from float32 is said. tf32: products of 10 bits, on GPUs "
        "that have them. bf16, fp16: half precision.",
    ),
]
Seed = Annotated[int, _flag("N", "For models that draw at random.")]
SeedOfMasks = Annotated[int, _flag("N", "Of drawn masks, and for models that draw at random.")]
Threads = Annotated[int | None, _optional("N", "CPU threads. Default: all cores.")]
ThreadsBesideWorkers = Annotated[
    int | None, _optional("N", "CPU threads that fill. Default: all cores, less the workers.")
]
ThreadsOfEach = Annotated[
    int | None, _optional("N", "CPU threads of each process. Default: all cores, shared among the workers.")
]
