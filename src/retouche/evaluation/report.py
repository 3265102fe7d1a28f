"""The report: one HTML file with table, plots and pictures in it, which opens anywhere and fetches nothing."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.evaluation import plots
from retouche.evaluation.evaluate import Evaluation, write_text
from retouche.evaluation.evaluated import EvaluatedModel
from retouche.evaluation.measures import Measure
from retouche.evaluation.pictures import Item, Preparation, PreparedItem, prepare
from retouche.evaluation.table import ALL, BINS, Row, written
from retouche.folders.names import shown

Pixels = NDArray[np.uint8]
LONGEST = 320  # pixels: larger pictures are shrunk to this in the report
MAIN = ("hole_psnr", "band_error", "ssim", "lpips", "fid", "seam")
CHOSEN_BY = "hole_psnr"
SEAMS = 4  # pictures shown per model with the highest seam scores
ERROR_GAIN = 4.0
_HEAT = np.array([(18, 18, 30), (88, 36, 110), (206, 70, 72), (250, 178, 74), (255, 250, 214)], np.float64)
CACHE_BYTES = 256 << 20


class Cache:
    """Fills kept in a file until the report has chosen its pictures; what does not fit is filled again."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._places: dict[tuple[int, str], tuple[int, tuple[int, ...]]] = {}
        self._end = 0

    def put(self, number: int, name: str, fill: Pixels) -> None:
        """Keep one, while there is room."""
        if self._end + fill.nbytes > CACHE_BYTES:
            return
        self._file.seek(self._end)
        self._file.write(fill.tobytes())
        self._places[number, name] = (self._end, fill.shape)
        self._end += fill.nbytes

    def get(self, number: int, name: str) -> Pixels | None:
        """The fill, if it was kept."""
        if (number, name) not in self._places:
            return None
        start, shape = self._places[number, name]
        self._file.seek(start)
        return np.frombuffer(self._file.read(int(np.prod(shape))), np.uint8).reshape(shape)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class Remembering:
    """A model whose fills are kept for the report."""

    def __init__(self, evaluated: EvaluatedModel, cache: Cache) -> None:
        self.evaluated, self.cache, self.name = evaluated, cache, evaluated.name
        self.about = evaluated.about

    def fill(self, item: Item, truth: Pixels, hole: NDArray[np.bool_]) -> Pixels:
        """As the model's own."""
        kept = self.cache.get(item.number, self.name)
        if kept is None:
            kept = self.evaluated.fill(item, truth, hole)
            self.cache.put(item.number, self.name, kept)
        return kept


def write_report(
    path: Path, evaluation: Evaluation, preparation: Preparation, models: Sequence[EvaluatedModel]
) -> None:
    """Write the report.

    Args:
        path: index.html
        evaluation: the table
        preparation: how its pictures came to size, to show some of them again
        models: in the table's order; asked again for the pictures shown
    """
    names = evaluation.names
    samples: dict[int, PreparedItem] = {}

    def sample(place: int) -> PreparedItem | None:
        if place not in samples:
            found = prepare(evaluation.items[place][0], preparation)
            if not isinstance(found, PreparedItem):
                return None
            samples[place] = found
        return samples[place]

    galleries = []
    for number, name in enumerate(names):
        rows = []
        for word, place in _chosen(evaluation, number):
            one = sample(place)
            if one is not None:
                rows.append(_row(word, place, one, number, evaluation, models))
        galleries.append(_gallery(name, number, rows))
    seams = []
    for number, name in enumerate(names):
        cells = []
        for place in _highest_seams(evaluation, number):
            one = sample(place)
            if one is not None:
                fill = models[number].fill(one.item, one.truth, one.hole)
                at = [measure.key for measure in evaluation.measures].index("seam")
                caption = f"{evaluation.values[place, number, at]:.1f} levels"
                cells.append(_figure(fill, shown(one.item.label), caption, truth=_uri(one.truth)))
        if cells:
            seams.append(_gallery(name, number, [f"<div class='strip'>{''.join(cells)}</div>"]))
    write_text(path, _page(evaluation, galleries, seams))


def _chosen(evaluation: Evaluation, model: int) -> list[tuple[str, int]]:
    """The worst, the median and the best picture of a model; fewer where there are fewer pictures."""
    at = [measure.key for measure in evaluation.measures].index(CHOSEN_BY)
    order = np.argsort(evaluation.values[:, model, at], kind="stable")
    last = len(order) - 1
    words = {0: "worst", last // 2: "median", last: "best"} if last > 1 else {place: "" for place in range(last + 1)}
    return [(word, int(order[place])) for place, word in words.items()]


def _highest_seams(evaluation: Evaluation, model: int) -> list[int]:
    at = [measure.key for measure in evaluation.measures].index("seam")
    values = evaluation.values[:, model, at]
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return [int(place) for place in order[:SEAMS] if not np.isnan(values[place])]


# Pictures -------------------------------------------------------------------------------------------------------------


def _uri(pixels: Pixels) -> str:
    """The picture as a data address."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def hollow(truth: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """The input with a chequered hole."""
    side = max(4, max(hole.shape) // 32)
    y, x = np.indices(hole.shape) // side
    chequers = np.where((x + y) % 2, 214, 238).astype(np.uint8)[..., None]
    return np.where(hole[..., None], chequers, truth).astype(np.uint8)


def error_map(filled: Pixels, truth: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """Absolute error in the hole, times 4, from dark (none) to light; the known pixels as a dim grey."""
    error = np.abs(filled.astype(np.float64) - truth).mean(2) / 255 * ERROR_GAIN
    place = np.clip(error, 0, 1) * (len(_HEAT) - 1)
    low = np.minimum(place.astype(int), len(_HEAT) - 2)
    heat = _HEAT[low] + (_HEAT[low + 1] - _HEAT[low]) * (place - low)[..., None]
    grey = 150 + 0.3 * truth.astype(np.float64).mean(2, keepdims=True)
    return np.where(hole[..., None], heat, grey).round().astype(np.uint8)


def _figure(pixels: Pixels, title: str, caption: str = "", truth: str = "", kind: str = "") -> str:
    """A picture with its words; the pointer brings up `truth`: an address, "row" for the row's, "" for nothing."""
    style = "" if truth in ("", "row") else f" style='--truth:url({truth})'"
    under = f" class='swap' tabindex='0'{style}" if truth else ""
    small = f"<small>{escape(caption)}</small>" if caption else ""
    return (
        f"<figure class='{kind}'><div{under}><img src='{_uri(pixels)}' alt='{escape(title)}'></div>"
        f"<figcaption>{escape(title)}{small}</figcaption></figure>"
    )


def _row(
    word: str, place: int, sample: PreparedItem, model: int, evaluation: Evaluation, models: Sequence[EvaluatedModel]
) -> str:
    """One picture: input, the model's fill, its errors, the truth, then the other models' fills."""
    keys = [measure.key for measure in evaluation.measures]
    psnr, band = keys.index("hole_psnr"), keys.index("band_error")

    def caption(number: int) -> str:
        return f"{evaluation.values[place, number, psnr]:.2f} dB, {evaluation.values[place, number, band]:.2f} oct"

    own = models[model].fill(sample.item, sample.truth, sample.hole)
    cells = [
        _figure(hollow(sample.truth, sample.hole), "input", f"{sample.hole.mean():.0%} hole"),
        _figure(own, evaluation.names[model], caption(model), "row", "own"),
        _figure(error_map(own, sample.truth, sample.hole), "error", "light is large"),
        _figure(sample.truth, "truth"),
    ]
    for number, evaluated in enumerate(models):
        if number != model:
            fill = evaluated.fill(sample.item, sample.truth, sample.hole)
            cells.append(_figure(fill, evaluation.names[number], caption(number), "row"))
    title = f"<h4>{word} <span>{escape(shown(sample.item.label))}</span></h4>"
    # the truth is in the page once per row: the fills show it under the pointer
    truth = f"--truth:url({_uri(sample.truth)})"
    return f"<div class='row' style='{truth}'>{title}<div class='strip'>{''.join(cells)}</div></div>"


def _gallery(name: str, number: int, rows: Sequence[str]) -> str:
    title = f"<h3>{escape(name)}</h3>"
    return f"<section class='model' style='--model:{plots.colour(number)}'>{title}{''.join(rows)}</section>"


# Page -----------------------------------------------------------------------------------------------------------------

_CSS = """
* { box-sizing: border-box; } html { color-scheme: light dark; }
body { margin: 0 auto; padding: 40px 28px 80px; max-width: 1240px; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 30px; font-weight: 650; letter-spacing: -.015em; margin: 0 0 4px; }
h2 { font-size: 19px; font-weight: 650; margin: 52px 0 6px; } h3 { font-size: 16px; margin: 26px 0 8px; }
h4 { font-size: 13px; font-weight: 600; margin: 14px 0 6px; text-transform: none; }
h4 span, small, .lead, .note { color: var(--faint); font-weight: 400; } .lead { font-size: 17px; margin: 0; }
.note { max-width: 74ch; margin: 0 0 14px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 18px 0 0; padding: 0; list-style: none; }
.legend li::before, section.model > h3::before { content: ""; display: inline-block; width: .72em;
  height: .72em; border-radius: 50%; background: var(--model); margin-right: .5em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 18px; align-items: start; }
.plots > div, .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px; }
.plots .wide { grid-column: 1 / -1; } .plots .wide svg { max-width: 760px; display: block; margin: 0 auto; }
svg { width: 100%; height: auto; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: 9px 12px; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--faint); font-size: 13px; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; } td b { font-weight: 650; }
td small, th small { display: block; font-size: 11.5px; } tr:last-child td { border-bottom: 0; }
td.best b::after { content: " \\2022"; color: var(--m2); } tbody tr.head td { color: var(--faint); font-size: 13px; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(146px, 1fr)); gap: 12px; }
figure { margin: 0; } figure img { display: block; width: 100%; height: auto; border-radius: 8px; }
figure.own > div { outline: 2px solid var(--model); outline-offset: 2px; border-radius: 8px; }
figcaption { font-size: 12.5px; margin-top: 6px; line-height: 1.35; overflow-wrap: anywhere; }
figcaption small { display: block; }
.swap { position: relative; border-radius: 8px; }
.swap::after { content: ""; position: absolute; inset: 0; border-radius: 8px; background: var(--truth) 0 0 / 100% 100%;
  opacity: 0; transition: opacity .15s; }
.swap:hover::after, .swap:focus::after { opacity: 1; } .swap:focus { outline: 2px solid var(--m0); }
.row { margin-bottom: 18px; } details { margin-top: 14px; } summary { cursor: pointer; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; margin: 0; } dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { .swap::after { display: none; } }
@media (prefers-reduced-motion: reduce) { .swap::after { transition: none; } }
"""


def _page(evaluation: Evaluation, galleries: Sequence[str], seams: Sequence[str]) -> str:
    protocol, names = evaluation.protocol, evaluation.names
    by_key = {measure.key: measure for measure in evaluation.measures}
    legend = "".join(f"<li style='--model:{plots.colour(n)}'>{escape(name)}</li>" for n, name in enumerate(names))
    overview = [plots.scatter(evaluation.rows, names, by_key["hole_psnr"], by_key["band_error"])]
    lines = [plots.by_bins(evaluation.rows, names, by_key[key]) for key in ("hole_psnr", "band_error", "ssim")]
    pairs = [plots.forest(evaluation.differences, by_key[key]) for key in ("hole_psnr", "band_error", "ssim")]
    main = [by_key[key] for key in MAIN if key in by_key]
    skipped = f", {protocol.skipped} skipped" if protocol.skipped else ""
    arithmetic = "".join(
        f"<p class='note'>{escape(name)}: {escape(words)}</p>" for name, words in protocol.arithmetic.items()
    )
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Evaluation: {escape(', '.join(names))}</title><style>{plots.STYLE}{_CSS}</style></head><body>",
        f"<header><h1>{escape(_title(names))}</h1>",
        f"<p class='lead'>{protocol.pictures} pictures{skipped}, {escape(protocol.size)}, "
        f"{protocol.mean_hole_ratio:.0%} hole on average</p>{arithmetic}",
        f"<ul class='legend'>{legend}</ul></header><main>",
        "<h2>At a glance</h2><p class='note'>Right is closer to the original pixel by pixel, up is closer in "
        "the strength of its texture. Fog wins the first alone and noise the second alone: a good fill is far right "
        "and far up. Bars are 95 % intervals.</p>",
        f"<div class='plots'>{_cards(overview, 'wide')}</div>",
        "<h2>Figures</h2><p class='note'>Mean over all pictures with its 95 % interval; a dot marks the best mean.</p>",
        f"<div class='card scroll'>{_table(evaluation.rows, names, main, (ALL,))}</div>",
        "<details><summary>All figures, by hole ratio</summary><div class='card scroll'>",
        _table(evaluation.rows, names, evaluation.measures, (ALL, *BINS)),
        "</div></details>",
    ]
    if any(lines):
        parts.append(f"<h2>By hole ratio</h2><div class='plots'>{_cards(lines)}</div>")
    if any(pairs):
        parts.append(
            "<h2>Picture by picture</h2><p class='note'>Paired differences of the models on the same pictures and "
            "holes. Grey intervals include zero: the pictures do not separate these models.</p>"
            f"<div class='plots'>{_cards(pairs)}</div>"
        )
    parts.append(
        "<h2>Worst, median, best</h2><p class='note'>By hole PSNR. Rest the pointer on a fill, or tap it, to see the "
        f"original in its place.</p>{''.join(galleries)}"
    )
    if seams:
        parts.append(
            "<h2>Most visible seams</h2><p class='note'>The fills whose border jumps most against its surroundings, "
            f"measured without the original.</p>{''.join(seams)}"
        )
    parts += [_published(evaluation), _protocol(evaluation), "</main></body></html>\n"]
    return "".join(parts)


def _title(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _cards(svgs: Sequence[str], kind: str = "") -> str:
    return "".join(f"<div class='{kind}'>{svg}</div>" for svg in svgs if svg)


def _table(rows: Sequence[Row], names: Sequence[str], measures: Sequence[Measure], bins: Sequence[str]) -> str:
    found = {(row.model, row.bin, row.metric): row for row in rows}
    head = "".join(
        f"<th title='{escape(measure.words, quote=True)}'>{escape(measure.title)}"
        f"<small>{escape(measure.unit or measure.better)}</small></th>"
        for measure in measures
    )
    body = []
    for name in bins:
        here = [model for model in names if (model, name, measures[0].key) in found]
        if not here:
            continue
        if len(bins) > 1:
            count = found[here[0], name, measures[0].key].count
            body.append(f"<tr class='head'><td colspan='{len(measures) + 1}'>{name} holes, {count} pictures</td></tr>")
        best = {measure.key: _best(found, here, name, measure) for measure in measures}
        for model in here:
            cells = [_cell(found.get((model, name, measure.key)), measure, best[measure.key]) for measure in measures]
            place = plots.colour(list(names).index(model))
            body.append(f"<tr><td style='color:{place};font-weight:600'>{escape(model)}</td>{''.join(cells)}</tr>")
    return f"<table><thead><tr><th>model</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _best(found: dict[tuple[str, str, str], Row], models: Sequence[str], name: str, measure: Measure) -> float | None:
    values = [row.value for model in models if (row := found.get((model, name, measure.key))) and row.value is not None]
    if not measure.better or len(values) < 2:
        return None
    return max(values) if measure.better == "higher" else min(values)


def _cell(row: Row | None, measure: Measure, best: float | None) -> str:
    if row is None or row.value is None:
        return "<td>-</td>"
    interval = ""
    if row.interval is not None:
        interval = f"<small>{row.interval[0]:.{measure.digits}f} to {row.interval[1]:.{measure.digits}f}</small>"
    if row.perfect:
        interval += f"<small>{row.perfect} perfect</small>"
    kind = " class='best'" if best is not None and row.value == best else ""
    return f"<td{kind}><b>{written(row, measure, interval=False)}</b>{interval}</td>"


def _published(evaluation: Evaluation) -> str:
    if not evaluation.published:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.model)}</td><td>{escape(each.bin)}</td><td>{escape(each.metric)}</td>"
        f"<td>{escape(each.value)}</td><td style='text-align:left;white-space:normal'>{escape(each.source)}"
        f"<small>{escape(each.remark)}</small></td></tr>"
        for each in evaluation.published
    )
    return (
        "<h2>Published elsewhere</h2><p class='note'>Other pictures and other masks than these: read beside, not "
        "against, the figures above.</p><div class='card scroll'><table><thead><tr>"
        "<th>model</th><th>holes</th><th>figure</th>"
        f"<th>value</th><th style='text-align:left'>source</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _protocol(evaluation: Evaluation) -> str:
    rows = []
    for key, value in evaluation.protocol.as_json().items():
        text = value
        if isinstance(value, dict):
            text = "; ".join(f"{name}: {weights}" for name, weights in value.items())
        elif isinstance(value, list):
            text = "; ".join(value)
        if text not in ("", None):
            rows.append(f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(str(text))}</dd>")
    for measure in evaluation.measures:
        rows.append(f"<dt>{escape(measure.title)}</dt><dd>{escape(measure.words)}</dd>")
    for model in evaluation.models:
        about = "; ".join(
            f"{key} {value}" for key, value in model.items() if value not in (None, "") and key != "model"
        )
        rows.append(f"<dt>{escape(str(model['model']))}</dt><dd>{escape(about)}</dd>")
    for each in evaluation.skipped:
        rows.append(f"<dt>skipped</dt><dd>{escape(shown(each.name))}: {escape(shown(each.reason))}</dd>")
    return f"<h2>Protocol</h2><div class='card'><dl>{''.join(rows)}</dl></div>"
