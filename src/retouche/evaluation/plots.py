"""Plots as SVG text: they scale, print, follow light and dark, and need no library.

Colours come from the CSS variables --m0 ... --m7 (models), --ink, --faint, --line and --paper; `standalone` adds them
to a plot that stands in a file of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from retouche.evaluation.measures import Measure
from retouche.evaluation.table import ALL, BINS, Difference, Row

COLOURS = 8
STYLE = """
:root { --paper: #fbfaf8; --card: #ffffff; --ink: #1d1f21; --soft: #4a4f55; --faint: #6c7178; --line: #e2e0db;
  --m0: #2b6ea3; --m1: #c2591b; --m2: #3a8a57; --m3: #8b4fa8; --m4: #a27a00; --m5: #b5395f;
  --m6: #2f8585; --m7: #6a6f76; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --card: #1c1f23; --ink: #eceae6; --soft: #bfc3c8;
  --faint: #969ba2; --line: #31353b;
  --m0: #6cb2e8; --m1: #f09a5b; --m2: #79cc95; --m3: #c896e4; --m4: #dcb740; --m5: #ef86a5;
  --m6: #6fcaca; --m7: #a5abb3; } }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--faint); }
svg .name { font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg .axis { fill: var(--soft); } svg .grid { stroke: var(--line); stroke-width: 1; }
"""


def standalone(svg: str) -> str:
    """The plot with its colours, for a file."""
    head, _, rest = svg.partition(">")
    return f"{head}><style>{STYLE}</style><rect width='100%' height='100%' fill='var(--paper)'/>{rest}\n"


def colour(number: int) -> str:
    """The CSS colour of a model by its place in the table."""
    return f"var(--m{number % COLOURS})"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover low..high."""
    span = max(high - low, 1e-9)
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{body}</svg>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "", fill: str = "") -> str:
    style = f' style="fill:{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{style}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid", stroke: str = "", width: float = 1) -> str:
    style = f' style="stroke:{stroke};stroke-width:{width}"' if stroke else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"{style}/>'


def _number(value: float) -> str:
    return f"{value:g}"


def _with_unit(measure: Measure) -> str:
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def scatter(rows: Sequence[Row], models: Sequence[str], across: Measure, up: Measure) -> str:
    """Two figures of each model over all pictures, with intervals; the good corner is the upper right one."""
    found = {(row.model, row.metric): row for row in rows if row.bin == ALL}
    points = []
    for number, model in enumerate(models):
        x, y = found.get((model, across.key)), found.get((model, up.key))
        if x is not None and y is not None and x.value is not None and y.value is not None:
            points.append((number, model, x, y))
    if not points:
        return ""
    width, height, left, right, top, bottom = 560, 360, 58, 110, 30, 48

    def span(which: Sequence[Row]) -> list[float]:
        values = [edge for row in which for edge in (row.interval or (row.value, row.value)) if edge is not None]
        return ticks(min(values), max(values))

    xs, ys = span([x for _, _, x, _ in points]), span([y for _, _, _, y in points])

    def at_x(value: float) -> float:
        share = (value - xs[0]) / (xs[-1] - xs[0])
        return left + (1 - share if across.better == "lower" else share) * (width - left - right)

    def at_y(value: float) -> float:
        share = (value - ys[0]) / (ys[-1] - ys[0])
        return top + (share if up.better == "lower" else 1 - share) * (height - top - bottom)

    parts = [
        _line(at_x(x), top, at_x(x), height - bottom) + _text(at_x(x), height - bottom + 18, _number(x), "middle")
        for x in xs
    ]
    parts += [
        _line(left, at_y(y), width - right, at_y(y)) + _text(left - 8, at_y(y) + 4, _number(y), "end") for y in ys
    ]
    arrow = {"higher": "higher is better", "lower": "lower is better", "": ""}
    parts.append(_text(left, height - 8, f"{_with_unit(across)} ({arrow[across.better]})", kind="axis"))
    parts.append(_text(left, 16, f"{_with_unit(up)} ({arrow[up.better]}, so upwards)", kind="axis"))
    names: list[str] = []
    placed: list[tuple[float, float]] = []
    for number, model, x, y in points:
        assert x.value is not None and y.value is not None
        cx, cy, stroke = at_x(x.value), at_y(y.value), colour(number)
        if x.interval:
            parts.append(_line(at_x(x.interval[0]), cy, at_x(x.interval[1]), cy, "", stroke, 1.5))
        if y.interval:
            parts.append(_line(cx, at_y(y.interval[0]), cx, at_y(y.interval[1]), "", stroke, 1.5))
        parts.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="6" style="fill:{stroke};stroke:var(--card);stroke-width:2"/>'
        )
        # above, below, further above, ... until no other name is in the way
        choices = [cy + side for step in range(8) for side in (-10 - 15 * step, 19 + 15 * step)]
        free = (c for c in choices if all(abs(c - oy) >= 14 or abs(cx - ox) >= 100 for ox, oy in placed))
        label = next(free, cy - 10)
        placed.append((cx, label))
        names.append(_text(cx + 10, label, model, kind="name", fill=stroke))
    parts += names
    return _svg(width, height, f"{up.title} against {across.title} of each model", parts)


def by_bins(rows: Sequence[Row], models: Sequence[str], measure: Measure) -> str:
    """A figure by hole ratio, one line per model, bands for intervals; empty where fewer than two bins are there."""
    found = {(row.model, row.bin): row for row in rows if row.metric == measure.key and row.value is not None}
    bins = [name for name in BINS if any((model, name) in found for model in models)]
    if len(bins) < 2:
        return ""
    width, height, left, right, top, bottom = 400, 250, 46, 14, 30, 44
    edges = [
        edge
        for (_, name), row in found.items()
        if name in bins
        for edge in (row.interval or (row.value, row.value))
        if edge is not None
    ]
    ys = ticks(min(edges), max(edges), 4)

    def at_x(place: int) -> float:
        return left + 14 + place * (width - left - right - 28) / (len(bins) - 1)

    def at_y(value: float) -> float:
        return height - bottom - (value - ys[0]) / (ys[-1] - ys[0]) * (height - top - bottom)

    parts = [_line(left, at_y(y), width - right, at_y(y)) + _text(left - 7, at_y(y) + 4, _number(y), "end") for y in ys]
    parts += [
        _text(at_x(place), height - bottom + 18, name.replace(" %", ""), "middle") for place, name in enumerate(bins)
    ]
    better = f", {measure.better} is better" if measure.better else ""
    parts.append(_text(left, 16, _with_unit(measure) + better, kind="axis"))
    parts.append(_text(width - right, height - 6, "hole ratio, %", "end", kind="axis"))
    for number, model in enumerate(models):
        line = [(at_x(place), found[model, name]) for place, name in enumerate(bins) if (model, name) in found]
        bands = [(x, row.interval) for x, row in line if row.interval is not None]
        if len(bands) > 1:
            upper = [f"{x:.1f},{at_y(interval[1]):.1f}" for x, interval in bands]
            lower = [f"{x:.1f},{at_y(interval[0]):.1f}" for x, interval in reversed(bands)]
            parts.append(f'<polygon points="{" ".join(upper + lower)}" style="fill:{colour(number)};opacity:.11"/>')
        steps = " ".join(f"{x:.1f},{at_y(row.value or 0):.1f}" for x, row in line)
        parts.append(f'<polyline points="{steps}" style="fill:none;stroke:{colour(number)};stroke-width:2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{at_y(row.value or 0):.1f}" r="3.5" style="fill:{colour(number)}"/>'
            for x, row in line
        ]
    return _svg(width, height, f"{measure.title} by hole ratio", parts)


def forest(differences: Sequence[Difference], measure: Measure, most: int = 12) -> str:
    """Paired differences with their intervals around zero."""
    shown = [each for each in differences if each.metric == measure.key and each.value is not None and each.interval][
        :most
    ]
    if not shown:
        return ""
    row, width, left, right, top, bottom = 26, 400, 168, 14, 52, 26
    height = top + bottom + row * len(shown)
    edges = [edge for each in shown if each.interval for edge in each.interval]
    xs = ticks(min(0.0, *edges), max(0.0, *edges), 4)

    def at_x(value: float) -> float:
        return left + (value - xs[0]) / (xs[-1] - xs[0]) * (width - left - right)

    parts = [
        _line(at_x(x), top - 6, at_x(x), height - bottom) + _text(at_x(x), height - bottom + 16, _number(x), "middle")
        for x in xs
    ]
    parts.append(_line(at_x(0), top - 6, at_x(0), height - bottom, "", "var(--faint)", 1.5))
    better = {"higher": "right of 0: the first is better", "lower": "left of 0: the first is better", "": ""}
    parts.append(_text(4, 16, f"{_with_unit(measure)}: first minus second", kind="axis"))
    parts.append(_text(4, 33, better[measure.better]))
    for place, each in enumerate(shown):
        assert each.value is not None and each.interval is not None
        y = top + row * (place + 0.5)
        clear = each.interval[0] > 0 or each.interval[1] < 0
        stroke = "var(--ink)" if clear else "var(--faint)"
        parts.append(_text(left - 12, y + 4, " - ".join(each.models), "end", fill=stroke))
        parts.append(_line(at_x(each.interval[0]), y, at_x(each.interval[1]), y, "", stroke, 2))
        parts.append(f'<circle cx="{at_x(each.value):.1f}" cy="{y:.1f}" r="4.5" style="fill:{stroke}"/>')
    return _svg(width, height, f"paired differences of {measure.title}", parts)
