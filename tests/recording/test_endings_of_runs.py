"""However the process of a run ends, the run is there, it ends, and so do its calls; on both databases, once each."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import parse_config
from reporter.store import open_store
from tests.cli import console

PROGRAM = """
import faulthandler, os, signal, sys
import reporter

def step(number):
    with reporter.call("step"):
        pass

if __name__ == "__main__":
    with reporter.job("etl"):
        step(0)
        with reporter.call("open"):
            {ending}
"""
DEADLY = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "a segmentation fault": "faulthandler._sigsegv()",
    "abort": "os.abort()",
    "os._exit": "os._exit(0)",
    "execv": "os.execv('/bin/true', ['true'])",
    "os._exit in a thread": "import threading; threading.Thread(target=os._exit, args=(0,)).start(); signal.pause()",
}


def run(directory: Path, url: str, ending: str) -> subprocess.CompletedProcess[str]:
    program = directory / "program.py"
    program.write_text(PROGRAM.format(ending=ending))
    spool = os.environ["REPORTER_SPOOL_DIR"]
    variables = console.environment(directory, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=spool)
    return subprocess.run(
        [sys.executable, str(program)], env=variables, capture_output=True, text=True, check=False, timeout=120
    )


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with open_store(url).read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.mark.parametrize("ending", DEADLY.values(), ids=DEADLY)
def test_a_run_that_was_killed_is_lost_with_its_calls_and_its_alert_is_pushed(
    tmp_path: Path, database_url: str, ending: str
) -> None:
    (tmp_path / "reporter.yaml").write_text(f"database: '{database_url}'\njobs: {{etl: {{max_duration: 1ms}}}}\n")
    run(tmp_path, database_url, ending)

    page = console.run(tmp_path, "push", "--dry-run", REPORTER_SPOOL_DIR=os.environ["REPORTER_SPOOL_DIR"])

    assert page.returncode == 0, page.stderr
    assert 'batch_job_state{batch_job="etl",state="lost"} 1\n' in page.stdout
    assert rows(database_url, "SELECT batch_job, status FROM runs") == [("etl", "lost")]
    assert rows(database_url, "SELECT operation, calls.status FROM calls JOIN runs USING (run_id) ORDER BY 1") == [
        ("open", "lost"), ("step", "success"),
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_calls_of_a_pool_are_its_run_s_though_its_workers_are_killed(
    tmp_path: Path, database_url: str, method: str
) -> None:
    pool = f"multiprocessing.get_context('{method}').Pool(2)"
    done = run(
        tmp_path, database_url, f"import multiprocessing; pool = {pool}; pool.map(step, range(8)); pool.terminate()"
    )

    cycle.report(open_store(database_url), parse_config(f"database: '{database_url}'", environ={}), time.time_ns())

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    counted = (
        "SELECT operation, calls.status, runs.status, count(*) FROM calls JOIN runs USING (run_id) GROUP BY 1, 2, 3"
    )
    assert sorted(rows(database_url, counted)) == [("open", "success", "success", 1), ("step", "success", "success", 9)]


def test_whenever_exec_is_killed_a_command_that_began_is_one_run(tmp_path: Path, database_url: str) -> None:
    spool, dice = os.environ["REPORTER_SPOOL_DIR"], random.Random(17)
    variables = console.environment(tmp_path, REPORTER_DATABASE_URL=database_url, REPORTER_SPOOL_DIR=spool)
    most, rounds = 0.6, 16
    for number in range(rounds):
        command = ["sh", "-c", f"touch began-{number}; sleep 0.05; touch ended-{number}"]
        process = subprocess.Popen(
            [console.SCRIPT, "exec", "--job", f"job-{number}", "--", *command], cwd=tmp_path, env=variables
        )
        time.sleep(dice.uniform(0, most))
        process.kill()
        in_time = process.wait(20) == -9
        most *= 1.2 if in_time else 0.7  # how long it takes depends on who else is at work
    time.sleep(0.5)  # for commands that outlive it
    began = {f"job-{number}" for number in range(rounds) if (tmp_path / f"began-{number}").exists()}

    config = parse_config(f"database: '{database_url}'", environ={})
    cycle.report(open_store(database_url), config, time.time_ns())

    told = [job for job, _ in rows(database_url, "SELECT batch_job, status FROM runs ORDER BY 1")]
    assert len(told) == len(set(told))
    assert began <= set(told)
    successes = {job for job, status in rows(database_url, "SELECT batch_job, status FROM runs") if status == "success"}
    assert successes <= began
