"""Alert pairs: which an SLO has, and when one fires."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reporter.slo import SLO, exact_burn_rate, firing, parse_duration
from reporter.slo.alerting import AlertPair, ceiling, default_pairs


def slo(**fields: Any) -> SLO:
    return SLO.model_validate({"name": "a", "sli": "availability", "objective": 99.9} | fields)


def shown(spec: SLO) -> list[tuple[str, str, str, float]]:
    return [(pair.severity, pair.long, pair.short, float(pair.factor)) for pair in spec.pairs]


def test_thirty_days_give_the_workbooks_table() -> None:
    """SRE Workbook, chapter 5, table 5-8, which has all but the pair of 1d."""
    assert shown(slo()) == [
        ("page", "1h", "5m", 14.4),
        ("page", "6h", "30m", 6.0),
        ("ticket", "1d", "2h", 3.0),
        ("ticket", "3d", "6h", 1.0),
    ]


def test_factors_scale_with_the_period() -> None:
    assert [pair.factor for pair in slo(period="28d").pairs] == [
        Fraction("13.44"),
        Fraction("5.6"),
        Fraction("2.8"),
        Fraction(28, 30),
    ]  # as in Sloth's table for 28 days


def test_a_short_period_keeps_pairs_down_to_the_first_that_catches_everything() -> None:
    assert shown(slo(period="7d")) == [
        ("page", "1h", "5m", 3.36),
        ("page", "6h", "30m", 1.4),
        ("ticket", "1d", "2h", 0.7),
    ]
    assert shown(slo(period="1d")) == [("page", "1h", "5m", 0.48)]
    assert ["already catches" in left.reason for left in slo(period="7d").left_out_pairs] == [True]


def test_no_window_is_longer_than_the_period() -> None:
    assert slo(period="30m").pairs == ()
    assert len(slo(period="30m").left_out_pairs) == 4


def test_a_default_pair_that_can_never_fire_is_left_out_with_its_reason() -> None:
    half = slo(objective=50)
    assert shown(half) == [("ticket", "3d", "6h", 1.0)]
    assert [left.pair.long for left in half.left_out_pairs] == ["1h", "6h", "1d"]
    assert "at most 2" in half.left_out_pairs[0].reason


def test_a_factor_just_below_the_ceiling_is_kept() -> None:
    pair = {"severity": "page", "long": "1h", "short": "5m"}
    assert slo(objective=95, alerts=[pair | {"factor": "19.99"}]).pairs[0].factor == Fraction("19.99")


@pytest.mark.parametrize(
    ("alert", "why"),
    [
        ({"factor": 20}, "at most 20, when every event is bad"),
        ({"budget_percent": 3}, "factor 21.6 can never be exceeded"),
        ({"factor": 2, "short": "1h"}, "must be shorter"),
        ({"factor": 2, "long": "31d"}, "longer than the period"),
        ({"factor": 2, "budget_percent": 2}, "either budget_percent"),
        ({}, "either budget_percent"),
        ({"factor": 0}, "above 0"),
        ({"budget_percent": 101}, "at most 100"),
        ({"factor": 2, "severity": "shout"}, "'page' or 'ticket'"),
        ({"factor": 2, "short": "90s"}, "whole minutes"),
    ],
)
def test_a_written_pair_that_can_not_work_is_refused(alert: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        slo(objective=95, alerts=[{"severity": "page", "long": "1h", "short": "5m"} | alert])


def test_the_same_pair_twice_is_refused() -> None:
    pair = {"severity": "page", "long": "1h", "short": "5m", "factor": 2}
    with pytest.raises(ValidationError, match="there twice"):
        slo(alerts=[pair, pair | {"factor": 3}])


def test_written_pairs_replace_the_defaults_and_none_is_a_choice() -> None:
    written = slo(alerts=[{"severity": "page", "long": "1h", "short": "5m", "budget_percent": 2}])
    assert shown(written) == [("page", "1h", "5m", 14.4)]
    assert (slo(alerts=[]).pairs, slo(alerts=[]).left_out_pairs) == ((), ())


PAIR = AlertPair(severity="page", long_ns=parse_duration("1h"), short_ns=parse_duration("5m"), factor=Fraction("14.4"))


@pytest.mark.parametrize(
    ("burn_long", "burn_short", "fires"),
    [
        (14.442, 14.442, True),
        (14.4, 14.5, False),
        (14.5, 14.4, False),
        (Fraction("14.4"), 20, False),
        (Fraction("14.4") + Fraction(1, 10**30), 20, True),
        (None, 20.0, False),
        (20.0, None, False),
        (0.0, 0.0, False),
    ],
)
def test_both_windows_must_be_strictly_above(burn_long: Any, burn_short: Any, fires: bool) -> None:
    assert firing(PAIR, burn_long, burn_short, bad_events=100) is fires


def test_too_few_bad_events_hold_an_alert_back() -> None:
    assert not firing(PAIR, 900.0, 900.0, bad_events=4, min_bad_events=5)
    assert firing(PAIR, 900.0, 900.0, bad_events=5, min_bad_events=5)


@given(st.integers(2, 9_999), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_burn_rate_is_above_the_ceiling(budget: int, good: int, bad: int) -> None:
    ratio = Decimal(budget) / 10_000
    burn = exact_burn_rate(good, bad, ratio)
    assert burn is None or burn <= ceiling(ratio)


@given(st.integers(1, 9_999), st.integers(1, 60 * 24 * 400))
def test_every_default_pair_is_either_kept_or_left_out(budget: int, minutes: int) -> None:
    ratio, period_ns = Decimal(budget) / 10_000, minutes * 60 * 10**9
    kept, left_out = default_pairs(period_ns, ratio)
    assert len(kept) + len(left_out) == 4
    assert all(pair.factor < ceiling(ratio) and pair.long_ns <= period_ns for pair in kept)
    assert sum(pair.factor <= 1 for pair in kept) <= 1
