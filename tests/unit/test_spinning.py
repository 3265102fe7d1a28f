"""The warning of threads that would spin in vain: once, with the remedy, and only where it is true."""

import logging
import sys

import numpy as np
import pytest

import retouche
from retouche.inference import spinning

PICTURE = np.full((16, 16, 3), 90, np.uint8)
MASK = np.eye(16, dtype=np.uint8) * 255


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
@pytest.mark.parametrize(
    ("threads", "environment", "load", "said"),
    [
        (4, {}, 99.0, 1),
        (1, {}, 99.0, 0),
        (4, {}, 0.5, 0),
        (4, {"OMP_WAIT_POLICY": "passive"}, 99.0, 0),
        (4, {"OMP_WAIT_POLICY": "active"}, 99.0, 1),
        (4, {"GOMP_SPINCOUNT": "0"}, 99.0, 0),
    ],
)
def test_said_once_where_it_is_true(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    threads: int,
    environment: dict[str, str],
    load: float,
    said: int,
) -> None:
    """Before: a fill of 0.75 s took 25 s on a busy machine, and nobody knew why."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(spinning, "_warned", False)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    model = retouche.load("mean")
    with caplog.at_level(logging.WARNING, "retouche"):
        for _ in range(2):
            model(PICTURE, MASK)
    assert sum("OMP_WAIT_POLICY=PASSIVE" in text for text in caplog.messages) == said
