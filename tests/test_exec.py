"""`reporter exec`: any command is one run; its exit code, output, input and signals are what they would be without us."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import parse_config
from reporter.store import open_store
from tests.cli.console import SCRIPT, environment
from tests.servers import Postgres, wait_for


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> tuple[Path, dict[str, str]]:
    """A directory, and the environment of a job in it."""
    spool = str(tmp_path / "spool")
    settings = environment(tmp_path, REPORTER_DATABASE_URL=database_url, REPORTER_SPOOL_DIR=spool)
    return tmp_path, {**settings, "XDG_STATE_HOME": str(tmp_path / "state")}


def execute(place: tuple[Path, dict[str, str]], *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    directory, variables = place
    return subprocess.run(
        [SCRIPT, "exec", *arguments], cwd=directory, env=variables, capture_output=True, text=True, check=False, timeout=60,
        **{"stdin": subprocess.DEVNULL, **more},
    )  # fmt: skip


def runs(place: tuple[Path, dict[str, str]]) -> list[dict[str, Any]]:
    """Every run, after a report brought in what waits."""
    url = place[1]["REPORTER_DATABASE_URL"]
    store = open_store(url)
    cycle.report(store, parse_config(f"database: {url}", environ={}), time.time_ns())
    with store.read() as connection:
        return [dict(row) for row in connection.execute(text("SELECT * FROM runs ORDER BY run_id")).mappings()]


@pytest.mark.parametrize(
    ("command", "code", "status", "error_type"),
    [
        (["true"], 0, "success", None),
        (["sh", "-c", "exit 3"], 3, "failed", "exit 3"),
        (["sh", "-c", "kill -9 $$"], 137, "failed", "SIGKILL"),
        (["sh", "-c", "kill -TERM $$"], 143, "failed", "SIGTERM"),
        (["no-such-command"], 127, "failed", "exit 127"),
        (["/etc/passwd"], 126, "failed", "exit 126"),
    ],
)
def test_the_exit_code_is_the_command_s(
    place: tuple[Path, dict[str, str]], command: list[str], code: int, status: str, error_type: str | None
) -> None:
    assert execute(place, "--job", "nightly", "--", *command).returncode == code
    (run,) = runs(place)
    assert (run["batch_job"], run["status"], run["exit_code"], run["error_type"]) == (
        "nightly",
        status,
        code,
        error_type,
    )
    assert run["duration_ns"] > 0


def test_nothing_is_quoted_again_and_input_and_output_pass_through(place: tuple[Path, dict[str, str]]) -> None:
    directory, _ = place
    (directory / "in").write_bytes(b"\x00\xffbytes\n")
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.stderr.write(repr(sys.argv[1:]))"
    arguments = ["a b", "$HOME", "'", "*", "", "--job", "ü\n"]
    with (directory / "in").open("rb") as stdin:
        done = subprocess.run(
            [SCRIPT, "exec", "--job=echo", sys.executable, "-c", program, *arguments],
            cwd=directory, env=place[1], stdin=stdin, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"\x00\xffbytes\n")
    assert done.stderr.decode() == repr(arguments)


def test_what_it_says_of_items_and_the_last_of_its_output_are_kept(place: tuple[Path, dict[str, str]]) -> None:
    execute(place, "--job", "a", "--", "sh", "-c", "echo 'reporter: items=12'; echo oh dear >&2; exit 1")
    execute(place, "--job", "a2", "--", "printf", "reporter: items=13")
    execute(place, "--job", "b", "--items-file", "count", "--", "sh", "-c", "echo 7 > count")
    execute(place, "--job", "c", "--scheduled-for", "2026-11-01T03:00:00Z", "--", "true")
    a, a2, b, c = runs(place)
    assert (a["items"], a["output_tail"]) == (12, "reporter: items=12\noh dear\n")
    assert a2["items"] == 13  # on a last line without an end
    assert (b["items"], b["output_tail"]) == (7, None)
    assert c["scheduled_for_ns"] == 1_793_502_000 * 10**9


@pytest.mark.parametrize(
    ("said", "kept", "told"),
    [("12 files", None, "items='12 files': is no number"), ("-1", None, "is no number"), ("9" * 30, None, "is no count up to"),
     ("9" * 100_000, None, "is no count up to"), ("0" * 100 + "7", 7, ""), (str(2**40), 2**40, "")],
)  # fmt: skip
def test_items_that_cannot_be_kept_are_told(
    place: tuple[Path, dict[str, str]], said: str, kept: int | None, told: str
) -> None:
    (place[0] / "said").write_text(f"reporter: items={said}\nafter it\n")
    done = execute(place, "--job", "a", "--", "cat", "said")
    assert done.stdout.endswith("after it\n")
    (run,) = runs(place)
    assert (done.returncode, run["status"], run["items"]) == (0, "success", kept)
    assert (told in done.stderr, done.stderr.count("items=")) == (True, bool(told)), done.stderr


@pytest.mark.parametrize(
    ("make", "told"),
    [("mkfifo count", "is no file"), ("mkdir count", "is no file"), ("true", "No such file or directory"),
     ("echo many > count", "is no number")],
)  # fmt: skip
def test_a_file_that_holds_no_number_of_items_is_told_and_holds_nothing_up(
    place: tuple[Path, dict[str, str]], make: str, told: str
) -> None:
    done = execute(place, "--job", "a", "--items-file", "count", "--", "sh", "-c", f"{make}; exit 3")
    (run,) = runs(place)
    assert (done.returncode, run["status"], run["items"]) == (3, "failed", None)
    assert done.stderr.endswith(f"--items-file count: {told}\n")


def test_secrets_in_the_output_pass_and_are_not_kept_of_it(place: tuple[Path, dict[str, str]]) -> None:
    place[1]["SERVICE_API_KEY"] = "canary-1-opaque"
    filler = "x" * 8_100  # so that the cut goes through the first secret
    said = f"password=canary-2{filler}\nAuthorization: Bearer canary-3\ncanary-1-opaque\n12 tokens: 12\n"
    done = execute(place, "--job", "a", "--", "sh", "-c", 'printf %s "$0"; exit 1', said)
    assert (done.returncode, done.stdout) == (1, said)
    (run,) = runs(place)
    assert run["output_tail"] == "password=***\nAuthorization: Bearer ***\n***\n12 tokens: 12\n"
    line = {
        "kind": "run",
        "batch_job": "b",
        "started_at": 1_764_000_000,
        "output_tail": "api_key=canary-4",
        "status": "failed",
    }
    (place[0] / "runs.jsonl").write_text(json.dumps(line))
    subprocess.run([SCRIPT, "ingest", "runs.jsonl"], cwd=place[0], env=place[1], check=True, capture_output=True)
    shown = subprocess.run(
        [SCRIPT, "runs", "--format", "json", "--since", "9999d"],
        cwd=place[0],
        env=place[1],
        check=True,
        capture_output=True,
    )
    assert (b"api_key=***" in shown.stdout, b"canary" in shown.stdout) == (True, False)


def test_a_hundred_megabytes_of_output_pass_in_little_memory(place: tuple[Path, dict[str, str]]) -> None:
    directory, variables = place
    command = "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end; while ! test -e go; do sleep 0.02; done"
    arguments = [SCRIPT, "exec", "--job", "loud", "--", "sh", "-c", command]
    with subprocess.Popen(arguments, cwd=directory, env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        left = 100_000_009
        while left:
            left -= len(os.read(process.stdout.fileno(), 1 << 20))
        (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        (directory / "go").touch()
    assert process.returncode == 0
    assert int(peak) < 60_000  # of which Python itself is a third
    (run,) = runs(place)
    assert run["output_tail"].endswith("x\nthe end\n")
    assert len(run["output_tail"]) == 8192


def test_signals_reach_the_whole_group_and_the_run_says_so(place: tuple[Path, dict[str, str]]) -> None:
    directory, variables = place
    child = "trap 'echo child >> told; exit' TERM; touch ready; while :; do sleep 0.05; done"
    (directory / "child.sh").write_text(child)
    script = "trap 'echo parent >> told; wait; exit 9' TERM; sh child.sh & wait; wait"
    process = subprocess.Popen(
        [SCRIPT, "exec", "--job", "long", "--", "sh", "-c", script], cwd=directory, env=variables
    )
    wait_for(lambda: (directory / "ready").exists(), 20, "the command")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 9
    assert sorted((directory / "told").read_text().split()) == ["child", "parent"]
    (run,) = runs(place)
    assert (run["status"], run["exit_code"]) == ("failed", 9)


def test_a_signal_while_the_start_is_being_told_ends_the_run_before_the_command_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORTER_SPOOL_DIR", f"{tmp_path}/spool")
    url = f"sqlite:///{tmp_path}/locked.db"
    variables = environment(tmp_path, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=f"{tmp_path}/spool")
    place = directory, variables = tmp_path, variables
    assert execute(place, "--job", "before", "--", "true").returncode == 0
    command = [SCRIPT, "exec", "--job", "a", "--", "sh", "-c", "touch began; sleep 20"]
    codes = []
    for _ in range(8):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # telling the start takes 0.2 s: that is where signals shall strike
            process = subprocess.Popen(command, cwd=directory, env=variables, stderr=subprocess.DEVNULL)
            wait_for(lambda pid=process.pid: caught(pid, signal.SIGTERM), 20, "signals are handled")
            process.terminate()
            codes.append(process.wait(20))
    assert codes == [143] * 8
    assert not (directory / "began").exists()
    told = [run for run in runs(place) if run["batch_job"] == "a"]
    assert [(run["status"], run["exit_code"], run["error_type"]) for run in told] == [("failed", 143, "SIGTERM")] * 8


def caught(pid: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) & 1 << number - 1)


def test_a_signal_while_the_end_is_being_told_changes_nothing(own_postgres: Postgres, tmp_path: Path) -> None:
    url = own_postgres.fresh()
    place = tmp_path, environment(tmp_path, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=f"{tmp_path}/spool")
    command = [SCRIPT, "exec", "--job", "a", "--", "sh", "-c", "touch done; exit 3"]
    with own_postgres.frozen():
        process = subprocess.Popen(command, cwd=tmp_path, env=place[1], stderr=subprocess.DEVNULL)
        wait_for(lambda: (tmp_path / "done").exists(), 20, "the command")
        time.sleep(0.5)
        process.terminate()
        assert process.wait(20) == 3
    assert execute(place, "--job", "next", "--", "true").returncode == 0
    assert [(run["batch_job"], run["status"], run["exit_code"]) for run in runs(place)] == [
        ("a", "failed", 3),
        ("next", "success", 0),
    ]


@pytest.mark.parametrize("seconds", [0, 3])  # it ends before its start is told; amid that
def test_a_postgres_that_stands_still_costs_a_command_its_deadline_once_and_after_its_end(
    own_postgres: Postgres, tmp_path: Path, seconds: float
) -> None:
    url = own_postgres.fresh()
    place = tmp_path, environment(tmp_path, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=f"{tmp_path}/spool")
    command = ["--job", "a", "--", "sh", "-c", f"date +%s.%N; sleep {seconds}; date +%s.%N; exit 5"]

    def measured() -> tuple[float, float, float]:
        """How long it took until the command began, how long it lasted, and how long after it."""
        before = time.time()
        done = execute(place, *command)
        began, ended = map(float, done.stdout.split())
        assert done.returncode == 5
        return began - before, ended - began, time.time() - ended

    with own_postgres.frozen():
        before, lasted, after = measured()
    usually = measured()

    slack = 1.5  # Python's start, psycopg's, and a machine that has other work
    assert before < usually[0] + slack
    assert lasted < seconds + slack
    assert after < 2 + slack
    with psycopg.connect(url) as connection:
        told = connection.execute("SELECT status, exit_code FROM runs").fetchall()
    assert told == [("failed", 5)] * 2


def test_what_takes_too_long_gets_sigterm_and_then_sigkill(place: tuple[Path, dict[str, str]]) -> None:
    gentle = execute(place, "--job", "a", "--timeout", "300ms", "--", "sleep", "60")
    stubborn = execute(
        place,
        "--job",
        "b",
        "--timeout=300ms",
        "--kill-after=300ms",
        "--",
        "sh",
        "-c",
        "trap '' TERM; sleep 60 & wait; wait; sleep 60",
    )
    assert (gentle.returncode, stubborn.returncode) == (124, 124)
    assert [(run["status"], run["exit_code"]) for run in runs(place)] == [("timeout", 124)] * 2


def test_a_timeout_of_nothing_is_no_limit(place: tuple[Path, dict[str, str]]) -> None:
    assert execute(place, "--job", "a", "--timeout", "0", "--", "sleep", "0.3").returncode == 0


def test_it_is_tried_again_as_one_run(place: tuple[Path, dict[str, str]]) -> None:
    command = "echo x >> tries; test $(wc -l < tries) -ge 3"
    done = execute(place, "--job", "a", "--retries", "5", "--retry-delay", "10ms", "--", "sh", "-c", command)
    assert (done.returncode, done.stderr.count("trying again")) == (0, 2)
    (run,) = runs(place)
    assert (run["status"], run["attributes"]) == ("success", '{"attempts":3}')


@pytest.mark.parametrize(("policy", "code", "ran"), [("skip", 0, 1), ("fail", 75, 1), ("wait", 0, 2)])
def test_two_runs_of_a_job_are_kept_apart_as_the_policy_says(
    place: tuple[Path, dict[str, str]], policy: str, code: int, ran: int
) -> None:
    directory, variables = place
    waits = ["sh", "-c", "touch ready; while ! test -e go; do sleep 0.02; done"]
    first = subprocess.Popen(
        [SCRIPT, "exec", "--job", "a/b", "--lock", "fail", "--", *waits], cwd=directory, env=variables
    )
    wait_for(lambda: (directory / "ready").exists(), 20, "the first run")
    second = subprocess.Popen(
        [SCRIPT, "exec", "--job", "a/b", "--lock", policy, "--", "true"], cwd=directory, env=variables
    )
    if policy != "wait":
        assert second.wait(20) == code
    (directory / "go").touch()
    assert (first.wait(20), second.wait(20)) == (0, code)
    assert len(runs(place)) == ran


def test_ctrl_c_while_it_waits_for_the_lock_is_told_as_a_shell_tells_it(place: tuple[Path, dict[str, str]]) -> None:
    directory, variables = place
    command = [SCRIPT, "exec", "--job", "a", "--lock", "wait", "--"]
    first = subprocess.Popen([*command, "sh", "-c", "touch ready; sleep 60"], cwd=directory, env=variables)
    wait_for(lambda: (directory / "ready").exists(), 20, "the first run")
    waiting = subprocess.Popen(
        [*command, "touch", "ran"], cwd=directory, env=variables, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: sleeps(waiting.pid), 20, "the second run waits")
    waiting.send_signal(signal.SIGINT)
    assert (waiting.communicate(timeout=20)[1], waiting.returncode) == ("", 130)
    first.terminate()
    assert first.wait(20) == 143
    assert not (directory / "ran").exists()
    assert [run["status"] for run in runs(place)] == ["failed"]


def sleeps(pid: int) -> bool:
    """Whether it does nothing but look at something now and then."""
    seen = []
    for _ in range(10):
        seen.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        time.sleep(0.02)
    return seen == ["S"] * 10


def test_calls_of_the_command_belong_to_its_run(place: tuple[Path, dict[str, str]]) -> None:
    program = "import reporter\nwith reporter.call('step'): pass"
    assert execute(place, "--job", "nightly", "--", sys.executable, "-c", program).returncode == 0
    (run,) = runs(place)
    with open_store(place[1]["REPORTER_DATABASE_URL"]).read() as connection:
        calls = connection.execute(text("SELECT batch_job, run_id FROM calls")).fetchall()
    assert [tuple(call) for call in calls] == [("nightly", run["run_id"])]


def test_a_run_and_its_command_s_calls_are_where_push_in_the_same_directory_looks(
    tmp_path: Path, database_url: str
) -> None:
    variables = environment(tmp_path, REPORTER_SPOOL_DIR=str(tmp_path / "spool"))
    (tmp_path / "elsewhere").mkdir()
    relative = database_url.replace(f"{tmp_path}/", "")  # to the directory that exec is started in
    (tmp_path / "reporter.yaml").write_text(f"# ours\ndatabase: {json.dumps(relative)}  # here\nslos: []\n")
    program = "import reporter\nwith reporter.call('step'): pass\nreporter.flush()"
    command = ["sh", "-c", f'cd elsewhere && exec {sys.executable} -c "{program}"']
    assert execute((tmp_path, variables), "--job", "a", "--", *command).stderr == ""
    done = subprocess.run(
        [SCRIPT, "report", "--format", "json"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert [job["batch_job"] for job in told["jobs"]] == ["a"]
    assert [(call["batch_job"], call["operation"]) for call in told["calls"]] == [("a", "step")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "mine.yaml", "exec", "--job", "a", "--", "true"],
        ["exec", "--config", "mine.yaml", "--job", "a", "true"],
        ["--database", "sqlite:///mine.db", "exec", "--job", "a", "--", "true"],
        ["exec", "--database=sqlite:///mine.db", "--job", "a", "--", "sh", "-c", "$R exec --job inner true"],
    ],
)
def test_what_the_command_line_says_of_the_database_holds(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "mine.yaml").write_text("{database: 'sqlite:///mine.db'}")  # takes the YAML reader
    variables = environment(tmp_path, R=SCRIPT)
    if "--database" in " ".join(arguments):
        variables["REPORTER_DATABASE_URL"] = f"sqlite:///{tmp_path}/not.db"
    done = subprocess.run(
        [SCRIPT, *arguments], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.glob("*.db")} == {"mine.db"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("database: postgresql://u:${NOT_SET}@h/n", "reporter.yaml:1: database: the environment variable NOT_SET is not set"),
        ("database: mysql://x", "mysql://…: not supported"),
        ("database: [a]", "must be a URL"),
        ("database: sqlite:///a.db: b", "is no valid YAML"),
        ("\xff", "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_meant_keeps_no_command_from_running(
    tmp_path: Path, content: str, why: str
) -> None:
    (tmp_path / "reporter.yaml").write_text(content, encoding="latin-1")
    done = execute((tmp_path, environment(tmp_path)), "--job", "a", "--", "sh", "-c", "echo out; exit 3")
    assert (done.returncode, done.stdout, done.stderr.count("\n"), why in done.stderr) == (3, "out\n", 1, True), (
        done.stderr
    )
    with closing(sqlite3.connect(tmp_path / ".local/state/reporter/reporter.db")) as connection:
        assert connection.execute("SELECT batch_job, exit_code FROM runs").fetchall() == [("a", 3)]


def test_a_command_whose_reporter_was_killed_is_lost_in_the_end(place: tuple[Path, dict[str, str]]) -> None:
    directory, variables = place
    command = ["sh", "-c", "touch ready; sleep 1"]
    process = subprocess.Popen([SCRIPT, "exec", "--job", "a", "--", *command], cwd=directory, env=variables)
    wait_for(lambda: (directory / "ready").exists(), 20, "the command")
    process.kill()
    process.wait(20)
    (run,) = runs(place)
    assert (run["status"], run["ended_at_ns"]) == ("running", None)
    url = variables["REPORTER_DATABASE_URL"]
    config = parse_config(f"database: {url}\njobs: {{a: {{max_duration: 1ms}}}}", environ={})
    cycle.report(open_store(url), config, time.time_ns())
    assert [run["status"] for run in runs(place)] == ["lost"]


def test_trouble_with_recording_changes_neither_the_code_nor_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in (f"sqlite:///{tmp_path}/file/x.db", "postgresql://nobody@127.0.0.1:9/nothing", "mysql://x"):
        variables = environment(
            tmp_path, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=str(tmp_path / "file" / "spool")
        )
        done = execute((tmp_path, variables), "--job", "a", "--", "sh", "-c", "echo out; exit 5")
        assert (done.returncode, done.stdout) == (5, "out\n"), done.stderr
    disabled = environment(tmp_path, REPORTER_DISABLED="1")
    assert execute((tmp_path, disabled), "--job", "a", "--", "sh", "-c", "exit 4").returncode == 4


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--", "true"], "--job NAME is required"),
        (["--job", "", "--", "true"], "--job NAME is required"),
        (["--job", "a"], "there is no command"),
        (["--job", "a", "--", ""], "there is no command"),
        (["--job", "a", "--timout", "1s", "--", "true"], "did you mean --timeout?"),
        (["--job", "a", "--timeout", "soon", "--", "true"], "write a length like 90s"),
        (["--job", "a", "--lock", "maybe", "--", "true"], "must be skip, wait or fail"),
        (["--job", "a", "--retries", "-1", "--", "true"], "must be a number"),
        (["--job", "a", "--retries", "9" * 5_000, "--", "true"], "must be a number"),
        (["--job"], "needs a value"),
        (["--job", "a", "--config", "none.yaml", "--", "true"], "there is no such file, though --config names it"),
        (["--job", "a", "--scheduled-for", "noon", "--", "true"], "RFC 3339"),
    ],
)
def test_misuse_is_told_before_anything_runs(tmp_path: Path, arguments: list[str], why: str) -> None:
    refused = execute((tmp_path, environment(tmp_path)), *arguments)
    assert (refused.returncode, why in refused.stderr) == (2, True), refused.stderr


def statuses(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [status for (status,) in connection.execute("SELECT status FROM runs").fetchall()]


def test_a_command_under_way_is_known_on_the_server_though_no_reporter_ships_its_spool(
    postgres_url: str, tmp_path: Path
) -> None:
    variables = environment(tmp_path, REPORTER_DATABASE_URL=postgres_url, REPORTER_SPOOL_DIR=f"{tmp_path}/spool")
    process = subprocess.Popen([SCRIPT, "exec", "--job", "a", "--", "sleep", "60"], cwd=tmp_path, env=variables)
    try:
        wait_for(lambda: statuses(postgres_url) == ["running"], 40, "the start of the run")
        process.terminate()
        assert process.wait(20) == 143
        wait_for(lambda: statuses(postgres_url) == ["failed"], 1, "its end")
    finally:
        process.kill()
        process.wait()


def test_a_start_that_a_server_in_trouble_did_not_take_is_told_when_it_does(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    url = own_postgres.fresh()
    variables = environment(tmp_path, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=f"{tmp_path}/spool")
    command = [SCRIPT, "exec", "--job", "a", "--", "sleep", "60"]
    with own_postgres.frozen():
        process = subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "Postgres took nothing" in process.stderr.readline()
    try:
        wait_for(lambda: statuses(url) == ["running"], 60, "the start of the run")
    finally:
        process.kill()
        process.communicate()


def test_help_is_there_and_it_imports_little(tmp_path: Path) -> None:
    told = execute((tmp_path, environment(tmp_path)), "--help")
    assert (told.returncode, told.stdout.splitlines()[0][:20]) == (0, "Usage: reporter exec")
    listed = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True, env=environment(tmp_path))
    assert "Run any command as one run of a batch job." in listed.stdout
    code = (
        "import sys, reporter.cli; sys.argv = ['reporter', 'exec', '--job', 'a', '--', 'true']\n"
        "try: reporter.cli.main()\nexcept SystemExit: print(*sys.modules)"
    )
    (tmp_path / "reporter.yaml").write_text(f"database: sqlite:///{tmp_path}/a.db\nslos: []\n")
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path),
        cwd=tmp_path,
    )
    assert (tmp_path / "a.db").exists()
    modules = set(loaded.stdout.split())
    assert "reporter.command" in modules
    assert not modules & {
        "click",
        "pydantic",
        "sqlalchemy",
        "yaml",
        "rich",
        "subprocess",
        "json",
        "dataclasses",
        "asyncio",
    }


def through_shell(place: tuple[Path, dict[str, str]], line: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, in which $R is `reporter exec --job a`; its exit code is that of its last command."""
    directory, variables = place
    return subprocess.run(
        ["bash", "-c", line.replace("$R", f"'{SCRIPT}' exec --job a")],
        cwd=directory, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def test_a_command_whose_reader_has_gone_gets_sigpipe_itself(place: tuple[Path, dict[str, str]]) -> None:
    done = through_shell(place, "$R -- yes | head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (141, "y\n", "")
    late = through_shell(place, "$R -- sh -c 'sleep 1; echo once; echo >&2 alive' | true; exit ${PIPESTATUS[0]}")
    assert (late.returncode, late.stderr) == (141, "")
    assert [(run["status"], run["error_type"]) for run in runs(place)] == [("failed", "SIGPIPE")] * 2


def test_what_python_ignores_the_command_does_not_and_what_nohup_does_it_does(
    place: tuple[Path, dict[str, str]],
) -> None:
    show = "grep SigIgn /proc/self/status"
    plain, nohup = through_shell(place, f"$R -- {show}"), through_shell(place, f"trap '' HUP; $R -- {show}")
    assert int(plain.stdout.split()[1], 16) & (1 << 12 | 1 << 24) == 0  # SIGPIPE, SIGXFSZ
    assert int(nohup.stdout.split()[1], 16) & 1 == 1
    program = (
        "import os, signal, time\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "os.kill(os.getppid(), signal.SIGHUP)\ntime.sleep(0.5)\nprint('not told')"
    )
    (place[0] / "hup.py").write_text(program)
    assert through_shell(place, f"trap '' HUP; $R -- '{sys.executable}' hup.py").stdout == "not told\n"


def test_what_goes_to_one_file_stays_in_order_and_what_goes_to_two_stays_apart(
    place: tuple[Path, dict[str, str]],
) -> None:
    (place[0] / "both.sh").write_text("for i in $(seq 200); do echo out $i; echo err $i >&2; done")
    in_order = "".join(f"out {number}\nerr {number}\n" for number in range(1, 201))

    through_shell(place, "$R -- sh both.sh > both.log 2>&1")
    through_shell(place, "echo before > appended.log; $R -- sh both.sh >> appended.log 2>> appended.log")
    piped = through_shell(place, "$R -- sh both.sh 2>&1")
    apart = through_shell(place, "$R -- sh both.sh")

    assert (place[0] / "both.log").read_text() == in_order
    assert (place[0] / "appended.log").read_text() == "before\n" + in_order
    assert (piped.stdout, piped.stderr) == (in_order, "")
    assert apart.stdout == "".join(f"out {number}\n" for number in range(1, 201))
    assert apart.stderr == "".join(f"err {number}\n" for number in range(1, 201))
    assert all(run["output_tail"] == in_order for run in runs(place)[:3])


@pytest.mark.parametrize("content", ["exit ${1}3", ""])
def test_a_script_that_names_no_interpreter_is_one_for_the_shell_as_env_has_it(
    place: tuple[Path, dict[str, str]], content: str
) -> None:
    (place[0] / "bare").write_text(content)
    (place[0] / "bare").chmod(0o755)
    (place[0] / "other").mkdir()
    (place[0] / "other" / "bare").write_text("not executable")
    paths = f"PATH={place[0]}/other:{place[0]}:$PATH"

    for line in (f"./bare {4}", f"{place[0]}/bare {4}"):
        assert through_shell(place, f"$R -- {line}").returncode == through_shell(place, f"env {line}").returncode
    assert through_shell(place, f"{paths} $R -- bare 4").returncode == (43 if content else 0)


def test_output_that_cannot_be_written_is_no_success(place: tuple[Path, dict[str, str]]) -> None:
    short = through_shell(place, "$R -- echo lost > /dev/full")
    assert (short.returncode, short.stderr) == (1, "reporter: stdout of echo: No space left on device\n")
    long = through_shell(place, "$R -- yes > /dev/full")
    assert (long.returncode, long.stderr) == (141, "reporter: stdout of yes: No space left on device\n")
    assert [(run["status"], run["error_type"]) for run in runs(place)] == [("failed", "ENOSPC"), ("failed", "SIGPIPE")]


def test_a_slow_reader_gets_everything_though_its_pipe_does_not_block(place: tuple[Path, dict[str, str]]) -> None:
    directory, variables = place
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    arguments = [SCRIPT, "exec", "--job", "a", "--", "head", "-c", "300000", "/dev/zero"]
    with subprocess.Popen(arguments, cwd=directory, env=variables, stdout=writing) as process:
        os.close(writing)
        time.sleep(1)
        got = 0
        while data := os.read(reading, 30_000):
            got += len(data)
            time.sleep(0.15)  # far longer altogether than is lingered after the end
    os.close(reading)
    assert (got, process.returncode) == (300_000, 0)


def test_a_reader_that_stalls_stops_neither_the_timeout_nor_signals(place: tuple[Path, dict[str, str]]) -> None:
    directory, variables = place
    for timeout, code in (["--timeout", "500ms"], 124), ([], 143):
        reading, writing = os.pipe()
        arguments = [SCRIPT, "exec", "--job", "a", *timeout, "--", "sh", "-c", "echo > ready; exec yes"]
        process = subprocess.Popen(arguments, cwd=directory, env=variables, stdout=writing)
        os.close(writing)
        try:
            if not timeout:
                wait_for(lambda: (directory / "ready").exists(), 20, "the command")
                time.sleep(0.5)
                process.terminate()
            assert process.wait(15) == code
        finally:
            process.kill()
            process.wait()
            os.close(reading)
            (directory / "ready").unlink()
    assert [run["status"] for run in runs(place)] == ["timeout", "failed"]


def test_without_a_place_for_locks_the_command_runs_all_the_same(place: tuple[Path, dict[str, str]]) -> None:
    (place[0] / "state").write_text("no directory")
    done = execute(place, "--job", "a", "--lock", "skip", "--", "sh", "-c", "echo ran; exit 3")
    assert (done.returncode, done.stdout, "a runs without a lock" in done.stderr) == (3, "ran\n", True)


def test_names_of_any_length_are_kept_apart_by_locks(place: tuple[Path, dict[str, str]]) -> None:
    name = "ü" * 5000
    held = execute(
        place, "--job", name, "--lock", "fail", "--", SCRIPT, "exec", "--job", name, "--lock", "fail", "true"
    )
    beside = execute(
        place, "--job", name, "--lock", "fail", "--", SCRIPT, "exec", "--job", name + "x", "--lock", "fail", "true"
    )
    assert (held.returncode, beside.returncode, beside.stderr) == (75, 0, "")


def test_the_lock_is_the_command_s_when_reporter_is_killed_and_nobody_s_after_the_run(
    place: tuple[Path, dict[str, str]],
) -> None:
    directory, variables = place
    command = ["sh", "-c", "touch ready; while ! test -e go; do sleep 0.02; done"]
    first = subprocess.Popen([SCRIPT, "exec", "--job", "a", "--lock=fail", *command], cwd=directory, env=variables)
    wait_for(lambda: (directory / "ready").exists(), 20, "the command")
    first.kill()
    first.wait()
    assert execute(place, "--job", "a", "--lock", "fail", "true").returncode == 75
    (directory / "go").touch()
    left = execute(place, "--job", "a", "--lock", "wait", "--", "sh", "-c", "sleep 20 >/dev/null 2>&1 &")
    assert (left.returncode, execute(place, "--job", "a", "--lock", "fail", "true").returncode) == (0, 0)


def test_what_a_command_leaves_after_its_timeout_is_killed_though_it_has_ended(
    place: tuple[Path, dict[str, str]],
) -> None:
    script = "sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 0.05; done' >/dev/null 2>&1 & wait"
    done = execute(place, "--job", "a", "--timeout", "1s", "--kill-after", "1s", "--", "sh", "-c", script)
    assert done.returncode == 124
    child = int((place[0] / "child").read_text())

    def gone() -> bool:
        try:
            return "Z" in Path(f"/proc/{child}/stat").read_text()
        except OSError:
            return True

    wait_for(gone, 5, "the end of the child")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_closed_is_closed_for_the_command_and_the_exit_code_stays_its_own(
    place: tuple[Path, dict[str, str]], closed: str
) -> None:
    (place[0] / "look.sh").write_text("ls /proc/$$/fd > fds; exit 5")

    def seen(line: str) -> set[str]:
        done = through_shell(place, f"{line} {closed}")
        assert (done.returncode, done.stderr) == (5, "")
        return set((place[0] / "fds").read_text().split()) & {"0", "1", "2"}

    assert seen("$R -- sh look.sh") == seen("sh look.sh")
    (run,) = runs(place)
    assert (run["exit_code"], run["status"]) == (5, "failed")
