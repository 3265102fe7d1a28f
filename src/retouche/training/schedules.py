"""How the learning rate goes: a factor that follows from the step alone, so that it may change when a run goes on.

"constant"; "step:100000,0.5" multiplies by 0.5 every 100,000 steps; "cosine" falls to 0 at the last step, "cosine:0.1"
to a tenth. A warm-up rises in a straight line from 0 over the first steps, whatever follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch.optim import Optimizer

from retouche.errors import InputError

Factor: TypeAlias = Callable[[int], float]
"""Steps done -> what the learning rate is multiplied by for the next."""

KNOWN = 'constant, "step:EVERY,FACTOR", "cosine" or "cosine:SHARE"'


def schedule(text: str, steps: int, warm_up: int = 0) -> Factor:
    """The factor of a schedule in words.

    Args:
        text: as above
        steps: of the whole run, for the cosine
        warm_up: steps of the straight rise; step n of them has the factor (n + 1) / warm_up

    Raises: InputError for words that mean nothing
    """
    name, _, rest = text.partition(":")
    try:
        values = [float(one) for one in rest.split(",")] if rest else []
    except ValueError:
        raise _unknown(text) from None
    if warm_up < 0:
        raise InputError(f"--rate-warm-up is {warm_up}: give 0 or more steps")
    if name == "constant" and not values:
        main: Factor = lambda step: 1.0  # noqa: E731
    elif name == "step" and len(values) == 2 and values[0] >= 1 and values[1] > 0:
        main = lambda step: values[1] ** (step // int(values[0]))  # noqa: E731
    elif name == "cosine" and len(values) <= 1 and all(0 <= one <= 1 for one in values):
        least = values[0] if values else 0.0
        main = lambda step: least + (1 - least) * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2  # noqa: E731
    else:
        raise _unknown(text)
    return lambda step: main(step) * (min(1.0, (step + 1) / warm_up) if warm_up else 1.0)


def _unknown(text: str) -> InputError:
    return InputError(f'--rate-schedule is "{text}": give {KNOWN}')


def base_rates(optimizers: Mapping[str, Optimizer]) -> dict[str, list[float]]:
    """The rates that fresh optimisers have, by role and group."""
    return {name: [group["lr"] for group in one.param_groups] for name, one in optimizers.items()}


def set_rates(optimizers: Mapping[str, Optimizer], base: Mapping[str, list[float]], factor: float) -> None:
    """Give every optimiser its rate for the next step; its moments stay."""
    for name, one in optimizers.items():
        for group, rate in zip(one.param_groups, base[name], strict=True):
            group["lr"] = rate * factor
