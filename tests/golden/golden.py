"""Deterministic weights for golden files: the same numbers on every machine.

A golden file says what a published network layout computes for weights that nobody has to ship:
`NAME.json` lists the layout's parameters (name -> shape), `fill` turns that list into numbers, and
`NAME.safetensors` holds inputs and the outputs that the published layout gave for them.

A parameter's numbers depend on its name, its shape and the seed alone (NumPy's frozen RandomState stream):
    *_u, *_v             the leading left / right singular vector of the filled *_orig matrix (spectral norm)
    two or more axes     normal, standard deviation gain / sqrt(product of all axes but the first)
    one axis, bias       0.1 * normal
    one axis, otherwise  1 + 0.1 * normal          (norm scales)
    running_mean         0.1 * normal;   running_var  1 + 0.1 * |normal|
    num_batches_tracked  0 (int64)
    zero axes            0.5 (gates, noise scales, ...)
"""

import zlib

import numpy as np


def fill(shapes: dict[str, list[int]], seed: int = 0, gain: float = 1.0) -> dict[str, np.ndarray]:
    """Numbers for every parameter of a layout: name -> float32 array of the listed shape."""
    filled: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        if name.endswith(("_u", "_v")):
            continue
        stream = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
        normal = stream.standard_normal(tuple(shape))
        if name.endswith("num_batches_tracked"):
            value = np.zeros(tuple(shape), np.int64)
        elif len(shape) == 0:
            value = np.float32(0.5)
        elif len(shape) > 1:
            value = gain * normal / np.sqrt(np.prod(shape[1:]))
        elif name.endswith("running_var"):
            value = 1 + 0.1 * np.abs(normal)
        elif name.endswith(("bias", "running_mean")):
            value = 0.1 * normal
        else:
            value = 1 + 0.1 * normal
        filled[name] = np.asarray(value, np.int64 if name.endswith("num_batches_tracked") else np.float32)
    for name, shape in shapes.items():
        if name.endswith(("_u", "_v")):
            matrix = filled[name[:-2] + "_orig"]
            left, _, right = np.linalg.svd(matrix.reshape(matrix.shape[0], -1).astype(np.float64), full_matrices=False)
            filled[name] = (left[:, 0] if name.endswith("_u") else right[0]).astype(np.float32).reshape(shape)
    return filled


def image(height: int, width: int, seed: int = 0, batch: int = 1, channels: int = 3) -> np.ndarray:
    """A smooth test picture in [-1, 1], float32, (batch, channels, height, width): a few random waves plus faint noise."""
    stream = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    picture = np.zeros((batch, channels, height, width))
    for b in range(batch):
        for c in range(channels):
            for _ in range(6):
                fy, fx, phase, weight = (
                    stream.uniform(-12, 12),
                    stream.uniform(-12, 12),
                    stream.uniform(0, 6.28),
                    stream.uniform(0.2, 1),
                )
                picture[b, c] += weight * np.sin(fy * y + fx * x + phase)
    picture += 0.05 * stream.standard_normal(picture.shape)
    return np.tanh(picture / 2).astype(np.float32)


def hole(height: int, width: int, seed: int = 0, batch: int = 1) -> np.ndarray:
    """A test mask, float32, (batch, 1, height, width): 1 in the hole, 0 where pixels are known; a box and a diagonal stroke."""
    stream = np.random.RandomState(seed)
    mask = np.zeros((batch, 1, height, width), np.float32)
    for b in range(batch):
        top, left = stream.randint(0, height // 2), stream.randint(0, width // 2)
        mask[b, 0, top : top + height // 3, left : left + width // 3] = 1
        for i in range(min(height, width)):
            mask[b, 0, max(0, i - 2) : i + 3, max(0, i - 2) : i + 3] = 1
    return mask
