"""A name is a name: an SLO that counts what one counted before takes its counts over, though the raw calls are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.report.model import SLOStatus
from reporter.store import open_store
from tests.report.test_every_number import bring_in, empty
from tests.report.test_retention import AS_OF_NS, CALLS, kept, pruned

QUICK, UP = "sli: {latency: {threshold: 2s}}", "sli: availability, where: {operation: chat}"


def config_of(url: str, **slos: str) -> Config:
    listed = "".join(f"- {{name: {name}, {what}, objective: 95, period: 7d}}\n" for name, what in slos.items())
    return parse_config(f"database: {url!r}\nslos:\n{listed}", environ={})


def statuses(url: str, **slos: str) -> dict[str, SLOStatus]:
    made = cycle.report(open_store(url), config_of(url, **slos), AS_OF_NS)
    return {slo.slo: slo for slo in made.slos}


def counts(slo: SLOStatus) -> list[Any]:
    return [(label, window.good, window.bad) for label, window in slo.windows.items()]


def test_a_renamed_slo_keeps_its_windows_and_counters_when_its_calls_are_gone(
    database_url: str, tmp_path: Path
) -> None:
    bring_in(open_store(database_url), tmp_path / "calls.jsonl", CALLS[:500])
    before = statuses(database_url, quick=QUICK)["quick"]
    assert pruned(open_store(database_url), kept(calls=1, minutes=40, hours=40, days=40)) > 50

    after = statuses(database_url, swift=QUICK)["swift"]

    assert counts(after) == counts(before)
    assert (after.good_total, after.bad_total) == (before.good_total, before.bad_total) != (0, 0)
    assert after.counted_from_ns is None


def test_two_slos_that_swap_their_names_swap_their_windows_and_no_counter_falls(
    database_url: str, tmp_path: Path
) -> None:
    bring_in(open_store(database_url), tmp_path / "calls.jsonl", CALLS[:500])
    before = statuses(database_url, a=QUICK, b=UP)
    pruned(open_store(database_url), kept(calls=1, minutes=40, hours=40, days=40))

    after = statuses(database_url, a=UP, b=QUICK)

    assert [counts(after["a"]), counts(after["b"])] == [counts(before["b"]), counts(before["a"])]
    for name in "ab":
        assert (after[name].good_total, after[name].bad_total) == (before[name].good_total, before[name].bad_total)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from([QUICK, UP]), min_size=1), min_size=2, max_size=4)
)
def test_whoever_counts_the_same_has_the_same_counts_as_long_as_somebody_counted(
    database_url: str, tmp_path: Path, configs: list[dict[str, str]]
) -> None:
    store = open_store(database_url)
    empty(store)
    bring_in(store, tmp_path / "calls.jsonl", CALLS[:60])
    whole = statuses(database_url, a=QUICK, b=UP)
    expected = {QUICK: counts(whole["a"]), UP: counts(whole["b"])}
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM calls")  # nothing can be counted again
    counted, totals = {QUICK, UP}, {name: (slo.good_total, slo.bad_total) for name, slo in whole.items()}
    for slos in configs:
        for name, slo in statuses(database_url, **slos).items():
            if slos[name] in counted:
                assert counts(slo) == expected[slos[name]]
            now = (slo.good_total, slo.bad_total)
            assert now[0] >= totals.get(name, (0, 0))[0]
            assert now[1] >= totals.get(name, (0, 0))[1]
            totals[name] = now
        counted &= set(slos.values())
