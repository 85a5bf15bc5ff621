"""Whatever a person does, `reporter` answers with one clear message and the right exit code, and never with a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import reporter
from tests.cli.console import SCRIPT, environment, run, run_on_terminal
from tests.servers import Postgres, wait_for

GARBAGE = b"something else, and longer than a header of a hundred bytes " * 4
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what the commands below stumble over."""
    for name, content in {
        "objective.yaml": "slos: [{name: a, sli: availability, objective: 100}]\n",
        "misspelt.yaml": "slos: [{name: a, sli: availability, objectve: 99}]\n",
        "twice.yaml": "slos:\n- {name: a, sli: p95 < 1s}\n- {name: a, sli: p95 < 2s}\n",
        "cron.yaml": 'jobs: {a: {schedule: "99 99 * * *"}}\n',
        "long.yaml": "slos:\n- {name: a, sli: p95 < 1s, period: 90d}\n",
        "both.yaml": "retention: {minutes: 50d}\nslos:\n- {name: a, sli: p95 < 1s, period: 90d}\n",
        "window.yaml": "report: {windows: [0m]}\n",
        "unset.yaml": "database: ${NO_SUCH_VARIABLE}\n",
        "list.yaml": "[1, 2]\n",
        "broken.yaml": "slos: [\n",
        "bomb.yaml": BOMB,
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "garbage.db").write_bytes(GARBAGE)
    (tmp_path / "latin.yaml").write_bytes(b"slos: \xff\n")
    (tmp_path / "directory").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["reprot"], 2, "no command 'reprot'; did you mean 'report'?"),
        (["report", "--frmat", "json"], 2, "Did you mean '--format'?; reporter report --help shows how"),
        (["report", "--format", "yaml"], 2, "'yaml' is not one of"),
        (["report", "extra"], 2, "unexpected extra argument"),
        (["report", "--as-of", "yesterday"], 2, "write a moment like 2026-11-01T02:00:00Z"),
        (["report", "--as-of", "2026-11-01T02:00:00"], 2, "has no zone"),
        (["report", "--as-of", "2999-01-01T00:00:00Z"], 2, "must be a moment from 1970 to 2261"),
        (["push", "--as-of", "1969-12-31T23:59:59Z"], 2, "must be a moment from 1970 to 2261"),
        (["push", "--as-of", "2222-01-01T00:00:00Z"], 2, "`reporter report --as-of 2222-01-01T00:00:00Z` looks ahead"),
        (["report", "--as-of", "9999-12-31T23:59:59-23:59"], 2, "must be a moment from 1970 to 2261"),
        (["report", "--window", "17h"], 2, "the report has 5m, 30m, 1h"),
        (["ingest"], 2, "name files, --openai-batch or --anthropic-batch files, or --spool"),
        (["ingest", "nowhere.jsonl"], 1, "nowhere.jsonl: can't be read: No such file or directory"),
        (["ingest", "directory"], 1, "directory: can't be read: Is a directory"),
        (["--config", "nowhere.yaml", "report"], 2, "nowhere.yaml: there is no such file"),
        (["--config", "directory", "report"], 2, "directory: is a directory"),
        (["--config", "objective.yaml", "push"], 2, "objective.yaml:1: slos[0].objective: must be percent between 0 and 100"),
        (["--config", "misspelt.yaml", "push"], 2, "misspelt.yaml:1: slos[0].objectve: unknown key; did you mean objective?"),
        (["--config", "twice.yaml", "push"], 2, "twice.yaml:3: slos[1].name: 'a' is the name of slos[0] already"),
        (["--config", "window.yaml", "push"], 2, "window.yaml:1: report.windows[0]: must be longer than 0"),
        (["--config", "cron.yaml", "check"], 2, "cron.yaml:1: jobs.a.schedule: has '99' for its minute: must be 0-59, *,"),
        (["--config", "long.yaml", "check"], 2,
         "long.yaml:2: slos[0].period: needs tallies for 90d: write retention: {minutes: 90d} or more, it is 40d"),
        (["--config", "both.yaml", "check"], 2,
         "both.yaml:1: retention.minutes: must be at least the longest window, 90d (of the SLO a), not 50d"),
        (["--config", "unset.yaml", "push"], 2, "unset.yaml:1: database: the environment variable NO_SUCH_VARIABLE is"),
        (["--config", "list.yaml", "push"], 2, "list.yaml"),
        (["--config", "broken.yaml", "push"], 2, "broken.yaml"),
        (["--config", "latin.yaml", "push"], 2, "latin.yaml"),
        (["--config", "bomb.yaml", "push"], 2, "bomb.yaml:1: holds more than 50000 values"),
        (["--database", "nonsense", "report"], 2, "--database: must be a URL like sqlite:///jobs.db"),
        (["--database", "mysql://host/name", "report"], 2, "--database: must be a URL like sqlite:///jobs.db"),
        (["--database", "sqlite://", "report"], 2, "must have three slashes"),
        (["--database", "sqlite:///directory", "report"], 1, "name a file, not a directory"),
        (["--database", "sqlite:///garbage.db", "report"], 1, "the file is kept as it is: restore a backup"),
        (["--database", "sqlite:////sys/kernel/reporter.db", "report"], 1, "can't create the database: "),
        (["--database", "sqlite:///typo/jobs.db", "report"], 1, "typo: there is no such directory"),
        (["--database", "sqlite:///typo.db", "db", "current"], 1, "typo.db: there is no such database"),
        (["--database", "postgresql://u:canary@127.0.0.1:1/x", "report"], 1, "that the server runs"),
        (["init", "directory/nowhere/reporter.yaml"], 2, "can't be written: No such file or directory"),
        (["init", "garbage.db"], 2, "is there already; --force replaces it"),
        (["db", "upgraed"], 2, "No such command 'upgraed'"),
        (["demo", "--keep", "."], 2, "is not empty; name a new directory for --keep"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_message_with_the_right_exit_code(
    place: Path, arguments: list[str], code: int, says: str
) -> None:
    before = sorted(place.iterdir())

    done = run(place, *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert done.stderr.startswith("reporter: ")
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr
    kept = [path for path in sorted(place.iterdir()) if path.name != ".local"]  # where a database is by default
    assert kept == before
    assert (place / "garbage.db").read_bytes() == GARBAGE


def test_without_arguments_it_shows_its_commands_and_exits_2(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "reporter demo" in done.stderr


@pytest.mark.parametrize("command", ["", "check", "db", "demo", "ingest", "init", "prune", "push", "report"])
def test_help_fits_80_columns_and_touches_nothing(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, *command.split(), "--help", COLUMNS="80")

    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_password_is_told_without_the_password(tmp_path: Path, postgres: Postgres) -> None:
    import psycopg

    access = postgres.data / "pg_hba.conf"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE locked")
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        access.write_text("local locked all scram-sha-256\n" + access.read_text())
        connection.execute("SELECT pg_reload_conf()")

    def refused() -> bool:
        done = run(tmp_path, "--database", f"postgresql://guarded:canary@/locked?host={postgres.directory}", "report")
        assert (done.returncode, done.stdout) == (1, "")
        assert "canary" not in done.stderr
        return "check user and password in the database URL" in done.stderr

    wait_for(refused, 30, "the server asks for a password")


def test_a_gateway_that_is_down_is_worth_another_try(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text("pushgateway: {url: 'http://127.0.0.1:9', timeout: 500ms}\n")

    done = run(tmp_path, "push")

    assert (done.returncode, done.stdout) == (75, "")
    assert "nothing is lost, the next push carries all of it" in done.stderr


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "report")

    assert (done.returncode, done.stderr) == (0, "")
    assert '@reporter.call("chat")' in done.stdout


def test_ctrl_c_ends_it_with_130_and_no_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "reporter.yaml").write_text(f"pushgateway: {{url: '{url}', timeout: 60s}}\n")
        process = subprocess.Popen(
            [SCRIPT, "push"], cwd=tmp_path, env=environment(tmp_path), text=True,
            stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        silent.settimeout(60)
        with silent.accept()[0] as push:
            push.recv(10)
            process.send_signal(signal.SIGINT)
            output, trouble = process.communicate(timeout=20)

    assert (process.returncode, output, trouble.strip()) == (130, "", "")


def recorded(directory: Path, name: str = "nightly") -> str:
    """A database with a few calls of one job; its URL."""
    url = f"sqlite:///{directory}/jobs.db"
    recorder = reporter.Recorder(url, job=name)
    for number in range(20):
        recorder.record(
            operation="chat", provider="openai", model="gpt-4o", duration_seconds=0.1 * number, input_tokens=9
        )
    recorder.close()
    return url


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    url = recorded(tmp_path)
    process = subprocess.Popen(
        [SCRIPT, "--database", url, "report", "--format", "openmetrics"], env=environment(tmp_path), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 141


def test_a_full_disk_behind_stdout_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [SCRIPT, "report"], env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, "reporter: output: No space left on device\n")


SLOS = """slos:
- {name: a-latency-objective-with-a-long-name, sli: p95 < 500ms, period: 30d}
- {name: availability, sli: availability, objective: 99, period: 30d}
"""


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_report_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    url = recorded(tmp_path)
    (tmp_path / "reporter.yaml").write_text(SLOS)

    code, seen = run_on_terminal(tmp_path, "--database", url, "report", columns=columns, NO_COLOR="1")

    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    tables = [line for line in plain.splitlines() if not line.startswith(("page ", "ticket ", "Together ", "1 uses"))]
    assert max(map(len, tables)) <= columns
    assert "a-latency" in plain
    if columns >= 80:
        assert re.search(r"availability +99 % +30d +0 +100.00 % +████████ 100 % +ok", plain)


def test_colours_are_for_terminals_and_not_with_no_color(tmp_path: Path) -> None:
    url = recorded(tmp_path)
    (tmp_path / "reporter.yaml").write_text(SLOS)

    coloured = run_on_terminal(tmp_path, "--database", url, "report", columns=100)[1]
    plain = run_on_terminal(tmp_path, "--database", url, "report", columns=100, NO_COLOR="1")[1]

    assert "\x1b[32m" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)
    assert "\x1b" not in run(tmp_path, "--database", url, "report").stdout


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    url = recorded(tmp_path, "evil\x1b]0;owned\x07[red]job")

    piped = run(tmp_path, "--database", url, "report").stdout
    seen = run_on_terminal(tmp_path, "--database", url, "report", columns=140, NO_COLOR="1")[1]

    for told in (piped, seen):
        assert "\x1b]" not in told
        assert "\x07" not in told
        assert "[red]job" in told


def test_a_terminal_without_unicode_still_gets_its_table(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(SLOS)

    done = run(tmp_path, "--database", recorded(tmp_path), "report", PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stderr) == (0, "")
    assert "availability" in done.stdout


def test_ingest_shows_a_bar_on_a_terminal_only(tmp_path: Path) -> None:
    line = json.dumps({"operation": "chat", "ended_at": "2026-11-01T02:00:00Z", "attributes": {"n": 0}}) + "\n"
    (tmp_path / "calls.jsonl").write_text("".join(line.replace("0}", f"{n}}}") for n in range(12_000)))

    piped = run(tmp_path, "ingest", "calls.jsonl")
    code, seen = run_on_terminal(tmp_path, "ingest", "calls.jsonl", columns=80)

    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "calls.jsonl: 12000 lines, 0 bad\n", "")
    assert code == 0
    assert "━" in seen
    assert seen.rstrip().endswith("calls.jsonl: 12000 lines, 0 bad")


def test_init_interrupted_leaves_the_old_file_whole(tmp_path: Path) -> None:
    old = "slos: []\n"
    (tmp_path / "reporter.yaml").write_text(old)
    # A limit on file sizes stops the write half-way, as a full disk would.
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 1; trap '' XFSZ; exec '{SCRIPT}' init --force"], cwd=tmp_path, check=False, timeout=60,
        env=environment(tmp_path) | {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 2
    assert "reporter.yaml: can't be written: File too large" in done.stderr
    assert (tmp_path / "reporter.yaml").read_text() == old
    assert os.listdir(tmp_path) == ["reporter.yaml"]
