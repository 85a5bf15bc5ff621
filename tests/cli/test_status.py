"""`reporter status` says in a few lines what the report says in many, and keeps at it on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reporter.ingest import ingest_file
from reporter.store import open_store
from tests.cli.console import SCRIPT, environment, run, run_on_terminal
from tests.publish.pushing import calls
from tests.servers import Server

HOSTILE = "evil\x1b]0;owned\x07[red]‮job"
CONFIG = """slos:
- {name: available, sli: availability, objective: 99}
- {name: fast, sli: p95 < 2.5s}
- {name: of-nothing, sli: availability, objective: 99, where: {operation: nothing}}
budgets:
- {name: month, usd: 500, period: 30d}
"""


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Path:
    """A directory with settings and a database: 30 calls of which 3 failed, one without a price, and two jobs."""
    now_ns = time.time_ns()
    runs = [
        {"kind": "run", "run_id": f"r-{job}", "batch_job": job, "status": status, "started_at_ns": now_ns - 2 * 10**9,
         "ended_at_ns": now_ns - 10**9, "duration_ns": 10**9}
        for job, status in (("nightly", "success"), (HOSTILE, "failed"))
    ]  # fmt: skip
    facts = [
        *calls(26, seconds_ago=1), *calls(3, seconds_ago=2, status="error", error_type="500"),
        *calls(1, seconds_ago=3, model="nobody-sells-it"), *runs,
    ]  # fmt: skip
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    (tmp_path / "reporter.yaml").write_text(f"database: {json.dumps(database_url)}\n{CONFIG}")
    store = open_store(database_url)
    assert ingest_file(store, tmp_path / "facts.jsonl").bad == 0
    store.engine.dispose()
    return tmp_path


def spool(directory: Path) -> dict[str, str]:
    return {"REPORTER_SPOOL_DIR": str(directory / "spool")}


def test_its_numbers_are_those_of_the_report(place: Path) -> None:
    as_of = ("--as-of", (datetime.now(UTC) + timedelta(minutes=1)).isoformat(), "--format", "json")
    told = json.loads(run(place, "status", *as_of, **spool(place)).stdout)
    report = json.loads(run(place, "report", *as_of, **spool(place)).stdout)

    by_name = {slo["slo"]: slo for slo in report["slos"]}
    assert [slo["slo"] for slo in told["slos"]] == ["available", "fast", "of-nothing"]
    for slo in told["slos"]:
        assert slo["error_budget"] == by_name[slo["slo"]]["error_budget"]
        assert slo["firing"] == [alert for alert in by_name[slo["slo"]]["alerts"] if alert["firing"]]
    assert told["slos"][0]["burn_now"] == {
        "window": "30m",
        "burn_rate": by_name["available"]["windows"]["30m"]["burn_rate"],
    }
    assert told["slos"][2]["burn_now"] is None
    assert (told["jobs"], told["budgets"]) == (report["jobs"], report["budgets"])
    in_1d = [row["windows"]["1d"] for row in report["calls"]]
    assert told["today"]["calls"] in (30, 0)  # 0 just after midnight
    if told["today"]["calls"]:
        assert told["today"]["cost_usd"] == pytest.approx(sum(window["cost_usd"] or 0 for window in in_1d))
        assert (told["today"]["unpriced_calls"], told["today"]["partial"]) == (1, True)
    assert told["pushed_at"] is None


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_it_fits_the_terminal_and_names_cannot_steer_it(place: Path, columns: int) -> None:
    code, seen = run_on_terminal(place, "status", columns=columns, NO_COLOR="1", **spool(place))

    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert max(map(len, plain.splitlines())) <= columns
    assert not set("\x1b\x07\u202e") & set(plain)
    assert "never pushed" in plain
    assert "1 of 2 jobs not ok" in " ".join(plain.split())
    # names come first, whatever else has no room
    assert re.search(r"^available +(exhausted +)?(░{8} )?−900 %.* 10! in 30m", plain, re.M), plain
    assert re.search(r"^evil", plain, re.M), plain
    if columns >= 160:
        assert "[red]" in plain  # which narrower ones break
    if columns >= 80:
        assert re.search(r"^available +exhausted +░{8} −900 % +30d +10! in 30m", plain, re.M)
        assert re.search(r"^of-nothing +no data +– +30d +–", plain, re.M)
        assert not re.search(r"^nightly ", plain, re.M)  # what is ok needs no line


def test_it_tells_how_long_ago_the_gateway_was_told(place: Path, pushgateway: Server) -> None:
    with (place / "reporter.yaml").open("a") as config:
        config.write(f"pushgateway: {{url: '{pushgateway.url}'}}\n")
    assert run(place, "push", **spool(place)).returncode == 0

    told = run(place, "status", **spool(place))

    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(r"^as of \S+Z  pushed \d+ s ago$", told.stdout, re.M)


def test_nothing_yet_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "status")

    assert (done.returncode, done.stderr) == (0, "")
    assert '@reporter.call("chat")' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--watch"], "--watch: stdout is no terminal; leave it out, and it prints once"),
        (["--watch", "0"], "--watch 0: write seconds from 1 to 86400"),
        (["--watch", "nan"], "--watch nan: write seconds from 1 to 86400"),
        (["--watch", "--format", "json"], "--watch: goes with --format table, not json"),
        (["--watch", "--as-of", "2026-11-01T00:00:00Z"], "--watch: goes without --as-of"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = run(tmp_path, "status", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"reporter: {says}")


def test_watch_draws_again_what_has_changed_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    process = subprocess.Popen(
        [SCRIPT, "status", "--watch", "1"], cwd=tmp_path, stdin=its, stdout=its, stderr=its,
        env=environment(tmp_path, TERM="xterm-256color", NO_COLOR="1"),
    )  # fmt: skip
    os.close(its)
    try:
        assert "No calls yet" in seen_until(ours, "No calls yet")
        (tmp_path / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls(2, seconds_ago=0)))
        assert run(tmp_path, "ingest", "calls.jsonl").returncode == 0
        seen = seen_until(ours, "for 2 calls")
        process.send_signal(signal.SIGINT)
        left = seen_until(ours, "\x1b[?1049l")
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "for 2 calls" in seen
    assert "Traceback" not in left


def test_watch_says_what_a_short_terminal_has_no_room_for(place: Path) -> None:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 9, 80, 0, 0))
    environ = environment(place, TERM="xterm-256color", NO_COLOR="1", **spool(place))
    process = subprocess.Popen(
        [SCRIPT, "status", "--watch", "1"], cwd=place, stdin=its, stdout=its, stderr=its, env=environ
    )
    os.close(its)
    try:
        seen = seen_until(ours, "more lines")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "available" in seen
    assert re.search(r"… \d+ more lines: make the terminal taller", seen)


def seen_until(terminal: int, word: str) -> str:
    """What a terminal gets until a word is there, for 30 s at most."""
    seen, deadline = b"", time.monotonic() + 30
    while word.encode() not in seen and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:
                break
    assert word.encode() in seen, seen[-2000:]
    return seen.decode()
