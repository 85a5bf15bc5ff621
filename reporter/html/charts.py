"""Charts as inline SVG: the drawing stretches to its box, words stand beside it as text, so that they stay readable.

Each drawing has a label that says in a sentence what it shows, and each mark a title with its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reporter.html.markup import Markup, joined, own, tag

WIDTH, HEIGHT = 1000, 200
COLOURS = 8
"""Colours that series have; the style sheet names them s0 to s7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values over the columns of a chart; None where there is none."""

    name: str
    values: tuple[float | None, ...]
    titles: tuple[str, ...]
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The values at the bottom and at the top of a chart."""

    low: float
    high: float

    def y(self, value: float) -> float:
        """How far from the top of the drawing a value is."""
        return HEIGHT * (self.high - value) / (self.high - self.low)


def round_scale(values: Iterable[float], *, least: float, low: float = 0.0) -> Scale:
    """From `low`, or round numbers below it, to a round number at or above all values and `least`."""
    known = [*values, least]
    bottom = low if min(known) >= low else -_round_up(-min(known))
    return Scale(low=bottom, high=_round_up(max(known)))


def capped_scale(values: Iterable[float], *, least: float) -> Scale:
    """As `round_scale`, but that a few values far above all others do not flatten them: those are then beyond it."""
    known = sorted(value for value in values if value > 0)
    whole = round_scale(known, least=least)
    if not known:
        return whole
    usual = known[int(0.9 * (len(known) - 1))]
    capped = round_scale([2 * usual], least=least)
    return capped if capped.high * 3 <= whole.high else whole


def _round_up(value: float) -> float:
    step = 1e-9
    while step * 10 < value:
        step *= 10
    return next((factor * step for factor in (1, 2, 4, 6, 8) if factor * step >= value * 0.999999), 10 * step)


def bar(share: float, label: str, state: str) -> Markup:
    """A bar that is full to `share`, cut to 0–1."""
    filled = max(0.0, min(1.0, share))
    return tag(
        "svg",
        tag("rect", class_="rest", x=0, y=0, width=100, height=8),
        tag("rect", class_=f"fill {state}", x=0, y=0, width=_number(max(filled * 100, 1.5 if filled > 0 else 0)), height=8),
        class_="bar", viewBox="0 0 100 8", preserveAspectRatio="none", role="img", aria_label=label,
    )  # fmt: skip


def columns(
    title: Markup, stacks: Sequence[Series], scale: Scale, axis: Callable[[float], str], below: Sequence[str], label: str,
    *, limit: float | None = None,
) -> Markup:  # fmt: skip
    """Columns, the series stacked; those above `limit` are marked, and it is drawn as a line.

    One that is higher than the scale is cut off at its top, and a gap across it says so.
    """
    marks: list[Markup] = []
    count = max((len(series.values) for series in stacks), default=0)
    bottoms = [0.0] * count
    wide = WIDTH / max(count, 1)
    gap = min(wide * 0.15, 4)
    for series in stacks:
        for index, value in enumerate(series.values):
            if not value:
                continue
            top = bottoms[index] + value
            y, end = scale.y(min(top, scale.high)), scale.y(min(bottoms[index], scale.high))
            height = max(end - y, 1.5)  # what is there can be seen
            over = " over" if limit is not None and value > limit else ""
            marks.append(
                tag(
                    "rect", tag("title", series.titles[index]), class_=f"s{series.colour}{over}",
                    x=_number(index * wide + gap / 2), y=_number(end - height),
                    width=_number(wide - gap), height=_number(height),
                )
            )  # fmt: skip
            if top > scale.high:
                marks.append(_cut(index * wide, wide))
            bottoms[index] = top
    if limit is not None:
        marks.append(_across(scale.y(limit), "limit"))
    return _figure(title, marks, scale, axis, below, label)


def lines(
    title: Markup, series: Sequence[Series], scale: Scale, axis: Callable[[float], str], below: Sequence[str], label: str,
    *, limit: float | None = None,
) -> Markup:  # fmt: skip
    """A line for each series, broken where it has no value."""
    marks = [_across(scale.y(limit), "limit")] if limit is not None else []
    for one in series:
        marks += _line(one, scale)
    return _figure(title, marks, scale, axis, below, label)


def _line(series: Series, scale: Scale) -> Iterable[Markup]:
    wide = WIDTH / max(len(series.values), 1)
    points: list[str] = []
    for index, value in enumerate((*series.values, None)):
        if value is not None:
            points.append(f"{_number((index + 0.5) * wide)},{_number(scale.y(value))}")
        elif points:
            path = " ".join(points if len(points) > 1 else points * 2)  # one alone is a dot
            yield tag("polyline", tag("title", series.name), class_=f"line s{series.colour}", points=path)
            points = []
    if len(series.values) <= 40:
        for index, value in enumerate(series.values):
            if value is not None:
                at = f"{_number((index + 0.5) * wide)},{_number(scale.y(value))}"
                yield tag(
                    "polyline", tag("title", series.titles[index]), class_=f"dot s{series.colour}", points=f"{at} {at}"
                )


def _cut(x: float, wide: float) -> Markup:
    """A slanted gap near the top of a column that goes on."""
    points = f"{_number(x)},26 {_number(x + wide)},14 {_number(x + wide)},22 {_number(x)},34"
    return tag("polygon", class_="cut", points=points)


def legend(series: Sequence[Series]) -> Markup | None:
    """Which colour is which."""
    if not series:
        return None
    return tag("ul", *(tag("li", _swatch(one.colour), own(one.name)) for one in series), class_="legend")


def _swatch(colour: int) -> Markup:
    square = tag("rect", class_=f"s{colour}", width=10, height=10)
    return tag("svg", square, viewBox="0 0 10 10", aria_hidden="true")


def _figure(
    title: Markup, marks: Sequence[Markup], scale: Scale, axis: Callable[[float], str], below: Sequence[str], label: str
) -> Markup:
    grid = [_across(y, "grid") for y in (0, HEIGHT / 2, HEIGHT)]
    if scale.low < 0:
        grid.append(_across(scale.y(0), "zero"))
    drawing = tag(
        "svg", *grid, *marks, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", role="img", aria_label=label
    )
    heights = [tag("span", axis(value)) for value in (scale.high, (scale.high + scale.low) / 2, scale.low)]
    widths = [tag("span", word) for word in below]
    plot = tag(
        "div", tag("div", *heights, class_="y", aria_hidden="true"), drawing,
        tag("div", *widths, class_="x", aria_hidden="true"), class_="plot",
    )  # fmt: skip
    return tag("figure", tag("figcaption", title), plot, class_="chart")


def _across(y: float, kind: str) -> Markup:
    return tag("line", class_=kind, x1=0, x2=WIDTH, y1=_number(y), y2=_number(y))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def captioned(title: str, series: Sequence[Series] = ()) -> Markup:
    """A chart's title, and its legend."""
    return joined([tag("span", title), legend(series)])
