"""`find_mask`: what finders find, and in one line what they cannot use."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from serving import decoded, encoded, scene, serving, text

from retouche.finders.dust import find_dust
from retouche.finders.series import values
from retouche.pictures import decode


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving() as client:
        yield client


def marked(seed: int) -> np.ndarray:
    """A picture of its own under a translucent bar, (96, 128, 3)."""
    small = np.random.default_rng(seed).integers(40, 200, (6, 8, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(small).resize((128, 96), Image.Resampling.BICUBIC), float).copy()
    pixels[20:28, 10:60] = pixels[20:28, 10:60] * 0.5 + 127
    return pixels.round().astype(np.uint8)


def test_dust_is_what_the_finder_finds(client: httpx.Client) -> None:
    pixels = np.array(scene(1))
    pixels[30:32, 40:42] = 0
    sent = encoded(pixels)
    for sensitivity in (1.0, 3.0):
        answer = client.post(
            "/api/v1/find_mask", data={"kind": "dust", "sensitivity": str(sensitivity)}, files={"image": sent}
        )
        expected = find_dust(values(decode(sent, "image")), sensitivity=sensitivity)
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
        assert np.array_equal(np.asarray(decoded(answer.content)) > 127, expected)
        assert float(answer.headers["x-retouche-share"]) == pytest.approx(expected.mean(), abs=1e-6)


def test_a_date_is_what_the_finder_finds(client: httpx.Client) -> None:
    glow = Image.new("L", (560, 400), 0)
    ImageDraw.Draw(glow).text((440, 365), "98 12 24", fill=255, font=ImageFont.load_default(20))
    share = np.asarray(glow.filter(ImageFilter.GaussianBlur(0.7)), float)[..., None] / 255
    small = np.random.default_rng(0).integers(40, 110, (4, 6, 1), np.uint8).repeat(3, 2)
    plain = np.asarray(Image.fromarray(small).resize((560, 400), Image.Resampling.BICUBIC), float)
    dated = (plain * (1 - share) + share * np.array([255, 140, 25])).round().astype(np.uint8)
    holes = []
    for pixels in (dated, plain.round().astype(np.uint8)):
        sent = encoded(pixels)
        answer = client.post("/api/v1/find_mask", data={"kind": "date"}, files={"image": sent})
        assert answer.status_code == 200, answer.text
        holes.append(np.asarray(decoded(answer.content)) > 127)
    assert holes[0][share[..., 0] > 0.5].mean() > 0.95 and holes[0].mean() < 0.03
    assert not holes[1].any()


def test_a_mark_is_found_where_all_pictures_share_it(client: httpx.Client) -> None:
    answer = client.post(
        "/api/v1/find_mask", json={"kind": "mark", "images": [text(encoded(marked(n))) for n in range(12)]}
    )
    assert answer.status_code == 200, answer.text
    hole = np.asarray(Image.open(io.BytesIO(answer.content))) > 127
    assert hole[20:28, 10:60].mean() > 0.95 and hole.mean() < 0.15  # the bar is 0.03; few small pictures give a rim


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"kind": "dust"}, "image: give"),
        ({"kind": "date"}, "image: give"),
        ({"kind": "hair"}, "kind"),
        ({"kind": "dust", "image": text(b"no picture")}, "image"),
        ({"kind": "dust", "image": text(encoded(scene(1))), "sensitivity": 0}, "sensitivity"),
        ({"kind": "mark", "images": [text(encoded(scene(1)))] * 3}, "give 8 or more"),
        ({"kind": "mark", "images": [text(encoded(scene(1)))] * 8 + [text(encoded(scene(1)[:9]))]}, "images.8"),
        ({"kind": "mark", "images": ["%"] * 8}, "base64"),
    ],
)
def test_what_cannot_be_used_is_said(client: httpx.Client, sent: dict[str, Any], words: str) -> None:
    answer = client.post("/api/v1/find_mask", json=sent)
    assert answer.status_code == 422 and words in answer.json()["error"] and "\n" not in answer.json()["error"]
