"""crontab.example, read as cron reads it and run as cron runs it."""

from __future__ import annotations

import re
import resource
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from tests.cli.console import SCRIPT
from tests.servers import Server, binary, fetch

FILE = Path(__file__).parents[2] / "crontab.example"
TABLE = FILE.read_text()
ENTRIES = [line for line in TABLE.splitlines() if re.match(r"[0-9*@]", line)]
JOB, PUSH, PRUNE, BACKUP = range(4)


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
        assert not re.search(r"(?<!\\)%", command)  # cron would cut the line there
        entries.append((" ".join(fields), command.replace("\\%", "%")))
    return environment, entries


def run(
    entry: int, directory: Path, config: str = "", job: str = "exit 0", most_bytes: int = resource.RLIM_INFINITY
) -> subprocess.CompletedProcess[str]:
    """Run a line's command with cron's own small environment; the machine's directories are `directory`.

    No process of it gets more than `most_bytes` of memory.
    """

    def here(text: str) -> str:
        return re.sub(
            r"/(etc/reporter|var/lib/reporter|opt/jobs)/",
            f"{directory}/",
            text.replace("/var/backups/", f"{directory}/copy-of-"),
        )

    (directory / "reporter.yaml").write_text(config)
    script = directory / "nightly-export"
    script.write_text(f"#!/bin/sh\n{job}\n")
    script.chmod(0o755)
    environment, entries = read()
    environment = {name: here(value) for name, value in environment.items()}
    environment["PATH"] = f"{Path(SCRIPT).parent}:{environment['PATH']}"
    return subprocess.run(
        [environment["SHELL"], "-c", here(entries[entry][1])],
        env=environment | {"HOME": str(directory), "LOGNAME": "reporter"},
        cwd=directory, capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes)),
    )  # fmt: skip


def runs(directory: Path, database: str = "reporter.db") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / database)) as connection:
        return connection.execute("SELECT batch_job, status, exit_code FROM runs").fetchall()


def test_cron_itself_takes_the_table() -> None:
    checked = subprocess.run([binary("crontab", "cron"), "-n", str(FILE)], capture_output=True, text=True, check=False)

    assert (checked.returncode, "successfully checked" in checked.stderr) == (0, True), checked.stderr


def test_its_schedules_are_every_minute_and_once_a_night() -> None:
    _, entries = read()
    after = datetime(2026, 11, 1, 2, 59, 30, tzinfo=UTC)

    due = [
        [f"{next(times):%d %H:%M}" for times in [CronSim(schedule, after)] for _ in range(2)] for schedule, _ in entries
    ]

    assert due == [
        ["01 03:00", "02 03:00"],
        ["01 03:00", "01 03:01"],
        ["01 03:17", "02 03:17"],
        ["01 03:40", "02 03:40"],
    ]
    assert len(ENTRIES) == len(entries)
    assert max(map(len, ENTRIES)) < 998  # as long as cron lets a command be


def test_the_jobs_line_records_a_run_in_silence(tmp_path: Path) -> None:
    done = run(JOB, tmp_path, job="echo all is well")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert runs(tmp_path) == [("nightly-export", "success", 0)]


def test_the_jobs_line_mails_what_a_failed_job_said(tmp_path: Path) -> None:
    done = run(JOB, tmp_path, job="echo half of it is done; echo the disk is full >&2; exit 3")

    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "half of it is done\nthe disk is full\nexit code 3\n"
    assert runs(tmp_path) == [("nightly-export", "failed", 3)]


def test_what_is_mailed_is_what_the_job_said_backslashes_and_all(tmp_path: Path) -> None:
    done = run(JOB, tmp_path, job=r"printf '%s\n' 'C:\new\bin \c' '-n'; exit 3")

    assert done.stdout == "C:\\new\\bin \\c\n-n\nexit code 3\n"


@pytest.mark.parametrize(
    ("job", "code", "end"),
    [
        ("printf 'exit code 0'; exit 3", 3, "exit code 0exit code 3\n"),  # a last line without an end
        ("exec /nowhere", 127, "exit code 127\n"),
        ("kill -9 $$", 137, "exit code 137\n"),
    ],
)
def test_the_jobs_line_ends_with_the_jobs_own_exit_code(tmp_path: Path, job: str, code: int, end: str) -> None:
    done = run(JOB, tmp_path, job=job)

    assert (done.returncode, done.stdout.endswith(end)) == (code, True), done.stdout


def test_the_jobs_line_holds_no_more_of_what_a_job_says_than_it_mails(tmp_path: Path) -> None:
    script = "head -c 250000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1"
    done = run(JOB, tmp_path, job=script, most_bytes=200_000_000)

    assert (done.returncode, done.stderr) == (1, "")
    assert len(done.stdout) <= 50_001
    assert done.stdout.endswith("x\nthe end\nexit code 1\n")


def test_the_minutes_line_pushes_in_silence(tmp_path: Path, pushgateway: Server) -> None:
    done = run(PUSH, tmp_path, f"pushgateway: {{url: '{pushgateway.url}'}}\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "reporter_last_success_timestamp_seconds" in fetch(pushgateway.url + "/metrics")


def test_the_minutes_line_says_nothing_of_a_gateway_that_is_down(tmp_path: Path) -> None:
    done = run(PUSH, tmp_path, "pushgateway: {url: 'http://127.0.0.1:9', timeout: 500ms}\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("wrong", ["slos: [{name: a, sli: availability, objective: 100}]\n", "nonsense: 1\n"])
def test_the_minutes_line_mails_what_else_goes_wrong(tmp_path: Path, wrong: str) -> None:
    done = run(PUSH, tmp_path, wrong)

    assert "reporter.yaml:1: " in done.stdout


def test_the_nightly_lines_run_in_silence_and_leave_a_copy(tmp_path: Path) -> None:
    run(JOB, tmp_path)

    for line in (PRUNE, BACKUP, BACKUP):
        done = run(line, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    assert runs(tmp_path, "copy-of-reporter.db") == runs(tmp_path) != []


def test_a_backup_that_fails_is_mailed(tmp_path: Path) -> None:
    done = run(BACKUP, tmp_path)

    assert "there is no such database" in done.stdout
