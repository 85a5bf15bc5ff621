"""The cards of SLOs: state, budget left, what fires, burn and budget over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reporter.html.burned import BY, Burned
from reporter.html.charts import Series, bar, capped_scale, captioned, columns, lines, round_scale
from reporter.html.history import Page, Step
from reporter.html.markup import Markup, joined, own, tag
from reporter.html.tables import NUMBER, TEXT, table
from reporter.html.words import burn, count, fires, minute, percent, several, whole_percent
from reporter.report.model import AlertState, SLOStatus
from reporter.report.words import NOTHING
from reporter.slo.fields import plain
from reporter.slo.spec import SLO


def slo_section(page: Page) -> Markup:
    """A card for each SLO, the worst first."""
    if not page.status.slos:
        return tag("p", "No SLO is configured: `reporter init` writes a file with three.", class_="muted")
    cards = [
        _card(slo, page.specs[slo.slo], page.steps.get(slo.slo, ()), page.burned.get(slo.slo))
        for slo in page.status.slos
    ]
    return tag("div", *cards, class_="cards")


def below_of(moments: Sequence[int]) -> list[str]:
    """What stands under a chart: its begin, its middle, its end."""
    return [minute(moments[0])[5:], minute(moments[len(moments) // 2])[5:], minute(moments[-1])[5:]]


def _card(slo: SLOStatus, spec: SLO, steps: Sequence[Step], burned: Burned | None) -> Markup:
    state = slo.state.replace("_", " ")
    return tag(
        "article",
        tag("header", tag("h3", own(slo.slo)), tag("span", state, class_=f"state {slo.state}")),
        tag("p", f"{plain(spec.objective)} % of {spec.sli.over} in {slo.period}: {_described(spec)}", class_="muted"),
        *_left(slo),
        *(tag("p", _fires(slo, alert), class_=f"firing {alert.severity}") for alert in slo.alerts if alert.firing),
        *_past(slo, steps),
        *_what_burned(burned, slo.period),
        tag("details", tag("summary", "By window"), _windows(slo)),
        tag("p", "Why: ", tag("code", "reporter explain ", own(slo.slo)), class_="muted"),
        class_="card",
    )  # fmt: skip


def _described(spec: SLO) -> str:
    where = spec.where.describe()
    return spec.sli.describe() + f", where {where}" * bool(where)


def _left(slo: SLOStatus) -> Iterator[Markup]:
    period = slo.windows.get(slo.period)
    if slo.remaining_ratio is None or period is None:
        yield tag("p", f"Nothing that counts happened in {slo.period}.")
        return
    told = whole_percent(slo.remaining_ratio)
    counted = f"{count(period.bad)} bad of {count(period.total)}, SLI {percent(period.sli_ratio)}"
    yield tag("p", tag("span", counted), tag("strong", f"{told} left"), class_="left")
    state = "ok" if slo.remaining_ratio > 0.25 else "burning" if slo.remaining_ratio > 0 else "exhausted"
    yield bar(slo.remaining_ratio, f"Error budget left: {told}", state)


def _fires(slo: SLOStatus, alert: AlertState) -> str:
    return fires(alert, slo.windows[alert.long].burn_rate, slo.windows[alert.short].burn_rate)


def _past(slo: SLOStatus, steps: Sequence[Step]) -> Iterator[Markup]:
    if not any(step.burn_rate is not None or step.remaining_ratio is not None for step in steps):
        return
    below = below_of([steps[0].start_ns, *(step.end_ns for step in steps)])
    yield _burned(slo, steps, below)
    left = tuple(step.remaining_ratio for step in steps)
    known = [value for value in left if value is not None]
    if known:
        scale = round_scale(known, least=1.0)
        series = Series(
            name="error budget left", values=left, colour=0,
            titles=tuple(f"{minute(step.end_ns)}: {whole_percent(step.remaining_ratio)} left" for step in steps),
        )  # fmt: skip
        label = f"Error budget left over {slo.period}: from {whole_percent(known[0])} to {whole_percent(known[-1])}"
        yield lines(captioned("Error budget left"), [series], scale, whole_percent, below, label)


def _burned(slo: SLOStatus, steps: Sequence[Step], below: Sequence[str]) -> Markup:
    rates = tuple(step.burn_rate for step in steps)
    known = [rate for rate in rates if rate is not None]
    titles = tuple(
        f"{minute(step.start_ns)} to {minute(step.end_ns)[11:]}: {step.bad:,.6g} bad of {step.total:,.6g},"
        f" burn rate {burn(step.burn_rate)}"
        for step in steps
    )
    series = Series(name="burn rate", values=rates, titles=titles, colour=0)
    over = sum(rate > 1 for rate in known)
    label = (
        f"Burn rate over time: highest {burn(max(known, default=None))},"
        f" above 1 in {several(over, 'step', 'steps')} of {len(steps)}"
    )
    scale = capped_scale(known, least=2.0)
    title = "Burn rate (above 1 is too fast)"
    beyond = sum(rate > scale.high for rate in known)
    if beyond:
        title += (
            f"; {several(beyond, 'step is', 'steps are')} cut off at {scale.high:g}, the highest is {burn(max(known))}"
        )
    return columns(captioned(title), [series], scale, "{:,g}".format, below, label, limit=1.0)


def _what_burned(found: Burned | None, period: str) -> Iterator[Markup]:
    """What the bad events have in common: in a line, and in numbers."""
    if found is None:
        return
    since = "" if found.since_ns is None else f", of which raw rows are there since {minute(found.since_ns)}"
    first = [
        tag("span", f"{name} ", own(found.by[by][0].value or NOTHING), f" ({whole_percent(found.by[by][0].ratio)})")
        for by, name in BY.items()
        if by in found.by
    ]
    yield tag("p", "What burned it: ", joined(first, ", "), class_="burned")
    rows = [
        (name, own(share.value or NOTHING), f"{share.bad:,}", whole_percent(share.ratio))
        for by, name in BY.items()
        for share in found.by.get(by, ())
    ]
    names = (("by", TEXT), ("value", TEXT), ("bad", NUMBER), ("share", NUMBER))
    numbers = table(f"{several(found.bad, 'bad one', 'bad ones')} in {period}{since}", names, rows)
    yield tag("details", tag("summary", "What burned it, in numbers"), numbers)


def _windows(slo: SLOStatus) -> Markup:
    alarmed = {label for alert in slo.alerts if alert.firing for label in (alert.long, alert.short)}
    rows = [
        (
            label, count(window.bad), count(window.total), percent(window.sli_ratio),
            joined([burn(window.burn_rate), " (fires)" if label in alarmed else None]),
        )
        for label, window in slo.windows.items()
    ]  # fmt: skip
    names = (
        ("window", TEXT),
        ("bad", NUMBER),
        ("of", NUMBER),
        ("SLI", NUMBER),
        ("burn rate", NUMBER),
    )
    return table(f"Windows of {slo.slo}", names, rows)
