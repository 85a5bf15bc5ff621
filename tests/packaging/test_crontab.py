"""crontab.example, read as cron reads it and run as cron runs it."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from tests.cli.console import SCRIPT
from tests.servers import Server, fetch

TABLE = (Path(__file__).parents[2] / "crontab.example").read_text()
ENTRIES = [line for line in TABLE.splitlines() if re.match(r"[0-9*@]", line)]


def read() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """(environment, [(schedule, command)]) of the table."""
    environment, entries = {}, []
    for line in TABLE.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        setting = re.fullmatch(r"(\w+)\s*=\s*(.*)", line)
        if setting:
            environment[setting[1]] = setting[2]
            continue
        *fields, command = line.split(None, 5)
        entries.append((" ".join(fields), command))
    return environment, entries


def run(command: str, directory: Path, config: str) -> subprocess.CompletedProcess[str]:
    """Run a command with cron's own small environment; `/etc/reporter` is `directory`."""
    (directory / "reporter.yaml").write_text(f"database: sqlite:///{directory}/jobs.db\n{config}")
    environment, _ = read()
    environment["REPORTER_CONFIG"] = environment["REPORTER_CONFIG"].replace("/etc/reporter", str(directory))
    environment["PATH"] = f"{Path(SCRIPT).parent}:{environment['PATH']}"
    return subprocess.run(
        [environment["SHELL"], "-c", command], env=environment | {"HOME": str(directory), "LOGNAME": "reporter"},
        cwd=directory, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_its_schedules_are_every_minute_and_once_a_day() -> None:
    _, entries = read()
    after = datetime(2026, 11, 1, 2, 59, 30, tzinfo=UTC)

    due = [
        [next(times).isoformat() for times in [CronSim(schedule, after)] for _ in range(2)] for schedule, _ in entries
    ]

    assert due == [
        ["2026-11-01T03:00:00+00:00", "2026-11-01T03:01:00+00:00"],
        ["2026-11-01T03:17:00+00:00", "2026-11-02T03:17:00+00:00"],
    ]
    assert len(ENTRIES) == len(entries)
    assert all("%" not in command for _, command in entries)  # cron would cut the line there


def test_the_minutes_line_pushes_in_silence(tmp_path: Path, pushgateway: Server) -> None:
    done = run(read()[1][0][1], tmp_path, f"pushgateway: {{url: '{pushgateway.url}'}}\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "reporter_last_success_timestamp_seconds" in fetch(pushgateway.url + "/metrics")


def test_the_minutes_line_says_nothing_of_a_gateway_that_is_down(tmp_path: Path) -> None:
    done = run(read()[1][0][1], tmp_path, "pushgateway: {url: 'http://127.0.0.1:9', timeout: 500ms}\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("wrong", ["slos: [{name: a, sli: availability, objective: 100}]\n", "nonsense: 1\n"])
def test_the_minutes_line_mails_what_else_goes_wrong(tmp_path: Path, wrong: str) -> None:
    done = run(read()[1][0][1], tmp_path, wrong)

    assert "reporter.yaml:2: " in done.stdout


def test_the_nightly_line_runs_in_silence(tmp_path: Path) -> None:
    done = run(read()[1][1][1], tmp_path, "")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
