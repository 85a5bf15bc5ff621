"""Cost and latency by day and model, and what is left of cost budgets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from reporter.html.charts import COLOURS, Series, bar, captioned, columns, lines, round_scale
from reporter.html.history import DayOfModel, Page
from reporter.html.markup import Markup, own, tag
from reporter.html.tables import NUMBER, TEXT, WHEN, table
from reporter.html.words import cost_of, dollars, fires, minute, several, whole_percent
from reporter.report.json_form import usd
from reporter.report.model import BudgetStatus
from reporter.report.words import NOTHING, seconds

_API = "calls that name no model"
_OTHERS = "other models"
_GREY = COLOURS - 1  # the colour of all that have none of their own


def cost_section(page: Page) -> Iterator[Markup]:
    """Money by day and model, then budgets."""
    priced = [day for day in page.days if day.model or day.window.cost_nanousd]
    if priced:
        yield _cost_by_day(priced, _colours(page.days))
        unpriced = sum(day.window.unpriced_calls for day in priced)
        total = sum(day.window.cost_nanousd for day in priced)
        known = None if unpriced and not total else total
        missing = f"; {several(unpriced, 'call has', 'calls have')} no price and can't be in it" if unpriced else ""
        yield tag("p", f"Together {dollars(known)} USD since {minute(page.days_since_ns)}{missing}.")
    else:
        yield tag("p", "No calls that cost anything in this time.", class_="muted")
    if page.status.report.budgets:
        yield _budgets(page.status.report.budgets)
        for one in page.status.report.budgets:
            for alert in one.alerts:
                if alert.firing:
                    told = fires(alert, one.burn_rates[alert.long], one.burn_rates[alert.short])
                    yield tag("p", own(one.budget), f", {told}", class_=f"firing {alert.severity}")


def speed_section(page: Page) -> Iterator[Markup]:
    """How long calls took, by day and model."""
    measured = [day for day in page.days if day.window.duration_seconds.p95 is not None]
    if not measured:
        yield tag("p", "No call was measured in this time.", class_="muted")
        return
    colours = _colours(page.days)
    days = _days(page.days)
    series = [_p95s(model, colour, measured, days) for model, colour in colours.items()]
    series = [one for one in series if any(value is not None for value in one.values)]
    known = [value for one in series for value in one.values if value is not None]
    if known:
        label = f"95th percentile of call durations by day (UTC): from {seconds(min(known))} to {seconds(max(known))}"
        scale = round_scale(known, least=0.001)
        yield lines(captioned("p95 of durations by day (UTC)", series), series, scale, _axis, _below(days), label)
    if len(_names(measured)) > len(series):
        yield tag("p", "Models that cost less are in the table only.", class_="muted")
    yield _numbers(page.days)


def _p95s(model: str, colour: int, measured: Sequence[DayOfModel], days: Sequence[str]) -> Series:
    by_day = {one.day: one.window.duration_seconds.p95 for one in measured if one.model == model}
    return Series(
        name=model or _API, colour=colour, values=tuple(by_day.get(day) for day in days),
        titles=tuple(f"{day}, {model or _API}: p95 {seconds(by_day.get(day))}" for day in days),
    )  # fmt: skip


def _axis(value: float) -> str:
    return seconds(value) if value else "0"


# ── cost ──


def _cost_by_day(found: Sequence[DayOfModel], colours: Mapping[str, int]) -> Markup:
    days = _days(found)
    parts: dict[int, list[DayOfModel]] = defaultdict(list)
    for one in found:
        parts[colours.get(one.model, _GREY)].append(one)
    series = [_costs(colour, parts[colour], days) for colour in sorted(parts)]
    sums = [sum(value or 0 for value in of_day) for of_day in zip(*(one.values for one in series), strict=True)]
    label = f"Cost by day (UTC) and model in USD: {several(len(days), 'day', 'days')}, the dearest {max(sums):,.4g}"
    scale = round_scale(sums, least=1e-6)
    return columns(captioned("USD by day (UTC)", series), series, scale, "{:,.4g}".format, _below(days), label)


def _costs(colour: int, found: Sequence[DayOfModel], days: Sequence[str]) -> Series:
    """What one colour stands for: a model, or those that share the last one; `+` and `?` as everywhere."""
    nanousd, unpriced = dict.fromkeys(days, 0), dict.fromkeys(days, 0)
    for one in found:
        nanousd[one.day] += one.window.cost_nanousd
        unpriced[one.day] += one.window.unpriced_calls
    name = (found[0].model or _API) if len(_names(found)) == 1 else _OTHERS
    misses = ""
    if any(unpriced.values()):
        misses = " (in part without a price)" if any(nanousd.values()) else " (without a price)"
    return Series(
        name=name + misses, colour=colour, values=tuple(usd(nanousd[day]) for day in days),
        titles=tuple(f"{day}, {name}: {dollars(nanousd[day], partial=unpriced[day] > 0)} USD" for day in days),
    )  # fmt: skip


def _budgets(budgets: Sequence[BudgetStatus]) -> Markup:
    rows = [
        (
            own(one.budget), one.period_name or one.period, dollars(one.nanousd),
            dollars(one.spent_nanousd, partial=one.partial), _left(one),
            dollars(one.projected_nanousd, partial=one.partial), minute(one.exhausted_at_ns),
            tag("span", one.state, class_=f"state {one.state}"),
        )
        for one in budgets
    ]  # fmt: skip
    names = (
        ("budget", TEXT), ("period", WHEN), ("USD", NUMBER), ("spent", NUMBER), ("left", WHEN), ("projected", NUMBER),
        ("gone at (UTC)", WHEN), ("state", WHEN),
    )  # fmt: skip
    return table("Cost budgets", names, rows)


def _left(budget: BudgetStatus) -> Markup | str:
    if budget.remaining_ratio is None:
        return NOTHING
    told = whole_percent(budget.remaining_ratio)
    state = "ok" if budget.remaining_ratio > 0.25 else "burning" if budget.remaining_ratio > 0 else "exhausted"
    return tag("span", told, bar(budget.remaining_ratio, f"Left of the budget: {told}", state))


# ── both ──


def _names(found: Sequence[DayOfModel]) -> set[str]:
    return {one.model for one in found}


def _colours(found: Sequence[DayOfModel]) -> dict[str, int]:
    """A colour for each of the models that cost most, the same on all of the page; the others share the last one."""
    cost: dict[str, int] = defaultdict(int)
    calls: dict[str, int] = defaultdict(int)
    for one in found:
        cost[one.model] += one.window.cost_nanousd
        calls[one.model] += one.window.calls
    ordered = sorted(cost, key=lambda model: (-cost[model], -calls[model], model))
    return {model: colour for colour, model in enumerate(ordered[:_GREY])}


def _days(found: Sequence[DayOfModel]) -> list[str]:
    """Every day from the first to the last, those without calls too."""
    first, last = (date.fromisoformat(day) for day in (min(d.day for d in found), max(d.day for d in found)))
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def _below(days: Sequence[str]) -> list[str]:
    return (
        [day[5:] for day in (days[0], days[len(days) // 2], days[-1])] if len(days) > 2 else [day[5:] for day in days]
    )


def _latest_then_dearest(one: DayOfModel) -> tuple[int, int, str]:
    return -date.fromisoformat(one.day).toordinal(), -one.window.cost_nanousd, one.model


def _numbers(found: Sequence[DayOfModel]) -> Markup:
    rows = [
        (
            one.day, own(one.model or _API), f"{one.window.calls:,}", f"{one.window.errors:,}",
            *(seconds(value) for value in (one.window.duration_seconds.p50, one.window.duration_seconds.p95)),
            seconds(one.window.ttft_seconds.p50), cost_of(one.window) if one.model or one.window.cost_nanousd else NOTHING,
        )
        for one in sorted(found, key=_latest_then_dearest)
    ]  # fmt: skip
    names = (
        ("day", WHEN), ("model", TEXT), ("calls", NUMBER), ("bad", NUMBER), ("p50", NUMBER), ("p95", NUMBER),
        ("TTFT p50", NUMBER), ("USD", NUMBER),
    )  # fmt: skip
    return tag(
        "details", tag("summary", "All numbers by day and model"), table("Calls by day (UTC) and model", names, rows)
    )
