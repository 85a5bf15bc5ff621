"""Checks of healthchecks.io and monitors of Cronitor become jobs, or it is said why not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reporter.config import parse_config
from tests.cli.console import run

CHECK = {
    "name": "Database Backup",
    "slug": "database-backup",
    "grace": 1200,
    "schedule": "15 5 * * *",
    "tz": "Europe/Riga",
}
MONITOR = {"key": "nightly", "type": "job", "schedule": "0 3 * * *", "timezone": "Europe/Berlin", "grace_seconds": 90}


def imported(directory: Path, kind: str, data: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What the command said, and the jobs that reporter.yaml takes of it."""
    file = directory / "file.json"
    file.write_text(json.dumps(data))
    done = run(directory, "import", kind, str(file))
    jobs = yaml.safe_load(done.stdout)["jobs"] if done.stdout else {}
    assert parse_config(done.stdout, environ={}).jobs.keys() == jobs.keys()
    return done, jobs


def test_checks_are_jobs_by_slug(tmp_path: Path) -> None:
    done, jobs = imported(
        tmp_path, "healthchecks", {"checks": [CHECK, {"name": "b", "schedule": "@daily", "status": "up"}]}
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert jobs == {
        "database-backup": {"schedule": "15 5 * * *", "timezone": "Europe/Riga", "start_grace": "20m"},
        "b": {"schedule": "@daily", "timezone": "UTC"},
    }


def test_a_check_without_a_schedule_is_a_job_every_so_often(tmp_path: Path) -> None:
    done, jobs = imported(tmp_path, "healthchecks", {"checks": [{"name": "sync", "timeout": 5400, "grace": 600}]})

    assert (done.returncode, jobs) == (0, {"sync": {"schedule": "every 1h30m", "start_grace": "10m"}})


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (CHECK | {"status": "paused"}, "database-backup: left out: it is paused"),
        (CHECK | {"schedule": "61 * * * *"}, "database-backup: left out: schedule has '61' for its minute"),
        (CHECK | {"tz": "Europe/Atlantis"}, "database-backup: left out: timezone "),
        ({"name": "Plain", "slug": ""}, "Plain: left out: it has neither schedule nor timeout"),
        ({}, "one without a name: left out"),
    ],
)
def test_a_check_that_cannot_be_taken_over_is_told(tmp_path: Path, check: dict[str, Any], why: str) -> None:
    done, jobs = imported(tmp_path, "healthchecks", {"checks": [check, CHECK | {"slug": "other"}]})

    assert (done.returncode, list(jobs)) == (1, ["other"])
    assert why in done.stderr


def test_two_checks_of_one_name_are_one_job_and_told(tmp_path: Path) -> None:
    done, jobs = imported(tmp_path, "healthchecks", {"checks": [CHECK, CHECK | {"grace": 60}]})

    assert (done.returncode, jobs["database-backup"]["start_grace"]) == (1, "20m")
    assert "database-backup: left out: the name is there twice" in done.stderr


@pytest.mark.parametrize(
    "data",
    [
        {"monitors": [MONITOR, {"key": "site", "type": "check", "url": "https://example.org"}]},
        {"jobs": {"nightly": {key: value for key, value in MONITOR.items() if key not in ("key", "type")}}},
    ],
)
def test_monitors_are_jobs_by_key(tmp_path: Path, data: dict[str, Any]) -> None:
    done, jobs = imported(tmp_path, "cronitor", data)

    assert jobs == {"nightly": {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "start_grace": "1m30s"}}
    assert ("site: left out: a check is no job" in done.stderr, done.returncode) in ((True, 1), (False, 0))


def test_a_heartbeat_every_so_often_has_no_zone(tmp_path: Path) -> None:
    heartbeat = {"key": "sync", "type": "heartbeat", "schedule": "every 15m", "timezone": "Europe/Berlin"}

    assert imported(tmp_path, "cronitor", {"monitors": [heartbeat]})[1] == {"sync": {"schedule": "every 15m"}}


def test_a_monitor_of_several_schedules_is_told(tmp_path: Path) -> None:
    done, jobs = imported(tmp_path, "cronitor", {"monitors": [MONITOR | {"schedules": ["0 3 * * *", "0 9 * * *"]}]})

    assert (done.returncode, jobs) == (1, {})
    assert "nightly: left out: it has several schedules" in done.stderr


@pytest.mark.parametrize("kind", ["healthchecks", "cronitor"])
@pytest.mark.parametrize("text", ['{"services": []}', "", "[1]", "{"])
def test_another_kind_of_file_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    (tmp_path / "file").write_text(text)
    done = run(tmp_path, "import", kind, "file")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("reporter: file:")
