"""Calls of processes that a run starts belong to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from contextvars import copy_context
from pathlib import Path

import pytest

from reporter import Recorder
from reporter.inherited import JOB, RUN_ID
from reporter.sinks.memory import MemorySink

PARENT = """
import multiprocessing, subprocess, sys, os
import reporter

def step():
    with reporter.call("spawned"):
        pass

if __name__ == "__main__":
    with reporter.job("outer"):
        with reporter.job("inner"):
            subprocess.run([sys.executable, "-c", "import reporter; reporter.record(operation='in inner')"], check=True)
        subprocess.run([sys.executable, "-c", "import reporter; reporter.record(operation='in outer')"], check=True)
        process = multiprocessing.get_context("spawn").Process(target=step)
        process.start()
        process.join()
        if os.fork() == 0:
            with reporter.job("forked"):
                step()
            os._exit(0)
        os.wait()
    subprocess.run([sys.executable, "-c", "import reporter; reporter.record(operation='outside')"], check=True)
"""


@pytest.fixture(autouse=True)
def said_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOB, "outside")
    monkeypatch.delenv(RUN_ID, raising=False)


def said() -> tuple[str | None, str | None]:
    return os.environ.get(JOB), os.environ.get(RUN_ID)


def test_calls_of_started_processes_belong_to_the_innermost_open_run(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    variables = {**os.environ, "REPORTER_DATABASE_URL": f"sqlite:///{tmp_path}/a.db", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "parent.py"], cwd=tmp_path, env=variables, check=True, timeout=60)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        run_ids = dict(connection.execute("SELECT batch_job, run_id FROM runs").fetchall())
        calls = connection.execute("SELECT operation, batch_job, run_id FROM calls ORDER BY call_id").fetchall()
    assert [call[:2] for call in calls] == [
        ("in inner", "inner"), ("in outer", "outer"), ("spawned", "outer"), ("spawned", "forked"), ("outside", "outside"),
    ]  # fmt: skip
    assert [call[2] for call in calls] == [run_ids.get(call[1]) for call in calls]


def test_of_runs_that_cross_the_last_one_still_open_is_said_and_in_the_end_what_was_there() -> None:
    recorder = Recorder(sink=MemorySink())
    first, second = (copy_context().run(recorder.job(name).begin) for name in ("first", "second"))
    assert said() == ("second", second.run_id)
    first.end("success", None, None)
    assert said() == ("second", second.run_id)
    third = recorder.job("third").begin()
    third.end("failed", None, None)
    assert said() == ("second", second.run_id)
    second.end("success", None, None)
    assert said() == ("outside", None)


def test_what_a_job_sets_itself_is_left_alone() -> None:
    with Recorder(sink=MemorySink()).job("a"):
        os.environ[JOB] = "mine"
    assert said() == ("mine", None)


def test_a_run_of_this_process_is_nothing_from_outside_to_another_recorder() -> None:
    sink = MemorySink()
    with Recorder(sink=MemorySink()).job("a"):
        other = Recorder(sink=sink)
        with other.call("step"):
            pass
    with other.call("later"):
        pass
    assert [call["batch_job"] for call in sink.calls] == ["a", "outside"]
