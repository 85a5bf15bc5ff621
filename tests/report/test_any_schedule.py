"""Any schedule and any runs, folded at any moments, come to what brute force over the raw rows comes to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporter.schedule.due import Cron
from reporter.schedule.expectation import Expectation
from reporter.store import open_store
from tests.publish.pushing import bring_in
from tests.report.scheduled import MINUTE_NS, Place, at
from tests.report.test_every_number import empty

BEGIN_NS, MINUTES = at("2026-10-24T23:30Z"), 240  # over the hour that Berlin's clocks repeat
EARLY_NS = 60 * 10**9

_jobs = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(
            ["*/15 * * * *", "30 2 * * *", "0,20 1-3 * * *", "5 * * * *", "*/7 * * * *", "every 20m", "every 7m"]
        ),
        "start_grace": st.sampled_from(["0s", "2m", "5m", "25m"]),
        "max_duration": st.sampled_from(["10m", "45m"]),
        "min_duration": st.just("2m"),
        "max_concurrent": st.integers(1, 2),
    }
)
_runs = st.lists(
    st.tuples(
        st.integers(0, MINUTES * 60), st.integers(1, 3000), st.sampled_from(["success", "failed", "timeout", "killed"]),
        st.sampled_from([None, None, None, 0, 1, 2]),
    ),
    max_size=14, unique_by=lambda run: run[0],
)  # fmt: skip


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job=_jobs, runs=_runs, ticks=st.sets(st.integers(1, MINUTES * 60), max_size=6), back=st.integers(0, MINUTES))
def test_runs_and_due_times_are_told_as_brute_force_tells_them(
    database_url: str, tmp_path: Path, job: dict[str, Any], runs: list[Any], ticks: set[int], back: int
) -> None:
    if job["schedule"][0] != "e":
        job["timezone"] = "Europe/Berlin"
    empty(open_store(database_url))
    place = Place(database_url, tmp_path, a=job)
    expected = place.config.expected["a"]
    facts = [_fact(expected, *run) for run in runs]
    place.tick(BEGIN_NS)
    end_ns = BEGIN_NS + MINUTES * MINUTE_NS
    before_ns = BEGIN_NS
    moments = [*(BEGIN_NS + second * 10**9 for second in sorted(ticks)), end_ns]
    for now_ns in moments:
        bring_in(place.store, tmp_path, [fact for run in facts for fact in _told(run, before_ns, now_ns)])
        place.tick(now_ns)
        before_ns = now_ns
    counted = place.counts("a")
    for as_of_ns in (end_ns, end_ns - back * MINUTE_NS):
        (told,) = place.report(as_of_ns).jobs
        events = list(_events(expected, facts, moments, as_of_ns))
        assert told.missed_runs_at_ns == tuple(sorted(due for kind, due, _ in events if kind == "open"))
        assert told.skipped_runs_at_ns == tuple(sorted(due for kind, due, _ in events if kind == "skipped"))
        counts = Counter(kind for kind, _, became_ns in events if became_ns < as_of_ns)
        assert told.late_runs == counts["late"]
        assert told.overlaps == counts["overlap"]
        assert told.too_fast_runs == counts["too_fast"]
        assert told.overruns == counts["overrun"] + counts["timeout"]
        if as_of_ns == end_ns:
            counts = Counter(kind for kind, *_ in events)
            assert counted == {kind: counts[kind] for kind in ("missed", "late", "overrun", "overlap", "too_fast")}


def _fact(expected: Expectation, start: int, seconds: int, status: str, names: int | None) -> dict[str, Any]:
    start_ns = BEGIN_NS + start * 10**9
    fact: dict[str, Any] = {"kind": "run", "run_id": f"r{start}", "batch_job": "a", "started_at_ns": start_ns}
    if names is not None and isinstance(expected.schedule, Cron):
        dues = expected.schedule.after(start_ns - (names + 1) * 20 * MINUTE_NS)
        fact["scheduled_for_ns"] = next(dues).at_ns
    end_ns = None if status == "killed" else start_ns + seconds * 10**9
    return {**fact, "status": status, "ended_at_ns": end_ns}


def _told(run: dict[str, Any], after_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """What the recorder writes of a run in the time: its start, its end, or both."""
    told = []
    begun = {name: value for name, value in run.items() if name != "ended_at_ns"}
    if after_ns < run["started_at_ns"] <= until_ns or run["started_at_ns"] == after_ns == BEGIN_NS:
        told.append({**begun, "status": "running"})
    if run["ended_at_ns"] is not None and after_ns < run["ended_at_ns"] <= until_ns:
        told.append({**run, "duration_ns": run["ended_at_ns"] - run["started_at_ns"]})
    return told


def _runs_at(expected: Expectation, facts: list[dict[str, Any]], now_ns: int) -> list[Any]:
    """(start, id, end, status, due time that it names) of each run, as a reporter knows them at a moment."""
    assert expected.max_duration_ns is not None
    runs = []
    for fact in facts:
        end_ns, status = fact["ended_at_ns"], fact["status"]
        deadline_ns = fact["started_at_ns"] + expected.max_duration_ns
        if end_ns is None or end_ns > now_ns:
            end_ns, status = (deadline_ns, "lost") if deadline_ns <= now_ns else (None, "running")
        runs.append((fact["started_at_ns"], fact["run_id"], end_ns, status, fact.get("scheduled_for_ns")))
    return sorted(runs)


def _is_skipped(expected: Expectation, facts: list[dict[str, Any]], now_ns: int, at_ns: int) -> bool:
    """Whether as many runs as may be kept others from starting at `at_ns`, by what is known at `now_ns`."""
    assert expected.max_concurrent is not None
    held: list[float] = []  # when the run in each slot ends, the oldest first
    for start_ns, _, end_ns, status, _ in _runs_at(expected, facts, now_ns):
        if start_ns < at_ns:
            held = [end for end in held if end > start_ns]
            if len(held) == expected.max_concurrent:  # it started, so there was room
                held.pop(0)
            if status != "lost":
                held.append(float("inf") if end_ns is None else end_ns)
    return sum(end > at_ns for end in held) == expected.max_concurrent


def _events(expected: Expectation, facts: list[dict[str, Any]], ticks: list[int], as_of_ns: int) -> Any:
    """(kind, due time, when it became so) of everything, and "open" for what was still missed as of a moment."""
    now_ns = ticks[-1]
    assert expected.max_duration_ns is not None
    assert expected.max_concurrent is not None
    runs = _runs_at(expected, facts, now_ns)
    for start_ns, run_id, end_ns, status, _ in runs:
        others = sum((s, i) < (start_ns, run_id) and (e is None or e > start_ns) for s, i, e, *_ in runs)
        if others >= expected.max_concurrent:
            yield "overlap", 0, start_ns
        if status in ("success", "failed") and end_ns - start_ns > expected.max_duration_ns:
            yield "overrun", 0, end_ns
        if status == "success" and end_ns - start_ns < 2 * MINUTE_NS:
            yield "too_fast", 0, end_ns
        if status == "timeout":
            yield "timeout", 0, end_ns
    slots = (
        _cron_slots(expected, runs, now_ns) if isinstance(expected.schedule, Cron) else _beats(expected, runs, now_ns)
    )
    for due_ns, over_ns, start_ns in slots:
        if over_ns > now_ns or (start_ns is not None and start_ns <= over_ns):
            continue
        readings = {due_ns, over_ns - expected.start_grace_ns}
        is_skipped = all(
            any(_is_skipped(expected, facts, tick_ns, at_ns) for at_ns in readings)
            for tick_ns in ticks
            if tick_ns >= over_ns
        )
        if not is_skipped:
            yield "missed", due_ns, over_ns
        if start_ns is not None:
            yield "late", due_ns, start_ns
        if over_ns < as_of_ns and (start_ns is None or start_ns >= as_of_ns):
            yield "skipped" if is_skipped else "open", due_ns, over_ns


def _cron_slots(expected: Expectation, runs: list[Any], now_ns: int) -> Any:
    """(due, end of grace, first start of it) of each due time."""
    assert isinstance(expected.schedule, Cron)
    dues = expected.schedule.after(BEGIN_NS)
    due = next(dues)
    while due.at_ns <= now_ns:
        following = next(dues)
        until_ns = following.at_ns - EARLY_NS
        if due.latest_ns > due.at_ns:
            until_ns = max(until_ns, due.latest_ns + expected.start_grace_ns + 1)
        named = [start for start, *_, named in runs if named == due.at_ns]
        plain = [start for start, *_, named in runs if named is None and due.at_ns - EARLY_NS <= start < until_ns]
        yield due.at_ns, due.latest_ns + expected.start_grace_ns, min([*named, *plain], default=None)
        due = following


def _beats(expected: Expectation, runs: list[Any], now_ns: int) -> Any:
    interval_ns = expected.schedule.interval_ns  # type: ignore[union-attr]
    last_ns = BEGIN_NS
    while last_ns + interval_ns <= now_ns:
        due_ns = last_ns + interval_ns
        over_ns = due_ns + expected.start_grace_ns
        start_ns = next((start for start, *_ in runs if start > last_ns), None)
        if start_ns is not None and start_ns >= max(over_ns + 1, due_ns + interval_ns):
            start_ns = None
        yield due_ns, over_ns, start_ns
        last_ns = due_ns if start_ns is None else start_ns
