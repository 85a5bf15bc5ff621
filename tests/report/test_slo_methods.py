"""Every kind, method, period, policy and exclusion of SLOs equals brute force over the raw facts, minute by minute."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reporter import cycle
from reporter.config import parse_config
from reporter.report.json_form import as_json
from reporter.store import open_store
from tests.publish.pushing import bring_in

NS, MINUTE_NS = 10**9, 60 * 10**9
AS_OF = int(datetime(2026, 11, 4, 13, 7, tzinfo=UTC).timestamp()) // 60  # minutes; Wednesday, days after clocks changed
DAY = 1440
LENGTHS = {"5m": 5, "1h": 60, "6h": 360, "1d": DAY, "3d": 3 * DAY, "7d": 7 * DAY}
SLICES = {"1m": 1, "1h": 60, "1d": DAY}
Row = dict[str, Any]

FIRST_EXCLUDED = (AS_OF - 700, AS_OF - 640)
SECOND_EXCLUDED = (AS_OF - 2 * DAY - 13, AS_OF - 2 * DAY + 200)


def at(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()


def facts(seed: int) -> tuple[list[Row], list[Row]]:
    """Calls and runs of ten days: hours without any, runs without calls, failures in bursts."""
    dice = random.Random(seed)
    calls, runs = [], []
    for number in range(160):
        job = dice.choice(["nightly", "hourly"])
        start_ns = (AS_OF - dice.randrange(10 * DAY)) * MINUTE_NS - dice.randrange(MINUTE_NS)
        length_ns = dice.randrange(1, 90) * MINUTE_NS + dice.randrange(MINUTE_NS)
        end_ns = min(start_ns + length_ns, AS_OF * MINUTE_NS - 1)
        status = dice.choice(["success", "success", "success", "failed", "timeout", "lost"])
        run = {
            "kind": "run", "run_id": f"r-{number}", "batch_job": job, "started_at_ns": start_ns, "ended_at_ns": end_ns,
            "status": status, "error_type": "ValueError" if status == "failed" and dice.random() < 0.5 else None,
        }  # fmt: skip
        run["duration_ns"] = None if status == "lost" else end_ns - start_ns
        runs.append(run)
        rate = dice.choice([0, 0.01, 0.5])
        for _ in range(dice.choice([0, 1, 9, 30])):
            ended_ns = start_ns + dice.randrange(end_ns - start_ns + 1)
            failed = dice.random() < rate
            calls.append(
                {
                    "kind": "call", "call_id": f"c-{len(calls)}", "run_id": run["run_id"], "batch_job": job,
                    "operation": "chat", "ended_at_ns": ended_ns, "duration_ns": dice.randrange(5 * NS),
                    "status": "error" if failed else "success", "error_type": dice.choice(["400", "500"]) if failed else None,
                }
            )  # fmt: skip
    return calls, runs


def slos() -> list[tuple[Row, Callable[[Row], bool | None]]]:
    """Each SLO as it is written, and its judgement said as code."""

    def is_success(row: Row) -> bool:
        return bool(row["status"] == "success")

    def but_400(row: Row) -> bool | None:
        return None if row["error_type"] == "400" else is_success(row)

    def is_quick(run: Row) -> bool | None:
        if run["error_type"] == "ValueError":
            return None
        return is_success(run) and run["duration_ns"] <= 45 * MINUTE_NS

    calls: list[tuple[Row, Callable[[Row], bool | None]]] = [
        ({"name": "plain", "sli": "availability", "period": "7d"}, is_success),
        ({"name": "excluded", "sli": "availability", "period": "7d", "exclude_error_types": ["400"]}, but_400),
        ({"name": "berlin", "sli": "availability", "calendar": "month", "timezone": "Europe/Berlin"}, is_success),
        (
            {"name": "periods", "sli": "availability", "calendar": "week", "periods": ["1d", {"calendar": "day"}]},
            is_success,
        ),
        ({"name": "kathmandu", "sli": "availability", "calendar": "day", "timezone": "Asia/Kathmandu"}, is_success),
    ]
    for missing in ("exclude", "good", "bad", "hold"):
        for method, target in (("timeslices", {"timeslice_target": 75}), ("ratio_timeslices", {})):
            for timeslice in ("1m", "1h"):
                name = f"{method}-{timeslice}-{missing}"
                spec = {
                    "name": name,
                    "sli": "availability",
                    "method": method,
                    "timeslice": timeslice,
                    "missing": missing,
                }
                calls.append(({**spec, "period": "7d", "where": {"batch_job": "nightly"}, **target}, is_success))
    runs: list[tuple[Row, Callable[[Row], bool | None]]] = [
        ({"name": "jobs", "sli": "job_success", "period": "7d"}, is_success),
        ({"name": "nightly", "sli": "job_success", "period": "7d", "where": {"batch_job": "night*"}}, is_success),
        (
            {
                "name": "quick", "sli": {"job_duration": {"max": "45m"}}, "calendar": "week",
                "exclude_error_types": ["ValueError"],
            },
            is_quick,
        ),
        ({"name": "days", "sli": "job_success", "period": "7d", "method": "timeslices", "timeslice": "1d"}, is_success),
    ]  # fmt: skip
    fresh: list[tuple[Row, Callable[[Row], bool | None]]] = [
        ({"name": "fresh", "sli": {"freshness": {"max_age": "3h"}}, "period": "7d"}, is_success),
        (
            {
                "name": "fresh-hours", "sli": {"freshness": {"max_age": "1h30s"}}, "period": "3d", "method": "timeslices",
                "timeslice": "1h", "timeslice_target": 100, "where": {"batch_job": "hourly"},
            },
            is_success,
        ),
    ]  # fmt: skip
    return [({"objective": 90, **spec}, judge) for spec, judge in calls + runs + fresh]


# ── the reference: one loop over everything for each number ──


def minutes_of(
    spec: Row, judge: Callable[[Row], bool | None], calls: list[Row], runs: list[Row]
) -> dict[int, list[int]]:
    """[good, bad] by minute, exclusions taken out."""
    job = spec.get("where", {}).get("batch_job", "*").rstrip("*")
    mine = [run for run in runs if run["batch_job"].startswith(job)]
    counts: dict[int, list[int]] = {}

    def count(minute: int, good: bool) -> None:
        counts.setdefault(minute, [0, 0])[0 if good else 1] += 1

    if "freshness" in spec["sli"]:
        max_age_ns = {"3h": 180 * MINUTE_NS, "1h30s": 3_630 * NS}[spec["sli"]["freshness"]["max_age"]]
        for name in {run["batch_job"] for run in mine}:
            first = min(run["started_at_ns"] for run in mine if run["batch_job"] == name) // MINUTE_NS
            ends = [run["ended_at_ns"] for run in mine if run["batch_job"] == name and run["status"] == "success"]
            for minute in range(first, AS_OF):
                until_ns = (minute + 1) * MINUTE_NS
                count(minute, any(until_ns - max_age_ns <= end < until_ns for end in ends))
    else:
        over_runs = spec["sli"] == "job_success" or "job_duration" in spec["sli"]
        rows = mine if over_runs else [call for call in calls if call["batch_job"].startswith(job)]
        for row in rows:
            verdict = judge(row)
            if verdict is not None:
                count(row["ended_at_ns"] // MINUTE_NS, verdict)
    excluded = [FIRST_EXCLUDED] if spec["name"] != "plain" else [FIRST_EXCLUDED, SECOND_EXCLUDED]
    return {m: both for m, both in counts.items() if not any(first <= m < end for first, end in excluded)}


def sliced(spec: Row, counts: dict[int, list[int]], runs: list[Row]) -> list[tuple[int, Fraction]]:
    """(last minute, good part) of every time slice that counts."""
    length = SLICES[spec["timeslice"]]
    job = spec.get("where", {}).get("batch_job", "*").rstrip("*")
    busy = {
        minute // length
        for run in runs
        if run["batch_job"].startswith(job)
        for minute in range(run["started_at_ns"] // MINUTE_NS, run["ended_at_ns"] // MINUTE_NS + 1)
    } | {minute // length for minute in range(*FIRST_EXCLUDED)}
    slices: dict[int, list[int]] = {}
    for minute, (good, bad) in counts.items():
        both = slices.setdefault(minute // length, [0, 0])
        both[0] += good
        both[1] += bad
    found, held = [], None
    for index in range(min(slices, default=0), AS_OF // length):
        if index in slices:
            good, bad = slices[index]
            part = Fraction(good, good + bad)
            if spec["method"] == "timeslices":
                part = Fraction(int(part * 100 >= spec.get("timeslice_target", spec["objective"])))
            held = part
        elif spec.get("missing", "exclude") == "exclude" or index in busy or held is None:
            continue
        else:
            part = {"good": Fraction(1), "bad": Fraction(0), "hold": held}[spec["missing"]]
        found.append((index * length + length - 1, part))
    return found


def counted(events: Iterable[tuple[int, Fraction, Fraction]], first: int) -> tuple[Fraction, Fraction]:
    good = bad = Fraction(0)
    for minute, more_good, more_bad in events:
        if first <= minute < AS_OF:
            good, bad = good + more_good, bad + more_bad
    return good, bad


def start_of(calendar: str, zone: str) -> int:
    """The minute in which the calendar period began that was going on just before AS_OF."""
    now = datetime.fromtimestamp(AS_OF * 60 - 1, ZoneInfo(zone))
    midnight = now.replace(hour=0, minute=0, second=0, fold=0)
    back = {"day": 0, "week": now.weekday(), "month": now.day - 1}[calendar]
    day = datetime.fromordinal(midnight.toordinal() - back).replace(tzinfo=ZoneInfo(zone))
    return int(day.timestamp()) // 60


def check(told: Row, spec: Row, judge: Callable[[Row], bool | None], calls: list[Row], runs: list[Row]) -> None:
    counts = minutes_of(spec, judge, calls, runs)
    if "method" in spec:
        events = [(minute, part, 1 - part) for minute, part in sliced(spec, counts, runs)]
    else:
        events = [(minute, Fraction(good), Fraction(bad)) for minute, (good, bad) in counts.items()]
    starts = {label: AS_OF - length for label, length in LENGTHS.items()}
    if "calendar" in spec:
        zone = spec.get("timezone", "UTC")
        starts[spec["calendar"] + ("" if zone == "UTC" else f" {zone}")] = start_of(spec["calendar"], zone)
    if "periods" in spec:
        starts["day"] = start_of("day", "UTC")
    shown = set(told["windows"])
    shortest = SLICES[spec.get("timeslice", "1m")]
    assert shown >= {label for label in starts if LENGTHS.get(label, DAY) >= shortest}
    for label in shown & set(starts):
        good, bad = counted(events, starts[label])
        window = told["windows"][label]
        assert (window["good"], window["bad"]) == (float(good), float(bad)), (spec["name"], label)
        if good + bad:
            assert window["sli_ratio"] == float(good / (good + bad)), (spec["name"], label)
            assert window["burn_rate"] == float(bad / (good + bad) / Fraction(1, 10)), (spec["name"], label)
    period = told["periods"][0]
    good, bad = counted(events, starts[told["period"]])
    burn = bad / (good + bad) / Fraction(1, 10)
    assert told["error_budget"] == {"consumed_ratio": float(burn), "remaining_ratio": float(1 - burn)}
    start, end = (datetime.fromisoformat(period[name]).timestamp() for name in ("start", "end"))
    assert start == starts[told["period"]] * 60
    elapsed = Fraction(AS_OF * 60 - int(start), int(end - start))
    assert period["consumed_of_period_ratio"] == float(burn * elapsed)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_slo_equals_brute_force_over_the_raw_facts(database_url: str, tmp_path: Path, seed: int) -> None:
    store = open_store(database_url)
    calls, runs = facts(seed)
    specs = slos()
    config = parse_config(
        json.dumps(
            {
                "database": database_url,
                "report": {"windows": [*LENGTHS]},
                "slos": [spec for spec, _ in specs],
                "exclusions": [
                    {"from": at(FIRST_EXCLUDED[0]), "to": at(FIRST_EXCLUDED[1]), "reason": "maintenance"},
                    {
                        "from": at(SECOND_EXCLUDED[0]),
                        "to": at(SECOND_EXCLUDED[1]),
                        "slos": ["plain"],
                        "reason": "outage",
                    },
                ],
            }
        ),
        environ={},
    )
    rows = [*calls, *runs]
    random.Random(seed).shuffle(rows)
    bring_in(store, tmp_path, rows[: len(rows) // 2])
    cycle.report(store, config, AS_OF * MINUTE_NS)
    bring_in(store, tmp_path, rows[len(rows) // 2 :])
    told = as_json(cycle.report(store, config, AS_OF * MINUTE_NS))
    for slo, (spec, judge) in zip(told["slos"], specs, strict=True):
        check(slo, spec, judge, calls, runs)
    assert [exclusion["reason"] for exclusion in told["exclusions"]] == ["outage", "maintenance"]
