"""P-IDS and U-IDS against scikit-learn's support vector machine, which the public code uses."""

import json
from pathlib import Path

import numpy as np
import pytest

from retouche.errors import InputError
from retouche.metrics.indistinguishable import indistinguishable, support_vector

CASES = json.loads((Path(__file__).parent / "p-ids.json").read_text())["cases"]


def features(case):
    random = np.random.default_rng(case["seed"])
    shape = case["pictures"], case["features"]
    truth = random.standard_normal(shape).clip(0).astype(np.float32)
    filled = (case["mix"] * truth + case["noise"] * random.standard_normal(shape)).clip(0).astype(np.float32)
    return filled, truth


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['pictures']}x{case['features']}")
def test_as_the_public_code(case):
    filled, truth = features(case)
    made = indistinguishable(filled, truth)
    assert made.paired == pytest.approx(case["p_ids"]) and made.unpaired == pytest.approx(case["u_ids"])
    assert made.paired_interval[0] <= made.paired <= made.paired_interval[1]
    signs = np.repeat([1.0, -1.0], case["pictures"])
    weights = support_vector(np.concatenate([truth, filled]).astype(np.float64), signs)
    assert np.linalg.norm(weights[:-1]) == pytest.approx(case["weights_norm"], rel=1e-3)  # its own tolerance is 1e-4
    assert weights[-1] == pytest.approx(case["threshold"], rel=1e-3, abs=1e-4)


def test_alike_and_apart():
    _, truth = features(CASES[0])
    same = indistinguishable(truth, truth)
    assert same.paired == 0 and same.unpaired == 0.5  # no fill looks more like an original than itself
    apart = indistinguishable(truth + 5, truth)
    assert (apart.paired, apart.unpaired) == (0, 0)
    for fills, originals in ((truth[:3], truth), (truth[:1], truth[:1]), (truth[0], truth[0])):
        with pytest.raises(InputError):
            indistinguishable(fills, originals)
