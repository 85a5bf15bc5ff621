"""The arithmetic of error budgets."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter.slo import budget_consumed, budget_remaining, burn_rate, exact_burn_rate, sli_ratio, state

THOUSANDTH = Decimal("0.001")
counts = st.integers(0, 10**12)
budgets = st.integers(1, 9_999).map(lambda part: Decimal(part) / 10_000)


def test_nothing_is_said_of_no_events() -> None:
    assert (sli_ratio(0, 0), burn_rate(0, 0, THOUSANDTH), budget_remaining(0, 0, THOUSANDTH)) == (None, None, None)
    assert budget_consumed(0, 0, THOUSANDTH) is None


@pytest.mark.parametrize(
    ("error_ratio_in_ten_thousandths", "burn", "days_to_exhaustion"),
    [(5, 0.5, 60.0), (10, 1.0, 30.0), (20, 2.0, 15.0), (100, 10.0, 3.0), (10_000, 1_000.0, 0.03)],
)
def test_burn_rates_of_the_workbook(
    error_ratio_in_ten_thousandths: int, burn: float, days_to_exhaustion: float
) -> None:
    """SRE Workbook, chapter 5, "Alert on burn rate": a 99.9 % SLO over 30 days."""
    bad = error_ratio_in_ten_thousandths
    assert burn_rate(10_000 - bad, bad, THOUSANDTH) == burn
    assert 30 / burn == days_to_exhaustion


def test_one_failure_of_ten_requests_in_an_hour_uses_a_seventh_of_a_month() -> None:
    """SRE Workbook, chapter 5, "Low-traffic services": 13.9 % of the 30-day budget of a 99.9 % SLO."""
    burn = burn_rate(9, 1, THOUSANDTH)
    assert burn == 100.0
    assert round(burn * 1 / (30 * 24), 3) == 0.139


def test_a_single_bad_event_and_no_good_one_burns_at_the_ceiling() -> None:
    assert burn_rate(0, 1, THOUSANDTH) == 1_000.0
    assert budget_remaining(0, 1, THOUSANDTH) == -999.0


def test_the_budget_is_exactly_used_up_at_the_objective() -> None:
    assert budget_consumed(999, 1, THOUSANDTH) == 1.0
    assert budget_remaining(999, 1, THOUSANDTH) == 0.0


@pytest.mark.parametrize(
    ("good", "bad", "any_firing", "expected"),
    [
        (0, 0, False, "no_data"),
        (1_000, 0, False, "ok"),
        (9_991, 9, False, "ok"),
        (9_991, 9, True, "burning"),
        (999, 1, False, "exhausted"),
        (999, 1, True, "exhausted"),
        (0, 1, True, "exhausted"),
    ],
)
def test_the_state_follows_from_the_budget_and_the_alerts(good: int, bad: int, any_firing: bool, expected: str) -> None:
    assert state(exact_burn_rate(good, bad, THOUSANDTH), any_firing=any_firing) == expected


@given(counts, counts, budgets)
def test_consumed_and_remaining_are_one_budget(good: int, bad: int, budget: Decimal) -> None:
    consumed, remaining = budget_consumed(good, bad, budget), budget_remaining(good, bad, budget)
    assert consumed is None if remaining is None else consumed == pytest.approx(1 - remaining, abs=1e-9)


@given(counts, counts, counts, counts, budgets)
def test_merged_windows_burn_at_the_event_weighted_mean(g1: int, b1: int, g2: int, b2: int, budget: Decimal) -> None:
    first, second = exact_burn_rate(g1, b1, budget), exact_burn_rate(g2, b2, budget)
    merged = exact_burn_rate(g1 + g2, b1 + b2, budget)
    if first is None or second is None:
        assert merged == (second if first is None else first)
    else:
        assert merged == (first * (g1 + b1) + second * (g2 + b2)) / (g1 + b1 + g2 + b2)
        assert min(first, second) <= merged <= max(first, second)


@given(counts, counts, budgets)
def test_scaling_traffic_changes_no_ratio(good: int, bad: int, budget: Decimal) -> None:
    assert burn_rate(good, bad, budget) == burn_rate(7 * good, 7 * bad, budget)
    assert sli_ratio(good, bad) == sli_ratio(7 * good, 7 * bad)
