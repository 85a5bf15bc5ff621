"""Recording: what happens around the user's code, and the wall that keeps trouble away from it.

    with recorder.call("chat", model=…) as c:   opened: the wall clock dates it, the monotonic clock measures it
        …                                       the start is written
                                                closed: one tuple in column order goes to the sink

The outermost call of a context owns what is recorded; calls inside it enrich it.  Recording never raises into the job, with
one exception: what a signal handler raised (a time limit) while the recorder was at work is the job's own and goes on.
"""

from __future__ import annotations

import os
import sys
import time
from contextvars import ContextVar

from reporter import facts, outcome, usage
from reporter.decorate import decorate
from reporter.errors import UsageError
from reporter.ids import uuid7
from reporter.sinks.open import open_sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeVar

    from reporter.sinks.open import Sink

    F = TypeVar("F", bound=Callable[..., Any])

_current_call: ContextVar[ActiveCall | None] = ContextVar("reporter_call", default=None)
_current_run: ContextVar[ActiveRun | None] = ContextVar("reporter_run", default=None)

_ENRICHING = ("response_model", "ttft_ns", "http_status", "stream", "finish_reason", "price_class", "trace_id")
_TOKENS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip


class Clock:
    """The two clocks: one that dates, one that measures."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class Recorder:
    """Records calls and runs into one database.

    `url` is `sqlite:///FILE` or `postgresql://…`; `job` is the batch job of calls outside any run.  A `sink` given instead
    of a URL gets the facts, `reporter.sinks.memory.MemorySink` in tests.
    """

    def __init__(
        self, url: str | None = None, *, job: str | None = None, sink: Sink | None = None, clock: Clock | None = None
    ) -> None:
        self.job_name = job or os.environ.get("REPORTER_JOB")
        self.clock = clock or Clock()
        self.disabled = os.environ.get("REPORTER_DISABLED") == "1"
        self._url, self._sink = url, sink
        self._pid = os.getpid()
        self.runs: list[ActiveRun] = []  # of this process, for threads that were started without their context
        self.open: set[ActiveCall] = set()
        self.dropped = 0
        self.troubled = 0
        self._warned_ns = 0
        self._registered = False

    def call(
        self,
        operation: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        deadline_seconds: float | None = None,
        **attributes: object,
    ) -> CallRecording:
        """Record a call: a decorator for a function, coroutine function or generator, or a context manager.

        A call whose process dies before `deadline_seconds` are over (an hour, if not given) is counted as lost then.

        Raises:
            UsageError: `operation` is no name.
        """
        if type(operation) is not str or not operation:
            raise UsageError('call() needs the operation\'s name: @reporter.call("chat"), not @reporter.call')
        return CallRecording(self, operation, provider, model, deadline_seconds, attributes)

    def job(self, name: str, **attributes: object) -> RunRecording:
        """Record a run of the batch job `name`: a decorator or a context manager.

        Raises:
            UsageError: `name` is no name.
        """
        if type(name) is not str or not name:
            raise UsageError('job() needs the job\'s name: @reporter.job("nightly-embeddings"), not @reporter.job')
        return RunRecording(self, name, attributes)

    def record(
        self,
        *,
        operation: str,
        status: str = "success",
        duration_seconds: float | None = None,
        ttft_seconds: float | None = None,
        ended_at: float | None = None,
        cost_usd: float | str | None = None,
        call_id: str | None = None,
        **told: object,
    ) -> str | None:
        """Record a call that was measured elsewhere, and return its id (None if it could not be kept).

        `ended_at` is in epoch seconds, now if not given; further keywords are columns of `calls` or attributes.

        Raises:
            UsageError: no operation, or a status that is none.
        """
        if type(operation) is not str or not operation:
            raise UsageError("record() needs operation='chat' or the like")
        if status not in facts.CALL_STATUSES:
            raise UsageError(f"record(status={status!r}): not one of {', '.join(facts.CALL_STATUSES)}")
        if self.disabled:
            return None
        active = ActiveCall(self, operation, told.pop("provider", None), told.pop("model", None), None)
        try:
            now_ns = self.clock.wall_ns()
            ended_ns = now_ns if ended_at is None else round(ended_at * 1e9)
            duration_ns = facts.nanoseconds(duration_seconds, "duration_ns", active.flags)
            active.started_at_ns = ended_ns - (duration_ns or 0)
            active.call_id = call_id or uuid7(active.started_at_ns)
            active.columns["ttft_ns"] = facts.nanoseconds(ttft_seconds, "ttft_ns", active.flags)
            active.columns["cost_nanousd"] = facts.nanousd(cost_usd, active.flags)
            for name, value in told.items():
                active.tell(name, value)
            active.attach_run()
            active.status = status
            active.keep(ended_ns, duration_ns)
        except BaseException as error:
            self.wall(error)
            return None
        return active.call_id

    def flush(self, timeout: float = 2.0) -> bool:
        """Bring what waits to the database within `timeout` seconds; whether nothing waits any more."""
        try:
            return self.sink.flush(timeout)
        except BaseException as error:
            self.wall(error)
            return False

    def close(self) -> None:
        """Flush, and let go of files and connections."""
        self.flush()
        if self._sink is not None:
            self._sink.close()

    @property
    def sink(self) -> Sink:
        """Where facts go; opened with the first one."""
        sink = self._sink
        if sink is None:
            sink = self._sink = open_sink(self._url)
        if not self._registered:
            self._registered = True
            import atexit

            atexit.register(self._at_exit)
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=lambda: self.sink.after_fork_in_parent(),
                after_in_child=self._after_fork_in_child,
            )
        return sink

    def _before_fork(self) -> None:
        self.sink.before_fork()

    def _after_fork_in_child(self) -> None:
        self.sink.after_fork_in_child()
        self.open = set()  # the parent's calls are the parent's to end
        self._pid = os.getpid()

    def _at_exit(self) -> None:
        """Calls still open in a process that ends by itself were abandoned."""
        for active in list(self.open):
            if active.pid == os.getpid():
                active.status = "abandoned"
                active.close(None)
        self.close()

    def wall(self, error: BaseException) -> None:
        """Swallow a recorder's own trouble, count it and warn; pass on what is the job's."""
        if not isinstance(error, Exception) or _is_the_jobs(error):
            raise error
        self.troubled += 1
        now_ns = time.monotonic_ns()
        if not self._warned_ns or now_ns - self._warned_ns > 60 * 10**9:
            self._warned_ns = now_ns
            try:
                sys.stderr.write(
                    f"reporter: recording failed, the job goes on ({self.troubled} so far): {error!r:.200}\n"
                )
            except Exception:
                return


class ActiveCall:
    """A call in progress: what the user's code tells of it on the way."""

    __slots__ = (
        "__weakref__", "attributes", "batch_job", "call_id", "closed", "columns", "flags", "model", "operation", "owner",
        "pid", "provider", "recorder", "retries", "run_id", "started_at_ns", "started_monotonic_ns", "status", "token",
    )  # fmt: skip

    def __init__(
        self, recorder: Recorder, operation: str, provider: object, model: object, owner: ActiveCall | None
    ) -> None:
        self.recorder = recorder
        self.operation = facts.text(operation)
        self.provider, self.model = facts.text(provider), facts.text(model)
        self.owner = owner
        self.call_id = ""
        self.started_at_ns = self.started_monotonic_ns = 0
        self.batch_job: str | None = None
        self.run_id: str | None = None
        self.status: str | None = None
        self.retries: int | None = None
        self.columns: dict[str, Any] = {}
        self.attributes: dict[object, object] = {}
        self.flags: list[str] = []
        self.closed = False
        self.pid = 0
        self.token: object = None

    # ── what users say ──

    def set(self, **attributes: object) -> None:
        """Add attributes: ids, tags; they never become labels."""
        (self.owner or self).attributes.update(attributes)

    def usage(self, reply: object) -> None:
        """Read tokens, model and finish reason from a provider's response object or dictionary."""
        try:
            told = usage.read(reply)
            for name, value in told.items():
                self.tell(name, value)
            known = self.columns if self.owner is None else self.owner.columns
            if "usage_status" not in known:
                complete = "input_tokens" in told or "output_tokens" in told
                self.tell("usage_status", "complete" if complete else "missing")
        except BaseException as error:
            self.recorder.wall(error)

    def first_token(self) -> None:
        """Mark the first chunk that carried text, reasoning or a tool call."""
        target = self.owner or self
        if "ttft_ns" not in target.columns:
            target.columns["ttft_ns"] = max(0, self.recorder.clock.monotonic_ns() - target.started_monotonic_ns)
            target.columns["stream"] = 1

    def tell(self, name: str, value: object) -> None:
        """Say one column of the call; a name that is none is an attribute."""
        target = self.owner or self
        if name in _TOKENS:
            target.columns[name] = facts.integer(value, facts.MOST_TOKENS, name, target.flags)
        elif name == "retries":
            target.retries = facts.integer(value, 10**6, name, target.flags)
        elif name in ("error_type", "usage_status", "cost_source", "run_id", "batch_job"):
            target.columns[name] = facts.text(value)
        elif name in ("http_status", "stream"):
            target.columns[name] = facts.integer(value, 999, name, target.flags)
        elif name in _ENRICHING:
            target.columns[name] = facts.text(value)
        elif name in ("provider", "model"):
            if getattr(target, name) is None:
                setattr(target, name, facts.text(value))
        else:
            target.attributes[name] = value

    # ── opening and closing ──

    def open(self, deadline_seconds: float | None) -> None:
        """Date it, write its start."""
        recorder = self.recorder
        self.started_at_ns = recorder.clock.wall_ns()
        self.started_monotonic_ns = recorder.clock.monotonic_ns()
        self.call_id = uuid7(self.started_at_ns)
        self.pid = os.getpid()
        self.attach_run()
        deadline_ns = None
        if deadline_seconds is not None:
            deadline_ns = self.started_at_ns + (facts.nanoseconds(deadline_seconds, "deadline", self.flags) or 0)
        recorder.open.add(self)
        recorder.sink.start(
            self.call_id,
            (
                self.call_id, self.started_at_ns, deadline_ns, self.batch_job, self.run_id, self.operation, self.provider,
                self.model, None, self.pid,
            ),
        )  # fmt: skip

    def attach_run(self) -> None:
        """Belong to the run of this context, else of this process, else of the environment."""
        run = _current_run.get()
        if (run is None or run.recorder is not self.recorder) and self.recorder.runs:
            run = self.recorder.runs[-1]
        if run is not None:
            self.batch_job, self.run_id = run.name, run.run_id
        else:
            self.batch_job = self.recorder.job_name
            self.run_id = os.environ.get("REPORTER_RUN_ID")

    def close(self, error: BaseException | None) -> None:
        """End it, once, in the process that began it."""
        if self.closed or self.pid != os.getpid():
            return
        clock = self.recorder.clock
        duration_ns = max(0, clock.monotonic_ns() - self.started_monotonic_ns)
        self.closed = True
        self.recorder.open.discard(self)
        status, error_type, http_status = outcome.of_call(error)
        if self.status is None:
            self.status = status
        self.columns.setdefault("error_type", error_type)
        if self.columns.get("http_status") is None:
            self.columns["http_status"] = http_status
        try:
            self.keep(clock.wall_ns(), min(duration_ns, facts.MOST_LENGTH_NS))
        except BaseException as trouble:
            if not isinstance(trouble, Exception) or _is_the_jobs(trouble):
                self.keep(clock.wall_ns(), min(duration_ns, facts.MOST_LENGTH_NS))  # the same id: written once
            raise

    def keep(self, ended_at_ns: int, duration_ns: int | None) -> None:
        """Hand the finished call to the sink."""
        told = self.columns.get
        status = self.status if self.status in facts.CALL_STATUSES else "error"
        self.recorder.sink.call(
            self.call_id,
            (
                self.call_id, ended_at_ns, self.started_at_ns, duration_ns, told("ttft_ns"),
                told("batch_job") or self.batch_job, told("run_id") or self.run_id, self.operation, self.provider,
                self.model, told("response_model"), status, told("error_type"), told("http_status"), self.retries,
                told("stream"), told("input_tokens"), told("cache_read_tokens"), told("cache_write_tokens"),
                told("cache_write_1h_tokens"), told("output_tokens"), told("reasoning_tokens"), told("usage_status"),
                told("price_class"), told("cost_nanousd"), told("cost_source"), told("finish_reason"), told("trace_id"),
                facts.attributes(self.attributes) if self.attributes else None,
                ",".join(self.flags) if self.flags else None,
            ),
        )  # fmt: skip


class CallRecording:
    """A call about to be recorded: decorate a function with it, or enter it."""

    __slots__ = ("active", "arguments", "attributes", "recorder")

    def __init__(
        self, recorder: Recorder, operation: str, provider: object, model: object, deadline_seconds: float | None,
        attributes: dict[str, object],
    ) -> None:  # fmt: skip
        self.recorder = recorder
        self.arguments = (operation, provider, model, deadline_seconds)
        self.attributes = attributes
        self.active: ActiveCall | None = None

    def again(self) -> CallRecording:
        """Another recording of the same kind: each call of a decorated function has its own."""
        return CallRecording(self.recorder, *self.arguments, self.attributes)

    def __call__(self, function: F) -> F:
        return decorate(self.again, function)  # type: ignore[no-any-return]  # of the function's own kind

    def __enter__(self) -> ActiveCall:
        operation, provider, model, deadline_seconds = self.arguments
        outer = _current_call.get()
        if outer is not None and (outer.closed or outer.pid != os.getpid()):
            outer = None
        active = self.active = ActiveCall(self.recorder, operation, provider, model, outer and (outer.owner or outer))
        active.attributes.update(self.attributes)
        if self.recorder.disabled:
            return active
        try:
            if outer is None:
                active.open(deadline_seconds)
                active.token = _current_call.set(active)
            else:
                active.tell("provider", provider)
                active.tell("model", model)
        except BaseException as error:
            self.recorder.wall(error)
        return active

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        active = self.active
        if active is None or active.owner is not None:
            return
        try:
            if active.token is not None:
                try:
                    _current_call.reset(active.token)  # type: ignore[arg-type]  # the token this very variable gave
                except ValueError:  # closed in another context: a generator finished elsewhere
                    pass
            active.close(error)
        except BaseException as trouble:
            self.recorder.wall(trouble)

    async def __aenter__(self) -> ActiveCall:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class ActiveRun:
    """A run in progress."""

    __slots__ = ("attributes", "items", "name", "pid", "recorder", "run_id", "started_at_ns", "started_monotonic_ns")

    def __init__(self, recorder: Recorder, name: str, attributes: dict[str, object]) -> None:
        self.recorder = recorder
        self.name = facts.text(name) or ""
        self.attributes: dict[Any, object] = dict(attributes)
        self.items: int | None = None
        self.started_at_ns = recorder.clock.wall_ns()
        self.started_monotonic_ns = recorder.clock.monotonic_ns()
        self.run_id = uuid7(self.started_at_ns)
        self.pid = os.getpid()

    def set(self, **attributes: object) -> None:
        """Add attributes."""
        self.attributes.update(attributes)

    def keep(
        self, ended_at_ns: int | None, duration_ns: int | None, status: str, code: int | None, error: str | None
    ) -> None:
        """Hand the run, as it is now, to the sink."""
        flags: list[str] = []
        self.recorder.sink.run(
            (
                self.run_id, self.name, self.started_at_ns, ended_at_ns, duration_ns, status, code, error,
                facts.integer(self.items, facts.MOST_TOKENS, "items", flags), os.uname().nodename, self.pid, None, None,
                facts.attributes(self.attributes),
            ),
        )  # fmt: skip


class RunRecording:
    """A run about to be recorded: decorate a function with it, or enter it."""

    __slots__ = ("active", "attributes", "name", "recorder", "token")

    def __init__(self, recorder: Recorder, name: str, attributes: dict[str, object]) -> None:
        self.recorder, self.name, self.attributes = recorder, name, attributes
        self.active: ActiveRun | None = None
        self.token: object = None

    def again(self) -> RunRecording:
        """Another run of the same job."""
        return RunRecording(self.recorder, self.name, self.attributes)

    def __call__(self, function: F) -> F:
        return decorate(self.again, function)  # type: ignore[no-any-return]  # of the function's own kind

    def __enter__(self) -> ActiveRun:
        run = self.active = ActiveRun(self.recorder, self.name, self.attributes)
        if not self.recorder.disabled:
            try:
                self.token = _current_run.set(run)
                self.recorder.runs.append(run)
                run.keep(None, None, "running", None, None)
            except BaseException as error:
                self.recorder.wall(error)
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run = self.active
        if run is None or self.recorder.disabled or run.pid != os.getpid():
            return
        try:
            if run in self.recorder.runs:
                self.recorder.runs.remove(run)
            if self.token is not None:
                try:
                    _current_run.reset(self.token)  # type: ignore[arg-type]  # the token this very variable gave
                except ValueError:
                    pass
            clock = self.recorder.clock
            duration_ns = max(0, clock.monotonic_ns() - run.started_monotonic_ns)
            status, error_type, code = outcome.of_run(error)
            run.keep(clock.wall_ns(), duration_ns, status, code, error_type)
            self.recorder.sink.flush(2.0)
        except BaseException as trouble:
            self.recorder.wall(trouble)

    async def __aenter__(self) -> ActiveRun:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _is_the_jobs(error: BaseException) -> bool:
    """Whether an exception that came up inside the recorder is the job's own: a signal handler raised it."""
    from _signal import NSIG, getsignal  # type: ignore[import-not-found]  # signal itself imports enum

    codes = set()
    for number in range(1, NSIG):
        handler = getsignal(number)
        handler = getattr(handler, "func", getattr(handler, "__func__", handler))
        code = getattr(handler, "__code__", None) or getattr(getattr(type(handler), "__call__", None), "__code__", None)  # noqa: B004  # its code is wanted
        if code is not None:
            codes.add(code)
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False
