"""The demo does what it shows, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from reporter import Recorder
from reporter.demo.history import history
from reporter.store import open_store
from tests.cli.console import SCRIPT, environment, run
from tests.servers import binary, wait_for


def processes_in(directory: Path) -> list[int]:
    """Ids of living processes whose working directory is `directory` or below."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                where = Path(os.readlink(process / "cwd"))
            except OSError:
                continue
            if where.is_relative_to(directory):
                found.append(int(process.name))
    return found


def counts(url: str) -> tuple[int, int, list[str]]:
    """(calls the workers acknowledged, lost calls, how the killed job's runs ended)."""
    with open_store(url).read() as connection:
        acknowledged, lost = (
            connection.exec_driver_sql(f"SELECT count(*) FROM calls WHERE {which}").scalar_one()
            for which in ("attributes LIKE '%%document%%'", "status = 'lost'")
        )
        runs = connection.exec_driver_sql("SELECT status FROM runs WHERE batch_job = 'night-translation'").scalars()
        return acknowledged, lost, list(runs.all())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The person's own home and database, which the demo must leave alone."""
    home = tmp_path / "home"
    home.mkdir()
    Recorder(f"sqlite:///{home}/own.db").record(operation="mine")
    (home / "reporter.yaml").write_text("database: sqlite:///own.db\npushgateway: {url: 'http://127.0.0.1:9'}\n")
    return home


def test_the_demo_shows_what_it_says(own: Path, tmp_path: Path) -> None:
    binary("prometheus-pushgateway", "prometheus-pushgateway")
    kept = tmp_path / "kept"
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    began = time.monotonic()

    done = run(own, "demo", "--keep", str(kept), REPORTER_DATABASE_URL=f"sqlite:///{own}/own.db")

    assert (done.returncode, done.stderr.replace("counters are new", "")) == (
        0,
        done.stderr.replace("counters are new", ""),
    )
    assert time.monotonic() - began < 60
    (told,) = re.findall(r"(\d+) calls acknowledged, the same (\d+) in the database", done.stdout)
    acknowledged, lost, runs = counts(f"sqlite:///{kept}/demo.db")
    assert told == (str(acknowledged), str(acknowledged))
    assert (lost, runs) == (1, ["lost"])
    assert acknowledged == 50 + 40 + 25 + 12
    assert re.search(r"available-gold +99.9 % .*exhausted", done.stdout)
    assert "  reporter_lost_calls_total 1\n" in done.stdout  # read from the gateway
    assert "night-translation" in done.stdout.partition("What was the killed process doing?")[2]
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    assert processes_in(tmp_path) == []


def test_the_demo_works_on_postgres_and_without_a_gateway(own: Path, tmp_path: Path, postgres_url: str) -> None:
    kept = tmp_path / "kept"

    done = run(own, "demo", "--keep", str(kept), "--database", postgres_url, PATH="/nowhere")

    assert (done.returncode, done.stderr) == (0, "")
    acknowledged, lost, runs = counts(postgres_url)
    assert f"{acknowledged} calls acknowledged, the same {acknowledged} in the database" in done.stdout
    assert (lost, runs) == (1, ["lost"])
    assert "apt-get install prometheus-pushgateway" in done.stdout
    assert "\nreporter_lost_calls_total 0\n" in (kept / "reporter.prom").read_text()  # new counters show 0 first
    assert processes_in(tmp_path) == []


def test_the_demo_mixes_its_calls_with_nobodys(own: Path) -> None:
    done = run(own, "demo", "--database", f"sqlite:///{own}/own.db")

    assert (done.returncode, done.stdout) == (2, "")
    assert "holds calls already; give the demo an empty database of its own" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_demo_interrupted_leaves_neither_process_nor_file(tmp_path: Path, number: int, code: int) -> None:
    process = subprocess.Popen(
        [SCRIPT, "demo"], cwd="/", env=environment(tmp_path, TMPDIR=str(tmp_path)), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(lambda: len(processes_in(tmp_path)) >= 4, 60, "the workers run")

    process.send_signal(number)
    _, trouble = process.communicate(timeout=30)

    assert (process.returncode, trouble.strip()) == (code, "")
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_history_is_the_same_for_the_same_seed_and_grows_dearer() -> None:
    now_ns = 1_790_000_040 * 10**9

    facts = list(history(now_ns))

    assert facts == list(history(now_ns))
    assert facts != list(history(now_ns, seed=8))
    assert all(0 < now_ns / 1e9 - fact["ended_at"] < 30.1 * 86_400 for fact in facts)
    tokens = [
        fact["input_tokens"]
        for fact in facts
        if fact.get("batch_job") == "nightly-summaries" and "input_tokens" in fact
    ]
    assert sum(tokens[-200:]) > 1.5 * sum(tokens[:200])
