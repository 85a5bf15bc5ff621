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
_entered: ContextVar[tuple[Any, Any, Any] | None] = ContextVar(
    "reporter_entered", default=None
)  # recording, active, before

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
    "batch_job", "provider", "model",
)  # fmt: skip
_SUMMED = frozenset(
    ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
     "reasoning_tokens", "cost_nanousd")
)  # fmt: skip


class Recording:
    """Something about to be recorded: decorate a function with it, or enter it; as often, and as many at once, as you like."""

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        self._entered: list[Any] = []

    if TYPE_CHECKING:

        def entered(self) -> Any: ...

    def __call__(self, function: F) -> F:
        from reporter.decorate import decorate

        return decorate(self.entered, function)  # type: ignore[no-any-return]  # of the function's own kind

    def __enter__(self) -> Any:
        active = self.entered()
        self._entered.append(active)
        _entered.set((self, active, _entered.get()))
        return active

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left().__exit__(kind, error, traceback)

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _left(self) -> Any:
        """The one that is being left: the last that this thread or task entered."""
        link = _entered.get()
        above = []  # entered later, and not left yet: they cross
        while link is not None and not (link[0] is self and link[1] in self._entered):
            above.append(link)
            link = link[2]
        if link is None:  # entered in another context than this
            return self._entered.pop()
        rest = link[2]
        for other in reversed(above):
            rest = (other[0], other[1], rest)
        _entered.set(rest)
        self._entered.remove(link[1])
        return link[1]


class CallRecording(Recording):
    """Calls about to be recorded."""

    __slots__ = ("attributes", "deadline_ns", "recorder", "told", "told_json")

    def __init__(
        self,
        recorder: Recorder,
        operation: str,
        provider: str | None,
        model: str | None,
        deadline_ns: int | None,
        attributes: dict[str, object],
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self.told = {"operation": facts.text(operation)}
        for name, value in (("provider", facts.text(provider)), ("model", facts.text(model))):
            if value:
                self.told[name] = value
        self.told_json = facts.json_members(self.told)
        self.deadline_ns = deadline_ns
        self.attributes = attributes

    def begin(self) -> ActiveCall:
        """Begin one call; a context manager that ends it."""
        recorder = self.recorder
        active: ActiveCall = unrecorded
        try:
            active = ActiveCall(recorder)
            outer = current_call.get()
            if outer is not None and (outer.owner or outer).open:
                active.enrich(outer.owner or outer, self)
            elif recorder.records or recorder.decide():
                active.begin(self)
        except BaseException as error:
            try:
                recorder.wall(error, active)
            except (RecursionError, MemoryError):
                recorder.unsaid += 1
        return active

    entered = begin

    if TYPE_CHECKING:

        def __enter__(self) -> ActiveCall: ...
        async def __aenter__(self) -> ActiveCall: ...


class ActiveCall:
    """A call in progress: what the user's code tells of it on the way."""

    owner: ActiveCall | None = None  # the outer call that is recorded in this one's place
    open = False  # from its beginning until it is kept, in the process that began it
    status: str | None = None  # what the user's code says; else the end says it
    attributes: dict[str, object] | None = None
    flags: list[str] | None = None
    added: dict[str, int] | None = None  # what inner calls told, summed
    said: set[str] | None = None  # the counts that the user's code told itself: they win over what the wire tells
    usage_status: str | None = None
    usages: dict[str, int] | None = None  # how many of it and its inner calls have each `usage_status`
    wire: Any = None  # what its requests have told, if an instrumented client sends them
    fault: str | None = None  # what its last answer told was wrong, with nothing raised
    started_ns = 0  # of the monotonic clock
    ended_ns: int | None = None  # the same, where its end was before whoever closes it knows
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
        """Read tokens, model and finish reason from a provider's response object or dictionary, or from its usage alone.

        The last one counts: a stream's chunks may all be passed.  What inner calls tell is added to it.  A call that has
        named no model is to the one that answered.
        """
        try:
            from reporter.usage import read

            told = read(reply)
            for name, value in told.items():
                self.tell(name, value)
            if "response_model" in told and "model" not in (self.owner or self).fact:
                self.tell("model", told["response_model"])
            self.tell_usage_status(
                "complete" if "input_tokens" in self.fact or "output_tokens" in self.fact else "missing"
            )
        except BaseException as error:
            try:
                self.recorder.wall(error)
            except (RecursionError, MemoryError):
                self.recorder.unsaid += 1

    def first_token(self, at_ns: int | None = None) -> None:
        """Mark the first chunk that carried text, reasoning or a tool call: now, or at `at_ns` of the monotonic clock."""
        target = self.owner or self
        if "ttft_ns" not in target.fact:
            at_ns = self.recorder.clock.monotonic_ns() if at_ns is None else at_ns
            target.fact["ttft_ns"] = max(0, at_ns - target.started_ns)
            target.fact["stream"] = 1

    def tell(self, name: str, value: object) -> None:
        """Say one column of the call; a name that is none is an attribute.  None says nothing."""
        target = self.owner or self
        if value is None:
            return
        if name in _COUNTS:
            if target.flags is None:
                target.flags = []
            number = facts.integer(value, _COUNTS[name], name, target.flags)
            if number is None:
                return
            if name not in _SUMMED:
                target.fact[name] = number
                return
            if self.said is None:
                self.said = set()
            self.said.add(name)
            self.count(name, number)
        elif name in _TEXTS:
            text = facts.price_class(value) if name == "price_class" else facts.text(value)
            if text:
                target.fact[name] = text
        else:
            target.set(**{name: value})

    def count(self, name: str, number: int) -> None:
        """Say a count of this call; a call around it has the sum of all that are inside it."""
        owner = self.owner
        if owner is not None:
            if owner.added is None:
                owner.added = {}
            owner.added[name] = owner.added.get(name, 0) + number - self.fact.get(name, 0)
        self.fact[name] = number

    def tell_usage_status(self, status: str) -> None:
        """Whether this call's usage is known: `complete`, `partial` or `missing`."""
        target = self.owner or self
        if target.usages is None:
            target.usages = {}
        if self.usage_status is not None:
            target.usages[self.usage_status] -= 1
        self.usage_status = status
        target.usages[status] = target.usages.get(status, 0) + 1

    def name_model(self, provider: str | None, model: str | None) -> None:
        """What a call inside this one is to; this one's, if it has not said, and a flag if it has said another."""
        fact = self.fact
        known_provider, known_model = fact.get("provider"), fact.get("model")
        if (known_provider and provider and provider != known_provider) or (
            known_model and model and model != known_model
        ):
            self.flags = self.flags or []
            if "models" not in self.flags:
                self.flags.append("models")
            return
        if provider is not None:
            fact["provider"] = provider
        if model is not None:
            fact["model"] = model

    # ── opening and closing ──

    def enrich(self, outer: ActiveCall, recording: CallRecording) -> None:
        """Whatever is said of this call is said of `outer`."""
        self.owner = outer
        self._token = current_call.set(self)
        outer.name_model(recording.told.get("provider"), recording.told.get("model"))
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
            if self.owner is not None:
                self.pause()
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

    def end(self, status: str, error_type: str | None = None) -> None:
        """End it, by what is known of it rather than by an exception."""
        if self.status is None:
            self.status = status
        if error_type is not None:
            self.fact.setdefault("error_type", error_type)
        self.__exit__(None, None, None)

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
        if (self.owner or self).open:
            self._token = current_call.set(self)

    def close(self, error: BaseException | None) -> None:
        """End it, once, as `error` or its absence says."""
        recorder = self.recorder
        now_ns = recorder.clock.monotonic_ns()
        ended_ns = self.ended_ns or now_ns
        duration_ns = ended_ns - self.started_ns
        self.pause()
        if not self.open:
            return
        fact = self.fact
        fact["ended_at_ns"] = recorder.clock.wall_ns() - now_ns + ended_ns
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
        elif self.fault is not None and self.status is None:
            self.status = "error"
            fact.setdefault("error_type", self.fault)
        self.keep()

    def keep(self) -> None:
        """Hand the finished call to the sink."""
        fact = self.fact
        status = self.status
        if status is None:
            fact["status"] = "success"
        else:
            fact["status"] = status if status in facts.CALL_STATUSES else "error"
        if self.added:
            for name, value in self.added.items():
                fact[name] = min(fact.get(name, 0) + value, _COUNTS[name])
        if self.usages:
            told = [status for status, calls in self.usages.items() if calls]
            fact.setdefault("usage_status", "partial" if len(told) > 1 else told[0])
        if self.attributes:
            if self.flags is None:
                self.flags = []
            attributes = facts.attributes(self.attributes, self.flags)
            if attributes is not None:
                fact["attributes"] = attributes
        if "input_tokens" in fact or "output_tokens" in fact:
            self.flags = self.flags or []
            facts.check_parts(fact, self.flags)
        if self.flags:
            fact["flags"] = ",".join(self.flags)
        self.recorder.sink.call(fact)
        self.open = False
        self.recorder.open.discard(self)


class _Unrecorded(ActiveCall):
    """A call for which there was no room left: at the end of the stack, or of memory."""

    def __init__(self) -> None:
        self.fact = {}

    def set(self, **attributes: object) -> None:
        return

    def usage(self, reply: object) -> None:
        return

    def first_token(self, at_ns: int | None = None) -> None:
        return

    @property
    def call_id(self) -> None:
        return None


unrecorded = _Unrecorded()
