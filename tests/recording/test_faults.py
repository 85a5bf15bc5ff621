"""What must survive (FAULTS.md): full, missing, hostile and broken stores; the end of the stack; 256 threads at once."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reporter import Recorder, cycle
from reporter.config import parse_config
from reporter.sinks.memory import MemorySink
from reporter.sinks.shipping import orphans
from reporter.sinks.spool import directories_for
from reporter.store import open_store


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REPORTER_")}
    return {**kept, "TMPDIR": str(tmp_path), **more}


def run(tmp_path: Path, program: str, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path, REPORTER_DATABASE_URL=url, **more),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def spooled(*directories: Path | str) -> list[dict[str, Any]]:
    """Calls in spool files."""
    lines = [
        line
        for directory in directories
        for file in sorted(Path(directory).glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [told for told in map(json.loads, lines) if told["kind"] == "call"]


THREE_CALLS = "import reporter\nfor _ in range(3):\n    with reporter.call('chat'):\n        pass\nprint('done')"


def test_a_directory_that_cannot_be_made_sends_facts_to_a_private_one_in_tmpdir(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run(tmp_path, THREE_CALLS, f"sqlite:///{tmp_path}/file/jobs.db")
    private = tmp_path / f"reporter-{os.getuid()}"
    (directory,) = private.iterdir()
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr.splitlines() == [
        f"reporter: {tmp_path}/file/jobs.db.spool: Not a directory; facts go to {directory} meanwhile; the job goes on"
    ]
    assert len(spooled(directory)) == 3
    assert stat.S_IMODE(private.stat().st_mode) == stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_a_link_planted_in_tmpdir_is_refused_and_what_is_dropped_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"reporter-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    done = run(tmp_path, THREE_CALLS, f"sqlite:///{tmp_path}/file/jobs.db")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert done.stderr.count("reporter: ") == 1
    assert "only this user can write" in done.stderr
    assert f"{tmp_path}/reporter-{os.getuid()}: " in done.stderr
    assert "set REPORTER_SPOOL_DIR" in done.stderr


def test_without_a_home_the_database_is_in_tmpdir_and_that_is_said(tmp_path: Path) -> None:
    kept = environment(tmp_path, HOME="/nonexistent")
    kept.pop("XDG_STATE_HOME", None)
    done = subprocess.run([sys.executable, "-c", THREE_CALLS], env=kept, capture_output=True, text=True, check=True)
    path = tmp_path / f"reporter-{os.getuid()}" / "reporter.db"
    assert done.stderr == (
        f"reporter: there is no home directory for a database, so it is sqlite:///{path}; set REPORTER_DATABASE_URL;"
        " the job goes on\n"
    )
    assert path.exists()


def test_facts_from_tmpdir_are_read_back_by_the_reporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPORTER_SPOOL_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    url = f"sqlite:///{tmp_path}/jobs.db"
    (tmp_path / "jobs.db.spool").write_text("in the way")
    store = open_store(url)
    holder = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    recorder = Recorder(url)
    recorder.record(operation="chat", duration_seconds=1)
    recorder.close()
    holder.execute("ROLLBACK")
    holder.close()
    config = parse_config(f"database: {json.dumps(url)}\n", environ={})
    made = cycle.report(store, config, 2**62)
    assert sum(total.calls for total in made.totals) == 1


FULL = """
import os, resource, sys
import reporter
with reporter.call("before"):
    pass
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, limit[1]))  # no file may grow
for number in range(20):
    with reporter.call("full"):
        pass
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
for number in range(3):
    with reporter.call("after"):
        pass
print("done")
"""


def test_a_full_disk_changes_nothing_for_the_job_is_counted_and_over_when_it_is_over(tmp_path: Path) -> None:
    done = run(tmp_path, FULL, f"sqlite:///{tmp_path}/jobs.db")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert done.stderr.count("reporter: ") == 1
    connection = sqlite3.connect(tmp_path / "jobs.db")
    stored = [operation for (operation,) in connection.execute("SELECT operation FROM calls")]
    dropped = connection.execute("SELECT sum(occurrences) FROM troubles WHERE trouble = 'dropped'").fetchone()[0]
    connection.close()
    kept = [call["operation"] for call in spooled(tmp_path / "jobs.db.spool", *tmp_path.glob("reporter-*/*"))]
    assert (stored + kept).count("before") == 1
    assert (stored + kept).count("after") == 3
    assert (stored + kept).count("full") == 0
    assert dropped == 40  # starts and ends


def test_a_line_that_the_disk_took_only_in_part_spoils_no_other(tmp_path: Path) -> None:
    program = f"""
import resource
from reporter.sinks.spool import Spool
spool = Spool(({str(tmp_path / "spool")!r},))
spool.write("call", {{"call_id": "a"}})
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (45, limit[1]))
try:
    spool.write("call", {{"call_id": "torn"}})
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
spool.write("call", {{"call_id": "b"}})
"""
    done = run(tmp_path, program, "sqlite:///unused.db")
    assert done.stdout == "refused\n", done.stderr
    lines = [line for file in (tmp_path / "spool").iterdir() for line in file.read_text().splitlines()]
    (torn,) = (line for line in lines if not line.endswith("}"))
    lines.remove(torn)
    assert {json.loads(line)["call_id"] for line in lines} == {"a", "b"}
    assert len(torn) == 45 - len(lines[0]) - 1


FOREIGN = b"this is no database, and long enough to be looked at" * 100
MALFORMED = b"SQLite format 3\0" + b"\1" * 8000


@pytest.mark.parametrize("content", [FOREIGN, MALFORMED], ids=["foreign", "malformed"])
def test_a_corrupt_database_is_kept_as_it_is_and_facts_wait_in_the_spool(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(content)
    done = run(tmp_path, THREE_CALLS, f"sqlite:///{path}")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert path.read_bytes() == content
    assert len(spooled(f"{path}.spool")) == 3
    told = subprocess.run(
        [sys.executable, "-m", "reporter", "report"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env=environment(tmp_path, REPORTER_DATABASE_URL=f"sqlite:///{path}"),
    )  # fmt: skip
    assert told.returncode == 1
    assert "restore a backup" in told.stderr
    assert path.read_bytes() == content


def test_a_database_of_a_newer_reporter_is_written_as_far_as_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    open_store(f"sqlite:///{path}")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("ALTER TABLE calls ADD COLUMN invented_later TEXT")
    run(tmp_path, THREE_CALLS, f"sqlite:///{path}")
    connection.execute("ALTER TABLE calls RENAME COLUMN operation TO renamed_later")
    run(tmp_path, THREE_CALLS, f"sqlite:///{path}")
    assert connection.execute("SELECT count(*) FROM calls").fetchone() == (3,)
    connection.close()
    assert len(spooled(f"{path}.spool")) == 3


def test_a_spool_at_its_limit_takes_no_more_facts_but_that_they_were_dropped(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with (tmp_path / "spool" / "0-old.jsonl").open("wb") as file:
        file.truncate(256 * 1024 * 1024 + 1)  # sparse
    done = run(
        tmp_path, THREE_CALLS, "postgresql://nobody@127.0.0.1:1/none", REPORTER_SPOOL_DIR=str(tmp_path / "spool")
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "holds 268435457 bytes, which is its limit" in done.stderr
    lines = [
        json.loads(line) for file in (tmp_path / "spool").glob("[1-9]*.jsonl") for line in file.read_text().splitlines()
    ]
    assert {line["kind"] for line in lines} == {"trouble"}
    assert sum(line["occurrences"] for line in lines) == 6  # three starts, three ends


def test_a_file_that_was_never_finished_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    unfinished = tmp_path / "spool" / "1-a.new"
    unfinished.touch()
    assert list(orphans(str(tmp_path / "spool"))) == []  # its owner may be about to lock it
    os.utime(unfinished, (0, 0))
    ((path, fd),) = orphans(str(tmp_path / "spool"))
    os.close(fd)
    assert path == str(unfinished)


def test_a_job_at_the_end_of_the_stack_ends_as_it_would_undecorated() -> None:
    sink = MemorySink()
    recorder = Recorder(sink=sink)

    def deepest(function: Any, depth: int) -> Any:
        return function() if depth == 0 else deepest(function, depth - 1)

    def plain() -> int:
        return 42

    def wrapped() -> int:  # as many frames as a decorator that does nothing
        return plain()

    recorded = recorder.call("chat")(plain)
    limit = sys.getrecursionlimit()
    outcomes: dict[str, list[object]] = {}
    for name, function in (("wrapped", wrapped), ("recorded", recorded)):
        outcomes[name] = []
        for depth in range(limit - 150, limit + 1):
            try:
                outcomes[name].append(deepest(function, depth))
            except RecursionError:
                outcomes[name].append(RecursionError)
    assert outcomes["recorded"] == outcomes["wrapped"]
    recorder.flush()
    assert sum(trouble["occurrences"] for trouble in sink.troubles) > 0


def test_what_the_consumer_of_a_generator_calls_is_a_call_of_its_own() -> None:
    sink = MemorySink()
    recorder = Recorder(sink=sink)

    @recorder.call("stream")
    def stream() -> Iterator[int]:
        with recorder.call("inside") as inner:
            inner.set(seen=True)
        got = yield 1
        yield got

    reading = stream()
    next(reading)
    with recorder.call("consumer's own"):
        pass
    assert reading.send(7) == 7
    with pytest.raises(StopIteration):
        next(reading)
    assert [call["operation"] for call in sink.calls] == ["consumer's own", "stream"]
    assert sink.calls[1]["attributes"] == '{"seen":true}'


def test_64_threads_in_each_of_four_processes_keep_every_call_once(tmp_path: Path) -> None:
    program = """
import threading
import reporter
def work():
    for _ in range(20):
        with reporter.call("chat"):
            pass
threads = [threading.Thread(target=work) for _ in range(64)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    url = f"sqlite:///{tmp_path}/jobs.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=environment(tmp_path, REPORTER_DATABASE_URL=url))
        for _ in range(4)
    ]
    assert [process.wait(120) for process in processes] == [0] * 4
    connection = sqlite3.connect(tmp_path / "jobs.db")
    stored = [call_id for (call_id,) in connection.execute("SELECT call_id FROM calls")]
    connection.close()
    waiting = [call["call_id"] for call in spooled(tmp_path / "jobs.db.spool")]
    assert len(stored + waiting) == len({*stored, *waiting}) == 4 * 64 * 20


def test_a_fork_amid_writing_threads_neither_hangs_nor_loses(tmp_path: Path) -> None:
    program = """
import os, threading
import reporter
stop = threading.Event()
def work():
    while not stop.is_set():
        reporter.record(operation="parent")
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        reporter.record(operation="child")
        os._exit(0)
    os.waitpid(pid, 0)
stop.set()
[thread.join() for thread in threads]
print("done")
"""
    done = run(tmp_path, program, f"sqlite:///{tmp_path}/jobs.db")
    assert done.stdout == "done\n", done.stderr
    connection = sqlite3.connect(tmp_path / "jobs.db")
    stored = connection.execute("SELECT count(*) FROM calls WHERE operation = 'child'").fetchone()[0]
    connection.close()
    assert stored + sum(call["operation"] == "child" for call in spooled(tmp_path / "jobs.db.spool")) == 20


def test_a_signal_handler_may_record_while_the_recorder_is_at_work(tmp_path: Path) -> None:
    program = """
import signal
import reporter
def handler(number, frame):
    reporter.record(operation="handler")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for _ in range(300):
    with reporter.call("chat"):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""
    done = run(tmp_path, program, f"sqlite:///{tmp_path}/jobs.db")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    connection = sqlite3.connect(tmp_path / "jobs.db")
    stored = connection.execute("SELECT count(*) FROM calls WHERE operation = 'chat'").fetchone()[0]
    connection.close()
    assert stored + sum(call["operation"] == "chat" for call in spooled(tmp_path / "jobs.db.spool")) == 300


def test_spool_directories_of_different_databases_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPORTER_SPOOL_DIR", raising=False)
    urls = ("sqlite:////a/x.db", "sqlite:////b/x.db", "postgresql://u@h/one", "postgresql://u@h/two")
    found = [directory for url in urls for directory in directories_for(url)]
    assert len(set(found)) == len(found) == 8
    assert directories_for("postgresql://u:secret@h/one") == directories_for("postgresql://v@h/one")


def test_threads_started_without_their_context_belong_to_the_run_of_the_process() -> None:
    sink = MemorySink()
    recorder = Recorder(sink=sink)
    with recorder.job("nightly") as run:
        thread = threading.Thread(target=lambda: recorder.record(operation="chat"))
        thread.start()
        thread.join()
    assert sink.calls[0]["run_id"] == run.run_id


def test_another_programs_database_is_left_alone_and_facts_wait_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    done = run(tmp_path, THREE_CALLS, f"sqlite:///{path}")
    assert (done.returncode, done.stdout) == (0, "done\n")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    assert len(spooled(f"{path}.spool")) == 3
