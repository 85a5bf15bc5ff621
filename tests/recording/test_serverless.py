"""Serverless functions: a real process is frozen between invocations, and killed amid them, as platforms do."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import reporter
from reporter import aws_lambda
from reporter.aws_lambda import handler
from reporter.config import parse_config
from reporter.errors import UsageError
from reporter.sinks.memory import MemorySink
from reporter.store import open_store
from tests.cli.console import environment
from tests.recording import lambda_runtime
from tests.servers import Postgres, wait_for

DEAD = "postgresql://nobody@127.0.0.1:9/nothing"
PLATFORMS = ("AWS_LAMBDA_FUNCTION_NAME", "K_SERVICE", "CLOUD_RUN_JOB", "WEBSITE_SITE_NAME")


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing had been invoked in it."""
    monkeypatch.setattr(aws_lambda, "_cold", True)


class Runtime:
    """The process, and what is said to it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(lambda_runtime.__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(
                directory, AWS_LAMBDA_FUNCTION_NAME="thumbs", REPORTER_DATABASE_URL=url,
                REPORTER_SPOOL_DIR=str(directory / "spool"), PYTHONPATH=str(Path(__file__).parents[2]),
            ),
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def begin(self, id: str, *, seconds: float = 30, work: float | str = 0) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": id, "seconds": seconds, "work": work}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def invoke(self, id: str, **how: Any) -> dict[str, Any]:
        self.begin(id, **how)
        return self.answer()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def runtimes(tmp_path: Path) -> Iterator[Any]:
    started: list[Runtime] = []

    def start(url: str) -> Runtime:
        started.append(Runtime(tmp_path, url))
        return started[-1]

    yield start
    for runtime in started:
        runtime.process.kill()
        runtime.process.communicate()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_facts_are_in_the_database_before_the_process_may_be_frozen(postgres_url: str, runtimes: Any) -> None:
    runtime = runtimes(postgres_url)
    for number, work in enumerate((0, "fail", 0)):
        runtime.invoke(f"r-{number}", work=work)
        with runtime.frozen():
            found = rows(postgres_url, "SELECT status, attributes FROM runs ORDER BY started_at_ns")
            calls = rows(postgres_url, "SELECT count(*) FROM calls JOIN runs USING (run_id) WHERE operation = 'resize'")
            assert (len(found), calls) == (number + 1, [(number + 1,)])

    assert [(status, json.loads(told)) for status, told in found] == [
        ("success", {"cold_start": True, "region": "eu", "request_id": "r-0"}),
        ("failed", {"cold_start": False, "region": "eu", "request_id": "r-1"}),
        ("success", {"cold_start": False, "region": "eu", "request_id": "r-2"}),
    ]


def test_a_server_that_stood_still_for_one_invocation_has_the_facts_with_the_next(
    postgres: Postgres, postgres_url: str, runtimes: Any
) -> None:
    runtime = runtimes(postgres_url)
    runtime.invoke("r-0")
    with postgres.frozen():
        stalled = runtime.invoke("r-1")
    assert stalled["seconds"] < 6
    runtime.invoke("r-2")
    assert rows(postgres_url, "SELECT count(*) FROM runs WHERE status = 'success'") == [(3,)]


def test_one_that_is_killed_when_its_time_is_up_is_lost(postgres_url: str, runtimes: Any, tmp_path: Path) -> None:
    runtime = runtimes(postgres_url)
    runtime.begin("r-0", work="hang")
    wait_for(lambda: rows(postgres_url, "SELECT 1 FROM runs WHERE status = 'running'"), 10, "its start is there")
    runtime.process.kill()  # and its disk with it: nothing is left that could tell of it
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    time.sleep(1)

    config = parse_config("jobs: {thumbnails: {max_duration: 1s}}", environ={})
    report_of(postgres_url, config)

    assert rows(postgres_url, "SELECT status, ended_at_ns - started_at_ns FROM runs") == [("lost", 10**9)]


def report_of(url: str, config: Any) -> None:
    from reporter import cycle

    cycle.report(open_store(url), config.model_copy(update={"database": url}), time.time_ns())


def test_a_database_that_hangs_costs_no_more_than_the_time_that_is_left(own_postgres: Postgres, runtimes: Any) -> None:
    url = own_postgres.fresh()
    runtime = runtimes(url)
    runtime.invoke("warm")
    with own_postgres.frozen():
        answer = runtime.invoke("r-1", seconds=1.0, work=0.1)
    later = runtime.invoke("r-2")

    assert answer["answer"] == "done"
    assert answer["seconds"] < 1.0
    assert later["answer"] == "done"
    wait_for(lambda: len(rows(url, "SELECT 1 FROM runs WHERE status = 'success'")) >= 1, 5, "the first is there")


def test_what_was_too_late_comes_with_the_next_invocation(postgres_url: str, runtimes: Any) -> None:
    runtime = runtimes(postgres_url)
    runtime.invoke("r-0", seconds=0.3, work=0.2)  # no time is left at its end
    before = rows(postgres_url, "SELECT count(*) FROM runs WHERE status = 'success'")
    with runtime.frozen():
        time.sleep(0.3)
    runtime.invoke("r-1")

    assert before == [(0,)]
    assert rows(postgres_url, "SELECT status FROM runs") == [("success",), ("success",)]


def test_frozen_amid_a_flush_it_goes_on_where_it_stood(own_postgres: Postgres, runtimes: Any) -> None:
    url = own_postgres.fresh()
    runtime = runtimes(url)
    runtime.invoke("warm")
    with own_postgres.frozen():
        runtime.begin("r-1", work=0)
        time.sleep(0.5)
        with runtime.frozen():
            time.sleep(1)
    runtime.answer()
    runtime.invoke("r-2")

    assert rows(url, "SELECT status, count(*) FROM runs GROUP BY status") == [("success", 3)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("url", ["sqlite:////tmp/jobs.db", None])
def test_sqlite_on_a_disk_that_goes_is_refused(platform: str, url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(platform, "thumbs")
    monkeypatch.delenv("REPORTER_DATABASE_URL", raising=False)

    with pytest.raises(UsageError, match=r"gone with the function's disk.*REPORTER_DATABASE_URL=postgresql"):
        handler(recorder=reporter.Recorder(url))


def test_where_nothing_is_recorded_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "thumbs")

    assert handler(recorder=reporter.Recorder("sqlite:////tmp/jobs.db", disabled=True))(len)("four") == 4


def test_it_wraps_any_platforms_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_SITE_NAME", "thumbs")
    sink = MemorySink()

    class Context:
        invocation_id = "i-7"

    @handler(recorder=reporter.Recorder(sink=sink))
    async def main(req: str, context: Context) -> str:
        """Says it again."""
        return req * 2

    @handler("plain", recorder=reporter.Recorder(sink=sink))
    def plain(request: object) -> object:
        return request

    assert asyncio.run(main(req="ab", context=Context())) == "abab"
    assert plain(plain) is plain
    assert inspect.iscoroutinefunction(main)
    assert (main.__name__, main.__doc__) == ("main", "Says it again.")
    assert [(run["batch_job"], json.loads(run["attributes"])) for run in ended(sink)] == [
        ("thumbs", {"cold_start": True, "request_id": "i-7"}),
        ("plain", {"cold_start": False}),  # one process, one cold start
    ]


def test_a_response_that_is_streamed_is_a_run_until_its_last_chunk() -> None:
    sink = MemorySink()
    recorder = reporter.Recorder(sink=sink)

    @handler("stream", recorder=recorder)
    def stream(request: int) -> Iterator[int]:
        with recorder.call("chunk"):
            yield request
        if request == 3:
            raise ValueError("no such chunk")
        yield request + 1

    @handler("asynchronous", recorder=recorder)
    async def astream(request: int) -> AsyncIterator[int]:
        for chunk in stream(request):
            yield chunk

    async def consume(request: int) -> list[int]:
        return [chunk async for chunk in astream(request)]

    chunks = stream(1)
    assert (next(chunks), [run["status"] for run in sink.runs]) == (1, ["running"])
    with recorder.call("consumer's"):
        pass
    assert (list(chunks), [run["status"] for run in ended(sink)]) == ([2], ["success"])
    with pytest.raises(ValueError, match="no such chunk"):
        list(stream(3))
    left = stream(1)
    next(left)
    left.close()
    sink.runs.clear()
    assert asyncio.run(consume(5)) == [5, 6]
    with pytest.raises(ValueError, match="no such chunk"):
        asyncio.run(consume(3))
    assert [(run["batch_job"], run["status"], run.get("error_type")) for run in ended(sink)] == [
        ("stream", "success", None), ("asynchronous", "success", None),
        ("stream", "failed", "ValueError"), ("asynchronous", "failed", "ValueError"),
    ]  # fmt: skip
    assert [call["batch_job"] for call in sink.calls if call["operation"] == "chunk"] == ["stream"] * 5


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_the_consumer_of_a_stream_sends_and_throws_reaches_the_function(wrapped: bool) -> None:
    sink = MemorySink()
    heard: list[object] = []

    async def conversation() -> AsyncGenerator[int, str]:
        heard.append((yield 1))
        try:
            yield 2
        except KeyError as error:
            heard.append(error)
            yield 3

    begin = handler("talk", recorder=reporter.Recorder(sink=sink))(conversation) if wrapped else conversation
    thrown = KeyError("k")

    async def consume() -> list[int]:
        talk = begin()
        return [await anext(talk), await talk.asend("hello"), await talk.athrow(thrown), *[rest async for rest in talk]]

    assert asyncio.run(consume()) == [1, 2, 3]
    assert (heard, heard[1] is thrown) == (["hello", thrown], True)
    assert [run["status"] for run in ended(sink)] == ["success"] * wrapped


def test_an_event_loop_does_not_wait_for_the_database(own_postgres: Postgres) -> None:
    url = own_postgres.fresh()
    recorder = reporter.Recorder(url)
    gaps = []

    @handler("asynchronous", recorder=recorder)
    async def entry() -> str:
        await asyncio.sleep(0)
        return "done"

    @handler("streamed", recorder=recorder)
    async def stream() -> AsyncIterator[str]:
        yield "done"

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - began)

    async def main() -> list[str]:
        ticking = asyncio.create_task(tick())
        said = [await entry(), *[chunk async for chunk in stream()]]
        ticking.cancel()
        return said

    asyncio.run(main())  # what is imported once is
    gaps.clear()
    with own_postgres.frozen():
        began = time.monotonic()
        assert asyncio.run(main()) == ["done", "done"]
        took = time.monotonic() - began
    assert took > 2
    assert max(gaps) < 1
    asyncio.run(main())
    assert rows(url, "SELECT batch_job, status, count(*) FROM runs GROUP BY 1, 2 ORDER BY 1") == [
        ("asynchronous", "success", 3), ("streamed", "success", 3),
    ]  # fmt: skip
    recorder.close()


def test_a_database_that_becomes_a_file_later_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_RUN_JOB", "thumbs")
    recorder, worked = reporter.Recorder(DEAD), []
    entry = handler(recorder=recorder)(worked.append)
    recorder.configure(f"sqlite:///{tmp_path}/jobs.db")

    for _ in (1, 2):
        with pytest.raises(UsageError, match="on Cloud Run a SQLite file is gone"):
            entry("event")
    assert (worked, list(tmp_path.iterdir())) == ([], [])


def ended(sink: MemorySink) -> list[dict[str, Any]]:
    return [run for run in sink.runs if run["status"] != "running"]


def test_a_context_that_throws_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Context:
        aws_request_id = "r-1"

        def get_remaining_time_in_millis(self) -> int:
            raise OSError("gone")

    sink = MemorySink()

    assert handler("j", recorder=reporter.Recorder(sink=sink))(lambda event, context: event)(4, Context()) == 4
    assert [run["status"] for run in sink.runs][-1] == "success"


@pytest.mark.parametrize("use", [lambda: handler(print), lambda: handler(""), lambda: handler()])  # type: ignore[arg-type]
def test_wrong_use_is_told_where_it_stands(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLATFORMS:
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(UsageError, match="handler\\(\\) needs"):
        use()


def test_what_it_costs_to_import_is_little() -> None:
    program = "import sys; import reporter.aws_lambda; print('asyncio' in sys.modules, 'psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)

    assert done.stdout == "False False\n"
