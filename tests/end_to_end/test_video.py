"""`retouche video`: a mark through a film, with times, sound, turn and pixel format kept, and a run that goes on."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main

av = pytest.importorskip("av")

from retouche.apps.video import clip, filling  # noqa: E402

H, W = 96, 128
HOLE = np.zeros((H, W), bool)
HOLE[40:60, 50:85] = True
COUNT = 20


def film(path: Path, codec: str = "libx264", pixels: str = "yuv420p", uneven: bool = False, sound: bool = True) -> None:
    """A moving ground with a yellow mark."""
    small = np.random.default_rng(0).integers(0, 256, (18, 24, 3), np.uint8)
    ground = Image.fromarray(small).resize((360, 270), Image.Resampling.BICUBIC)
    base = Fraction(1, 30000)
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=30, options={"x265-params": "log-level=error"} if codec == "libx265" else {})
        video.width, video.height, video.pix_fmt = W, H, pixels
        video.codec_context.time_base = video.time_base = base
        audio = out.add_stream("aac", rate=44100, layout="mono") if sound else None
        for number in range(COUNT):
            box = (60 + 1.5 * number, 50, 60 + 1.5 * number + W, 50 + H)
            picture = np.asarray(ground.resize((W, H), Image.Resampling.BICUBIC, box=box)).copy()
            picture[HOLE] = (250, 240, 10)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 1000 * number + (370 if uneven and number % 3 else 0), base
            out.mux(video.encode(frame))
            if audio is not None:
                wave = (np.sin(np.arange(1470) / 16 + number) * 8000).astype(np.int16)[None]
                block = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                block.sample_rate, block.pts, block.time_base = 44100, 1470 * number, Fraction(1, 44100)
                out.mux(audio.encode(block))
        out.mux(video.encode(None))
        if audio is not None:
            out.mux(audio.encode(None))


def shown(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(video=0)]


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Image.fromarray(HOLE).convert("L").save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(video: str = "a.mp4", output: str = "b.mp4", *more: str) -> int:
    return main(["video", "--video", video, "--mask", "mask.png", "--output", output, "--model", "mean", *more])


def test_the_mark_goes_and_all_else_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(here / "a.mp4", uneven=True)
    assert run("a.mp4", "b.mp4", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["filled_anew"]) == (COUNT, 1)
    assert said["change_in_hole"] < 1.5 * said["change_around"] + 1
    assert times(here / "a.mp4") == times(here / "b.mp4")
    assert packets(here / "a.mp4") == packets(here / "b.mp4")
    far = ~np.pad(HOLE, 12)[:-24, :-24] & ~np.pad(HOLE, 12)[24:, 24:]
    far[30:70, 40:95] = False
    for old, new in zip(shown(here / "a.mp4"), shown(here / "b.mp4"), strict=True):
        assert np.abs(old - new)[far].mean() < 2
        yellow = (new[..., 0] > 220) & (new[..., 1] > 210) & (new[..., 2] < 60)
        assert not yellow[HOLE].any()
    assert sorted(path.name for path in here.iterdir()) == ["a.mp4", "b.mp4", "mask.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("libx264", "yuv444p", "mkv"),
        ("libx264", "yuv420p10le", "mp4"),
        ("libx265", "yuv420p", "mov"),
        ("libvpx-vp9", "yuv420p", "webm"),
        ("mpeg4", "yuv420p", "avi"),
        ("ffv1", "bgr0", "mkv"),
    ],
)
def test_codecs_and_pixel_formats_are_kept(here: Path, codec: str, pixels: str, suffix: str) -> None:
    film(here / f"a.{suffix}", codec, pixels, sound=False)
    assert run(f"a.{suffix}", f"b.{suffix}") == 0
    with av.open(f"a.{suffix}") as old, av.open(f"b.{suffix}") as new:
        first, second = (file.streams.video[0].codec_context for file in (old, new))
        assert (first.pix_fmt, first.codec.canonical_name) == (second.pix_fmt, second.codec.canonical_name)
    assert times(here / f"a.{suffix}") == times(here / f"b.{suffix}")
    assert not np.array_equal(shown(here / f"a.{suffix}")[3][HOLE], shown(here / f"b.{suffix}")[3][HOLE])


def test_a_frame_keeps_its_values_outside_the_hole(here: Path) -> None:
    """Before it is encoded: lossless, nothing but the hole has changed."""
    film(here / "a.mkv", "ffv1", "yuv420p", sound=False)
    assert run("a.mkv", "b.mkv", "--dilate", "0") == 0
    with av.open("a.mkv") as old, av.open("b.mkv") as new:
        for first, second in zip(old.decode(video=0), new.decode(video=0), strict=True):
            for number, (one, other) in enumerate(zip(first.planes, second.planes, strict=True)):
                apart = clip._samples(one, first) != clip._samples(other, second)
                step = 2 if number else 1
                assert not (apart[..., 0] & ~clip._any(HOLE, (step, step))).any() and apart.any()


@pytest.mark.slow
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_films_stay_turned_and_masks_are_as_shown(here: Path, quarters: int) -> None:
    film(here / "flat.mp4", sound=False)
    (here / "a.mp4").write_bytes((here / "flat.mp4").read_bytes())
    clip._turn(clip.Clip(here / "a.mp4", W, H, quarters, COUNT, "h264", ()), here / "a.mp4", ".mp4")
    assert clip.examined(here / "a.mp4").quarters == quarters
    Image.fromarray(np.rot90(HOLE, quarters)).convert("L").save(here / "mask.png")
    assert run() == 0
    assert clip.examined(here / "b.mp4").quarters == quarters
    new = shown(here / "b.mp4")[5]
    yellow = (new[..., 0] > 220) & (new[..., 1] > 210) & (new[..., 2] < 60)
    assert not yellow[HOLE].any()  # as stored, the mark is where it was


def test_a_stopped_run_goes_on_and_leaves_nothing_half(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film(here / "a.mp4")
    assert run("a.mp4", "whole.mp4") == 0
    monkeypatch.setattr(filling, "CHUNK_FRAMES", 6)
    fill = filling.Steady.fill

    count = 0

    def stops(self: filling.Steady, frame: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        if count > 15:
            raise KeyboardInterrupt
        return fill(self, frame)

    monkeypatch.setattr(filling.Steady, "fill", stops)
    assert run() == 130
    assert "the same command goes on" in capsys.readouterr().err and not (here / "b.mp4").exists()
    monkeypatch.setattr(filling.Steady, "fill", fill)
    monkeypatch.setattr(filling, "write", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert run() == 130 and not (here / "b.mp4").exists()
    monkeypatch.setattr(filling, "write", clip.write)
    capsys.readouterr()
    assert run() == 0
    assert f"{COUNT} of {COUNT} frames were filled already" in capsys.readouterr().err
    for one, other in zip(shown(here / "whole.mp4"), shown(here / "b.mp4"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not (here / ".b.mp4.retouche").exists()


@pytest.mark.slow
def test_another_mask_begins_anew(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(here / "a.mp4", sound=False)
    monkeypatch.setattr(filling, "write", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert run() == 130
    Image.fromarray(np.roll(HOLE, 6, axis=1)).convert("L").save(here / "mask.png")
    monkeypatch.setattr(filling, "write", clip.write)
    assert run() == 0


def refused(capsys: pytest.CaptureFixture[str], words: str, *given: str) -> None:
    assert run(*given) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1, said


def test_what_cannot_be_used_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(here / "a.mp4")
    refused(capsys, "gone.mp4 is not there", "gone.mp4")
    refused(capsys, "is no film known here", "a.mp4", "b.png")
    refused(capsys, "is an input", "a.mp4", "a.mp4")
    (here / "text.mp4").write_text("no film at all")
    refused(capsys, "text.mp4 cannot be read", "text.mp4")
    (here / "cut.mp4").write_bytes((here / "a.mp4").read_bytes()[:3000])
    refused(capsys, "cut.mp4 cannot be read", "cut.mp4")
    refused(capsys, "cannot be written", "a.mp4", "b.webm")  # which holds no H.264
    (here / "b.mp4").write_bytes(b"mine")
    refused(capsys, "would be overwritten", "a.mp4", "b.mp4")
    Image.new("L", (W, H)).save(here / "mask.png")
    refused(capsys, "mask.png is empty", "a.mp4", "c.mp4")
    Image.new("L", (W, H + 2), 255).save(here / "mask.png")
    refused(capsys, "give a mask of the same size", "a.mp4", "c.mp4")
    assert not list(here.glob("c.*"))


def test_without_the_extra_the_remedy_is_named(here: Path) -> None:
    code = "import sys; sys.modules['av'] = None; from retouche.apps.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["video", "--video", "a.mp4", "--mask", "mask.png", "--output", "b.mp4"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2 and 'pip install "retouche[video]"' in done.stderr
