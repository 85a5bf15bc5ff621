"""Durations: what people write, and what labels say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter.slo.durations import LONGEST_NS, UNITS_NS, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("5m", 300 * 10**9),
        ("1h30m", 5_400 * 10**9),
        ("2.5s", 2_500_000_000),
        ("500ms", 500_000_000),
        ("500 ms", 500_000_000),
        ("1.5us", 1_500),
        ("1µs", 1_000),
        ("30d", 30 * 86_400 * 10**9),
        ("2w", 14 * 86_400 * 10**9),
        ("5y", 5 * 365 * 86_400 * 10**9),
        ("0.1s", 100_000_000),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_exactly(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-5m", "5 minutes", "1m1h", "5m5m", "1e3s", "0.5ns", "300y", "٥m", "5m!", "nan", "1.s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|finer|too long"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("written", "label"),
    [("5m", "5m"), ("60m", "1h"), ("24h", "1d"), ("1w", "7d"), ("30d", "30d"), ("90s", "1m30s"), ("2.50s", "2.5s")],
)
def test_one_length_has_one_label(written: str, label: str) -> None:
    assert format_duration(parse_duration(written)) == label


@given(st.integers(0, LONGEST_NS))
def test_a_label_reads_back_as_the_same_length(length_ns: int) -> None:
    assert parse_duration(format_duration(length_ns)) == length_ns


@given(st.lists(st.sampled_from(list(UNITS_NS)), min_size=1, unique=True), st.integers(0, 50))
def test_a_duration_is_the_sum_of_its_parts(units: list[str], count: int) -> None:
    in_order = [unit for unit in UNITS_NS if unit in units]
    assert parse_duration("".join(f"{count}{unit}" for unit in in_order)) == sum(count * UNITS_NS[u] for u in in_order)
