"""The warning of threads that would spin in vain: once, with the remedy, and only where it is true."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest

import retouche
from retouche.inference import spinning

PICTURE = np.full((16, 16, 3), 90, np.uint8)
MASK = np.eye(16, dtype=np.uint8) * 255


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
@pytest.mark.parametrize(
    ("threads", "environment", "load", "scheduled", "said"),
    [
        (4, {}, 99.0, "", 1),
        (1, {}, 99.0, "", 0),
        (4, {}, 0.5, "", 0),
        (4, {}, 0.5, "2000000000 900000000 80", 1),  # other work began a moment ago: the average does not show it yet
        (4, {}, 0.5, "2000000000 90000000 80", 0),
        (4, {}, 0.5, "900000 900000 2", 0),  # a thread that has hardly run
        (4, {}, 0.5, "nonsense", 0),
        (1, {}, 0.5, "2000000000 900000000 80", 0),
        (4, {"OMP_WAIT_POLICY": "passive"}, 99.0, "", 0),
        (4, {"OMP_WAIT_POLICY": "active"}, 99.0, "", 1),
        (4, {"GOMP_SPINCOUNT": "0"}, 99.0, "", 0),
    ],
)
def test_said_once_where_it_is_true(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    threads: int,
    environment: dict[str, str],
    load: float,
    scheduled: str,
    said: int,
) -> None:
    """Before: a fill of 0.75 s took 25 s on a busy machine, and nobody knew why."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(spinning, "_warned", False)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    (tmp_path / "schedstat").write_text(scheduled)
    monkeypatch.setattr(spinning, "SCHEDULED", tmp_path / "schedstat")
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    model = retouche.load("mean")
    with caplog.at_level(logging.WARNING, "retouche"):
        for _ in range(2):
            model(PICTURE, MASK)
    assert sum("OMP_WAIT_POLICY=PASSIVE" in text for text in caplog.messages) == said
