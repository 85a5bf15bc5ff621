"""Unit tests of the generated rules, for `promtool test rules`: each alert fires, does not fire, and goes away again.

it fires            both windows of a pair burn too fast, while reports arrive
it does not         one window alone burns; fewer bad events than the SLO wants; nothing at all arrives
a dead reporter     begins no alert of burning, ends none, and is told by one alert, through a gateway that lost everything
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from reporter.family import Metric
from reporter.generate.alerts import JOB_ALERTS, STALE
from reporter.generate.burning import BUDGET_BURN, SLO_BURN, Budget, identity_of
from reporter.generate.prometheus import as_yaml
from reporter.generate.rules import Source
from reporter.metrics import AS_OF, COST_BUDGET_BURN_RATE, JOB_STATE, SLO_BURN_RATE, SLO_WINDOW_EVENTS
from reporter.slo.alerting import AlertPair
from reporter.slo.spec import SLO

_STEP = 60  # seconds between samples, and between evaluations
_HOUR = 60  # in steps
Test = dict[str, Any]


def tests_text(source: Source, slos: Sequence[SLO], budgets: Sequence[Budget], rule_file: str) -> str:
    """A file of unit tests for the rules in `rule_file`, beside it: one for each scenario, with all that can burn in it.

    promtool evaluates every rule in every minute of every test, so a test for each SLO would take hours where there are many.
    """
    burning = [*map(_of_slo, slos), *map(_of_budget, budgets)]
    tests = [_nothing_arrives(source), _reports_stop(source), _jobs(source)]
    if any(one.pairs for one in burning):
        tests += _burning(source, burning)
    return as_yaml({"rule_files": [rule_file], "evaluation_interval": f"{_STEP}s", "tests": tests})


class _Burner(NamedTuple):
    """What can burn, and the alert that tells of it."""

    alert: str
    identity: Mapping[str, str]
    pairs: Sequence[AlertPair]
    metric: Metric
    short_metric: Metric
    least_bad: int = 0

    @property
    def windows(self) -> list[str]:
        return list(dict.fromkeys(window for pair in self.pairs for window in (pair.long, pair.short)))

    def rates(self, pair: AlertPair | None, burns: Sequence[str]) -> dict[str, float]:
        """The burn rate by window when of this pair's windows those in `burns` are too high, and nothing else is."""
        rates: dict[str, float] = {}
        for other in self.pairs:
            for window in (other.long, other.short):
                rates[window] = min(rates.get(window, math.inf), float(other.factor) * 0.9)
        if pair is not None:
            rates |= {
                window: float(pair.factor) * (1.5 if window in burns else 0.9) for window in (pair.long, pair.short)
            }
        return rates

    def firing(self, rates: Mapping[str, float]) -> set[str]:
        """The severities that this is told with."""
        return {pair.severity for pair in self.pairs if min(rates[pair.long], rates[pair.short]) > float(pair.factor)}


def _of_slo(slo: SLO) -> _Burner:
    return _Burner(SLO_BURN, identity_of(slo), slo.pairs, SLO_BURN_RATE, SLO_BURN_RATE, slo.min_bad_events)


def _of_budget(budget: Budget) -> _Burner:
    return _Burner(BUDGET_BURN, {"budget": budget.name}, budget.pairs, COST_BUDGET_BURN_RATE, COST_BUDGET_BURN_RATE)


class _Phase(NamedTuple):
    """Some minutes in which of each one's pair of this number these windows (long, short) burn; None: nothing does."""

    minutes: int
    pair: int | None = None
    long: bool = True
    short: bool = True
    silent: bool = False  # nothing happens in the short window of SLOs, so what was told stays

    def rates(self, burner: _Burner) -> dict[str, float]:
        if self.pair is None or self.pair >= len(burner.pairs):
            return burner.rates(None, ())
        pair = burner.pairs[self.pair]
        rates = burner.rates(pair, [*[pair.long] * self.long, *[pair.short] * self.short])
        if self.silent:
            del rates[pair.short]
        return rates


def _burning(source: Source, burners: Sequence[_Burner]) -> Iterator[Test]:
    numbers = range(max(len(burner.pairs) for burner in burners))
    scene = partial(_scene, source)
    yield scene(
        "both windows of a pair burn, and then no more; one pair after the other",
        burners,
        [phase for number in numbers for phase in (_Phase(3, number), _Phase(2))],
    )
    yield scene(
        "the long window alone burns, and then the short one alone; one pair after the other",
        burners,
        [_Phase(2, number, long=is_long, short=not is_long) for number in numbers for is_long in (True, False)],
        fires=False,
    )
    few = [burner for burner in burners if burner.least_bad]
    if few:
        phases = [_Phase(2, number) for number in numbers]
        yield scene("too few bad events", few, phases, fires=False, missing_bad=1)
    yield scene(
        "the numbers are those of a dead reporter",
        burners,
        [_Phase(2, number) for number in numbers],
        fires=False,
        reports=f"{-source.stale_after_seconds - 600}x{2 * len(numbers)}",
    )
    if slos := [burner for burner in burners if burner.alert == SLO_BURN and burner.pairs]:
        phases = [
            _Phase(2, 0, silent=True),
            _Phase(2, 0),
            _Phase(4, 0, silent=True),
            _Phase(2),
            _Phase(2, 0, silent=True),
        ]
        yield scene("nothing happens in the short window: what fires goes on, and nothing begins", slos, phases)
    dead = source.stale_after_seconds // _STEP + 5  # minutes without news
    dies = [_Phase(2, 0), _Phase(dead + 2, 0), _Phase(3)]
    again = f"{(dead + 4) * _STEP}+{_STEP}x3"
    yield scene(
        "the reporter dies while they fire, and comes back when nothing burns any more",
        burners,
        dies,
        reports=f"{_until(3)} {3 * _STEP}x{dead - 1} {again}",
    )
    yield scene(
        "the reporter dies while they fire, and the gateway loses everything",
        burners,
        dies,
        reports=f"{_until(3)} {3 * _STEP}x1 stale _x{dead - 3} {again}",
        lost=range(6, dead + 4),
    )


def _scene(
    source: Source,
    says: str,
    burners: Sequence[_Burner],
    phases: Sequence[_Phase],
    *,
    fires: bool = True,
    reports: str = "",
    missing_bad: int = 0,
    lost: range = range(0),
) -> Test:
    """A test of all of them: at the end of each phase just those are told that burn, or none at all.

    In the minutes `lost` the gateway has none of their numbers.
    """
    minutes = sum(phase.minutes for phase in phases)
    series = [_series(source.select(AS_OF), reports or f"0+{_STEP}x{minutes}")]
    for burner in burners:
        rates = [rate for phase in phases for rate in [phase.rates(burner)] * phase.minutes]
        for window in burner.windows:
            values = [f"{rate[window]:.6g}" if window in rate else "_" for rate in rates]
            for minute in lost:
                values[minute] = "_"
            for minute in range(1, len(values)):
                if values[minute] == "_" and values[minute - 1][0].isdigit():
                    values[minute] = "stale"
            for metric in dict.fromkeys((burner.metric, burner.short_metric)):
                series.append(_series(source.select(metric, **burner.identity, window=window), _runs(values)))
        for window in dict.fromkeys(pair.long for pair in burner.pairs):
            bad = source.select(SLO_WINDOW_EVENTS, **burner.identity, window=window, result="bad")
            series += [_series(bad, f"{burner.least_bad - missing_bad}x{minutes}")] if burner.least_bad else []
    checks, end = [], 0
    told: dict[int, set[str]] = {}
    for phase in phases:
        end += phase.minutes
        for index, burner in enumerate(burners):
            if not phase.silent:
                told[index] = burner.firing(phase.rates(burner)) if fires else set()
        for alert in dict.fromkeys(burner.alert for burner in burners):
            firing = [
                {**burner.identity, "severity": severity}
                for index, burner in enumerate(burners)
                if burner.alert == alert
                for severity in sorted(told.get(index, ()))
            ]
            checks.append(_are_firing(alert, firing, end - 1))
    return _test(f"{', '.join(dict.fromkeys(burner.alert for burner in burners))}: {says}", series, checks)


def _runs(values: Sequence[str]) -> str:
    """Values of a series, one a minute, in promtool's short form: 3x4 is five times 3."""
    return " ".join(
        f"{value}x{count - 1}" if value[0].isdigit() and count > 1 else " ".join([value] * count)
        for value, count in ((value, len(list(same))) for value, same in groupby(values))
    )


def _are_firing(alert: str, told: Sequence[Mapping[str, str]], minute: int) -> dict[str, Any]:
    """Just those fire."""
    by = ", ".join(("budget", "severity") if alert == BUDGET_BURN else ("slo", "service", "severity"))
    firing = Source(grouping={"alertname": alert, "alertstate": "firing"}, stale_after_seconds=0).select("ALERTS")
    return {
        "expr": f"count by ({by}) ({firing})",
        "eval_time": f"{minute}m",
        "exp_samples": [
            {"labels": Source(grouping=labels, stale_after_seconds=0).select(""), "value": 1} for labels in told
        ],
    }


def _until(minute: int) -> str:
    """The moment of the latest report, each minute until one."""
    return f"0+{_STEP}x{minute}"


def _jobs(source: Source) -> Test:
    """Alerts of a job's state until it is another, and those of runs for an hour after one is counted; a counter that comes in
    new, with a history, tells of nothing."""
    told_at = _HOUR + source.stale_after_seconds // _STEP + 20  # when the job has been known for longer than the hour
    end = told_at + 2 * _HOUR
    series = [_series(source.select(AS_OF), f"0+{_STEP}x{end}")]
    checks = []
    for told in JOB_ALERTS:
        if told.state is not None:
            job = {"batch_job": f"nightly {told.state}"}
            series.append(_series(source.select(JOB_STATE, **job, state=told.state), f"1x10 stale _x{_HOUR}"))
            checks += [_is_firing(told.alert, job, minute, minute < 10) for minute in (5, 40)]
        if told.counted is not None:
            job = {"batch_job": f"hourly {told.counted.metric.name}"}
            counter = source.select(told.counted.metric, **job, **told.counted.labels)
            series.append(_series(source.select(JOB_STATE, **job, state="ok"), f"1x{end}"))
            series.append(_series(counter, f"3x{told_at - 1} 4x{2 * _HOUR}"))
            checks += [
                _is_firing(told.alert, job, told_at + after, 0 < after < _HOUR) for after in (-5, 5, 50, _HOUR + 5)
            ]
            new = {"batch_job": f"new {told.counted.metric.name}"}
            series.append(_series(source.select(JOB_STATE, **new, state="ok"), f"_x10 1x{end}"))
            series.append(
                _series(source.select(told.counted.metric, **new, **told.counted.labels), f"_x10 0 600x{end}")
            )
            checks += [_is_firing(told.alert, new, minute, False) for minute in (12, 15, 40, _HOUR + 9, told_at)]
        well = {"batch_job": "well"}
        checks += [_is_firing(told.alert, well, minute, False) for minute in (5, 15)]
    series.append(_series(source.select(JOB_STATE, batch_job="well", state="ok"), f"1x{end}"))
    for told in JOB_ALERTS:
        if told.counted is not None:
            counter = source.select(told.counted.metric, batch_job="well", **told.counted.labels)
            series.append(_series(counter, f"3x{end}"))
    names = ", ".join(told.alert for told in JOB_ALERTS)
    return _test(f"{names}: a job is in trouble, and then no more", series, checks)


def _nothing_arrives(source: Source) -> Test:
    return _test(
        f"{STALE}: nothing has ever arrived", [], [_is_firing(STALE, {}, 1, False), _is_firing(STALE, {}, 10, True)]
    )


def _reports_stop(source: Source) -> Test:
    """One alert from the first minute without news, whether the old numbers are still there or not."""
    seen_late = 3 + source.stale_after_seconds // _STEP + 4  # its `for` is two minutes
    lost, again = seen_late + 3, seen_late + 10
    gone = f"{_until(3)} {3 * _STEP}x{lost - 5} _x{again - lost} {again * _STEP}+{_STEP}x{_HOUR}"
    return _test(
        f"{STALE}: reports stop, the gateway loses its numbers, reports come again",
        [_series(source.select(AS_OF), gone)],
        [
            _is_firing(STALE, {}, 3, False),
            *(_is_firing(STALE, {}, minute, True) for minute in range(seen_late, again)),
            _is_firing(STALE, {}, again + 2, False),
        ],
    )


def _is_firing(alert: str, labels: dict[str, str], minute: int, firing: bool) -> dict[str, Any]:
    found = Source(grouping={"alertname": alert, "alertstate": "firing", **labels}, stale_after_seconds=0).select(
        "ALERTS"
    )
    count = f"count({found})"
    return {
        "expr": count if firing else f"absent({found}) * 0",
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": "{}", "value": 1}] if firing else [{"labels": _absent(labels, alert), "value": 0}],
    }


def _absent(labels: dict[str, str], alert: str) -> str:
    return Source(grouping={"alertname": alert, "alertstate": "firing", **labels}, stale_after_seconds=0).select("")


def _series(selector: str, values: str) -> dict[str, str]:
    return {"series": selector, "values": values}


def _test(name: str, series: list[dict[str, str]], checks: list[dict[str, Any]]) -> Test:
    return {"name": name, "interval": f"{_STEP}s", "input_series": series, "promql_expr_test": checks}
