"""The spec of an SLO: what may be written, and what it means."""

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reporter.slo import SLO, parse_duration


def slo(**fields: Any) -> SLO:
    return SLO.model_validate({"name": "a", "sli": "availability", "objective": 99.9} | fields)


@pytest.mark.parametrize("written", [99.9, "99.9", "99.90", "99.9 %", Decimal("99.900")])
def test_an_objective_is_the_decimal_that_was_written(written: Any) -> None:
    assert slo(objective=written).objective_ratio == Decimal("0.999")
    assert slo(objective=written).error_budget_ratio == Decimal("0.001")
    assert slo(objective=written) == slo()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (100, "leaves no budget"),
        (0, "between 0 and 100"),
        (-5, "between 0 and 100"),
        (101, "between 0 and 100"),
        (0.95, "did you mean 95?"),
        ("0.999", "did you mean 99.9?"),
        (1, "looks like a ratio"),
        (True, "must be a number"),
        ("nan", "finite"),
        (float("inf"), "finite"),
        ("most", "must be a number"),
        ("9" * 30, "at most 18 digits"),
        ("99." + "9" * 30, "at most 18 digits"),
        (None, "must be a number"),
    ],
)
def test_a_senseless_objective_is_refused_with_a_hint(written: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why.replace("?", r"\?")):
        slo(objective=written)


@given(st.decimals("1.001", "99.999999", places=6))
def test_objective_and_error_budget_add_up_to_one(objective: Decimal) -> None:
    spec = slo(objective=objective)
    assert spec.objective_ratio + spec.error_budget_ratio == 1


@pytest.mark.parametrize("written", ["p95 < 2.5s", "p95<2.5 s", "p95 <= 2500ms", "p95.0 < 2.5s"])
def test_a_tier_is_latency_with_its_percentile_as_objective(written: str) -> None:
    tier = SLO.model_validate({"name": "a", "sli": written})
    assert tier == SLO.model_validate({"name": "a", "sli": {"latency": {"threshold": "2.5s"}}, "objective": 95})
    assert SLO.model_validate({"name": "a", "sli": written, "objective": "95.00"}) == tier


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"sli": "p95 < 2.5s", "objective": 99}, "contradicts"),
        ({"sli": "p95 < soon", "objective": 95}, "no duration"),
        ({"sli": "p95 > 2.5s", "objective": 95}, "no kind of SLI"),
    ],
)
def test_a_tier_that_contradicts_itself_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        slo(**fields)


def test_every_named_label_must_match() -> None:
    spec = slo(where={"batch_job": "nightly-*", "model": ["claude-*", "gpt-?"], "provider": "[ao]*"})
    assert spec.matches("nightly-a", "chat", "openai", "gpt-5")
    assert spec.matches("nightly-a", "", "anthropic", "claude-x")
    assert not spec.matches("nightly-a", "chat", "openai", "gpt-55")
    assert not spec.matches("hourly", "chat", "openai", "gpt-5")
    assert not spec.matches("nightly-a", "chat", "mistral", "gpt-5")
    assert not spec.matches("nightly-a", "chat", "OpenAI", "gpt-5")


def test_an_absent_label_is_the_empty_text() -> None:
    assert slo(where={"model": "*"}).matches("", "", "", "")
    assert slo(where={"model": ""}).matches("", "", "", "")
    assert not slo(where={"model": ""}).matches("", "", "", "m")
    assert not slo(where={"model": "?*"}).matches("", "", "", "")
    assert slo().matches("", "", "", "")


@given(st.text("ab*?[]!-.", max_size=6), st.text("ab[.-!\n", max_size=6))
def test_globs_are_those_of_fnmatch(pattern: str, value: str) -> None:
    assert slo(where={"operation": pattern}).matches("", value, "", "") == fnmatchcase(value, pattern)


ALERT = {"severity": "page", "long": "1h", "short": "5m", "budget_percent": 2}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"where": {"modell": "x"}}, "Extra inputs"),
        ({"where": {"model": []}}, "matches nothing"),
        ({"where": {"model": 4}}, "valid tuple"),
        ({"wher": {}}, "Extra inputs"),
        ({"name": ""}, "empty"),
        ({"name": "a\nb"}, "control characters"),
        ({"name": "x" * 201}, "at most 200"),
        ({"period": "0s"}, "longer than 0"),
        ({"period": "90s"}, "whole minutes"),
        ({"period": 30}, "with its unit"),
        ({"calendar": "fortnight"}, "'day', 'week', 'month' or 'quarter'"),
        ({"calendar": "month", "timezone": "Mars/X"}, "no time zone known here"),
        ({"calendar": "month", "period": "30d"}, "two different periods"),
        ({"timezone": "UTC"}, "belongs to calendar"),
        ({"periods": ["7d", {"timezone": "UTC"}]}, "belongs to calendar"),
        ({"timeslice": "5m"}, "belongs to method"),
        ({"timeslice_target": 95}, "belongs to method"),
        ({"method": "ratio_timeslices", "timeslice_target": 95}, "takes the mean"),
        ({"method": "timeslices", "timeslice": "7m"}, "must divide a day"),
        ({"method": "timeslices", "timeslice_target": 0.95}, "write 95"),
        ({"method": "timeslices", "timeslice": "1d", "period": "12h"}, "longer than the period"),
        ({"method": "timeslices", "timeslice": "10m", "alerts": [ALERT]}, "shorter than a time slice"),
        ({"missing": "zero"}, "'exclude', 'good', 'bad' or 'hold'"),
        ({"sli": "job_success", "where": {"model": "x"}}, "only batch_job"),
        ({"sli": {"freshness": {"max_age": "1d"}}, "exclude_error_types": ["400"]}, "no meaning for freshness"),
        ({"min_bad_events": -1}, "greater than or equal"),
        ({"min_bad_events": True}, "must be a number"),
    ],
)
def test_what_can_not_be_meant_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        slo(**fields)


def test_windows_are_those_of_the_alerts_and_the_period() -> None:
    assert [label for label, _ in slo().windows] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
    assert slo(period="90d", alerts=[]).windows == (("90d", parse_duration("90d")),)


def test_a_calendar_month_is_thirty_days_to_alerts_and_further_periods_are_there_once() -> None:
    spec = slo(calendar="month", timezone="Europe/Berlin", periods=["7d", {"calendar": "quarter"}, "168h"])
    assert [period.label for period in spec.all_periods] == ["month Europe/Berlin", "7d", "quarter"]
    assert spec.period == "month Europe/Berlin"
    assert spec.pairs == slo(period="30d").pairs
    assert [label for label, _ in spec.windows] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "7d"]


def test_time_slices_leave_out_default_alerts_that_look_back_less_far() -> None:
    spec = slo(method="timeslices", timeslice="1h", timeslice_target=90)
    assert [pair.long for pair in spec.pairs] == ["1d", "3d"]
    assert "shorter than a time slice" in spec.left_out_pairs[0].reason


COUNTED = {
    "sli": {"latency": {"threshold": "1s"}},
    "where": {"model": ["a", "b"]},
    "exclude_error_types": ["400", "422"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"objective": 95},
        {"period": "7d"},
        {"name": "b", "service": "s", "description": "d", "labels": {"team": "x"}, "runbook": "r"},
        {"min_bad_events": 5, "alerts": []},
        {"sli": {"latency": {"threshold": "1000ms"}}},
        {"where": {"model": ["b", "a", "b"]}},
        {"exclude_error_types": [422, 400]},
    ],
)
def test_the_fingerprint_ignores_what_changes_no_count(change: dict[str, Any]) -> None:
    assert slo(**COUNTED | change).fingerprint == slo(**COUNTED).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"sli": {"latency": {"threshold": "2s"}}},
        {"sli": {"time_to_first_token": {"threshold": "1s"}}},
        {"where": {"model": "a"}},
        {"where": {"operation": ["a", "b"]}},
        {"exclude_error_types": []},
    ],
)
def test_the_fingerprint_changes_with_what_is_counted(change: dict[str, Any]) -> None:
    assert slo(**COUNTED | change).fingerprint != slo(**COUNTED).fingerprint


def test_the_fingerprint_knows_that_30_and_30_0_are_one_number() -> None:
    first, second = (slo(sli={"throughput": {"min_tokens_per_second": rate}}) for rate in (30, "30.0"))
    assert (first, first.fingerprint) == (second, second.fingerprint)


def test_the_fingerprint_is_the_same_in_every_process_and_version() -> None:
    assert slo(**COUNTED).fingerprint == "e976c3661e891b65a2edbd93bb8bce05"
