"""The run itself: pictures one after another through all models, figures into a stream of rows, a table at the end.

The runner of folders reads the next picture and scores the last one beside the filling, with worker processes where
asked for; filling stays in this one, in the pictures' order, so the table depends neither on the number of workers nor
on who was quicker. No more than a few pictures are in memory at any time.
"""

from __future__ import annotations

import multiprocessing
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche import __version__
from retouche.errors import DataError, InputError
from retouche.evaluation import measures as figures
from retouche.evaluation.backbones import Backbones
from retouche.evaluation.evaluated import EvaluatedModel
from retouche.evaluation.measures import MEASURES, Measure
from retouche.evaluation.pictures import EMPTY, Item, Preparation, PreparedItem, Skipped, prepare
from retouche.evaluation.protocol import METRICS_VERSION, Protocol, list_sha256, mask_words, size_words
from retouche.evaluation.published import Published
from retouche.evaluation.table import (
    FORMAT,
    VERSION,
    Difference,
    Row,
    as_csv,
    bin_of,
    bootstrap_words,
    rounded,
    rows_and_differences,
)
from retouche.files import atomic_write
from retouche.folders.names import as_json
from retouche.masks import hole_ratio
from retouche.metrics import PSNR_CAP
from retouche.runners.local import Inline
from retouche.runners.work import Facts, Job, Outcome, Progress

AHEAD = 3  # pictures per worker whose scores may be waited for


@dataclass
class Evaluation:
    """What came out.

    Attributes:
        measures: the table's figures, in order
        ratios: (n,) hole ratios of the pictures scored
        values: (n, models, measures of single pictures)
        items: the pictures scored, with the hashes of file and hole: what a pack holds
    """

    protocol: Protocol
    models: list[dict[str, Any]]
    measures: tuple[Measure, ...]
    rows: list[Row]
    differences: list[Difference]
    skipped: list[Skipped]
    published: tuple[Published, ...]
    ratios: NDArray[np.float64]
    values: NDArray[np.float64]
    items: list[tuple[Item, str, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The models' names."""
        return [str(model["model"]) for model in self.models]

    def as_json(self) -> dict[str, Any]:
        """table.json: the same bytes every time, so no times and no paths."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "protocol": self.protocol.as_json(),
            "models": self.models,
            "metrics": [
                {"metric": each.key, "title": each.title, "unit": each.unit, "better": each.better, "words": each.words}
                for each in self.measures
            ],
            "rows": [row.as_json() for row in self.rows],
            "differences": [each.as_json() for each in self.differences],
            "skipped": [{"picture": each.name, "reason": each.reason} for each in self.skipped],
            "published": [vars(each) for each in self.published],
        }


@dataclass(frozen=True)
class _Filled:
    """One picture after all models."""

    sample: PreparedItem
    fills: tuple[NDArray[np.uint8], ...]
    extra: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class _Scored:
    """Its figures: one dictionary per model, NaN where a figure does not apply."""

    item: Item
    ratio: float
    figures: tuple[dict[str, float], ...]
    picture_sha256: str
    mask_sha256: str


def evaluate(
    items: Sequence[Item],
    preparation: Preparation,
    models: Sequence[EvaluatedModel],
    folder: Path,
    *,
    backbones: Backbones,
    name: str = "own",
    seed: int = 0,
    workers: int = 1,
    keep: bool = False,
    unknown: tuple[str, ...] = (),
    published: tuple[Published, ...] = (),
    classes: tuple[str, ...] = (),
    advance: Callable[[float], None] = lambda done: None,
) -> Evaluation:
    """Fill and score every picture; writes pictures.jsonl, table.json and table.csv into a folder.

    Args:
        items: the pictures, from `find_items` or a pack
        preparation: their way to the evaluation's size
        models: those that are evaluated
        folder: exists; each file is written whole or not at all
        backbones: networks for LPIPS, FID, KID and the feature distance
        name: of the protocol
        seed: which the models have, for the protocol
        workers: processes that decode and score; 1 = none but this one
        keep: also write inputs/, masks/ and filled/MODEL/ as PNG
        unknown: what the protocol leaves open
        published: rows printed elsewhere
        classes: of hole ratios, which a paper's table joins: figures of a set are given for them, too
        advance: called with the number of pictures done, after each

    Raises: DataError where nothing could be scored
    """
    skipped: list[Skipped] = []
    ratios, values = array("d"), array("d")
    done: list[tuple[Item, str, str]] = []
    measures = (*MEASURES, *backbones.measures)
    names = [evaluated.name for evaluated in models]
    with ExitStack() as stack:
        stack.callback(backbones.close)
        pool: Executor | None = None
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(workers, context, initializer=_one_thread))
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        stream = stack.enter_context(atomic_write(folder / "pictures.jsonl"))
        file = stack.enter_context(stream.open("w", encoding="utf-8"))
        scoring = _Scoring(items, preparation, models, backbones, folder if keep else None, pool)
        for scored in _in_order(scoring, AHEAD * workers, skipped, advance):
            ratios.append(scored.ratio)
            done.append((scored.item, scored.picture_sha256, scored.mask_sha256))
            for model, found in zip(names, scored.figures, strict=True):
                values.extend(found[measure.key] for measure in measures)
                line = {
                    "picture": scored.item.label,
                    "model": model,
                    "hole_ratio": rounded(scored.ratio),
                    "bin": bin_of(scored.ratio),
                    **{measure.key: rounded(found[measure.key]) for measure in measures},
                }
                file.write(as_json(line) + "\n")
        if not done:
            reasons = {each.reason for each in skipped}
            if reasons == {"its mask is empty"}:
                raise DataError(EMPTY)
            first = f" (first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
            raise DataError(f"none of {len(items)} pictures could be scored{first}: mend or replace them")
        file.close()
        table = np.frombuffer(values).reshape(len(ratios), len(models), len(measures))
        rows, differences = rows_and_differences(
            np.frombuffer(ratios), table, names, measures, [item.name for item, _, _ in done]
        )
        rows += backbones.rows(names, np.frombuffer(ratios), classes)
    abouts = [evaluated.about() for evaluated in models]
    protocol = Protocol(
        name=name,
        pictures=len(done),
        pictures_sha256=list_sha256([(item.label, digest) for item, digest, _ in done]),
        size=size_words(preparation),
        masks=mask_words(preparation),
        masks_sha256=list_sha256([(item.label, digest) for item, _, digest in done]),
        mean_hole_ratio=round(float(np.frombuffer(ratios).mean()), 6),
        polarity="black = hole in the files" if preparation.invert else "white (1) = hole",
        scored="composite (known pixels put back), in the hole and whole as each figure says",
        rounding="8-bit RGB, rounded to the nearest level",
        files="any lossless or lossy picture of the evaluation's size",
        dilate=0,
        feather=0,
        seed=seed,
        metrics=METRICS_VERSION,
        psnr_cap=PSNR_CAP,
        bootstrap=bootstrap_words(),
        backbones=backbones.about(),
        arithmetic={each["model"]: "; ".join(words) for each in abouts if (words := each.pop("arithmetic", []))},
        skipped=len(skipped),
        unknown=unknown,
        version=__version__,
    )
    result = Evaluation(
        protocol,
        abouts,
        (*measures, *backbones.set_measures),
        rows,
        differences,
        skipped,
        published,
        np.frombuffer(ratios),
        table,
        done,
    )
    write_text(folder / "table.json", as_json(result.as_json(), indent=1) + "\n")
    write_text(folder / "table.csv", as_csv(result.rows, result.measures))
    return result


def write_text(path: Path, text: str) -> None:
    """A file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _one_thread() -> None:
    """A worker's own process: one thread is its share of the machine."""
    import torch

    torch.set_num_threads(1)


class _Scoring:
    """What is done with each picture: prepared, filled by all, scored; `retouche.runners.work.Work` says what for.

    Only an `InputError` is a picture's own end. Any other error is handed on as the report: it ends the evaluation,
    whose table would not show it.
    """

    def __init__(
        self,
        items: Sequence[Item],
        preparation: Preparation,
        models: Sequence[EvaluatedModel],
        backbones: Backbones,
        keep: Path | None,
        pool: Executor | None,
    ) -> None:
        self.items = items
        self._preparation, self._models, self._backbones = preparation, models, backbones
        self._keep, self._pool = keep, pool

    def jobs(self) -> Iterator[Job]:
        """One for each item, by its number in the place of the output."""
        return (Job(item.image, item.mask, Path(str(number))) for number, item in enumerate(self.items))

    def item(self, job: Job) -> Item:
        """The item of a job."""
        return self.items[int(job.output.name)]

    def start(self) -> Facts:
        """The models are ready."""
        return Facts({})

    def read(self, job: Job) -> PreparedItem | Skipped | Exception:
        """Decode, in another process if there are any."""
        given = self.item(job), self._preparation
        try:
            return prepare(*given) if self._pool is None else self._pool.submit(prepare, *given).result()
        except Exception as error:
            return error

    def make(
        self, job: Job, given: PreparedItem | Skipped | Exception, progress: Progress | None
    ) -> _Filled | Skipped | Exception:
        """All fills. Raises: InputError where this picture cannot be filled"""
        if not isinstance(given, PreparedItem):
            return given
        try:
            fills = tuple(evaluated.fill(given.item, given.truth, given.hole) for evaluated in self._models)
            extra = tuple(self._backbones.add(given.truth, given.hole, fills))
        except DataError as error:
            return error
        except InputError:
            raise
        except Exception as error:
            return error
        return _Filled(given, fills, extra)

    def write(
        self, job: Job, result: _Filled | Skipped | Exception
    ) -> tuple[tuple[str, ...], Future[_Scored] | _Scored | Skipped | Exception]:
        """Score, in another process if there are any, whose answer is not waited for."""
        if not isinstance(result, _Filled):
            return (), result
        try:
            if self._keep is not None:
                _keep(self._keep, result.sample, [evaluated.name for evaluated in self._models], result.fills)
            return (), _score(result) if self._pool is None else self._pool.submit(_score, result)
        except Exception as error:
            return (), error


def _in_order(
    scoring: _Scoring, most: int, skipped: list[Skipped], advance: Callable[[float], None]
) -> Iterator[_Scored]:
    """What was scored, in the pictures' order; what was not goes to `skipped`.

    Args:
        most: scores that may be waited for at a time
    """
    waiting: deque[Future[_Scored]] = deque()
    for number, outcome in enumerate(Inline(scoring).run(scoring.jobs()), 1):
        found = _ended(scoring, outcome)
        advance(number)
        if isinstance(found, Skipped):
            skipped.append(found)
        elif isinstance(found, _Scored):
            yield found
        else:
            waiting.append(found)
            if len(waiting) >= most:
                yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _ended(scoring: _Scoring, outcome: Outcome) -> Future[_Scored] | _Scored | Skipped:
    """Raises: whatever ends the evaluation"""
    if outcome.error is not None:
        return Skipped(scoring.item(outcome.job).label, outcome.error)
    found: Future[_Scored] | _Scored | Skipped | Exception = outcome.report
    if isinstance(found, Exception):
        raise found
    return found


def _score(filled: _Filled) -> _Scored:
    sample = filled.sample
    found = tuple(
        {**figures.score(fill, sample.truth, sample.hole), **extra}
        for fill, extra in zip(filled.fills, filled.extra, strict=True)
    )
    return _Scored(sample.item, hole_ratio(sample.hole), found, sample.picture_sha256, sample.mask_sha256)


def _keep(folder: Path, sample: PreparedItem, names: Sequence[str], fills: Sequence[NDArray[np.uint8]]) -> None:
    """The input with its hole blanked, the hole, and each fill, as PNG under the picture's name."""
    blank = np.where(sample.hole[..., None], np.uint8(127), sample.truth)
    pictures = [("inputs", blank), ("masks", sample.hole.astype(np.uint8) * 255)]
    pictures += [(f"filled/{file_name(name)}", fill) for name, fill in zip(names, fills, strict=True)]
    for place, pixels in pictures:
        path = (folder / place / sample.item.label).with_suffix(".png")
        with atomic_write(path, parents=True) as temporary, temporary.open("wb") as file:
            Image.fromarray(pixels).save(file, "PNG")


def file_name(name: str) -> str:
    """A model's name as a folder's."""
    return "".join(letter if letter.isalnum() or letter in "-_.+" else "-" for letter in name).strip(".") or "model"
