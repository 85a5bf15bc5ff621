"""A reporter killed with SIGKILL at any moment of ingest and fold leaves what one clean run makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import load_config
from reporter.report.json_form import as_json
from reporter.store import Store, open_store
from tests.cli import console

AS_OF_NS = time.time_ns() // (60 * 10**9) * 60 * 10**9
ROUNDS = 20
CONFIG = """
database: {database}
pushgateway: {{timeout: 20ms}}
report: {{windows: [5m, 1h, 1d], labels: [batch_job, model], lease: 40ms}}
slos: [{{name: fast, sli: p95 < 2.5s, period: 1d}}]
"""

# Everything is imported once; each reporter is a fork, so that what is killed at random is its work and not its start.
REPORTERS = f"""
import os, random, signal, sys, time
from pathlib import Path
import reporter.fold, reporter.ingest, reporter.pricing
from reporter import cycle
from reporter.config import load_config
from reporter.store import open_store

reporter.fold.CHUNK = 10  # many transactions
config = load_config(Path(sys.argv[1]))
store = open_store(config.database)
dice = random.Random(17)

def reporter_at_work():
    pid = os.fork()
    if pid == 0:
        while not cycle.report(store, config, {AS_OF_NS}).self_status.folded:
            time.sleep(0.005)  # until the lease of the one that was killed runs out
        os._exit(0)
    return pid

def facts_of(number):
    os.rename(f"{{sys.argv[2]}}/{{number}}.jsonl", f"{{sys.argv[3]}}/{{number}}.jsonl")

facts_of(0)
began = time.monotonic()
os.waitpid(reporter_at_work(), 0)
most = time.monotonic() - began
killed = 0
for number in range(1, {ROUNDS}):
    facts_of(number)
    pid = reporter_at_work()
    time.sleep(dice.uniform(0, most))
    os.kill(pid, signal.SIGKILL)
    in_time = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    most *= 1.1 if in_time else 0.7  # how long the work takes depends on who else is at work
    killed += in_time
print(killed)
"""


def facts(number: int) -> list[dict[str, Any]]:
    """One round's: calls, starts past their deadline, ends of starts of the round before, and a run that ends in the next."""
    ended_ns = AS_OF_NS - (number * 77 + 61) * 10**9
    call = {
        "kind": "call", "operation": "chat", "provider": "openai", "model": f"gpt-4o{'-mini' * (number % 2)}",
        "batch_job": "nightly", "ended_at_ns": ended_ns, "input_tokens": 1000, "output_tokens": 77,
    }  # fmt: skip
    start = {
        "kind": "start",
        "operation": "chat",
        "batch_job": "nightly",
        "model": "gpt-4o",
        "deadline_at_ns": ended_ns,
    }
    run = {"kind": "run", "batch_job": "nightly", "started_at_ns": ended_ns - 10**9}
    told = [
        {**call, "call_id": f"0-{number}-{n}", "duration_ns": n * 200_000_000, "status": ("success", "error")[n % 7 == 0]}
        for n in range(40)
    ]  # fmt: skip
    told += [{**start, "call_id": f"1-{number}-{n}", "started_at_ns": ended_ns - 10**9} for n in range(5)]
    told += [{**call, "call_id": f"1-{number - 1}-{n}", "duration_ns": 10**9} for n in range(3)]
    told.append({**run, "run_id": f"2-{number}", "started_at_ns": AS_OF_NS - 60 * 10**9})
    told.append({**run, "run_id": f"2-{number - 1}", "ended_at_ns": ended_ns, "status": "success"})
    return told


def written(directory: Path, rounds: int = ROUNDS) -> list[Path]:
    """A spool file of a dead process for each round; each has a line that is none."""
    directory.mkdir()
    files = [directory / f"{number}.jsonl" for number in range(rounds)]
    for number, file in enumerate(files):
        file.write_text("\n".join([*map(json.dumps, facts(number)), '{"torn']))
    return files


def counted(store: Store) -> dict[str, Any]:
    """What is in the tables, but for ids, and for calls that were lost for a time or never, as rounds happened to fall."""
    queries = {
        "calls": "SELECT call_id, ended_at_ns, status, cost_nanousd, folded FROM calls ORDER BY call_id",
        "starts": "SELECT call_id FROM starts",
        "runs": "SELECT run_id, status, folded_status FROM runs ORDER BY run_id",
        "job totals": "SELECT batch_job, status, runs FROM job_totals WHERE runs <> 0 ORDER BY 1, 2",
        "totals": "SELECT provider, model, status, calls, input_tokens, cost_nanousd, duration_sum_ns, duration_counts"
        " FROM totals JOIN series USING (series_id) WHERE calls <> 0 ORDER BY 1, 2, 3",
        "tallies": "SELECT resolution, bucket, provider, model, calls, errors, lost, unpriced, input_tokens, output_tokens,"
        " cost_nanousd FROM tallies JOIN series USING (series_id) ORDER BY 1, 2, 3, 4",
        "slos": "SELECT name, good, bad FROM slos",
        "bad lines": "SELECT count(*), sum(occurrences) FROM troubles",
    }
    with store.read() as connection:
        return {name: [tuple(row) for row in connection.execute(text(query))] for name, query in queries.items()}


def test_reporters_killed_at_any_moment_leave_what_one_clean_run_makes(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reporter.yaml"
    path.write_text(CONFIG.format(database=json.dumps(database_url)))
    spool = tmp_path / "spool"
    spool.mkdir()
    written(tmp_path / "facts")

    done = subprocess.run(
        [sys.executable, "-c", REPORTERS, str(path), f"{tmp_path}/facts", str(spool)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > ROUNDS // 3  # the others had done their work
    config, store = load_config(path), open_store(database_url)
    while not cycle.report(store, config, AS_OF_NS).self_status.folded:
        time.sleep(0.01)
    assert sorted(spool.glob("*.jsonl")) == []
    assert len(list(spool.glob("*.bad"))) == ROUNDS

    written(tmp_path / "again")
    monkeypatch.setenv("REPORTER_SPOOL_DIR", f"{tmp_path}/again")
    path.write_text(CONFIG.format(database=f"sqlite:///{tmp_path}/clean.db"))
    clean_config = load_config(path)
    clean = open_store(clean_config.database)
    expected = cycle.report(clean, clean_config, AS_OF_NS)
    found, wanted = counted(store), counted(clean)
    for name, rows in wanted.items():
        assert found[name] == rows, name
    assert len(wanted["calls"]) == ROUNDS * 45 + 3
    assert as_json(cycle.report(store, config, AS_OF_NS)) == as_json(expected)


KILL = "import os, signal, sys\nos.unlink = lambda *path, **more: os.kill(os.getpid(), signal.SIGKILL)\n"
REPORTER = KILL + "sys.argv[1:] = ['ingest', '--spool']\nfrom reporter.cli import main\nmain()"
NEXT_JOB = KILL + "import reporter\nwith reporter.call('chat'):\n    pass\nreporter.flush(20)"


def test_facts_count_once_when_the_reporter_dies_between_commit_and_unlink(tmp_path: Path, database_url: str) -> None:
    _dies_between_commit_and_unlink(tmp_path, database_url, REPORTER, calls=0)


def test_facts_count_once_when_the_next_job_dies_between_commit_and_unlink(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(tmp_path / "spool"))
    _dies_between_commit_and_unlink(tmp_path, postgres_url, NEXT_JOB, calls=1)


def _dies_between_commit_and_unlink(tmp_path: Path, database_url: str, program: str, *, calls: int) -> None:
    spool = tmp_path / "spool"
    (file,) = written(spool, rounds=1)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
        env=console.environment(tmp_path, REPORTER_DATABASE_URL=database_url, REPORTER_SPOOL_DIR=str(spool)),
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    assert file.exists()
    store = open_store(database_url)
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM calls")).scalar_one() >= 43
    config = tmp_path / "reporter.yaml"
    config.write_text(CONFIG.format(database=json.dumps(database_url)))
    made = cycle.report(store, load_config(config), AS_OF_NS)
    assert (sum(total.calls for total in made.totals), made.self_status.troubles) == (48 + calls, {"bad_line": 1})
    (bad,) = spool.iterdir()
    assert len(bad.read_text().splitlines()) == 1
