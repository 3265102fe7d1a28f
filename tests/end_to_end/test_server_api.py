"""Each address of the server does what docs/http.md says, for archived clients too."""

import base64
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from serving import decoded, encoded, hole, scene, serving, text

from retouche import pictures
from retouche.apps.server import schema
from retouche.methods import methods
from retouche.pictures import Picture, encode, open_picture, write_picture

KNOWN = hole() == 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    (root / "in" / "trip").mkdir(parents=True)
    (root / "out").mkdir()
    (root / "in" / "a.png").write_bytes(encoded(scene(1)))
    (root / "in" / "trip" / "b c.jpg").write_bytes(encoded(scene(2), "JPEG", quality=83))
    (root / "in" / "notes.txt").write_text("no picture")
    (root / "in" / ".hidden.png").write_bytes(encoded(scene(3)))
    (root / "secret.png").write_bytes(encoded(scene(4)))
    (root / "in" / "link.png").symlink_to(root / "secret.png")
    (root / "in" / "inner.png").symlink_to(root / "in" / "a.png")
    return root


@pytest.fixture(scope="module")
def client(folders: Path) -> Iterator[httpx.Client]:
    with serving(input=folders / "in", output=folders / "out") as client:
        yield client


def test_an_archived_client_gets_its_picture(client: httpx.Client) -> None:
    archived = {  # what IOPaint's web page sends
        "image": "data:image/png;base64," + text(encoded(scene())),
        "mask": "data:image/png;base64," + text(encoded(hole())),
        "ldm_steps": 30,
        "ldm_sampler": "ddim",
        "zits_wireframe": True,
        "cv2_flag": "INPAINT_NS",
        "cv2_radius": 5,
        "hd_strategy": "Crop",
        "hd_strategy_crop_triger_size": 640,
        "hd_strategy_crop_margin": 128,
        "hd_trategy_resize_imit": 2048,
        "prompt": "",
        "negative_prompt": "",
        "use_croper": False,
        "croper_x": 0,
        "use_extender": False,
        "sd_mask_blur": 12,
        "sd_strength": 1.0,
        "sd_seed": -1,
        "sd_match_histograms": False,
        "enable_controlnet": False,
        "controlnet_method": None,
        "clip_skip": 1,
    }
    answer = client.post("/api/v1/inpaint", json=archived)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    filled = decoded(answer.content)
    assert filled.shape == (60, 80, 3)
    assert (filled != scene()).any()
    report = json.loads(answer.headers["x-retouche-report"])
    assert report["dilate"] == 1 and report["model"] == "mean" and report["hole_count"] == 1
    assert answer.headers["x-seed"] == "0" and answer.headers["x-retouche-strategy"] == "whole"
    assert float(answer.headers["x-retouche-seconds"]) >= 0


def test_bare_base64_with_line_breaks(client: httpx.Client) -> None:
    sent = {"image": base64.encodebytes(encoded(scene())).decode(), "mask": text(encoded(hole())), "dilate": 0}
    filled = decoded(client.post("/api/v1/inpaint", json=sent).content)
    assert (filled[KNOWN] == scene()[KNOWN]).all()


def test_multipart_has_the_same_names(client: httpx.Client) -> None:
    sent = {"image": encoded(scene(7)), "mask": encoded(hole())}
    answer = client.post("/api/v1/inpaint", files=sent, data={"dilate": "0", "feather": "", "seed": "5"})
    assert answer.status_code == 200 and answer.headers["x-seed"] == "5"
    assert (decoded(answer.content)[KNOWN] == scene(7)[KNOWN]).all()


def test_fields_reach_the_fill(client: httpx.Client) -> None:
    sent = {"image": text(encoded(scene())), "mask": text(encoded(hole()))}
    answer = client.post("/api/v1/inpaint", json={**sent, "model": "harmonic", "dilate": 7, "feather": 3})
    report = json.loads(answer.headers["x-retouche-report"])
    assert (report["method"], report["dilate"], report["feather"]) == ("harmonic", 7, 3)
    refused = client.post("/api/v1/inpaint", json={**sent, "sketch": sent["mask"]})
    assert refused.status_code == 422 and "takes no sketch" in refused.json()["error"]


def test_a_foreign_name_is_refused_and_the_nearest_named(client: httpx.Client) -> None:
    sent = {"image": text(encoded(scene())), "mask": text(encoded(hole())), "model": "zits"}
    answer = client.post("/api/v1/inpaint", json=sent)
    assert answer.status_code == 422
    assert 'no model "zits": ZITS is not part of retouche; nearest is' in answer.json()["error"]


def test_a_jpeg_comes_back_as_one_with_its_metadata(client: httpx.Client) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x0112] = 6  # displayed upright, so 80 high
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    sent = encoded(scene(), "JPEG", quality=71, subsampling=2, exif=exif, icc_profile=icc)
    mask = encoded(hole(80, 60))
    answer = client.post("/api/v1/inpaint", files={"image": sent, "mask": mask})
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(sent)) as before, Image.open(io.BytesIO(answer.content)) as after:
        assert after.size == (60, 80)
        assert after.getexif()[0x010F] == "Camera" and after.getexif()[0x0112] == 1
        assert after.info["icc_profile"] == icc
        assert after.quantization == before.quantization


def test_sixteen_bits_and_alpha_stay(client: httpx.Client) -> None:
    deep = (scene().astype(np.uint16) << 8) + 77
    file = io.BytesIO()
    tifffile.imwrite(file, deep, photometric="rgb")
    sent = {"image": file.getvalue(), "mask": encoded(hole())}
    answer = client.post("/api/v1/inpaint", files=sent, data={"dilate": "0"})
    assert answer.headers["content-type"] == "image/tiff"
    filled = tifffile.imread(io.BytesIO(answer.content))
    assert filled.dtype == np.uint16 and (filled[KNOWN] == deep[KNOWN]).all()
    clear = np.dstack([scene(), np.full((60, 80), 99, np.uint8)])
    sent = {"image": encoded(clear), "mask": encoded(hole())}
    assert (decoded(client.post("/api/v1/inpaint", files=sent).content)[..., 3] == 99).all()


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "CMYK", "alpha"])
def test_the_part_around_the_hole_is_all_of_what_changes(client: httpx.Client, kind: str) -> None:
    values, mask, file = scene(5), np.zeros((60, 80), np.uint8), io.BytesIO()
    mask[3:20, 60:78] = mask[30, 40] = 255
    if kind == "16 bit":
        tifffile.imwrite(file, (values.astype(np.uint16) << 8) + 77, photometric="rgb")
    elif kind == "CMYK":
        Image.fromarray(values).convert("CMYK").save(file, "TIFF")
    else:
        file = io.BytesIO(encoded(np.dstack([values, values[..., :1]]) if kind == "alpha" else values))
    sent = {"image": file.getvalue(), "mask": encoded(mask)}
    whole, part = (
        client.post("/api/v1/inpaint", files=sent, data={"dilate": "5", "answer": answer})
        for answer in ("picture", "hole")
    )
    assert "x-retouche-box" not in whole.headers and part.headers["content-type"] == "image/png"
    left, top, right, bottom = map(int, part.headers["x-retouche-box"].split(","))
    assert (left, top, right, bottom) == (35, 0, 80, 36)
    (all_of_it, here), before = (
        (pictures.decode(one.content, "image", 10_000) for one in (whole, part)),
        pictures.decode(file.getvalue(), "image", 10_000),
    )
    assert (here.width, here.height) == (right - left, bottom - top)
    wanted = all_of_it.rgb((left, top, right, bottom))
    assert float((here.rgb() - wanted).abs().max()) <= (1 / 255 if kind == "CMYK" else 0)  # of four inks, eight bits
    assert here.pixels.dtype == all_of_it.pixels.dtype
    changed = (all_of_it.pixels != before.pixels).any(2)
    changed[top:bottom, left:right] = False
    assert not changed.any()
    stages = re.findall(r"(\w+);dur=(\d+)", part.headers["server-timing"])
    assert [name for name, _ in stages] == ["read", "fill", "write"]


def test_a_picture_is_extended_as_by_the_command(client: httpx.Client) -> None:
    import retouche

    sent = {"image": encoded(scene())}
    answer = client.post("/api/v1/inpaint", files=sent, data={"extend": "left=20,bottom=50%", "model": "mean"})
    wanted = retouche.load("mean")(scene(), extend="left=20,bottom=50%")
    made = decoded(answer.content)
    assert made.shape == (90, 100, 3) and np.array_equal(made, wanted) and np.array_equal(made[:60, 20:], scene())
    assert json.loads(answer.headers["x-retouche-report"])["extended"] == [20, 0, 0, 30]
    both = client.post(
        "/api/v1/inpaint", files={**sent, "mask": encoded(hole())}, data={"extend": "top=9", "answer": "hole"}
    )
    assert decoded(both.content).shape == (69, 80, 3) and "x-retouche-box" not in both.headers  # all of it is new
    for words, why in (({"extend": "up=3"}, "up=3"), ({"extend": "left=3000000"}, "megapixels"), ({}, "no mask")):
        refused = client.post("/api/v1/inpaint", files=sent, data=words)
        assert refused.status_code == 422 and why in refused.json()["error"]


def test_an_empty_mask_changes_nothing(client: httpx.Client) -> None:
    sent = {"image": text(encoded(scene())), "mask": text(encoded(hole() * 0))}
    answer = client.post("/api/v1/inpaint", json=sent)
    assert answer.headers["x-retouche-strategy"] == "none"
    assert (decoded(answer.content) == scene()).all()
    part = client.post("/api/v1/inpaint", json={**sent, "answer": "hole"})
    assert part.headers["x-retouche-box"] == "0,0,80,60" and (decoded(part.content) == scene()).all()


def test_many_holes_still_fit_the_header(client: httpx.Client) -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[10::40, 10::40] = 255
    sent = {"image": encoded(scene(0, 400, 400)), "mask": encoded(mask)}
    answer = client.post("/api/v1/inpaint", files=sent, data={"dilate": "0"})
    assert answer.status_code == 200
    header = answer.headers["x-retouche-report"]
    assert len(header) <= 6000 and json.loads(header)["hole_count"] >= 1


@pytest.mark.parametrize("operate", ["expand", "shrink", "reverse"])
def test_adjust_mask(client: httpx.Client, operate: str) -> None:
    sent = {"mask": text(encoded(hole())), "operate": operate, "kernel_size": 4}
    answer = client.post("/api/v1/adjust_mask", json=sent)
    made = decoded(answer.content)
    assert made.shape == (60, 80, 4)
    assert (made == made[..., :1]).all()
    white = made[..., 0] > 127
    was = hole() > 127
    wanted = {
        "expand": was.sum() < white.sum()
        and white[was].all()
        and white[60 // 3 - 4, 40]
        and not white[60 // 3 - 5, 40],
        "shrink": white.sum() < was.sum()
        and was[white].all()
        and white[60 // 3 + 4, 40]
        and not white[60 // 3 + 3, 40],
        "reverse": (white == ~was).all(),
    }
    assert wanted[operate]
    again = client.post("/api/v1/inpaint", json={"image": text(encoded(scene())), "mask": text(answer.content)})
    assert again.status_code == 200


def test_view_shows_what_browsers_do_not(client: httpx.Client) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, scene().astype(np.uint16) * 257, photometric="rgb")
    answer = client.post("/api/v1/view", files={"image": file.getvalue()})
    assert answer.headers["content-type"] == "image/png"
    assert (decoded(answer.content) == scene()).all()


def test_models_are_listed_and_switched(client: httpx.Client) -> None:
    rows = client.get("/api/v1/models").json()
    assert [row["name"] for row in rows if row["current"]] == ["mean"]
    assert {"exemplar", "harmonic", "mean"} <= {row["name"] for row in rows}
    assert client.get("/api/v1/model").json()["name"] == "mean"
    assert client.post("/api/v1/model", json={"name": "harmonic"}).json()["name"] == "harmonic"
    assert client.get("/api/v1/server-config").json()["model"] == "harmonic"
    refused = client.post("/api/v1/model", json={"name": "nothing"})
    assert refused.status_code == 422 and "offered" in refused.json()["error"]
    assert client.get("/api/v1/model").json()["name"] == "harmonic"
    assert client.post("/api/v1/model", json={"name": "mean"}).status_code == 200


def test_the_configuration(client: httpx.Client) -> None:
    config = client.get("/api/v1/server-config").json()
    assert config["input"] and config["output"] and not config["token"]
    assert config["devices"][0]["name"] == "cpu"
    assert config["limits"]["pixels"] == 100_000_000
    assert config["modelInfos"][0]["model_type"] == "inpaint" and config["plugins"] == []


def test_a_network_of_the_operator_is_offered_by_its_file_name(tmp_path: Path) -> None:
    import retouche

    file = tmp_path / "mine.safetensors"
    retouche.create("sii-gan").save(file)
    with serving(models=("mean", str(file))) as client:
        row = next(row for row in client.get("/api/v1/models").json() if row["name"] == "mine.safetensors")
        assert str(tmp_path) not in json.dumps(client.get("/api/v1/server-config").json())
        assert row["conditioning"] == row["listens"] == sorted(retouche.load(file).conditioning)
        unknown = client.post("/api/v1/model", json={"name": str(file)})
        assert unknown.status_code == 422 and str(tmp_path) not in unknown.text.partition("offered")[2]


def test_the_weights_of_a_folder_are_offered_by_name(tmp_path: Path) -> None:
    import retouche

    folder, outside = tmp_path / "weights", tmp_path / "outside.safetensors"
    folder.mkdir()
    retouche.create("sii-gan").save(folder / "mine.safetensors")
    retouche.create("sii-gan").save(outside)
    (folder / "link.safetensors").symlink_to(outside)
    (folder / "broken.pth").write_bytes(b"no weights at all")
    (folder / "notes.txt").write_text("none either")
    with serving(weights=folder) as client:

        def offered() -> dict[str, object]:
            return {row["name"]: row["method"] for row in client.get("/api/v1/models").json()}

        before = offered()
        assert before["mine.safetensors"] is None and {"broken.pth", "mean"} <= before.keys()
        assert not {"link.safetensors", "notes.txt"} & before.keys()
        sent = {"image": encoded(scene()), "mask": encoded(hole())}
        for name in ("../outside.safetensors", str(outside), "link.safetensors", f"{folder}/mine.safetensors"):
            answer = client.post("/api/v1/inpaint", files=sent, data={"model": name})
            assert answer.status_code == 422 and "offered" in answer.text
        broken = client.post("/api/v1/inpaint", files=sent, data={"model": "broken.pth"})
        assert broken.status_code == 422 and "broken.pth" in broken.text and str(tmp_path) not in broken.text
        filled = client.post("/api/v1/inpaint", files=sent, data={"model": "mine.safetensors", "dilate": "0"})
        assert filled.status_code == 200 and (decoded(filled.content)[KNOWN] == scene()[KNOWN]).all()
        assert offered()["mine.safetensors"] == "sii-gan"
        retouche.create("sii-gan").save(folder / "later.safetensors")
        assert "later.safetensors" in offered()


def test_folders_are_listed_without_what_leads_out(client: httpx.Client) -> None:
    rows = client.get("/api/v1/files").json()["files"]
    assert [row["name"] for row in rows] == ["a.png", "inner.png", "trip/b c.jpg"]
    assert rows[0]["bytes"] == len(encoded(scene(1)))


def test_files_are_read_byte_for_byte(client: httpx.Client, folders: Path) -> None:
    answer = client.get("/api/v1/files/trip/b%20c.jpg")
    assert answer.content == (folders / "in" / "trip" / "b c.jpg").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert (decoded(client.get("/api/v1/view/a.png").content) == scene(1)).all()


@pytest.mark.parametrize(
    "name", ["link.png", ".hidden.png", "notes.txt", "trip", "..%2fsecret.png", "%2e%2e/secret.png"]
)
@pytest.mark.parametrize("address", ["files", "view"])
def test_nothing_else_is_read(client: httpx.Client, address: str, name: str) -> None:
    answer = client.get(f"/api/v1/{address}/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_saving_puts_patches_into_the_source(client: httpx.Client, folders: Path) -> None:
    patch = {
        "left": 20,
        "top": 10,
        "image": text(encoded(np.full((8, 12, 3), 200, np.uint8))),
        "mask": text(encoded(np.tri(8, 12, dtype=np.uint8) * 255)),
    }
    sent = {"name": "a.png", "patches": [patch], "output": "new/a.png", "sidecar": {"model": "mean"}}
    answer = client.post("/api/v1/save", json=sent)
    assert answer.json() == {"saved": ["new/a.png", "new/a.png.retouche.json"]}
    with Image.open(folders / "out" / "new" / "a.png") as file:
        saved = np.asarray(file)
    wanted = scene(1)
    wanted[10:18, 20:32][np.tri(8, 12) > 0] = 200
    assert (saved == wanted).all()
    sidecar = json.loads((folders / "out" / "new" / "a.png.retouche.json").read_text())
    assert sidecar["model"] == "mean" and sidecar["width"] == 80
    assert client.post("/api/v1/save", json=sent).status_code == 409
    assert client.post("/api/v1/save", json={**sent, "overwrite": True}).status_code == 200
    assert sorted(path.name for path in (folders / "out" / "new").iterdir()) == ["a.png", "a.png.retouche.json"]


def test_saving_answers_the_file_in_its_own_format(client: httpx.Client) -> None:
    source = encoded(scene(5), "JPEG", quality=60)
    patch = {"image": text(encoded(np.zeros((16, 16, 3), np.uint8)))}
    answer = client.post("/api/v1/save", files={"image": source}, data={"patches": json.dumps([patch])})
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(source)) as before, Image.open(io.BytesIO(answer.content)) as after:
        assert after.quantization == before.quantization
        assert np.asarray(after)[:8, :8].max() < 30
    as_png = client.post("/api/v1/save", json={"image": text(source), "format": "png"})
    assert (decoded(as_png.content) == decoded(source)).all()


def test_a_part_is_cut_in_the_depth_of_its_source(client: httpx.Client, tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 65536, (60, 80, 3)).astype(np.uint16)
    write_picture(Picture(values, "RGB"), tmp_path / "deep.png")
    source = (tmp_path / "deep.png").read_bytes()
    assert client.post("/api/v1/view", files={"image": source}).headers["x-retouche-depth"] == "16"
    first = client.post("/api/v1/cut", files={"image": source}, data={"box": "[10, 5, 50, 45]"})
    (tmp_path / "part.png").write_bytes(first.content)
    assert np.array_equal(open_picture(tmp_path / "part.png").pixels, values[5:45, 10:50])

    # a part put in elsewhere, and cut out again over its border
    patch = {"left": 30, "top": 20, "image": text(first.content)}
    second = client.post("/api/v1/cut", json={"image": text(source), "box": [20, 10, 80, 60], "patches": [patch]})
    (tmp_path / "both.png").write_bytes(second.content)
    wanted = values.copy()
    wanted[20:60, 30:70] = values[5:45, 10:50]
    assert np.array_equal(open_picture(tmp_path / "both.png").pixels, wanted[10:60, 20:80])

    named = client.post("/api/v1/cut", json={"name": "a.png", "box": [0, 0, 7, 9]})
    assert np.array_equal(decoded(named.content), scene(1)[:9, :7])
    inks = io.BytesIO()
    Image.fromarray(scene()).convert("CMYK").save(inks, "TIFF")
    part = client.post("/api/v1/cut", json={"image": text(inks.getvalue()), "box": [0, 0, 7, 9]})
    assert np.array_equal(decoded(part.content), scene()[:9, :7])
    for box in ([0, 0, 81, 60], [5, 5, 5, 9], [-1, 0, 5, 5]):
        answer = client.post("/api/v1/cut", json={"image": text(source), "box": box})
        assert answer.status_code == 422 and "80x60" in answer.json()["error"]
    assert client.post("/api/v1/cut", json={"name": "../secret.png", "box": [0, 0, 1, 1]}).status_code == 404


def test_no_request_touches_a_temporary_file(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a temporary file")

    for name in (
        "NamedTemporaryFile", "SpooledTemporaryFile", "TemporaryDirectory", "TemporaryFile", "mkdtemp", "mkstemp",
    ):  # fmt: skip
        monkeypatch.setattr(tempfile, name, refuse)
    written: list[str] = []

    def hook(event: str, args: tuple[object, ...]) -> None:
        writes = event == "open" and (set(str(args[1] or "")) & set("wax+") or int(args[2] or 0) & 3)  # type: ignore[call-overload]
        if watching and (writes or event in {"os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"}):
            written.append(f"{event} {args[0]}")

    watching = True
    sys.addaudithook(hook)
    deep = encode(Picture(np.random.default_rng(0).integers(0, 65536, (60, 80, 3)).astype(np.uint16), "RGB"))
    for image in (deep, encoded(scene(), "JPEG"), encoded(scene(), "WEBP"), encoded(scene(), "TIFF")):
        pair = {"image": image, "mask": encoded(hole())}
        patches = [{"image": text(encoded(scene())[:]), "mask": text(encoded(hole()))}]
        answers = [
            client.post("/api/v1/inpaint", files=pair),
            client.post("/api/v1/inpaint", json={name: text(content) for name, content in pair.items()}),
            client.post("/api/v1/adjust_mask", json={"mask": text(encoded(hole())), "operate": "expand"}),
            client.post("/api/v1/view", files={"image": image}),
            client.post("/api/v1/cut", files={"image": image}, data={"box": "[0, 0, 9, 9]"}),
            client.post("/api/v1/save", json={"image": text(image), "patches": patches}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 6, [answer.text[:200] for answer in answers]
    watching = False
    assert written == []


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/x.png", "a/../../x.png", ".x.png", "x\0.png", "x.txt", "..\\x.png", "d/"]
)
def test_nothing_is_saved_outside(client: httpx.Client, folders: Path, name: str) -> None:
    before = sorted(folders.rglob("*"))
    answer = client.post("/api/v1/save", json={"name": "a.png", "output": name})
    assert answer.status_code in {404, 422}
    assert sorted(folders.rglob("*")) == before


def test_a_link_does_not_lead_saving_out(client: httpx.Client, folders: Path) -> None:
    (folders / "out" / "away").symlink_to(folders)
    try:
        assert client.post("/api/v1/save", json={"name": "a.png", "output": "away/x.png"}).status_code == 404
        assert not (folders / "x.png").exists()
    finally:
        (folders / "out" / "away").unlink()


def test_what_cannot_be_saved_leaves_nothing_and_names_no_folder(client: httpx.Client, folders: Path) -> None:
    clear = np.dstack([scene(), np.full((60, 80), 99, np.uint8)])
    sent = {"image": text(encoded(clear)), "output": "clear.jpg", "sidecar": {"model": "mean"}}
    answer = client.post("/api/v1/save", json=sent)
    assert answer.status_code == 422 and "transparency" in answer.json()["error"]
    assert not list((folders / "out").glob("clear*"))
    (folders / "out" / "folder.png").mkdir()
    refused = client.post("/api/v1/save", json={"name": "a.png", "output": "folder.png", "overwrite": True})
    assert refused.status_code == 422 and str(folders) not in refused.text


def test_what_archived_clients_ask_for_first(client: httpx.Client, folders: Path) -> None:
    assert client.get("/api/v1/samplers").json() == []
    assert "--input FILE" in client.get("/api/v1/inputimage").json()["error"]
    picture = folders / "in" / "trip" / "b c.jpg"
    with serving(input=picture) as other:
        answer = other.get("/api/v1/inputimage")
        assert answer.content == picture.read_bytes() and answer.headers["content-type"] == "image/jpeg"
        assert other.get("/api/v1/files").status_code == 404 and not other.get("/api/v1/server-config").json()["input"]


def test_a_sidecar_keeps_its_words(client: httpx.Client, folders: Path) -> None:
    sidecar = {"mask": text(encoded(hole())), "image": "QUJD", "patches": [{"mask": "QUJD"}]}
    sent = {"name": "a.png", "output": "words.png", "sidecar": sidecar}
    assert client.post("/api/v1/save", json=sent).status_code == 200
    kept = json.loads((folders / "out" / "words.png.retouche.json").read_text())
    assert {name: kept[name] for name in sidecar} == sidecar
    for file in (folders / "out").glob("words*"):
        file.unlink()


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_base64_is_decoded_in_pieces(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(schema, "PIECE", 8)
    content = bytes(range(40 + length))
    assert schema.from_base64(text(content)) == content
    for wrong in ("QQ==QQ==QQ==", "QUI=" * 4, "QUJDQUJDQ", "QUJDQUJD=", "QUJD*UJDQUJD"):
        with pytest.raises(ValueError, match="is no base64"):
            schema.from_base64(wrong)


def test_without_folders_there_are_none() -> None:
    with serving() as client:
        assert client.get("/api/v1/files").status_code == 404
        sent = {"image": text(encoded(scene())), "output": "x.png"}
        assert "--output" in client.post("/api/v1/save", json=sent).json()["error"]


def test_the_documentation_describes_every_address(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert "image" in described["components"]["schemas"]["Inpaint"]["properties"]
    for path, kind in (("cut", "Cut"), ("save", "Save"), ("inpaint", "Inpaint"), ("view", "View")):
        content = described["paths"][f"/api/v1/{path}"]["post"]["requestBody"]["content"]
        reference = {"$ref": f"#/components/schemas/{kind}"}
        assert content == {name: {"schema": reference} for name in ("application/json", "multipart/form-data")}
        assert kind in described["components"]["schemas"]
    page = client.get("/docs")
    assert all(path in page.text for path in described["paths"])
    assert "<script" not in page.text and "//" not in page.text.replace("<!doctype", "")
    written = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    named = [path.partition("{")[0] for path in described["paths"]]
    assert all(path in written for path in named)


def test_pages_are_safe_and_of_the_right_type(client: httpx.Client) -> None:
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/document.js", "text/javascript")):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/__init__.py").status_code == 404
    assert client.get("/../server/app.py").status_code == 404
    assert client.get("/nothing.js").json()["error"].startswith("no such address")


def test_health_names_no_model(client: httpx.Client) -> None:
    health = client.get("/health").json()
    assert health == {"status": "ok", "busy": 0, "limit": 17}
    assert not any(name in json.dumps(health) for name in methods())
