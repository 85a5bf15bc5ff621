"""Watching requests: each is a call of its own, part of the call that is open around it, or one attempt of an SDK's call.

    open call around it (`@call`)     → it tells that one: tokens added up, first token, HTTP status, retries
    an SDK's call around it           → the first attempt begins a call, later ones are its retries, the SDK's return ends it
    neither                           → a call of its own

A streamed answer is read as its bytes pass and ends with its last event, not when its reader is done with it.
"""

from __future__ import annotations

from _contextvars import ContextVar

from reporter.call import CallRecording, current_call
from reporter.outcome import of_call
from reporter.wire.answers import MOST_BODY_BYTES, Answer
from reporter.wire.endpoints import endpoint
from reporter.wire.streams import observe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from reporter.call import ActiveCall
    from reporter.recorder import Recorder

current_sdk_call: ContextVar[SDKCall | None] = ContextVar("reporter_sdk_call", default=None)
redirected_call: ContextVar[tuple[ActiveCall, str] | None] = ContextVar("reporter_redirected_call", default=None)

CUT = "StreamCut"
"""The `error_type` of a stream that ended in good order, but before its last word."""
_CLAIMED = (b"application/json", b"text/html")  # a page instead of an answer is a proxy's, and no success
_TRACEPARENT_LENGTH = 55
_REQUEST_IDS = (b"x-request-id", b"request-id", b"x-goog-request-id")


class Watching:
    """How the requests of one client are watched."""

    def __init__(
        self, recorder: Recorder, provider: str | None, hosts: tuple[str, ...] | None, ignore: tuple[str, ...]
    ) -> None:
        self.recorder, self.provider, self.hosts, self.ignore = recorder, provider, hosts, ignore

    def watches(self, host: str) -> bool:
        """Whether requests to `host` are recorded."""
        if self.hosts is None and not self.ignore:
            return True
        from fnmatch import fnmatchcase

        wanted = self.hosts is None or any(fnmatchcase(host, pattern) for pattern in self.hosts)
        return wanted and not any(fnmatchcase(host, pattern) for pattern in self.ignore)

    def begin(self, request: Any) -> Exchange | None:
        """Watch a request that is about to leave; None: it is not to be recorded, or can't be."""
        recorder = self.recorder
        try:
            if not (recorder.records or recorder.decide()) or not self.watches(request.url.host):
                return None
            return Exchange(self, request)
        except BaseException as error:
            recorder.wall(error)
            return None


class SDKCall:
    """One call of an SDK's method: as many requests as the SDK thinks fit, one after the other."""

    __slots__ = ("_token", "active", "outcome")

    def __init__(self) -> None:
        self.active: ActiveCall | None = None  # begun by the first request, unless a call was open around it
        self.outcome: tuple[str, str | None] = ("success", None)  # of the last attempt
        self._token: Any = None

    def __enter__(self) -> None:
        self._token = current_sdk_call.set(self)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        current_sdk_call.reset(self._token)
        active = self.active
        if active is None or not active.open:
            return
        if self.outcome[0] == "success" and error is not None:  # not the wire's fault: cancelled, or not understood
            active.__exit__(type(error), error, None)
        else:
            active.end(*self.outcome)


class Wire:
    """What a call's requests have told so far."""

    __slots__ = ("failed", "kind", "silent", "told", "totals")

    def __init__(self) -> None:
        self.failed = False  # the last attempt
        self.told = self.silent = False  # whether an answer told its usage, and whether one did not
        self.kind: object = None  # the price class of the answers so far
        self.totals: dict[str, int] = {}


class Exchange:
    """One request and its answer.  Nothing of it raises, but for what is the job's."""

    __slots__ = (
        "_answer",
        "_began_ns",
        "_body",
        "_claimed",
        "_clock",
        "_events",
        "_first_token_ns",
        "_found",
        "_over",
        "_owns",
        "_sdk_call",
        "_url",
        "_watching",
        "_wire",
        "active",
        "row",
    )

    def __init__(self, watching: Watching, request: Any) -> None:
        self._watching = watching
        self._clock = watching.recorder.clock.monotonic_ns
        self._url = request.url
        headers = plain(request.headers)
        found = endpoint(request.method, request.url.host, request.url.path, headers, _body(request), watching.provider)
        self._found = found
        self._began_ns, self._first_token_ns = self._clock(), 0
        self._answer = Answer() if found.model is not None else None
        self._body = b""  # of a JSON answer that comes bit by bit
        self._claimed = self._events = self._over = False
        self._sdk_call = current_sdk_call.get()
        trace = headers.get(b"traceparent", b"")
        outer = current_call.get()
        self._owns = False  # whether this exchange's end is the call's
        redirected = _followed(request.url) if redirected_call.get() is not None else None
        if redirected is not None:
            self.active, self._owns = redirected, True
            self._answer = Answer() if "model" in redirected.fact else None  # the body may not be there a second time
        elif self._sdk_call is not None and self._sdk_call.active is not None and self._sdk_call.active.open:
            self.active = self._sdk_call.active
        elif outer is not None and (outer.owner or outer).open:
            self.active, self._sdk_call = outer, None
            row = outer.owner or outer  # whose provider, if it says one, is what people call theirs
            row.name_model(
                None if "provider" in row.fact else found.provider, found.model if found.model_is_told else None
            )
        else:
            self.active = CallRecording(
                watching.recorder, found.operation, found.provider, found.model, None, {}
            ).begin()
            if self._sdk_call is None:
                self._owns = True
            else:
                self._sdk_call.active = self.active
        self.row = self.active.owner or self.active  # the call that is recorded
        if len(trace) == _TRACEPARENT_LENGTH:
            self.row.tell("trace_id", trace[3:35].decode("ascii", "replace"))
        self._wire = self.active.wire = self.active.wire or Wire()
        self.row.fact["retries"] = self.row.fact.get("retries", 0) + self._wire.failed
        self._wire.failed = False

    def failed(self, error: BaseException) -> None:
        """There is no answer."""
        try:
            self._over = True
            self._wire.failed = True
            self.row.fact.pop("http_status", None)  # an earlier attempt's
            status, error_type, _ = of_call(error)
            if self._answer is not None:
                self._say_usage_status()
            if self._owns:
                self.active.end(status, error_type)
            elif self._sdk_call is not None:
                self._sdk_call.outcome = (status, error_type)
        except BaseException as own:
            self._watching.recorder.wall(own)

    @property
    def asks_a_model(self) -> bool:
        """Whether the answer is to be read."""
        return self._answer is not None

    def answered(
        self,
        response: Any,
        *,
        streamed: bool,
        may_be_followed: bool = False,
        observe: Callable[[Any, Exchange], None] = observe,
    ) -> None:
        """There is an answer; its body has been read, or will be, and `observe` lets this hear of it then."""
        try:
            active, status = self.row, response.status_code
            headers = plain(response.headers)
            if may_be_followed and self._owns and b"location" in headers and 300 <= status < 400:
                self._over = True
                active.fact["http_status"], active.status = status, "success"  # unless it is followed
                active.ended_ns = active.recorder.clock.monotonic_ns()
                active.pause()
                redirected_call.set((active, str(self._url.join(response.headers["location"]))))
                return
            active.fact["http_status"] = status
            self._wire.failed = status >= 400
            for name in _REQUEST_IDS:
                if name in headers:
                    active.set(request_id=headers[name].decode("ascii", "replace"))
                    break
            kind = headers.get(b"content-type", b"")
            self._events = b"event-stream" in kind
            self._claimed = kind.startswith(_CLAIMED)
            if not streamed:
                self._read_whole(response.content)
                self._end(*self._judged())
            elif status >= 400 and not self._owns:  # whoever called reads it, and raises or tries again
                self._end(*_outcome(status))
            else:
                if self._sdk_call is not None:  # the SDK returns before the stream has come
                    self._owns, self._sdk_call.active = True, None
                if self._owns:
                    active.pause()
                if self._events and self._answer is not None:
                    active.fact["stream"] = 1
                    self._say_usage_status()  # until the stream has told
                observe(response, self)
        except BaseException as own:
            self._watching.recorder.wall(own)

    def _read_whole(self, body: bytes) -> None:
        answer = self._answer
        if answer is None:
            return
        if self._events:
            answer.first_token = True  # it has come, nobody knows when
            answer.feed(body)
            answer.finish_feeding()
        else:
            answer.read_json(body, claimed=self._claimed)

    # ── a body that comes bit by bit ──

    def passed(self, data: bytes) -> None:
        """Decoded bytes of the body have come."""
        if self._over:
            return
        active, answer, at_ns = self.active, self._answer, self._clock()
        if self._owns:
            active.ended_ns = at_ns
        if answer is None:
            return
        if not self._events:
            self._body += data
            if len(self._body) > 2 * MOST_BODY_BYTES:  # its end matters
                self._body = self._body[-MOST_BODY_BYTES:]
            return
        before = answer.first_token
        answer.feed(data)
        if answer.first_token and not before:
            self._first_token_ns = at_ns
            active.first_token(at_ns)
        if answer.ended:
            self._end(*self._judged())

    def finished(self) -> None:
        """The body is whole."""
        if not self._over:
            if self._answer is not None and self._events:
                self._answer.finish_feeding()
            elif self._answer is not None:
                self._answer.read_json(self._body, claimed=self._claimed)
            self._end(*self._judged())

    def broke(self, error: BaseException) -> None:
        """The body broke off, or its reader did."""
        if not self._over:
            status, error_type, _ = of_call(error)
            self._wire.failed = True
            if status != "abandoned":
                self.active.ended_ns = None  # whoever read it waited until now
            else:
                error_type = None
                if self._answer is not None and self._body:  # an SDK stops where it sees an error
                    self._answer.read_json(self._body)
                    if self._answer.error_type is not None:
                        status, error_type = self._judged()
            self._end(status, error_type)

    def _judged(self) -> tuple[str, str | None]:
        """(status, error_type) of an answer that is whole: what it tells, for its HTTP status may be 200 all the same."""
        http_status, answer = self.row.fact.get("http_status", 200), self._answer
        fault = None
        if http_status < 300 and answer is not None:
            fault = answer.error_type or (CUT if self._events and answer.cut else None)
        self.row.fault = fault
        return _outcome(http_status) if fault is None else ("error", fault)

    def _end(self, status: str, error_type: str | None) -> None:
        self._over = True
        if not self.row.open:
            if not self._owns and self._answer is not None:
                self._outlived(self._answer, status, error_type)
            return
        if self._answer is not None:
            self._tell(self._answer)
        if self._owns:
            self.active.end(status, error_type)
        elif self._sdk_call is not None:
            self._sdk_call.outcome = (status, error_type)

    def _outlived(self, answer: Answer, status: str, error_type: str | None) -> None:
        """The call around it had ended before its stream did, a function's that returned the stream, say: a row of its own."""
        told = answer.columns()
        self._watching.recorder.record(
            operation=self._found.operation, provider=self._found.provider, model=self._found.model, status=status,
            error_type=error_type, duration_seconds=(self._clock() - self._began_ns) / 1e9, stream=1,
            ttft_seconds=(self._first_token_ns - self._began_ns) / 1e9 if self._first_token_ns else None,
            usage_status={None: "missing", False: "partial", True: "complete"}[_knows_tokens(told)],
            finish_reason=answer.finish, **told,
        )  # fmt: skip

    def _tell(self, answer: Answer) -> None:
        """What the answer says goes to the call; tokens of several answers are added up."""
        row, active, totals = self.row, self.active, self._wire.totals
        told, said = answer.columns(), active.said or ()
        kind = told.pop("price_class", None)
        for name, value in told.items():
            if type(value) is not int or value < 0:
                row.tell(name, value)  # which flags a count that is none
            elif name not in said:
                totals[name] = total = totals.get(name, 0) + value
                active.count(name, total)
        row.tell("finish_reason", answer.finish)
        if not self._found.model_is_told and row.fact.get("model") in (None, self._found.model):
            row.tell("model", answer.model)
        known = _knows_tokens(told)
        if known is None:
            if row.fact["http_status"] < 400:
                self._wire.silent = True
        else:
            self._served(kind)
            self._wire.told = True
            cut_off = self._events and (
                answer.error_type or not (answer.ended or answer.finish)
            )  # before the last word
            if cut_off or not known:
                self._wire.silent = True
        if answer.usage:
            row.set(usage=answer.usage)
        if known is not None or row.fact["http_status"] < 400:  # of a refusal there is no usage that could be missing
            self._say_usage_status()

    def _served(self, kind: object) -> None:
        """In which price class an answer came; tokens of several have no price, as they are one sum."""
        wire = self._wire
        if wire.told and kind != wire.kind:
            kind = "several"
        wire.kind = kind
        self.row.tell("price_class", kind)

    def _say_usage_status(self) -> None:
        wire = self._wire
        if not self.active.said:
            self.active.tell_usage_status(("partial" if wire.silent else "complete") if wire.told else "missing")


def _knows_tokens(told: dict[str, Any]) -> bool | None:
    """Whether an answer told its tokens; False: some of them are no counts; None: it told none."""
    counts = [told[name] for name in ("input_tokens", "output_tokens") if name in told]
    return min(counts) >= 0 if counts and max(counts) >= 0 else None


def plain(headers: Any) -> dict[bytes, bytes]:
    """Headers by their names in lower case: a client's own lookup walks through all of them each time."""
    return {name.lower(): value for name, value in headers.raw}


def _followed(url: Any) -> ActiveCall | None:
    """The call that was redirected to `url` just now, going on; one that was redirected elsewhere is over."""
    redirected = redirected_call.get()
    redirected_call.set(None)
    if redirected is None or not redirected[0].open:
        return None
    active, location = redirected
    if location != str(url):
        active.end("success")
        return None
    active.status = active.ended_ns = None
    active.resume()
    return active


def _outcome(http_status: int) -> tuple[str, str | None]:
    return ("success", None) if http_status < 400 else ("error", str(http_status))


def _body(request: Any) -> bytes:
    """The request's body, if it is there at once."""
    try:
        body = request.content
    except Exception:  # a body that is produced as it is sent
        return b""
    return body if isinstance(body, bytes) else b""


def watched_send(watching: Watching, send: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
    """`send` of an HTTP client, watched."""
    if is_async:

        async def watched(request: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = watching.begin(request)
            if exchange is None:
                return await send(request, *args, **kwargs)
            try:
                response = await send(request, *args, **kwargs)
            except BaseException as error:
                exchange.failed(error)
                raise
            exchange.answered(response, streamed=bool(kwargs.get("stream")))
            return response

    else:

        def watched(request: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # one name, two kinds
            exchange = watching.begin(request)
            if exchange is None:
                return send(request, *args, **kwargs)
            try:
                response = send(request, *args, **kwargs)
            except BaseException as error:
                exchange.failed(error)
                raise
            exchange.answered(response, streamed=bool(kwargs.get("stream")))
            return response

    watched.__reporter__ = send  # type: ignore[attr-defined]  # functions take attributes
    return watched
