"""`reporter jobs` and `reporter runs` tell how jobs stand, and run by run what they did; on both databases."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from reporter.store import open_store
from tests.cli.console import run
from tests.publish.pushing import bring_in

CONFIG = """
jobs:
  nightly: {schedule: "0 3 * * *", timezone: Europe/Berlin, max_duration: 2h}
  hourly: {schedule: "@hourly"}
"""
AS_OF = "2026-11-02T12:00:00Z"


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Path:
    """A directory with a configuration and a history: of one job, whose calls cost money, and of one that prints."""
    (tmp_path / "reporter.yaml").write_text(f"database: {json.dumps(database_url)}\n{CONFIG}")
    runs = [a_run("nightly", day, "success", 600 + day, items=10 * day) for day in range(20, 29)]
    runs += [
        a_run("nightly", 29, "failed", 3, exit_code=3, output_tail="connecting\n\x1b[31mrefused\n", error_type="exit 3")
    ]
    runs += [
        a_run("nightly", 30, "success", 640),
        a_run("free", 30, "success", 0.25),
        a_run("free", 31, "running", None),
    ]
    call = {"kind": "call", "run_id": "nightly-30", "batch_job": "nightly", "operation": "chat", "provider": "openai"}
    ended = {"ended_at": "2026-10-30T02:05:00Z", "duration_seconds": 1, "status": "success", "cost_usd": "0.75"}
    calls = [call | ended | {"model": "gpt-4o", "call_id": f"c{number}"} for number in range(2)]
    calls.append(call | ended | {"call_id": "c9", "status": "error", "model": "nobody-knows", "cost_usd": None})
    bring_in(open_store(database_url), tmp_path, runs + calls)
    return tmp_path


def a_run(job: str, day: int, status: str, seconds: float | None, **more: Any) -> dict[str, Any]:
    fact = {"kind": "run", "run_id": f"{job}-{day}", "batch_job": job, "status": status, **more}
    fact["started_at"] = start = f"2026-10-{day}T02:00:00Z"
    if seconds is not None:
        fact |= {
            "ended_at": start.replace(":00Z", f":{seconds % 60:09.6f}Z").replace("02:00", f"02:{int(seconds / 60):02}")
        }
        fact |= {"duration_seconds": seconds}
    return fact


def test_jobs_tell_state_streak_and_the_last_runs(place: Path) -> None:
    done = run(place, "jobs", "--as-of", AS_OF)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()[1:4]}
    assert lines["nightly"][:2] == ["nightly", "ok"]
    assert lines["nightly"][2] == "█████████×█"
    assert lines["nightly"][3:6] == ["+1", "10-30", "02:00"]
    assert lines["free"][2:5] == ["lost", "█?", "−1"]  # it did not end within a day
    (nightly,) = [
        job for job in json.loads(run(place, "jobs", "--format", "json", "--as-of", AS_OF).stdout)
        if job["batch_job"] == "nightly"
    ]  # fmt: skip
    assert (nightly["streak"], nightly["recovered"], len(nightly["latest_runs"])) == (1, True, 11)
    rows = list(csv.DictReader(run(place, "jobs", "--format", "csv").stdout.splitlines()))
    assert [(row["batch_job"], row["streak"], row["failed_runs"]) for row in rows] == [
        ("free", "-1", "0"), ("hourly", "0", "0"), ("nightly", "1", "1")
    ]  # fmt: skip


def test_runs_tell_what_each_cost_and_the_end_of_what_failed_ones_printed(place: Path) -> None:
    done = run(place, "runs", "--job", "nightly", "--since", "2026-10-28", "--as-of", AS_OF)
    assert done.returncode == 0
    told = [line.split() for line in done.stdout.splitlines()]
    assert told[1] == ["2026-10-30", "02:00:00", "success", "11", "min", "–", "–", "3", "1", "1.50+"]
    assert told[2] == ["2026-10-29", "02:00:00", "failed", "3", "s", "3", "–", "–", "–", "–"]
    assert told[3][5:] == ["–", "280", "–", "–", "–"]
    assert "nightly, 2026-10-29 02:00:00: failed exit 3\n  connecting\n  �[31mrefused\n" in done.stdout
    (first, second) = json.loads(
        run(place, "runs", "--status", "failed", "--status", "lost", "--format", "json", "--as-of", AS_OF).stdout
    )
    assert (first["batch_job"], first["ended_at"], first["cost_usd"]) == ("free", "2026-11-01T02:00:00Z", 0)
    assert (second["exit_code"], second["output_tail"]) == (3, "connecting\n\x1b[31mrefused\n")
    cut = run(place, "runs", "--limit", "2", "--format", "csv", "--as-of", AS_OF)
    assert [row["run_id"] for row in csv.DictReader(cut.stdout.splitlines())] == ["free-31", "nightly-30"]
    assert cut.stderr == "reporter: only the last 2 runs; --limit allows more\n"


def test_where_there_is_nothing_to_tell_it_says_what_to_do(tmp_path: Path) -> None:
    assert "No runs yet, and none expected." in run(tmp_path, "jobs").stdout
    assert run(tmp_path, "jobs", "--format", "json").stdout == "[]\n"
    for command in ("runs", "jobs"):
        refused = run(tmp_path, command, "--job", "x")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "no job 'x'; none ever ran or is configured" in refused.stderr
    assert run(tmp_path, "runs", "--format", "json").stdout == "[]\n"
    refused = run(tmp_path, "runs", "--since", "soon")
    assert (refused.returncode, "write a length like 7d" in refused.stderr) == (2, True)


def test_a_job_that_is_not_there_is_refused_with_the_one_that_may_be_meant(place: Path) -> None:
    for command in ("runs", "jobs"):
        refused = run(place, command, "--job", "nightly-exprt", "--as-of", AS_OF)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.endswith("no job 'nightly-exprt'; did you mean 'nightly'?\n")
        assert "there are free, hourly, nightly" in run(place, command, "--job", "zzz").stderr
    assert run(place, "runs", "--job", "hourly", "--as-of", AS_OF).stdout == "No runs of hourly since 7d.\n"
    only = json.loads(run(place, "jobs", "--job", "free", "--format", "json").stdout)
    assert [job["batch_job"] for job in only] == ["free"]


def test_a_job_that_is_not_declared_is_marked_and_one_that_never_ran_is_named(place: Path) -> None:
    told = run(place, "jobs").stdout.splitlines()
    assert told[1].split()[:2] == ["free", "*"]
    assert told[-2:] == [
        "* not under `jobs:` in the configuration: nothing is expected of it",
        "never ran as far as is known: hourly",
    ]
    jobs = json.loads(run(place, "jobs", "--format", "json").stdout)
    assert {job["batch_job"]: job["declared"] for job in jobs} == {"free": False, "hourly": True, "nightly": True}
    (place / "reporter.yaml").write_text((place / "reporter.yaml").read_text().partition("\njobs:")[0])
    assert "*" not in run(place, "jobs").stdout  # where none is declared, none is marked
