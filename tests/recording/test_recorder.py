"""What one recorded call looks like, and what recording leaves alone."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from reporter import ActiveRun, Recorder
from reporter.errors import UsageError
from reporter.ingest import ingest_spool
from reporter.recorder import Clock
from reporter.sinks.memory import MemorySink
from reporter.sinks.spool import directories_for
from reporter.store import open_store


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def recorder(sink: MemorySink) -> Recorder:
    return Recorder(sink=sink)


def test_a_call_is_measured_and_named(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.call("chat", provider="openai", model="gpt-4o") as c:
        c.set(user_id="u-17", api_key="never kept")
    (call,) = sink.calls
    assert (call["operation"], call["provider"], call["model"], call["status"]) == (
        "chat",
        "openai",
        "gpt-4o",
        "success",
    )
    assert isinstance(call["duration_ns"], int)
    assert call["attributes"] == '{"user_id":"u-17"}'
    assert sink.starts[0]["call_id"] == call["call_id"]


def test_calls_belong_to_no_run_that_has_ended_however_runs_cross(recorder: Recorder, sink: MemorySink) -> None:
    def of() -> str | None:
        with recorder.call("chat"):
            pass
        return sink.calls[-1].get("batch_job")

    a, b, c = (recorder.job(name) for name in "abc")
    a.__enter__()
    b.__enter__()
    a.__exit__(None, None, None)
    assert of() == "b"
    c.__enter__()
    b.__exit__(None, None, None)
    assert of() == "c"
    c.__exit__(None, None, None)
    assert of() is None
    with recorder.job("outer"):
        a.__enter__()
        b.__enter__()
        a.__exit__(None, None, None)
        b.__exit__(None, None, None)
        assert of() == "outer"
    assert of() is None


def test_runs_that_cross_for_ever_are_not_kept_for_ever(recorder: Recorder) -> None:
    before = recorder.job("crossing")
    before.__enter__()
    for _ in range(9):
        after = recorder.job("crossing")
        after.__enter__()
        before.__exit__(None, None, None)
        before = after
    gc.collect()
    kept = [run for run in gc.get_objects() if isinstance(run, ActiveRun) and run.name == "crossing"]
    assert len(kept) < 4
    before.__exit__(None, None, None)


def test_a_run_inside_a_generator_is_paused_and_resumed_with_it(recorder: Recorder, sink: MemorySink) -> None:
    def of() -> str | None:
        with recorder.call("chat"):
            pass
        return sink.calls[-1].get("batch_job")

    @recorder.job("outer")
    def steps() -> Iterator[str | None]:
        with recorder.job("inner"):
            yield of()
            yield of()
        yield of()

    with recorder.job("consumer"):
        told = []
        for job in steps():
            with recorder.job("meanwhile"):
                told.append((job, of()))
            told.append((job, of()))
        assert [job for job, _ in told] == ["inner"] * 4 + ["outer"] * 2
        assert [consumer for _, consumer in told] == ["meanwhile", "consumer"] * 3
    assert of() is None


def test_durations_are_monotonic_when_the_wall_clock_steps_back(sink: MemorySink) -> None:
    class Stepping(Clock):
        walls = iter([2_000_000_000, 1_000_000_000])
        ticks = iter([10, 17])
        wall_ns = staticmethod(lambda: next(Stepping.walls))
        monotonic_ns = staticmethod(lambda: next(Stepping.ticks))

    with Recorder(sink=sink, clock=Stepping()).call("chat"):
        pass
    assert (sink.calls[0]["duration_ns"], sink.calls[0]["ended_at_ns"]) == (7, 1_000_000_000)


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (ValueError("x"), "error", "ValueError"),
        (TimeoutError(), "timeout", "TimeoutError"),
        (type("ReadTimeout", (Exception,), {})(), "timeout", "ReadTimeout"),
        (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "cancelled", "CancelledError"),
        (SystemExit(3), "error", "SystemExit"),
        (SystemExit(0), "success", None),
        (GeneratorExit(), "abandoned", "GeneratorExit"),
        (MemoryError(), "error", "MemoryError"),
        (type("Refused", (Exception,), {"response": SimpleNamespace(status_code=429)})(), "error", "429"),
    ],
)
def test_every_way_to_end_has_its_status_and_the_same_exception_goes_on(
    recorder: Recorder, sink: MemorySink, error: BaseException, status: str, error_type: str | None
) -> None:
    @recorder.call("chat")
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert (sink.calls[0]["status"], sink.calls[0]["error_type"]) == (status, error_type)


def test_all_kinds_of_functions_are_recorded_once_a_call(recorder: Recorder, sink: MemorySink) -> None:
    @recorder.call("plain")
    def plain(x: int) -> int:
        "The docstring."
        return x

    @recorder.call("coroutine")
    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @recorder.call("generator")
    def generator() -> Iterator[int]:
        yield 1
        yield 2

    @recorder.call("async generator")
    async def async_generator() -> AsyncIterator[int]:
        yield 3

    async def read() -> list[int]:
        return [value async for value in async_generator()]

    assert (plain(1), asyncio.run(coroutine(2)), list(generator()), asyncio.run(read())) == (1, 2, [1, 2], [3])
    assert [call["operation"] for call in sink.calls] == ["plain", "coroutine", "generator", "async generator"]
    assert {call["status"] for call in sink.calls} == {"success"}
    assert (plain.__name__, plain.__doc__) == ("plain", "The docstring.")
    assert asyncio.iscoroutinefunction(coroutine)


def test_an_abandoned_generator_is_recorded_as_abandoned(recorder: Recorder, sink: MemorySink) -> None:
    @recorder.call("stream")
    def stream() -> Iterator[int]:
        yield 1
        yield 2

    reading = stream()
    next(reading)
    del reading
    assert [call["status"] for call in sink.calls] == ["abandoned"]


def test_the_outermost_call_owns_and_inner_ones_enrich(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.call("summarise"), recorder.call("POST /chat", model="gpt-4o") as inner:
        inner.usage({"usage": {"prompt_tokens": 10, "completion_tokens": 5}, "model": "gpt-4o-2024"})
    (call,) = sink.calls
    assert (call["operation"], call["model"], call["response_model"]) == ("summarise", "gpt-4o", "gpt-4o-2024")
    assert (call["input_tokens"], call["output_tokens"], call["usage_status"]) == (10, 5, "complete")


def test_anthropic_input_tokens_include_the_cache(recorder: Recorder, sink: MemorySink) -> None:
    usage = SimpleNamespace(
        input_tokens=7, output_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20
    )
    with recorder.call("chat", model="claude-sonnet-4-5") as c:
        c.usage(SimpleNamespace(usage=usage, model="claude-sonnet-4-5", stop_reason="end_turn"))
    assert (sink.calls[0]["input_tokens"], sink.calls[0]["finish_reason"]) == (127, "end_turn")


@pytest.mark.parametrize("reply", [None, 3, {"usage": "no"}, {"usage": {"prompt_tokens": -1}}, object()])
def test_a_usage_that_is_none_is_kept_as_missing(recorder: Recorder, sink: MemorySink, reply: Any) -> None:
    with recorder.call("chat", model="gpt-4o") as c:
        c.usage(reply)
    assert (sink.calls[0]["input_tokens"], sink.calls[0]["usage_status"]) == (None, "missing")


def reply(tokens: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": tokens, "completion_tokens": 1}}


def test_of_several_usages_of_one_call_the_last_counts_as_streams_tell_them(
    recorder: Recorder, sink: MemorySink
) -> None:
    with recorder.call("chat", model="gpt-4o") as c:
        for chunk in ({"choices": []}, reply(7), reply(10), {"choices": []}):
            c.usage(chunk)
    call = sink.calls[0]
    assert (call["input_tokens"], call["output_tokens"]) == (10, 1)


def test_what_inner_calls_tell_is_added_up(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.call("agent") as outer:
        for _ in range(5):
            with recorder.call("chat", provider="openai", model="gpt-4o") as inner:
                inner.usage(reply(100))
                inner.usage(reply(1_000_000))
        outer.usage(reply(3))
    (call,) = sink.calls
    assert (call["input_tokens"], call["output_tokens"], call["usage_status"]) == (5_000_003, 6, "complete")
    assert (call["provider"], call["model"], call["flags"]) == ("openai", "gpt-4o", None)


def test_an_inner_call_that_does_not_tell_its_usage_makes_the_sum_partial(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.call("agent"):
        for told in (reply(10), {}):
            with recorder.call("chat", model="gpt-4o") as inner:
                inner.usage(told)
    assert (sink.calls[0]["input_tokens"], sink.calls[0]["usage_status"]) == (10, "partial")


@pytest.mark.parametrize(
    ("outer", "inner", "kept", "flags"),
    [
        (("openai", None), (None, "gpt-4o"), ("openai", "gpt-4o"), None),
        ((None, None), ("openai", "gpt-4o"), ("openai", "gpt-4o"), None),
        ((None, "gpt-4o"), ("anthropic", "claude"), (None, "gpt-4o"), "models"),
        (("openai", "gpt-4o"), ("azure", "gpt-4o"), ("openai", "gpt-4o"), "models"),
        (("openai", None), ("anthropic", "claude"), ("openai", None), "models"),
    ],
)
def test_provider_and_model_of_a_call_belong_together(
    recorder: Recorder,
    sink: MemorySink,
    outer: tuple[str | None, str | None],
    inner: tuple[str | None, str | None],
    kept: tuple[str | None, str | None],
    flags: str | None,
) -> None:
    with recorder.call("agent", provider=outer[0], model=outer[1]):
        for _ in range(2):
            with recorder.call("chat", provider=inner[0], model=inner[1]):
                pass
    call = sink.calls[0]
    assert ((call["provider"], call["model"]), call["flags"]) == (kept, flags)


def test_one_recording_may_be_entered_by_many_at_once(recorder: Recorder, sink: MemorySink) -> None:
    shared = recorder.call("chat")

    async def short() -> None:
        await asyncio.sleep(0.01)
        async with shared:
            await asyncio.sleep(0.02)

    async def long() -> None:
        async with shared:
            await asyncio.sleep(0.1)
            raise ValueError

    async def both() -> None:
        await asyncio.gather(long(), short(), return_exceptions=True)

    asyncio.run(both())
    told = [(call["status"], call["duration_ns"] > 60_000_000) for call in sink.calls]
    assert told == [("success", False), ("error", True)]
    with shared, shared:  # and by one again and again
        pass
    with ExitStack() as stack:
        stack.enter_context(shared)
    assert len(sink.calls) == 4


def test_one_recording_may_be_entered_by_many_threads(recorder: Recorder, sink: MemorySink) -> None:
    shared = recorder.call("chat")
    entered = threading.Barrier(2)

    def work(seconds: float) -> None:
        with shared as c:
            c.set(seconds=seconds)
            entered.wait(5)
            time.sleep(seconds)

    threads = [threading.Thread(target=work, args=(seconds,)) for seconds in (0.1, 0.01)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(call["attributes"])["seconds"] for call in sink.calls] == [0.01, 0.1]
    assert sink.calls[0]["duration_ns"] < sink.calls[1]["duration_ns"]


def test_attributes_that_are_too_long_lose_their_longest_and_say_so(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.call("chat") as c:
        c.set(user_id="u-17", **{f"k{number:02}{'x' * 190}": 12345 for number in range(99)})
    with recorder.call("chat") as c:
        c.set(user_id="u-17", note=["y" * 150] * 99, other=["z" * 150] * 60)
    many, long = sink.calls
    for call in (many, long):
        kept = json.loads(call["attributes"])
        assert len(call["attributes"]) <= 16_384
        assert kept["user_id"] == "u-17"
        assert call["flags"] == "attributes"
    assert len(json.loads(many["attributes"])) > 50
    assert set(json.loads(long["attributes"])) == {"user_id", "other"}


def test_calls_belong_to_their_run(recorder: Recorder, sink: MemorySink) -> None:
    @recorder.job("nightly")
    def main() -> None:
        with recorder.call("chat"):
            pass

    main()
    assert [run["status"] for run in sink.runs] == ["running", "success"]
    assert (sink.calls[0]["run_id"], sink.calls[0]["batch_job"]) == (sink.runs[0]["run_id"], "nightly")


def test_a_job_that_exits_with_a_code_has_failed_with_it(recorder: Recorder, sink: MemorySink) -> None:
    with pytest.raises(SystemExit), recorder.job("nightly"):
        sys.exit(3)
    assert (sink.runs[-1]["status"], sink.runs[-1]["exit_code"]) == ("failed", 3)


def test_wrong_use_raises_where_it_stands(recorder: Recorder) -> None:
    with pytest.raises(UsageError, match="operation's name"):
        recorder.call(lambda: None)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(UsageError, match="operation's name"):
        recorder.call()
    with pytest.raises(UsageError, match="job's name"):
        recorder.job()
    with pytest.raises(UsageError, match="not one of"):
        recorder.record(operation="chat", status="fine")
    with pytest.raises(UsageError, match="below @classmethod"):
        recorder.call("chat")(classmethod(lambda cls: None))  # type: ignore[type-var]  # the mistake
    with pytest.raises(UsageError, match="names no file"):
        Recorder("sqlite:///:memory:")
    for moment in (datetime(2026, 11, 1), "yesterday", "2026-11-01T02:00:00", [], -5):
        with pytest.raises(UsageError, match=r"record\(ended_at=.*with a zone"):
            recorder.record(operation="chat", ended_at=moment)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    "moment",
    ["2026-11-01T02:00:00Z", 1_793_498_400, datetime(2026, 11, 1, 3, tzinfo=timezone(timedelta(hours=1)))],
)
def test_a_call_measured_elsewhere_may_be_told_in_the_words_of_the_table(
    recorder: Recorder, sink: MemorySink, moment: Any
) -> None:
    recorder.record(
        operation="chat",
        started_at=moment,
        duration_ns=5,
        attributes={"user_id": "u-17"},
        tag="backfill",
        http_status=200,
    )
    recorder.record(operation="chat", ended_at=moment, duration_seconds=2)
    first, second = sink.calls
    at_ns = 1_793_498_400 * 10**9
    assert (first["started_at_ns"], first["ended_at_ns"], first["duration_ns"]) == (at_ns, at_ns + 5, 5)
    assert json.loads(first["attributes"]) == {"tag": "backfill", "user_id": "u-17"}
    assert (second["started_at_ns"], second["ended_at_ns"]) == (at_ns - 2 * 10**9, at_ns)


CONFIGURED_LATE = """
import os, sys
import reporter

@reporter.call("decorated")
def decorated():
    pass

@reporter.job("nightly")
def main():
    decorated()

where = sys.argv[1]
if where == "configure":
    reporter.configure("sqlite:///" + sys.argv[2], job="standalone")
elif where == "environment":
    os.environ["REPORTER_DATABASE_URL"] = "sqlite:///" + sys.argv[2]
    os.environ["REPORTER_JOB"] = "standalone"
else:
    os.environ["REPORTER_DISABLED"] = "1"
    decorated()
    reporter.configure("sqlite:///" + sys.argv[2], job="standalone", disabled=False)
main()
decorated()
"""


@pytest.mark.parametrize("where", ["configure", "environment", "disabled at first"])
def test_what_is_configured_after_functions_were_decorated_holds_for_them(tmp_path: Path, where: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REPORTER_")}
    subprocess.run(
        [sys.executable, "-c", CONFIGURED_LATE, where, str(tmp_path / "jobs.db")],
        env={**kept, "HOME": str(tmp_path)}, check=True, timeout=30,
    )  # fmt: skip
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        jobs = connection.execute("SELECT batch_job FROM calls ORDER BY call_id").fetchall()
    assert jobs == [("nightly",), ("standalone",)]
    assert not (tmp_path / ".local").exists()


def test_nonsense_numbers_become_null_and_are_flagged(recorder: Recorder, sink: MemorySink) -> None:
    recorder.record(operation="chat", duration_seconds=float("nan"), input_tokens=-4, cost_usd="inf")
    call = sink.calls[0]
    assert (call["duration_ns"], call["input_tokens"], call["cost_nanousd"]) == (None, None, None)
    assert call["flags"] == "duration_ns,cost_nanousd,input_tokens"


class Broken(MemorySink):
    def call(self, fact: dict[str, object]) -> None:
        raise MemoryError


def test_a_broken_recorder_changes_nothing_for_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(sink=Broken())

    @recorder.call("chat")
    def answer() -> int:
        return 42

    assert [answer(), answer()] == [42, 42]
    assert recorder.troubled == 2
    assert capsys.readouterr().err.count("recording failed") == 1


class TooLate(Exception):
    pass


def test_a_time_limit_that_fires_inside_the_recorder_goes_on_and_the_call_is_kept_once() -> None:
    class Slow(MemorySink):
        first = True

        def call(self, fact: dict[str, object]) -> None:
            if Slow.first:
                Slow.first = False
                time.sleep(5)
            super().call(fact)

    def limit(number: int, frame: object) -> None:
        raise TooLate

    sink = Slow()
    recorder = Recorder(sink=sink)
    before = signal.signal(signal.SIGALRM, limit)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        began = time.monotonic()
        with pytest.raises(TooLate), recorder.call("chat"):
            pass
        assert time.monotonic() - began < 1
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(sink.calls) == 1


# ── real processes and a real file ──

ENDINGS = {
    "return": "",
    "raise": "raise ValueError('the job')",
    "sys.exit": "sys.exit(3)",
    "os._exit": "os._exit(0)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "abort": "os.abort()",
    "execv": "os.execv('/bin/true', ['true'])",
    "fork": "pid = os.fork()\nif pid == 0:\n    work(5)\n    os._exit(0)\nos.waitpid(pid, 0)\nprint('acknowledged 5')",
    "fork and exit": "pid = os.fork()\nif pid == 0:\n    work(5)\n    sys.exit(0)\n"
    "os.waitpid(pid, 0)\nprint('acknowledged 5')",
    "pool": "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n    pool.map(work, [3, 3])\n"
    "    print('acknowledged 6', flush=True)\n    pool.terminate()",
    "threads": "import threading\nts = [threading.Thread(target=work, args=(5,)) for _ in range(16)]\n"
    "[t.start() for t in ts]\n[t.join() for t in ts]\nprint('acknowledged 80')",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_ends_the_process_each_acknowledged_call_is_in_the_database_once(
    database_url: str, ending: str
) -> None:
    """In a SQLite file at once; in Postgres when the reporter has read what the process could not ship."""
    script = f"""
import os, signal, sys
import reporter
def work(n):
    for _ in range(n):
        with reporter.call("chat", model="gpt-4o"):
            pass
work(20)
print("acknowledged 20", flush=True)
{ENDINGS[ending]}
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "REPORTER_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    acknowledged = sum(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("acknowledged"))
    assert acknowledged >= 20, done.stderr
    store = open_store(database_url)
    for read in (not database_url.startswith("sqlite"), True):
        for directory in directories_for(database_url) if read else ():
            ingest_spool(store, directory)
        with store.read() as connection:
            stored = connection.execute(text("SELECT count(*), count(DISTINCT call_id) FROM calls")).one()
        assert tuple(stored) == (acknowledged, acknowledged)


def test_24_processes_may_create_the_database_at_once(tmp_path: Path) -> None:
    database = tmp_path / "jobs.db"
    script = "import reporter\nfor _ in range(5):\n    reporter.record(operation='x')"
    environment = {**os.environ, "REPORTER_DATABASE_URL": f"sqlite:///{database}"}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(24)]
    assert [process.wait(60) for process in processes] == [0] * 24
    with sqlite3.connect(database) as connection:
        stored = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    connection.close()
    spooled = sum(file.read_text().count('"kind":"call"') for file in tmp_path.glob("jobs.db.spool/*.jsonl"))
    assert stored + spooled == 120


def test_a_locked_database_delays_a_job_by_less_than_a_second_and_loses_nothing(tmp_path: Path) -> None:
    database = tmp_path / "jobs.db"
    recorder = Recorder(f"sqlite:///{database}")
    recorder.record(operation="before")
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    for _ in range(50):
        with recorder.call("during"):
            pass
    assert time.monotonic() - began < 1
    holder.execute("ROLLBACK")
    recorder.record(operation="after")
    stored = holder.execute("SELECT operation FROM calls ORDER BY call_id").fetchall()
    holder.close()
    recorder.close()
    spooled = sum(file.read_text().count('"kind":"call"') for file in tmp_path.glob("jobs.db.spool/*.jsonl"))
    assert stored == [("before",), ("after",)]
    assert spooled == 50


def test_recording_imports_nothing_but_the_standard_library_and_not_much_of_it(tmp_path: Path) -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nimport reporter\nassert 'sqlite3' not in sys.modules\n"
        "with reporter.call('chat'):\n    pass\n"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "REPORTER_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.db"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()} - {"reporter"}
    assert loaded <= set(sys.stdlib_module_names)
    heavy = {"json", "uuid", "dataclasses", "typing", "contextlib", "logging", "threading", "re", "inspect", "asyncio"}
    assert not loaded & heavy


@pytest.mark.parametrize("items", [-5, float("nan"), True, pytest.param(10**5_000, id="5,001 digits"), "many"])
def test_items_that_are_no_count_are_told_and_the_run_ends_all_the_same(items: Any, capsys: Any) -> None:
    sink = MemorySink()
    with Recorder(sink=sink).job("nightly") as run:
        run.items = items
    assert [(run["status"], run.get("items")) for run in sink.runs] == [("running", None), ("success", None)]
    assert "nightly: items=" in capsys.readouterr().err
