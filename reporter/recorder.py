"""The recorder: where calls and runs begin, and the wall that keeps trouble away from the job.

Nothing is opened before the first fact.  Recording never raises into the job, with one exception: what a signal handler raised
(a time limit) while the recorder was at work is the job's own and goes on.
"""

from __future__ import annotations

import os
import time
from _thread import RLock, get_ident

from reporter import facts, inherited
from reporter.call import ActiveCall, CallRecording
from reporter.ids import uuid7
from reporter.inherited import JOB, RUN_ID, outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any, TypeVar

    from reporter.run import ActiveRun, RunRecording
    from reporter.sinks.open import Sink

    Client = TypeVar("Client")


OPENING_SECONDS = 1.0  # that opening a sink, or a fork meanwhile, waits for another thread's


class Clock:
    """The two clocks: one that dates, one that measures."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class OutsideRuns:
    """What calls belong to that are in no run of this process."""

    def __init__(self, job: str | None, run_id: str | None) -> None:
        named = (("batch_job", facts.text(job)), ("run_id", facts.text(run_id)))
        self.told = {name: value for name, value in named if value is not None}
        self.told_json = facts.json_members(self.told)


class Recorder:
    """Records calls and runs into one database.

    `url` is `sqlite:///FILE` or `postgresql://…`; `job` is the batch job of calls outside any run; what is not given, the
    environment says when the first fact comes.  A `sink` given instead of a URL gets the facts,
    `reporter.sinks.memory.MemorySink` in tests.

    Raises:
        UsageError: `url` is of no database that can be recorded into.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        job: str | None = None,
        disabled: bool | None = None,
        sink: Sink | None = None,
        clock: Clock | None = None,
    ) -> None:
        check_url(url)
        self._url, self._sink, self._job, self._disabled = url, sink, job, disabled
        self.records = self._decided = False  # whether calls are recorded is decided with the first one
        self.belonging = OutsideRuns(None, None)
        self.clock = clock or Clock()
        self.runs: list[ActiveRun] = []  # of this process, for threads that were started without their context
        self.open: set[ActiveCall] = set()
        self.troubles: dict[str, int] = {}  # what went wrong and is in no database yet, by kind
        self.unsaid = 0  # what went wrong where there was no room even to say so
        self.troubled = 0
        self.warned_ns = self.told_ns = 0
        if sink is not None:
            _watch_process(self)

    def configure(self, url: str | None = None, *, job: str | None = None, disabled: bool | None = None) -> None:
        """Record elsewhere from now on, whatever was decorated before included; what is not given, the environment says.

        Raises:
            UsageError: `url` is of no database that can be recorded into.
        """
        check_url(url)
        self.close()
        self._url, self._sink, self._job, self._disabled = url, None, job, disabled
        self.records = self._decided = False

    def decide(self) -> bool:
        """Whether calls are recorded: asked with the first one, so that nothing is read while modules are imported."""
        if not self._decided:
            self.belonging = OutsideRuns(self._job or outside(JOB), outside(RUN_ID))
            disabled = os.environ.get("REPORTER_DISABLED") == "1" if self._disabled is None else self._disabled
            self.records, self._decided = not disabled, True
        return self.records

    def call(
        self,
        operation: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        deadline_seconds: float | None = None,
        **attributes: object,
    ) -> CallRecording:
        """Record a call: a decorator for a function, coroutine function or generator, or a context manager.

        A call whose process dies before `deadline_seconds` are over (an hour, if not given) is counted as lost then.

        Raises:
            UsageError: `operation` is no name, or the deadline no length.
        """
        if type(operation) is not str or not operation:
            _misuse('call() needs the operation\'s name: @reporter.call("chat"), not @reporter.call')
        deadline_ns = None
        if deadline_seconds is not None:
            deadline_ns = facts.nanoseconds(deadline_seconds, "deadline_seconds", [])
            if deadline_ns is None:
                _misuse(f"call(deadline_seconds={deadline_seconds!r}): must be a number of seconds, at least 0")
        return CallRecording(self, operation, provider, model, deadline_ns, attributes)

    def job(
        self, name: str = "", *, scheduled_for: datetime | float | str | None = None, **attributes: object
    ) -> RunRecording:
        """Record a run of the batch job `name`: a decorator or a context manager.

        `scheduled_for` is the moment the schedule meant: epoch seconds, RFC 3339 text or a datetime with a zone.

        Raises:
            UsageError: `name` is no name, or `scheduled_for` no moment.
        """
        from reporter.run import RunRecording

        if type(name) is not str or not name:
            _misuse('job() needs the job\'s name: @reporter.job("nightly-embeddings"), not @reporter.job')
        scheduled_for_ns = None
        if scheduled_for is not None:
            scheduled_for_ns = facts.moment(scheduled_for)
            if scheduled_for_ns is None:
                why = "give epoch seconds, RFC 3339 text or a datetime, both with a zone"
                _misuse(f"job(scheduled_for={scheduled_for!r:.60}): {why}")
        return RunRecording(self, name, attributes, scheduled_for_ns)

    def record(
        self,
        *,
        operation: str,
        status: str = "success",
        duration_seconds: float | None = None,
        ttft_seconds: float | None = None,
        ended_at: datetime | float | str | None = None,
        started_at: datetime | float | str | None = None,
        cost_usd: float | str | None = None,
        call_id: str | None = None,
        attributes: Mapping[str, object] | None = None,
        **told: object,
    ) -> str | None:
        """Record a call that was measured elsewhere, and return its id (None if it could not be kept).

        Moments are epoch seconds, RFC 3339 text or a datetime with a zone; without any, the call ends now.  Further
        keywords are columns of `calls` or attributes.

        Raises:
            UsageError: no operation, a status that is none, or a moment that is none.
        """
        if type(operation) is not str or not operation:
            _misuse("record() needs operation='chat' or the like")
        if status not in facts.CALL_STATUSES:
            _misuse(f"record(status={status!r}): not one of {', '.join(facts.CALL_STATUSES)}")
        ended_at_ns, started_at_ns = _moment("ended_at", ended_at), _moment("started_at", started_at)
        if not self.decide():
            return None
        try:
            active = ActiveCall(self)
            flags = active.flags = []
            now_ns = self.clock.wall_ns()
            duration_ns = facts.nanoseconds(duration_seconds, "duration_ns", flags)
            if duration_ns is None:
                duration_ns = facts.integer(told.pop("duration_ns", None), facts.MOST_LENGTH_NS, "duration_ns", flags)
            if ended_at_ns is None and started_at_ns is not None and duration_ns is not None:
                ended_at_ns = started_at_ns + duration_ns
            if ended_at_ns is None:
                ended_at_ns = now_ns
            if started_at_ns is None:
                started_at_ns = max(0, ended_at_ns - (duration_ns or 0))
            known = {
                "call_id": facts.text(call_id) or uuid7(started_at_ns),
                "started_at_ns": started_at_ns,
                "ended_at_ns": ended_at_ns,
                "operation": facts.text(operation),
                "duration_ns": duration_ns,
                "ttft_ns": facts.nanoseconds(ttft_seconds, "ttft_ns", flags),
                "cost_nanousd": facts.nanousd(cost_usd, flags),
                **active.run().told,
            }
            active.fact = {name: value for name, value in known.items() if value is not None}
            for name, value in told.items():
                active.tell(name, value)
            if attributes:
                active.attributes = {**(active.attributes or {}), **attributes}
            active.status = status
            active.keep()
            return str(active.fact["call_id"])
        except BaseException as error:
            try:
                self.wall(error)
            except (RecursionError, MemoryError):
                self.unsaid += 1
            return None

    def instrument(self, client: Client, *, hosts: Iterable[str] | None = None, ignore: Iterable[str] = ()) -> Client:
        """Record every request of `client` from now on, in place; `client` itself, so that it can stand in an assignment.

        `client` is an httpx or httpx2 client, or an SDK's client built on one (OpenAI, Anthropic, google.genai, Groq,
        Mistral, …); twice is once.  With `hosts`, only requests to these are recorded; those to a host in `ignore` never
        are.  `*` stands for any part of a name.

        Raises:
            UsageError: there is no HTTP client in it.
        """
        from reporter.wire import instrument

        return instrument(self, client, hosts=hosts, ignore=ignore)

    def transport(self, inner: Any, *, hosts: Iterable[str] | None = None, ignore: Iterable[str] = ()) -> Any:
        """A transport around `inner`, of httpx or httpx2, that records; for where the client itself can't be instrumented.

        It can't know which requests are one call of an SDK: `instrument` is better where both can be done.
        """
        from reporter.wire import transport

        return transport(self, inner, hosts=hosts, ignore=ignore)

    def uninstrument(self, client: Client) -> Client:
        """Undo `instrument`; harmless where there is nothing to undo."""
        from reporter.wire import uninstrument

        return uninstrument(client)

    def flush(self, timeout: float = 2.0) -> bool:
        """Bring what waits to the database within `timeout` seconds; whether nothing waits any more."""
        try:
            if self._sink is None and self._url is None and not self.troubles and not self.unsaid:
                return True
            if self.troubles or self.unsaid:
                from reporter.trouble import tell

                tell(self)
            done = self.sink.flush(timeout)
            if not done:
                self.say(self.sink.problem)
            return done
        except BaseException as error:
            self.wall(error)
            return False

    def close(self) -> None:
        """Flush, and let go of files and connections."""
        self.flush()
        if self._sink is not None:
            self._sink.close()

    @property
    def url(self) -> str | None:
        """The database that facts go to, as far as settings say by now; None when there is a sink instead."""
        from reporter.sinks.open import default_url

        return None if self._sink is not None and self._url is None else self._url or default_url()

    @property
    def sink(self) -> Sink:
        """Where facts go; opened with the first one."""
        return self._sink or self._open()

    def _open(self) -> Sink:
        locked = _opening.acquire(timeout=OPENING_SECONDS)
        try:
            if self._sink is None:
                _watch_process(self)
                from reporter import outcome, trouble  # noqa: F401  # now: a signal handler may strike amid a later import
                from reporter.sinks.open import open_sink

                self._sink = open_sink(self._url, self.say)
            return self._sink
        finally:
            if locked:
                _opening.release()

    def say(self, what: str) -> None:
        """One line on stderr, at most once a minute."""
        from reporter.trouble import warn

        warn(self, what)

    def wall(self, error: BaseException, active: ActiveCall | None = None) -> None:
        """Swallow a recorder's own trouble, count it and warn; pass on what is the job's."""
        try:
            from reporter.trouble import handle

            handle(self, error, active)
        except (RecursionError, MemoryError, ImportError):  # no room left even for that, or amid that very import
            if not isinstance(error, Exception):
                raise error from None
            self.unsaid += 1

    def abandon(self) -> None:
        """End calls that are still open in a process that ends by itself."""
        for active in list(self.open):
            active.status = active.status or "abandoned"
            active.__exit__(None, None, None)


def _moment(name: str, value: object) -> int | None:
    """What `record` was told of a moment, in ns since 1970."""
    if value is None:
        return None
    at_ns = facts.moment(value)
    if at_ns is None:
        _misuse(f"record({name}={value!r:.60}): give epoch seconds, RFC 3339 text or a datetime, both with a zone")
    return at_ns


def check_url(url: str | None) -> None:
    """Whether a database can be recorded into, as far as its URL tells.

    Raises:
        UsageError: it can't.
    """
    if url is None:
        return
    if url.startswith("sqlite:"):
        from reporter.sinks.spool import sqlite_path

        sqlite_path(url)
    elif not url.startswith(("postgresql://", "postgresql+", "postgres://")):
        _misuse(
            f"database {url.partition('://')[0]}://…: not supported; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        )


def _misuse(sentence: str) -> None:
    from reporter.errors import UsageError

    raise UsageError(sentence)


# ── forks and the end of the process: once for all recorders that ever kept a fact ──

_recorders: set[Recorder] = set()
_opening = RLock()  # held while a sink is opened: who forks amid an import hands its child a lock that nobody releases
_forked_by = 0  # the thread that holds it for its fork


def _watch_process(recorder: Recorder) -> None:
    if not _recorders:
        import atexit

        atexit.register(_at_exit)
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )
    _recorders.add(recorder)


def _sinks() -> list[Sink]:
    return [recorder._sink for recorder in list(_recorders) if recorder._sink is not None]


def _before_fork() -> None:
    global _forked_by
    if _opening.acquire(timeout=OPENING_SECONDS):
        _forked_by = get_ident()
    for sink in _sinks():
        sink.before_fork()


def _after_fork_in_parent() -> None:
    global _forked_by
    for sink in _sinks():
        sink.after_fork_in_parent()
    if _forked_by == get_ident():
        _forked_by = 0
        _opening.release()


def _after_fork_in_child() -> None:
    global _opening, _forked_by
    _opening, _forked_by = RLock(), 0
    inherited.after_fork_in_child()
    for recorder in list(_recorders):
        for call in recorder.open:  # the parent's are the parent's to end
            call.open = False
        for run in recorder.runs:
            run.open = False
        recorder.open = set()
    for sink in _sinks():
        sink.after_fork_in_child()


def _at_exit() -> None:
    for recorder in list(_recorders):
        try:
            recorder.abandon()
            recorder.close()
        except BaseException as error:
            recorder.wall(error)
