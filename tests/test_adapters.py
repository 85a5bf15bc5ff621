"""Celery, RQ and Airflow: the examples under the real thing, whose processes end as they do there."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.cli.console import environment
from tests.cli.console import run as reporter
from tests.servers import free_port, wait_for

ROOT = Path(__file__).parent.parent
SDKS = Path(sys.prefix) / "sdks"


class Place:
    """A directory with a database, in which programs see one adapter's packages."""

    def __init__(self, directory: Path, packages: str | None) -> None:
        self.directory = directory
        if packages and not (SDKS / packages).is_dir():
            message = f"{packages} is missing: make test installs it into .venv/sdks"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
        paths = [str(directory), str(ROOT / "examples"), str(SDKS / packages) if packages else "", str(ROOT)]
        self.environment = environment(
            directory, PYTHONPATH=":".join(filter(None, paths)), REPORTER_DATABASE_URL=self.url
        )

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory}/jobs.db"

    def write(self, name: str, program: str) -> None:
        (self.directory / name).write_text(textwrap.dedent(program))

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.directory, env=self.environment, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.directory, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.directory / "jobs.db")) as connection:
            return connection.execute(query).fetchall()

    def wait_for(self, count: int, query: str) -> list[tuple[object, ...]]:
        def there() -> bool:
            try:
                return len(self.rows(query)) >= count
            except sqlite3.OperationalError:  # nobody has recorded yet
                return False

        wait_for(there, 40, f"{query}: {(self.directory / 'log').read_text()[-3000:]}")
        return self.rows(query)


RUNS = "SELECT batch_job, status, error_type, json_extract(attributes, '$.retries') FROM runs ORDER BY started_at_ns"


def test_celery_without_a_worker_records_as_well(tmp_path: Path) -> None:
    place = Place(tmp_path, "celery")

    place.run(
        "-c", "from celery_tasks import app, summarise; app.conf.task_always_eager = True; summarise.delay('a text')"
    )

    assert place.rows(RUNS) == [("celery_tasks.summarise", "success", None, 0)]
    assert place.rows("SELECT runs.batch_job, input_tokens FROM calls JOIN runs USING (run_id)") == [
        ("celery_tasks.summarise", 6)
    ]


def test_celerys_forked_workers_record_each_try_and_lose_what_is_killed(tmp_path: Path) -> None:
    place = Place(tmp_path, "celery")
    (tmp_path / "messages").mkdir()
    place.write(
        "work.py",
        f"""
        import os, signal, time
        from celery.exceptions import Ignore
        from celery_tasks import app, summarise
        folders = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), "{tmp_path}/messages")
        app.conf.update(broker_url="filesystem://", broker_transport_options=folders, task_time_limit=3)

        @app.task(bind=True, max_retries=1)
        def flaky(self):
            if self.request.retries == 0:
                raise self.retry(countdown=0, exc=ValueError("again"))

        @app.task
        def hang():
            time.sleep(100)

        @app.task
        def die():
            os.kill(os.getpid(), signal.SIGKILL)

        @app.task(soft_time_limit=1)
        def slow():
            time.sleep(100)

        @app.task
        def ignore():
            raise Ignore

        @app.task(time_limit=100)
        def revoked():
            time.sleep(100)
        """,
    )
    place.run(
        "-c", "import work; work.summarise.delay('a text'); work.flaky.delay(); work.slow.delay(); work.ignore.delay()"
    )
    place.run("-c", "import work; work.hang.delay(); work.die.delay()")
    stopped = place.run("-c", "import work; print(work.revoked.delay().id)").strip()
    with place.running("-m", "celery", "-A", "work", "worker", "--pool=prefork", "-c", "2", "--loglevel=INFO"):
        place.wait_for(1, "SELECT 1 FROM runs WHERE batch_job = 'work.revoked'")
        place.run("-c", f"import work; work.app.control.revoke('{stopped}', terminate=True)")
        place.wait_for(7, "SELECT 1 FROM runs WHERE status <> 'running'")

    found = sorted(place.rows(RUNS), key=str)
    assert found == [
        ("celery_tasks.summarise", "success", None, 0),
        ("work.die", "running", None, 0),
        ("work.flaky", "failed", "Retry", 0),
        ("work.flaky", "success", None, 1),
        ("work.hang", "failed", "SystemExit", 0),
        ("work.ignore", "success", None, 0),
        ("work.revoked", "failed", "SystemExit", 0),
        ("work.slow", "timeout", "SoftTimeLimitExceeded", 0),
    ]
    assert lost(place, "work.die") == ["work.die"]


def lost(place: Place, job: str) -> list[object]:
    """The jobs with a lost run, once a run of `job` has had its second."""
    time.sleep(1)
    (place.directory / "reporter.yaml").write_text(f"jobs: {{{job}: {{max_duration: 1s}}}}\n")
    done = reporter(place.directory, "report", REPORTER_DATABASE_URL=place.url)
    assert done.returncode == 0, done.stderr
    return [name for (name,) in place.rows("SELECT batch_job FROM runs WHERE status = 'lost'")]


def test_rqs_work_horses_record_each_job_and_lose_what_is_killed(tmp_path: Path) -> None:
    place, port = Place(tmp_path, "rq"), free_port()
    place.write(
        "server.py",
        f"""
        from fakeredis import TcpFakeServer
        from fakeredis.model._client_info import ClientInfo
        told = ClientInfo.as_bytes
        ClientInfo.as_bytes = lambda self: told(self).replace(b", ", b":")  # an address with a blank, which redis can't read
        TcpFakeServer(("127.0.0.1", {port}), server_type="redis").serve_forever()
        """,
    )
    place.write(
        "work.py",
        f"""
        import os, signal, time
        from redis import Redis
        from rq import Queue, Retry
        from rq_jobs import RecordedJob, summarise

        def fail():
            raise ValueError("no")

        def slow():
            time.sleep(100)

        def die():
            os.kill(os.getpid(), signal.SIGKILL)

        if __name__ == "__main__":
            import work
            queue = Queue(connection=Redis(port={port}), job_class=RecordedJob)
            queue.enqueue(summarise, "a text")
            queue.enqueue(work.fail, retry=Retry(max=1))
            queue.enqueue(work.slow, job_timeout=1)
            queue.enqueue(work.die)
        """,
    )
    with place.running("server.py"):
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close() is None, 20, "the server answers")
        place.run("work.py")
        worker = ["-m", "rq.cli", "worker", "--burst", "--url", f"redis://127.0.0.1:{port}"]
        place.run(*worker, "--job-class", "rq_jobs.RecordedJob")

    assert place.rows("SELECT batch_job, status, error_type FROM runs ORDER BY batch_job") == [
        ("rq_jobs.summarise", "success", None),
        ("work.die", "running", None),
        ("work.fail", "failed", "ValueError"),
        ("work.fail", "failed", "ValueError"),
        ("work.slow", "timeout", "JobTimeoutException"),
    ]
    assert place.rows("SELECT batch_job, input_tokens FROM calls") == [("rq_jobs.summarise", 6)]
    assert lost(place, "work.die") == ["work.die"]


def test_airflows_listener_makes_a_run_of_each_try(tmp_path: Path) -> None:
    """Airflow itself is over a hundred packages: its two names that the example imports are stood in for, its hook
    specifications are copied, and pluggy, which it uses, checks that the hooks fit and calls them as its task runner does."""
    place = Place(tmp_path, None)
    (tmp_path / "airflow").mkdir()
    place.write("airflow/__init__.py", "")
    place.write("airflow/listeners.py", "import pluggy\nhookimpl = pluggy.HookimplMarker('airflow')\n")
    place.write("airflow/plugins_manager.py", "class AirflowPlugin:\n    pass\n")
    place.write(
        "hook_specifications.py",
        """
        from pluggy import HookspecMarker
        hookspec = HookspecMarker("airflow")
        @hookspec
        def on_task_instance_running(previous_state, task_instance): ...
        @hookspec
        def on_task_instance_success(previous_state, task_instance): ...
        @hookspec
        def on_task_instance_failed(previous_state, task_instance, error): ...
        @hookspec
        def on_task_instance_skipped(previous_state, task_instance): ...
        @hookspec
        def before_stopping(component): ...
        """,
    )
    place.write(
        "work.py",
        """
        from datetime import UTC, datetime
        from types import SimpleNamespace as Some
        import pluggy
        import airflow_listener, hook_specifications, reporter

        manager = pluggy.PluginManager("airflow")
        manager.add_hookspecs(hook_specifications)
        for listener in airflow_listener.ReporterPlugin.listeners:
            manager.register(listener)
        manager.check_pending()
        hooks = manager.hook

        def instance(task, number, run_type="scheduled", due=datetime(2026, 11, 1, 3, tzinfo=UTC)):
            context = {"dag_run": Some(run_type=run_type), "data_interval_end": due}
            return Some(dag_id="etl", task_id=task, run_id="scheduled__1", map_index=-1, try_number=number,
                        get_template_context=lambda: context)

        def begun(task, number=1, *more):
            hooks.on_task_instance_running(previous_state=None, task_instance=instance(task, number, *more))
            return dict(previous_state=None, task_instance=instance(task, number))

        load = begun("load")
        reporter.record(operation="chat", model="gpt-4o")
        hooks.on_task_instance_failed(**load, error=TimeoutError("late"))
        hooks.on_task_instance_success(**begun("load", 2))
        hooks.on_task_instance_failed(**begun("tell"), error="said in words")
        hooks.on_task_instance_failed(**begun("fail", 1, "scheduled", None), error=None)
        hooks.on_task_instance_skipped(**begun("skip", 1, "manual"))
        hooks.on_task_instance_success(previous_state=None, task_instance=instance("unheard of", 1))
        begun("wait")
        hooks.before_stopping(component=None)
        """,
    )
    place.run("work.py")

    columns = "batch_job, status, error_type, scheduled_for_ns / 1000000000, json_extract(attributes, '$.ended')"
    due = 1_793_502_000
    assert place.rows(f"SELECT {columns} FROM runs ORDER BY started_at_ns") == [
        ("etl.load", "timeout", "TimeoutError", due, None),
        ("etl.load", "success", None, due, None),
        ("etl.tell", "failed", "RuntimeError", due, None),
        ("etl.fail", "failed", "RuntimeError", None, None),
        ("etl.skip", "success", None, None, "skipped"),
        ("etl.wait", "success", None, due, "deferred or rescheduled"),
    ]
    ((told,),) = place.rows("SELECT attributes FROM runs WHERE batch_job = 'etl.load' AND status = 'success'")
    assert json.loads(str(told)) == {"map_index": -1, "run": "scheduled__1", "try_number": 2}
    assert place.rows("SELECT calls.batch_job, runs.status FROM calls JOIN runs USING (run_id)") == [
        ("etl.load", "timeout")
    ]
