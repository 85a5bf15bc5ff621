"""The examples run as they stand."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from reporter.demo.server import STALL, ModelServer

ROOT = Path(__file__).parent.parent


def summarise(directory: Path, server: ModelServer, *texts: str) -> subprocess.CompletedProcess[str]:
    paths = []
    for number, text in enumerate(texts):
        paths.append(str(directory / f"{number}.txt"))
        Path(paths[-1]).write_text(text)
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "batch_job.py"), *paths],
        env=os.environ
        | {
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "canary",
            "TIMEOUT_SECONDS": "0.5",
            "REPORTER_DATABASE_URL": f"sqlite:///{directory}/jobs.db",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def recorded(directory: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / "jobs.db")) as connection:
        return connection.execute(query).fetchall()


def test_the_batch_job_records_every_answer_and_its_run(tmp_path: Path) -> None:
    with ModelServer(refused_ratio=0.3, hanging_ratio=0, seed=1) as server:
        done = summarise(tmp_path, server, *["A pump was sent."] * 6)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("one pump was sent on Tuesday") == 6
    assert recorded(tmp_path, "SELECT DISTINCT batch_job, operation, model, status FROM calls") == [
        ("summaries", "summarise", "gpt-4o-mini", "success")
    ]
    assert recorded(tmp_path, "SELECT count(*), sum(retries) FROM calls") == [(6, server.outcomes["refused"])]
    assert server.outcomes["refused"] > 0
    assert recorded(tmp_path, "SELECT min(cache_read_tokens), min(output_tokens) FROM calls") == [(512, 15)]
    assert recorded(tmp_path, "SELECT status, exit_code FROM runs") == [("success", 0)]
    assert b"canary" not in (tmp_path / "jobs.db").read_bytes()


def test_the_batch_job_fails_as_it_would_without_reporter(tmp_path: Path) -> None:
    with ModelServer(refused_ratio=0, hanging_ratio=0) as server:
        done = summarise(tmp_path, server, "A pump was sent.", STALL)

    assert done.returncode == 1
    assert "ReadTimeout" in done.stderr
    assert recorded(tmp_path, "SELECT status, retries FROM calls ORDER BY status") == [("success", 0), ("timeout", 3)]
    assert recorded(tmp_path, "SELECT status, exit_code, error_type FROM runs") == [("failed", 1, "SystemExit")]


def test_the_example_configuration_is_the_one_that_init_writes() -> None:
    starter = ROOT / "reporter" / "config" / "starter.yaml"

    assert (ROOT / "examples" / "reporter.yaml").read_bytes() == starter.read_bytes()
