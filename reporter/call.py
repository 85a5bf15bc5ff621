"""A call: what happens around the user's code, and what becomes one row.

    with recorder.call("chat", model=…) as c:   begun: the wall clock dates it, the monotonic clock measures it, its start kept
        …                                       told: tokens, attributes
                                                ended: one fact, column → value, goes to the sink

A fact is a dictionary of the columns that are known; what is absent is NULL.  The outermost call of a context owns what is
recorded; calls inside it enrich it.
"""

from __future__ import annotations

from _contextvars import ContextVar

from reporter import facts
from reporter.ids import uuid7

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Protocol, TypeVar

    from reporter.recorder import Recorder
    from reporter.run import ActiveRun

    class Belonging(Protocol):
        """A run, or what stands for one."""

        told: dict[str, str]  # columns of each of its calls
        told_json: str

    F = TypeVar("F", bound=Callable[..., Any])

current_call: ContextVar[ActiveCall | None] = ContextVar("reporter_call", default=None)
current_run: ContextVar[ActiveRun | None] = ContextVar("reporter_run", default=None)

_COUNTS = {
    "input_tokens": facts.MOST_TOKENS,
    "cache_read_tokens": facts.MOST_TOKENS,
    "cache_write_tokens": facts.MOST_TOKENS,
    "cache_write_1h_tokens": facts.MOST_TOKENS,
    "output_tokens": facts.MOST_TOKENS,
    "reasoning_tokens": facts.MOST_TOKENS,
    "ttft_ns": facts.MOST_LENGTH_NS,
    "cost_nanousd": facts.MOST_NANOUSD,
    "http_status": 999,
    "stream": 1,
    "retries": 10**6,
}
_TEXTS = (
    "response_model", "error_type", "usage_status", "cost_source", "price_class", "finish_reason", "trace_id", "run_id",
    "batch_job",
)  # fmt: skip
_FIRST_SAID = ("provider", "model")  # what an outer call said of itself is not changed by an inner one


class CallRecording:
    """Calls about to be recorded: decorate a function with it, or enter it."""

    __slots__ = ("_entered", "attributes", "deadline_ns", "recorder", "told", "told_json")

    def __init__(
        self,
        recorder: Recorder,
        operation: str,
        provider: str | None,
        model: str | None,
        deadline_ns: int | None,
        attributes: dict[str, object],
    ) -> None:
        self.recorder = recorder
        self.told = {"operation": facts.text(operation)}
        for name, value in (("provider", provider), ("model", model)):
            if value is not None:
                self.told[name] = facts.text(value)
        self.told_json = facts.json_members(self.told)
        self.deadline_ns = deadline_ns
        self.attributes = attributes
        self._entered: list[ActiveCall] = []

    def __call__(self, function: F) -> F:
        from reporter.decorate import decorate

        return decorate(self.begin, function)  # type: ignore[no-any-return]  # of the function's own kind

    def begin(self) -> ActiveCall:
        """Begin one call; a context manager that ends it."""
        recorder = self.recorder
        active: ActiveCall = unrecorded
        try:
            active = ActiveCall(recorder)
            outer = current_call.get()
            if outer is not None and outer.open:
                active.enrich(outer, self)
            elif not recorder.disabled:
                active.begin(self)
        except BaseException as error:
            try:
                recorder.wall(error, active)
            except (RecursionError, MemoryError):
                recorder.unsaid += 1
        return active

    def __enter__(self) -> ActiveCall:
        active = self.begin()
        self._entered.append(active)
        return active

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> ActiveCall:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class ActiveCall:
    """A call in progress: what the user's code tells of it on the way."""

    owner: ActiveCall | None = None  # the outer call that is recorded in this one's place
    open = False  # from its beginning until it is kept, in the process that began it
    status: str | None = None  # what the user's code says; else the end says it
    attributes: dict[str, object] | None = None
    flags: list[str] | None = None
    started_ns = 0  # of the monotonic clock
    _token: Any = None

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.fact: dict[str, Any] = {}

    # ── what users say ──

    @property
    def call_id(self) -> str | None:
        """The id of the row this call becomes; None when nothing is recorded."""
        return (self.owner or self).fact.get("call_id")

    def set(self, **attributes: object) -> None:
        """Add attributes: ids, tags; they never become labels."""
        target = self.owner or self
        if target.attributes is None:
            target.attributes = attributes
        else:
            target.attributes.update(attributes)

    def usage(self, reply: object) -> None:
        """Read tokens, model and finish reason from a provider's response object or dictionary."""
        try:
            from reporter.usage import read

            told = read(reply)
            for name, value in told.items():
                self.tell(name, value)
            known = (self.owner or self).fact
            if "usage_status" not in known:
                known["usage_status"] = "complete" if "input_tokens" in told or "output_tokens" in told else "missing"
        except BaseException as error:
            try:
                self.recorder.wall(error)
            except (RecursionError, MemoryError):
                self.recorder.unsaid += 1

    def first_token(self) -> None:
        """Mark the first chunk that carried text, reasoning or a tool call."""
        target = self.owner or self
        if "ttft_ns" not in target.fact:
            target.fact["ttft_ns"] = max(0, self.recorder.clock.monotonic_ns() - target.started_ns)
            target.fact["stream"] = 1

    def tell(self, name: str, value: object) -> None:
        """Say one column of the call; a name that is none is an attribute.  None says nothing."""
        target = self.owner or self
        if value is None or (name in _FIRST_SAID and name in target.fact):
            return
        if name in _COUNTS:
            if target.flags is None:
                target.flags = []
            stored: int | str | None = facts.integer(value, _COUNTS[name], name, target.flags)
        elif name in _TEXTS or name in _FIRST_SAID:
            stored = facts.text(value)
        else:
            target.set(**{name: value})
            return
        if stored is not None:
            target.fact[name] = stored

    # ── opening and closing ──

    def enrich(self, outer: ActiveCall, recording: CallRecording) -> None:
        """Whatever is said of this call is said of `outer`."""
        self.owner = outer
        for name in _FIRST_SAID:
            self.tell(name, recording.told.get(name))
        if recording.attributes:
            self.set(**recording.attributes)

    def begin(self, recording: CallRecording) -> None:
        """Date it, and keep its start."""
        recorder = self.recorder
        at_ns = recorder.clock.wall_ns()
        call_id = uuid7(at_ns)
        run = self.run()
        self.fact = {"call_id": call_id, "started_at_ns": at_ns, **recording.told, **run.told}
        if recording.attributes:
            self.attributes = {**recording.attributes}
        self._token = current_call.set(self)
        self.open = True
        recorder.open.add(self)
        told = recording.told_json + run.told_json
        if recording.deadline_ns is not None:
            told += f',"deadline_at_ns":{at_ns + recording.deadline_ns}'
        try:
            recorder.sink.start(call_id, at_ns, told)
        finally:
            self.started_ns = recorder.clock.monotonic_ns()  # what keeping the start took is not the call's

    def run(self) -> Belonging:
        """What it belongs to: the run of this context, else of this process, else what the environment says."""
        recorder = self.recorder
        run = current_run.get()
        if run is None or run.recorder is not recorder:
            if recorder.runs:
                return recorder.runs[-1]
            if run is None:
                return recorder.belonging
        return run

    def __enter__(self) -> ActiveCall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.open:
            return
        try:
            self.close(error)
        except BaseException as trouble:
            try:
                self.recorder.wall(trouble, self)
            except (RecursionError, MemoryError):
                self.recorder.unsaid += 1
            self.open = False  # dropped
            self.recorder.open.discard(self)

    def pause(self) -> None:
        """What this context calls from here on is not part of this call."""
        token, self._token = self._token, None
        if token is not None:
            try:
                current_call.reset(token)
            except ValueError:  # in another context: a generator finished elsewhere
                pass

    def resume(self) -> None:
        """What this context calls from here on is part of this call again."""
        if self.open:
            self._token = current_call.set(self)

    def close(self, error: BaseException | None) -> None:
        """End it, once, as `error` or its absence says."""
        recorder = self.recorder
        duration_ns = recorder.clock.monotonic_ns() - self.started_ns
        self.pause()
        if not self.open:
            return
        fact = self.fact
        fact["ended_at_ns"] = recorder.clock.wall_ns()
        fact["duration_ns"] = duration_ns if 0 <= duration_ns <= facts.MOST_LENGTH_NS else facts.MOST_LENGTH_NS
        if error is not None:
            from reporter.outcome import of_call

            status, error_type, http_status = of_call(error)
            if self.status is None:
                self.status = status
            if error_type is not None:
                fact.setdefault("error_type", error_type)
            if http_status is not None:
                fact.setdefault("http_status", http_status)
        self.keep()

    def keep(self) -> None:
        """Hand the finished call to the sink."""
        fact = self.fact
        status = self.status
        if status is None:
            fact["status"] = "success"
        else:
            fact["status"] = status if status in facts.CALL_STATUSES else "error"
        if self.attributes:
            attributes = facts.attributes(self.attributes)
            if attributes is not None:
                fact["attributes"] = attributes
        if self.flags:
            fact["flags"] = ",".join(self.flags)
        self.recorder.sink.call(fact)
        self.open = False
        self.recorder.open.discard(self)


class _Unrecorded(ActiveCall):
    """A call for which there was no room left: at the end of the stack, or of memory."""

    def __init__(self) -> None:
        return

    def set(self, **attributes: object) -> None:
        return

    def usage(self, reply: object) -> None:
        return

    def first_token(self) -> None:
        return

    @property
    def call_id(self) -> None:
        return None


unrecorded = _Unrecorded()
