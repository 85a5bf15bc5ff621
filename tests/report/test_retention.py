"""A report over pruned rows and tallies says what it said before, or says that it can't."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reporter import cycle
from reporter.ids import uuid7
from reporter.lease import acquire
from reporter.report.json_form import as_json
from reporter.report.model import Report
from reporter.retention import Retention, prune
from reporter.store import Store, open_store
from tests.cli.console import run
from tests.report.effort import Effort
from tests.report.reference import CONFIG, check
from tests.report.test_every_number import bring_in, config_for, history

NS, MINUTE_NS, HOUR_NS, DAY_NS = 10**9, 60 * 10**9, 3600 * 10**9, 86_400 * 10**9
AS_OF_NS = 1_790_000_040 * NS
CALLS = list(history(3_000, 5))  # of the eight days before AS_OF_NS


def kept(**days: float) -> Retention:
    lengths_ns = {"calls": DAY_NS, "minutes": 8 * DAY_NS, "hours": 9 * DAY_NS, "days": 10 * DAY_NS}
    lengths_ns |= {kind: int(length * DAY_NS) for kind, length in days.items()}
    return Retention(**{f"{kind}_ns": length_ns for kind, length_ns in lengths_ns.items()})


def folded(store: Store, directory: Path, calls: Sequence[dict[str, Any]]) -> Report:
    bring_in(store, directory / "calls.jsonl", [*calls])
    return cycle.report(store, config_for(store.url), AS_OF_NS)


def pruned(store: Store, retention: Retention) -> int:
    """How many calls a prune at AS_OF_NS deletes."""
    return prune(store, acquire(store, -1), retention, AS_OF_NS).calls


def test_without_raw_calls_every_number_is_what_brute_force_over_them_was(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    before = folded(store, tmp_path, CALLS)

    assert pruned(store, kept(calls=1)) > 500

    after = cycle.report(store, config_for(database_url), AS_OF_NS)
    check(json.loads(json.dumps(as_json(after))), CALLS, [], AS_OF_NS)
    assert after == before


def test_a_past_minute_keeps_the_windows_it_has_tallies_for_and_says_which_it_has_not(
    database_url: str, tmp_path: Path
) -> None:
    store, past_ns = open_store(database_url), AS_OF_NS - 3 * DAY_NS
    folded(store, tmp_path, CALLS)
    before = cycle.report(store, config_for(database_url), past_ns)

    pruned(store, kept(minutes=7.5, hours=8))

    after = cycle.report(store, config_for(database_url), past_ns)
    assert list(after.slos[0].windows) == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
    for was, now in zip(before.calls, after.calls, strict=True):
        assert now.windows == {label: was.windows[label] for label in after.slos[0].windows}
    for was_slo, now_slo in zip(before.slos, after.slos, strict=True):
        assert now_slo.windows == {label: was_slo.windows[label] for label in now_slo.windows}
    assert after.totals == before.totals
    assert before.notes == ()
    (note,) = after.notes
    assert note.startswith(
        "left out: 7d, for which tallies of minutes from before 2026-09-14T02:00:00Z would be needed"
    )


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.integers(1, 9 * 24),
    hours=st.integers(1, 9 * 24),
    days=st.integers(1, 9 * 24),
    back=st.one_of(st.integers(0, 9 * 1440), st.integers(0, 9 * 24).map(lambda hour: hour * 60)),
)
@example(
    minutes=1, hours=28, days=216, back=14 * 60
)  # a day whose hours are half gone, whole in one window, cut in another
@example(
    minutes=15, hours=1, days=15, back=14 * 60
)  # a day that is there, cut by a shorter window into hours that are not
def test_whatever_was_pruned_a_window_is_told_exactly_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, minutes: int, hours: int, days: int, back: int
) -> None:
    as_of_ns = AS_OF_NS // HOUR_NS * HOUR_NS - back * MINUTE_NS
    directory = tmp_path_factory.mktemp("pruned")
    store = open_store(f"sqlite:///{directory}/jobs.db")
    folded(store, directory, CALLS[:400])
    before = cycle.report(store, config_for(store.url), as_of_ns)

    pruned(store, kept(minutes=minutes / 24, hours=hours / 24, days=days / 24))

    after = cycle.report(store, config_for(store.url), as_of_ns)
    for was, now in zip(before.slos, after.slos, strict=True):
        assert now.windows == {label: was.windows[label] for label in now.windows}
    rows = {row.labels: row for row in before.calls}
    for row in after.calls:
        assert row.windows == {label: rows[row.labels].windows[label] for label in row.windows}
    left_out = {label for note in after.notes for label in note.split(", for which")[0].split(": ")[1].split(", ")}
    assert left_out == before.slos[0].windows.keys() - after.slos[0].windows.keys()


def test_hours_kept_longer_than_minutes_answer_for_whole_hours(database_url: str, tmp_path: Path) -> None:
    store, past_ns = open_store(database_url), (AS_OF_NS // HOUR_NS - 5 * 24) * HOUR_NS
    folded(store, tmp_path, CALLS)
    before = cycle.report(store, config_for(database_url), past_ns)

    pruned(store, kept(minutes=1, hours=20, days=20))

    after = cycle.report(store, config_for(database_url), past_ns)
    assert list(after.slos[0].windows) == ["1h", "2h", "6h", "1d", "3d", "7d"]
    assert after.slos[0].windows["1h"] == before.slos[0].windows["1h"]
    unaligned = cycle.report(store, config_for(database_url), past_ns + MINUTE_NS)
    assert list(unaligned.slos[0].windows) == []


# ── calls that recorders did not name ──


def test_old_calls_go_whatever_their_ids_are(database_url: str, tmp_path: Path) -> None:
    dice, store = random.Random(4), open_store(database_url)
    ids = [str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(1_600)]
    ids += [
        "0",
        "0-1",
        "00000000-order-7",
        "01zz",
        "Z",
        "order 17",
        "~",
        uuid7(AS_OF_NS + 3 * DAY_NS),
    ]  # a clock far ahead
    old = [{**CALLS[0], "call_id": call_id, "ended_at_ns": AS_OF_NS - 36 * DAY_NS} for call_id in ids]
    fresh = [{**CALLS[0], "call_id": f"new {call_id}", "ended_at_ns": AS_OF_NS - DAY_NS} for call_id in ids[:50]]
    fresh += [{**CALLS[0], "call_id": uuid7(AS_OF_NS - DAY_NS), "ended_at_ns": AS_OF_NS - DAY_NS}]
    folded(store, tmp_path, [*old, *fresh])
    assert sum(call_id.startswith("0") for call_id in ids) > 60

    assert pruned(store, kept(calls=35)) == len(old)

    with store.read() as connection:
        left = connection.exec_driver_sql("SELECT call_id FROM calls").scalars().all()
    assert sorted(left) == sorted(str(call["call_id"]) for call in fresh)


def test_an_id_that_looks_like_a_later_call_keeps_an_old_one_no_longer_than_that_call(
    database_url: str, tmp_path: Path
) -> None:
    store = open_store(database_url)
    folded(store, tmp_path, [{**CALLS[0], "call_id": uuid7(AS_OF_NS - DAY_NS), "ended_at_ns": AS_OF_NS - 36 * DAY_NS}])
    assert pruned(store, kept(calls=35)) == 0
    assert prune(store, acquire(store, -1), kept(calls=35), AS_OF_NS + 34 * DAY_NS + NS).calls == 1


def test_pruning_does_not_read_the_calls_that_stay(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    effort = Effort(store)
    taken = []
    for more in (1_000, 20_000):
        with store.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO calls (call_id, ended_at_ns, operation, status, folded) VALUES (?, ?, 'chat', 'success', 1)",
                [(uuid7(at_ns), at_ns) for at_ns in range(AS_OF_NS - DAY_NS // 2, AS_OF_NS, DAY_NS // 2 // more)],
            )
        effort.taken = 0
        assert pruned(store, kept(calls=1)) == 0
        taken.append(effort.taken)
    assert taken[1] < 1.5 * taken[0] + 10


# ── a changed SLO, as a person sees it ──

OURS = "slos: [{name: quick, sli: {latency: {threshold: %s}}, objective: 95, period: 7d}]\n"


def test_the_table_says_from_when_on_a_changed_slo_is_counted(tmp_path: Path) -> None:
    retention = "retention: {calls: 2d, minutes: 31d}\n"
    dice, now_ns = random.Random(3), time.time_ns()
    calls = [
        {"kind": "call", "call_id": f"0-{n}", "operation": "chat", "ended_at_ns": now_ns - int(dice.random() * 6 * DAY_NS),
         "duration_ns": int(dice.random() * 4 * NS)} for n in range(400)
    ]  # fmt: skip
    calls.append({**calls[0], "call_id": "0-newest", "ended_at_ns": now_ns})
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    (tmp_path / "reporter.yaml").write_text(OURS % "2s" + retention)
    assert run(tmp_path, "ingest", "calls.jsonl").returncode == 0
    assert "note:" not in run(tmp_path, "report").stdout
    assert run(tmp_path, "prune").returncode == 0
    assert "note:" not in run(tmp_path, "report").stdout  # it was counted before the calls went

    (tmp_path / "reporter.yaml").write_text(OURS % "1s" + retention)
    told = json.loads(run(tmp_path, "report", "--format", "json").stdout)
    shown = run(tmp_path, "report").stdout

    (slo,) = told["slos"]
    from_ns = int(parse_moment(slo["counted_from"]) * NS)
    assert abs(from_ns - (now_ns - 2 * DAY_NS)) < 120 * NS
    left = [call for call in calls if call["ended_at_ns"] >= from_ns]
    assert slo["windows"]["7d"]["total"] == len(left) < len(calls)
    assert slo["windows"]["7d"]["good"] == sum(call["duration_ns"] <= NS for call in left)
    assert (
        f"note: quick is new or changed and counts from {slo['counted_from']} on, because older raw calls were pruned"
        " (retention.calls): 3d, 7d, 30d may lack some\n" in shown
    )


def parse_moment(told: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(told).timestamp()


def test_a_window_that_can_not_be_told_is_left_out_of_the_table_with_a_word(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url)
    folded(store, tmp_path, CALLS)
    pruned(store, kept(minutes=7.5, hours=8))
    (tmp_path / "reporter.yaml").write_text(CONFIG)

    for window in ("7d", "3d"):
        done = run(
            tmp_path, "--database", url, "report", "--as-of", "2026-09-18T00:01:00Z", "--window", window, "--no-fold"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "note: left out: 7d, for which tallies of minutes from before" in done.stdout
        assert ("Calls in 3d" in done.stdout) == (window == "3d")
        assert "Calls in 7d" not in done.stdout
