"""A run of a batch job: its row is written when it starts and again when it ends."""

from __future__ import annotations

import os

from reporter import facts, inherited
from reporter.call import Recording, current_run
from reporter.ids import uuid7

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from reporter.recorder import Recorder

START_SECONDS = 1.0  # what bringing the start of a run to the database may take; the end has the rest
FLUSH_SECONDS = 2.0  # at the end of a run


class RunRecording(Recording):
    """Runs about to be recorded."""

    __slots__ = ("attributes", "name", "recorder", "scheduled_for_ns")

    def __init__(
        self, recorder: Recorder, name: str, attributes: dict[str, object], scheduled_for_ns: int | None
    ) -> None:
        super().__init__()
        self.recorder, self.name, self.attributes = recorder, name, attributes
        self.scheduled_for_ns = scheduled_for_ns

    def begin(self, make: Callable[[], ActiveRun] | None = None) -> ActiveRun:
        """Begin one run, or what `make` makes of it; a context manager that ends it."""
        run: ActiveRun = _unrecorded
        try:
            run = make() if make else ActiveRun(self.recorder, self.name, self.attributes, self.scheduled_for_ns)
            if self.recorder.records or self.recorder.decide():
                run.begin()
        except BaseException as error:
            try:
                self.recorder.wall(error)
            except (RecursionError, MemoryError):
                self.recorder.unsaid += 1
        return run

    def entered(self) -> ActiveRun:
        """As `begin`, and its start is in the database before the job's own work: whoever waits for it shall not miss it.

        And if its host goes away with it, spool and all, it is lost and not unheard of.
        """
        run = self.begin()
        if run.open:
            try:
                run.tell_start()
            except BaseException as error:  # the job's own: a time limit
                run.stop(error)
                raise
        return run

    if TYPE_CHECKING:

        def __enter__(self) -> ActiveRun: ...
        async def __aenter__(self) -> ActiveRun: ...


class ActiveRun:
    """A run in progress."""

    __slots__ = (
        "attributes",
        "ended",
        "items",
        "name",
        "open",
        "outer",
        "recorder",
        "run_id",
        "scheduled_for_ns",
        "started_at_ns",
        "started_ns",
        "told",
        "told_json",
        "within",
    )  # fmt: skip

    def __init__(
        self, recorder: Recorder, name: str, attributes: dict[str, object], scheduled_for_ns: int | None = None
    ) -> None:
        self.recorder = recorder
        self.name = facts.text(name) or ""
        self.attributes: dict[Any, object] = dict(attributes)
        self.items: int | None = None
        self.scheduled_for_ns = scheduled_for_ns
        self.started_at_ns = recorder.clock.wall_ns()
        self.started_ns = recorder.clock.monotonic_ns()
        self.run_id = uuid7(self.started_at_ns)
        self.told = {"batch_job": self.name, "run_id": self.run_id}
        self.told_json = facts.json_members(self.told)
        self.open = self.ended = False  # neither: in a child process that was forked meanwhile
        self.outer: ActiveRun | None = None  # the one that this context was in before
        self.within: ActiveRun | None = None  # while paused, the one inside it that the context was in

    def set(self, **attributes: object) -> None:
        """Add attributes."""
        self.attributes.update(attributes)

    def begin(self) -> None:
        """Keep its start; calls of this context and process, and of those it starts, belong to it from here on."""
        self.outer = _not_ended(current_run.get())
        if self.outer is not None:  # of runs that cross for ever, not all are to be kept
            self.outer.outer = _not_ended(self.outer.outer)
        current_run.set(self)
        self.open = True
        self.recorder.runs.append(self)
        inherited.tell(self)
        self.recorder.sink.run(self._fact("running"))

    def tell_start(self) -> None:
        """Bring its start to the database, if that is soon done; what is in the way of it is said at the end."""
        try:
            flush_own = getattr(self.recorder.sink, "flush_own", None)
            if flush_own is not None:  # else it is there already
                flush_own(START_SECONDS)
        except BaseException as trouble:
            self._wall(trouble)

    def stop(self, error: BaseException) -> None:
        """End it amid its start, and wait for nothing."""
        from reporter.outcome import of_run

        self.open = False
        try:
            self._keep_end(*of_run(error), None)
        except BaseException as trouble:
            self._wall(trouble)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.open:
            return
        self.open = False
        try:
            from reporter.outcome import of_run

            self._end(*of_run(error), None)
        except BaseException as trouble:
            self._wall(trouble)

    def end(self, status: str, error_type: str | None, exit_code: int | None, output_tail: str | None = None) -> None:
        """End it with an outcome that is known otherwise than by an exception; trouble with that is not the job's."""
        self.open = False
        try:
            self._end(status, error_type, exit_code, output_tail)
        except BaseException as trouble:
            self._wall(trouble)

    def _wall(self, trouble: BaseException) -> None:
        try:
            self.recorder.wall(trouble)
        except (RecursionError, MemoryError):
            self.recorder.unsaid += 1

    def pause(self) -> None:
        """Calls of this context are not of this run from here on, unless no other one is there."""
        current = current_run.get()
        if _is_inside(current, self):
            self.within = current
            current_run.set(_not_ended(self.outer))

    def resume(self) -> None:
        """Calls of this context are of this run again."""
        if self.open:
            current = current_run.get()
            if not _is_inside(current, self):
                self.outer = current
            within, self.within = self.within, None
            current_run.set(_not_ended(within) if within is not None and _is_inside(within, self) else self)

    def _end(self, status: str, error_type: str | None, exit_code: int | None, output_tail: str | None) -> None:
        """Keep its end, and bring what waits to the database."""
        self._keep_end(status, error_type, exit_code, output_tail)
        seconds = self.flush_seconds()
        if seconds > 0:
            self.recorder.flush(seconds)

    def _keep_end(self, status: str, error_type: str | None, exit_code: int | None, output_tail: str | None) -> None:
        recorder = self.recorder
        self.ended = True
        if current_run.get() is self:  # else it is another context, or in a run that began meanwhile and goes on
            current_run.set(_not_ended(self.outer))
        if self in recorder.runs:
            recorder.runs.remove(self)
        inherited.untell(self)
        fact = self._fact(status)
        fact["ended_at_ns"] = recorder.clock.wall_ns()
        fact["duration_ns"] = max(0, recorder.clock.monotonic_ns() - self.started_ns)
        fact["exit_code"] = exit_code
        if error_type is not None:
            fact["error_type"] = error_type
        if output_tail:
            fact["output_tail"] = facts.text(output_tail, facts.MOST_TAIL)
        recorder.sink.run(fact)

    def flush_seconds(self) -> float:
        """What bringing its facts to the database may take at its end."""
        return FLUSH_SECONDS

    def _fact(self, status: str) -> dict[str, Any]:
        fact: dict[str, Any] = {
            "run_id": self.run_id, "batch_job": self.name, "started_at_ns": self.started_at_ns, "status": status,
            "host": os.uname().nodename, "pid": os.getpid(),
        }  # fmt: skip
        flags: list[str] = []
        items = None if isinstance(self.items, bool) else facts.integer(self.items, facts.MOST_TOKENS, "items", flags)
        if items is None and self.items is not None:
            self.recorder.say(
                f"{self.name}: items={_shown(self.items)} is no count up to {facts.MOST_TOKENS} and not kept"
            )
        attributes = facts.attributes(self.attributes)
        if items is not None:
            fact["items"] = items
        if attributes is not None:
            fact["attributes"] = attributes
        if self.scheduled_for_ns is not None:
            fact["scheduled_for_ns"] = self.scheduled_for_ns
        return fact


def _shown(value: object) -> str:
    try:
        return f"{value!r:.40}"
    except Exception:  # of thousands of digits, or a stranger's own
        return f"a {type(value).__name__}"


def _not_ended(run: ActiveRun | None) -> ActiveRun | None:
    """The run, or the innermost one around it that has not ended."""
    while run is not None and run.ended:
        run = run.outer
    return run


def _is_inside(run: ActiveRun | None, outer: ActiveRun) -> bool:
    """Whether a run is `outer`, or began within it."""
    while run is not None and run is not outer:
        run = run.outer
    return run is outer


class _Unrecorded(ActiveRun):
    """A run for which there was no room left: at the end of the stack, or of memory."""

    __slots__ = ()

    def __init__(self) -> None:
        self.open = self.ended = False
        self.outer = self.within = None
        self.name = self.run_id = ""
        self.items = None

    def set(self, **attributes: object) -> None:
        return


_unrecorded = _Unrecorded()
