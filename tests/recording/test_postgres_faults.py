"""Postgres in trouble, as a job sees it: it pays a deadline once, is told once, and its facts arrive once, later."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from select import select
from socket import AF_UNIX, SHUT_RDWR, socket

import psycopg
import pytest

from reporter.grants import statements
from tests.cli import console
from tests.servers import Postgres, Standby

DEADLINE_SECONDS = 2.0
JOB = """
import sys
import reporter
@reporter.job("nightly")
def main():
    for _ in range(10):
        with reporter.call("chat", user_id="u-17"):
            pass
for _ in range(3):
    main()
print("done")
sys.exit(3)
"""


def run(directory: Path, url: str, program: str = JOB, **more: str) -> subprocess.CompletedProcess[str]:
    """A job, whose state directory lies in `directory`."""
    return subprocess.run(
        [sys.executable, "-c", program], env=console.environment(directory, REPORTER_DATABASE_URL=url, **more),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def stored(url: str) -> tuple[int, int]:
    """(calls, different call ids) in the database."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT call_id) FROM calls").fetchone()
    assert found is not None
    return found


def spool_files(directory: Path) -> list[Path]:
    return sorted((directory / ".local/state/reporter/spool").glob("*/*"))


@contextmanager
def _down(server: Postgres, url: str) -> Iterator[str]:
    server.crash()
    yield url
    server.start()


@contextmanager
def _frozen(server: Postgres, url: str) -> Iterator[str]:
    with server.frozen():
        yield url


@contextmanager
def _locked(server: Postgres, url: str) -> Iterator[str]:
    """Something holds what the job needs, and does not let go."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE runs")
        yield url


@contextmanager
def _standby(server: Postgres, url: str) -> Iterator[str]:
    """The name of the primary leads to a replica: its socket is where the primary's was."""
    replica = Standby(server)
    ours, theirs = server.directory / ".s.PGSQL.5432", replica.directory / ".s.PGSQL.5432"
    aside = ours.with_name("aside")
    ours.rename(aside)
    ours.symlink_to(theirs)
    try:
        yield url
    finally:
        ours.unlink()
        aside.rename(ours)
        replica.stop()


@contextmanager
def _wrong_password(server: Postgres, url: str) -> Iterator[str]:
    access = server.data / "pg_hba.conf"
    before = access.read_text()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guarded")
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        access.write_text("local all guarded scram-sha-256\n" + before)
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)  # the postmaster reads it when it gets the signal
        yield url.replace("owner@", "guarded:canary@")
        access.write_text(before)
        connection.execute("SELECT pg_reload_conf()")


Trouble = Callable[[Postgres, str], AbstractContextManager[str]]
TROUBLES: dict[str, tuple[Trouble, str]] = {
    "down": (_down, "No such file or directory"),
    "frozen": (_frozen, "no answer"),
    "locked": (_locked, "no answer within "),
    "standby": (_standby, "read-only transaction"),
    "wrong password": (_wrong_password, "password authentication failed"),
}


def next_job(directory: Path, url: str) -> int:
    """How many calls it adds itself."""
    done = run(directory, url)
    assert (done.returncode, done.stdout, done.stderr) == (3, "done\n", "")
    return 30


def reporters_fold(directory: Path, url: str) -> int:
    done = console.run(directory, "report", REPORTER_DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    return 0


@pytest.mark.parametrize(
    ("trouble", "later"),
    [
        ("down", reporters_fold), ("frozen", next_job), ("locked", next_job), ("standby", reporters_fold),
        ("wrong password", next_job),
    ],
)  # fmt: skip
def test_a_job_pays_its_deadline_once_and_its_facts_arrive_once_later(
    tmp_path: Path, own_postgres: Postgres, trouble: str, later: Callable[[Path, str], int]
) -> None:
    url = own_postgres.fresh()
    between, says = TROUBLES[trouble]
    with between(own_postgres, url) as troubled_url:
        began = time.monotonic()
        done = run(tmp_path, troubled_url)
        seconds = time.monotonic() - began

    assert (done.returncode, done.stdout) == (3, "done\n")
    assert seconds < DEADLINE_SECONDS + 1.5  # Python's start, and psycopg's
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("reporter: Postgres took nothing: ")
    assert says in done.stderr
    (waiting,) = {str(path.parent) for path in spool_files(tmp_path)}
    assert f"facts wait in {waiting} for the next run that can reach it, or for: reporter ingest" in done.stderr
    assert "canary" not in done.stderr
    assert stored(url) == (0, 0)
    more = later(tmp_path, url)
    assert stored(url) == (30 + more, 30 + more)
    assert spool_files(tmp_path) == []
    with psycopg.connect(url) as connection:
        runs = connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
    assert runs == [("success", 3 + more // 10)]


@pytest.mark.parametrize("how", ["@reporter.job('nightly')\ndef main():", "with reporter.job('nightly'):"])
def test_the_start_of_a_run_is_in_the_database_before_the_jobs_own_work(
    tmp_path: Path, postgres_url: str, how: str
) -> None:
    work = "\n    print('up', flush=True)\n    sys.stdin.readline()\n"
    ready = "import sys\nimport psycopg, reporter, reporter.sinks.shipping\n"  # only shipping itself is to be short
    program = f"{ready}{how}{work}{'main()' if 'def' in how else ''}"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=console.environment(tmp_path, REPORTER_DATABASE_URL=postgres_url),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        with psycopg.connect(postgres_url) as connection:
            told = connection.execute("SELECT status, ended_at_ns FROM runs").fetchall()
        process.kill()  # its host goes away with it: that it was under way is known
    assert told == [("running", None)]


FAILOVER = """
import sys
import reporter
@reporter.job("nightly")
def main():
    for _ in range(10):
        with reporter.call("chat"):
            pass
main()
print("first", flush=True)
sys.stdin.readline()
main()
print("second", flush=True)
sys.stdin.readline()
main()
"""


def test_a_server_that_fails_over_amid_the_job_gets_everything_from_the_same_job(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    url = own_postgres.fresh()
    job = subprocess.Popen(
        [sys.executable, "-c", FAILOVER], env=console.environment(tmp_path, REPORTER_DATABASE_URL=url), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert job.stdin is not None
    assert job.stdout is not None
    assert job.stdout.readline() == "first\n"
    assert stored(url) == (10, 10)
    own_postgres.crash()
    print(file=job.stdin, flush=True)
    assert job.stdout.readline() == "second\n"
    own_postgres.start()
    _, told = job.communicate("\n", timeout=30)
    assert (job.returncode, len(told.splitlines())) == (0, 1), told
    assert stored(url) == (30, 30)
    assert spool_files(tmp_path) == []


LIMITED = """
import signal, time
import reporter
class TooLate(Exception):
    pass
def stop(number, frame):
    raise TooLate
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, LIMIT)
began = time.monotonic()
try:
    with reporter.job("nightly"), reporter.call("chat"):
        pass
except TooLate:
    print("stopped", time.monotonic() - began < LIMIT + 0.3)
"""


@pytest.mark.parametrize(("limit", "calls"), [("0.7", 0), ("1.5", 1)])  # at the start of the run, and at its end
def test_a_time_limit_that_fires_during_a_flush_is_the_jobs(
    tmp_path: Path, own_postgres: Postgres, limit: str, calls: int
) -> None:
    url = own_postgres.fresh()
    with own_postgres.frozen():
        done = run(tmp_path, url, LIMITED.replace("LIMIT", limit))
    assert (done.returncode, done.stdout) == (0, "stopped True\n"), done.stderr
    reporters_fold(tmp_path, url)
    assert stored(url) == (calls, calls)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT status, error_type FROM runs").fetchall() in (
            [("failed", "TooLate")], [("success", None)]
        )  # fmt: skip


FORKING = """
import os, threading, time
import reporter
def work():
    for _ in range(20):
        with reporter.call("chat"):
            pass
flushing = threading.Thread(target=reporter.flush, args=(1.0,))
work()
flushing.start()
time.sleep(0.5)  # it waits for the server
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        work()
        os.write(1, b"child %d\\n" % reporter.flush(0.2))
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
flushing.join()
print("done")
"""


def test_a_fork_during_a_flush_neither_hangs_nor_loses(tmp_path: Path, own_postgres: Postgres) -> None:
    url = own_postgres.fresh()
    with own_postgres.frozen():
        done = run(tmp_path, url, FORKING)
    assert (done.returncode, done.stdout) == (0, "child 0\n" * 3 + "done\n"), done.stderr
    assert next_job(tmp_path, url) == 30
    assert stored(url) == (110, 110)
    assert spool_files(tmp_path) == []


THREADED = """
import threading
import reporter
def work():
    for _ in range(5):
        with reporter.job("nightly"), reporter.call("chat"):
            pass
threads = [threading.Thread(target=work) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_runs_that_end_at_once_in_many_threads_lose_nothing_and_complain_of_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    done = run(tmp_path, postgres_url, THREADED)
    assert (done.returncode, done.stderr) == (0, "")
    reporters_fold(tmp_path, postgres_url)
    assert stored(postgres_url) == (80, 80)
    assert spool_files(tmp_path) == []


# ── the reply to COMMIT is lost ──


class Deaf:
    """A door to a server that loses the reply to the first COMMIT, and the connection with it."""

    def __init__(self, server: Postgres) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="reporter-door-"))
        self.server = server
        self.lost = 0
        self.listening = socket(AF_UNIX)
        self.listening.bind(str(self.directory / ".s.PGSQL.5432"))
        self.listening.listen()
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def close(self) -> None:
        self.listening.shutdown(SHUT_RDWR)
        self.thread.join(10)
        self.listening.close()
        shutil.rmtree(self.directory)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            with client, socket(AF_UNIX) as server:
                server.connect(str(self.server.directory / ".s.PGSQL.5432"))
                self._forward(client, server)

    def _forward(self, client: socket, server: socket) -> None:
        while True:
            for source in select([client, server], [], [], 30)[0]:
                data = source.recv(65_536)
                if source is server and b"COMMIT" in data and not self.lost:  # done there; nobody here will know
                    self.lost += 1
                    return
                if not data:
                    return
                (server if source is client else client).sendall(data)


def test_a_lost_reply_to_commit_leaves_each_row_once(tmp_path: Path, postgres: Postgres, postgres_url: str) -> None:
    door = Deaf(postgres)
    try:
        through = postgres_url.replace(str(postgres.directory), str(door.directory))
        program = "import reporter\nfor _ in range(10):\n    with reporter.call('chat'):\n        pass\nprint('done')"
        done = run(tmp_path, through, program)
        assert (done.returncode, done.stdout, door.lost) == (0, "done\n", 1)
        assert done.stderr.startswith("reporter: Postgres took nothing: ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert stored(postgres_url) == (10, 10)
        assert len(spool_files(tmp_path)) == 1  # it can't know
        assert run(tmp_path, through, program).stderr == ""
        assert stored(postgres_url) == (20, 20)
        assert spool_files(tmp_path) == []
    finally:
        door.close()


# ── a server that is there, and does not take everything ──

PIECES = """
import os, threading
import psycopg, reporter, reporter.sinks.shipping  # only what shipping itself takes is to be short
for attempt in range(200):
    another = reporter.Recorder()
    another.record(operation="another")
    if another.flush(timeout=0.2) and not os.listdir(os.environ["REPORTER_SPOOL_DIR"]):
        break  # else a flush that was cut short may still hold the file
print(attempt + 1)
"""


def test_a_backlog_that_no_deadline_is_long_enough_for_arrives_piece_by_piece(
    tmp_path: Path, postgres_url: str
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    line = '{{"kind":"call","call_id":"0-{}","operation":"chat","ended_at_ns":1790000000000000000}}\n'
    (spool / "17-0.jsonl").write_text("".join(line.format(number) for number in range(60_000)))
    done = run(tmp_path, postgres_url, PIECES, REPORTER_SPOOL_DIR=str(spool))
    attempts = int(done.stdout)
    assert 1 < attempts < 200
    assert stored(postgres_url) == (60_000 + attempts, 60_000 + attempts)
    assert list(spool.iterdir()) == []
    assert "Postgres took only " in done.stderr


FULL = """
import reporter, reporter.sinks.spool as spool
spool.MOST_BYTES, spool.ROTATE_BYTES, spool.ROTATE_DIRTY_BYTES = 60_000, 10_000, 10_000
for _ in range(1_000):
    with reporter.call("chat"):
        pass
print("done")
"""


def test_a_spool_at_its_limit_keeps_what_it_has_and_a_job_says_what_it_drops(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    """The reporter, and the server, dead for days."""
    url = own_postgres.fresh()
    kept: list[int] = []
    with _down(own_postgres, url):
        for _ in range(3):
            done = run(tmp_path, url, FULL)
            assert (done.returncode, done.stdout) == (0, "done\n")
            assert done.stderr.count("reporter: ") == 1
            kept.append(sum(path.stat().st_size for path in spool_files(tmp_path)))
        assert "its limit" in done.stderr
    assert 40_000 < kept[0] < 80_000
    assert kept[2] - kept[0] < 2_000  # room for what says that facts were dropped, not for facts
    reporters_fold(tmp_path, url)
    assert stored(url)[0] == stored(url)[1] > 100
    assert spool_files(tmp_path) == []


RUN_THAT_IS_SHIPPED_TWICE = """
import reporter
with reporter.job("j"), reporter.call("x"):
    reporter.flush()
"""


def test_the_roles_that_are_granted_can_do_their_work_and_no_more(tmp_path: Path, own_postgres: Postgres) -> None:
    url = own_postgres.fresh()
    with psycopg.connect(url, autocommit=True) as owner:
        for statement in statements():
            owner.execute(statement)
        as_job, as_reporter = (url.replace("owner@", f"reporter_{name}@") for name in ("job", "reporter"))

        assert next_job(tmp_path, as_job) == 30
        assert run(tmp_path, as_job, RUN_THAT_IS_SHIPPED_TWICE).stderr == ""
        reporters_fold(tmp_path, as_reporter)
        assert console.run(tmp_path, "prune", REPORTER_DATABASE_URL=as_reporter).returncode == 0
        assert stored(url) == (31, 31)
        assert owner.execute("SELECT status FROM runs WHERE batch_job = 'j'").fetchall() == [("success",)]
    for user, statement in (
        (as_job, "SELECT model FROM calls"),
        (as_job, "SELECT * FROM runs"),
        (as_job, "SELECT * FROM v_calls"),
        (as_job, "UPDATE calls SET status = 'success'"),
        (as_job, "DELETE FROM runs"),
        (as_job, "INSERT INTO totals SELECT"),
        (as_job, "UPDATE leases SET holder = 'me'"),
        (as_job, "DROP TABLE calls"),
        (as_reporter, "DROP TABLE calls"),
        (as_reporter, "ALTER TABLE calls ADD COLUMN mine TEXT"),
    ):
        with psycopg.connect(user) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[arg-type]  # one of those above


def test_a_database_without_schema_or_rights_is_told_with_the_remedy(tmp_path: Path, own_postgres: Postgres) -> None:
    empty, url = own_postgres.url("postgres"), own_postgres.fresh()
    assert "it has no schema yet, run: reporter db upgrade; facts wait in " in run(tmp_path, empty).stderr
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE nobody_special LOGIN")
    told = run(tmp_path, url.replace("owner@", "nobody_special@")).stderr
    assert "permission denied for table " in told
    assert "grant this role what a recorder needs, docs/postgres.md says how" in told


@pytest.mark.parametrize(
    "password", ["zeb@rab", "zeb/rab", "zeb?rab", "zeb#rab", "zebrab%zz", "12?zebrab", "12/zebrab"]
)
def test_no_message_holds_a_part_of_a_password_that_is_not_encoded(tmp_path: Path, password: str) -> None:
    url = f"postgresql://u:{password}@127.0.0.1:1/name"
    job = run(tmp_path, url)
    reporter = console.run(tmp_path, "report", REPORTER_DATABASE_URL=url)

    assert (job.returncode, job.stdout, job.stderr.count("reporter: ")) == (3, "done\n", 1)
    assert (reporter.stdout, reporter.stderr.count("reporter: ")) == ("", 1)
    assert reporter.returncode in (1, 2)
    for told in (job.stderr, reporter.stderr):
        assert not any(part in told for part in ("zeb", "rab")), told
