"""Unit tests of the generated rules, for `promtool test rules`: each alert fires, does not fire, and goes away again.

it fires            both windows of a pair burn too fast, while reports arrive
it does not         one window alone burns; fewer bad events than the SLO wants; nothing at all arrives
a dead reporter     begins no alert of burning, ends none, and is told by one alert, through a gateway that lost everything
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reporter.family import Metric
from reporter.generate.alerts import JOB_ALERTS, STALE, Counted
from reporter.generate.burning import BUDGET_BURN, SEVERITIES, SLO_BURN, Budget, identity_of
from reporter.generate.prometheus import as_yaml
from reporter.generate.rules import Source
from reporter.metrics import AS_OF, COST_BUDGET_BURN_RATE, JOB_STATE, SLO_BURN_RATE, SLO_WINDOW_EVENTS
from reporter.slo.alerting import AlertPair
from reporter.slo.spec import SLO

_STEP = 60  # seconds between samples, and between evaluations
_HOUR = 60  # in steps
Test = dict[str, Any]


def tests_text(source: Source, slos: Sequence[SLO], budgets: Sequence[Budget], rule_file: str) -> str:
    """A file of unit tests for the rules in `rule_file`, beside it."""
    tests = [_nothing_arrives(source), _reports_stop(source)]
    for slo in slos:
        for severity in SEVERITIES:
            for pair in (pair for pair in slo.pairs if pair.severity == severity):
                tests += _slo_tests(source, slo, pair)
    for budget in budgets:
        for pair in budget.pairs:
            alert = _Alert(
                source, BUDGET_BURN, {"budget": budget.name, "severity": pair.severity}, COST_BUDGET_BURN_RATE
            )
            tests += alert.tests(pair)
    for told in JOB_ALERTS:
        tests += [] if told.state is None else [_job_test(source, told.state, told.alert)]
        tests += [] if told.counted is None else [_job_count_test(source, told.counted, told.alert)]
    return as_yaml({"rule_files": [rule_file], "evaluation_interval": f"{_STEP}s", "tests": tests})


def _slo_tests(source: Source, slo: SLO, pair: AlertPair) -> Iterator[Test]:
    events = [
        (
            source.select(SLO_WINDOW_EVENTS, **identity_of(slo), window=pair.long, result="bad"),
            f"{slo.min_bad_events}x{_HOUR}",
        )
    ]
    alert = _Alert(source, SLO_BURN, {**identity_of(slo), "severity": pair.severity}, SLO_BURN_RATE, events)
    yield from alert.tests(pair)
    if slo.min_bad_events:
        few = [(events[0][0], f"{slo.min_bad_events - 1}x{_HOUR}")]
        yield _Alert(source, SLO_BURN, alert.labels, SLO_BURN_RATE, few).test(
            "too few bad events", pair, (True, True), {30: False}
        )


class _Alert:
    """One alert of burning, and what it looks at."""

    def __init__(
        self, source: Source, name: str, labels: dict[str, str], metric: Metric, also: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.source, self.name, self.labels, self.metric, self.also = source, name, labels, metric, list(also)

    def tests(self, pair: AlertPair) -> Iterator[Test]:
        yield self.test("both windows burn, and then no more", pair, (True, True), {10: True, 59: False}, until=30)
        yield self.test("the long window alone burns", pair, (True, False), {30: False})
        yield self.test("the short window alone burns", pair, (False, True), {30: False})
        yield self.test(
            "the numbers are those of a dead reporter", pair, (True, True), {30: False}, reports=f"-900x{_HOUR}"
        )
        yield self.test(
            "the reporter dies while it fires",
            pair,
            (True, True),
            {5: True, 40: True},
            reports=f"{_until(10)} {10 * _STEP}x{_HOUR}",
        )
        yield self.test(
            "the reporter dies while it fires, and the gateway loses everything", pair, (True, True), {5: True, 40: True},
            reports=f"{_until(10)} _x{_HOUR}", until=15,
        )  # fmt: skip

    def test(
        self,
        says: str,
        pair: AlertPair,
        burns: tuple[bool, bool],
        fires: dict[int, bool],
        *,
        reports: str = "",
        until: int = 60,
    ) -> Test:
        """The windows (long, short) that burn do so `until` a minute; `fires` has by minute whether the alert does."""
        high, low = f"{float(pair.factor) * 1.5:.6g}", f"{float(pair.factor) * 0.9:.6g}"
        identity = {name: value for name, value in self.labels.items() if name != "severity"}
        series = [
            _series(self.source.select(AS_OF), reports or f"0+{_STEP}x{_HOUR}"),
            *(_series(*one) for one in self.also),
        ]
        for window, burning in zip((pair.long, pair.short), burns, strict=True):
            values = f"{high}x{until * 60 // _STEP - 1} {low}x{_HOUR}" if burning else f"{low}x{_HOUR}"
            series.append(_series(self.source.select(self.metric, **identity, window=window), values))
        what = ", ".join(identity.values())
        return _test(
            f"{self.name} ({what}; {pair}): {says}",
            series,
            [_is_firing(self.name, self.labels, minute, firing) for minute, firing in fires.items()],
        )


def _until(minute: int) -> str:
    """The moment of the latest report, each minute until one."""
    return f"0+{_STEP}x{minute}"


def _job_test(source: Source, state: str, alert: str) -> Test:
    series = [
        _series(source.select(AS_OF), f"0+{_STEP}x{_HOUR}"),
        _series(source.select(JOB_STATE, batch_job="nightly", state=state), f"1x10 stale _x{_HOUR}"),
        _series(source.select(JOB_STATE, batch_job="hourly", state="ok"), f"1x{_HOUR}"),
    ]
    name = {"batch_job": "nightly"}
    return _test(
        f"{alert}: nightly is {state}, and then no more",
        series,
        [
            _is_firing(alert, name, 5, True),
            _is_firing(alert, name, 40, False),
            _is_firing(alert, {"batch_job": "hourly"}, 5, False),
        ],
    )


def _job_count_test(source: Source, counted: Counted, alert: str) -> Test:
    """One run is counted in the tenth minute, while the job's state is `ok` all the time."""
    series = [
        _series(source.select(AS_OF), f"0+{_STEP}x{2 * _HOUR}"),
        _series(source.select(JOB_STATE, batch_job="nightly", state="ok"), f"1x{2 * _HOUR}"),
        _series(source.select(counted.metric, batch_job="nightly", **counted.labels), f"3x9 4x{2 * _HOUR}"),
        _series(source.select(counted.metric, batch_job="hourly", **counted.labels), f"3x{2 * _HOUR}"),
    ]
    name = {"batch_job": "nightly"}
    return _test(
        f"{alert}: a run of nightly is counted, and then no more",
        series,
        [
            _is_firing(alert, name, 5, False),
            _is_firing(alert, name, 15, True),
            _is_firing(alert, name, 60, True),
            _is_firing(alert, name, 80, False),
            _is_firing(alert, {"batch_job": "hourly"}, 15, False),
        ],
    )


def _nothing_arrives(source: Source) -> Test:
    return _test(
        f"{STALE}: nothing has ever arrived", [], [_is_firing(STALE, {}, 1, False), _is_firing(STALE, {}, 10, True)]
    )


def _reports_stop(source: Source) -> Test:
    """One alert from the first minute without news, whether the old numbers are still there or not."""
    seen_late = 10 + source.stale_after_seconds // _STEP + 4  # its `for` is two minutes
    lost, again = seen_late + 5, seen_late + 20
    gone = f"{_until(10)} {10 * _STEP}x{lost - 12} _x{again - lost} {again * _STEP}+{_STEP}x{_HOUR}"
    return _test(
        f"{STALE}: reports stop, the gateway loses its numbers, reports come again",
        [_series(source.select(AS_OF), gone)],
        [
            _is_firing(STALE, {}, 9, False),
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
