"""google-genai's asynchronous calls where aiohttp is installed: through sessions of aiohttp, not through an httpx client.

The SDK asks itself for its session before each request; what it gets is a view of that session, and neither the session nor
what it returns or raises changes.  An answer of a model is read as the SDK reads it; any other ends with its headers,
because the SDK leaves bodies unread that tell it nothing.
"""

from __future__ import annotations

from reporter.wire.watch import Watching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from reporter.wire.watch import Exchange


def watched_sessions(watching: Watching, session_of: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """`session_of`, which returns the SDK's session, returning it watched."""

    async def watched() -> Any:
        session = await session_of()
        return WatchedSession(unwatched(session), watching)

    watched.__reporter__ = session_of  # type: ignore[attr-defined]  # functions take attributes
    return watched


def unwatched(session: Any) -> Any:
    """The session itself: some versions of the SDK keep what they were given, and give it back."""
    return session.inner if isinstance(session, WatchedSession) else session


class WatchedSession:
    """A session whose requests are watched."""

    def __init__(self, inner: Any, watching: Watching) -> None:
        self.inner, self._watching = inner, watching

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def request(self, method: str, url: str, **options: Any) -> Any:
        """What the session returns."""
        exchange = self._watching.begin(_Asked(method, url, options.get("headers"), options.get("data")))
        if exchange is None:
            return await self.inner.request(method=method, url=url, **options)
        try:
            response = await self.inner.request(method=method, url=url, **options)
        except BaseException as error:
            exchange.failed(error)
            raise
        try:
            answered = _Answered(getattr(response, "_response", response))  # with mTLS it has another one around it
            answered.go_to(exchange, streamed="alt=sse" in str(url))
        except BaseException as own:
            self._watching.recorder.wall(own)
        return response


class _Asked:
    """A request, with the members that httpx's have."""

    def __init__(self, method: str, url: object, headers: dict[str, str] | None, content: object) -> None:
        self.method, self._url = method.upper(), str(url)
        self._headers, self.content = headers or {}, content

    @property
    def url(self) -> _URL:
        return _URL(self._url)

    @property
    def headers(self) -> _Headers:
        return _Headers([(name.encode(), str(value).encode()) for name, value in self._headers.items()])


class _URL:
    def __init__(self, url: str) -> None:
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        self.host, self.path = parts.hostname or "", parts.path


class _Headers:
    def __init__(self, raw: Any) -> None:
        self.raw = raw


class _Answered:
    """A response, with the members that httpx's have; `content` is its body, once that has been read."""

    def __init__(self, response: Any) -> None:
        self.response, self.content = response, b""
        self.status_code, self.headers = response.status, _Headers(response.raw_headers)

    def go_to(self, exchange: Exchange, *, streamed: bool) -> None:
        """Let `exchange` hear of it, now or when its body is read."""
        if streamed:
            exchange.answered(self, streamed=True, observe=_observe)
        elif exchange.asks_a_model and self.status_code < 400:
            self.response.content = _Whole(self.response.content, exchange, self)
        else:
            exchange.answered(self, streamed=False)


def _observe(answered: _Answered, exchange: Exchange) -> None:
    answered.response.content = _Observed(answered.response.content, exchange)


class _Body:
    """A response's body."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner, self._exchange = inner, exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Whole(_Body):
    """One that is read at once, by the SDK's call."""

    def __init__(self, inner: Any, exchange: Exchange, answered: _Answered) -> None:
        super().__init__(inner, exchange)
        self._answered = answered

    async def read(self, n: int = -1) -> bytes:
        try:
            body: bytes = await self._inner.read(n)
        except BaseException as error:
            self._exchange.failed(error)
            raise
        self._answered.content = body
        self._exchange.answered(self._answered, streamed=False)
        return body


class _Observed(_Body):
    """One that is read as it passes."""

    async def _heard(self, reading: Awaitable[bytes]) -> bytes:
        try:
            data = await reading
        except BaseException as error:
            self._told(self._exchange.broke, error)
            raise
        if data:
            self._told(self._exchange.passed, data)
        else:
            self._told(self._exchange.finished)
        return data

    async def readany(self) -> bytes:
        return await self._heard(self._inner.readany())

    async def readline(self) -> bytes:
        return await self._heard(self._inner.readline())

    async def read(self, n: int = -1) -> bytes:
        data = await self._heard(self._inner.read(n))
        if n < 0 and data:
            self._told(self._exchange.finished)
        return data

    async def iter_any(self) -> AsyncIterator[bytes]:
        while data := await self.readany():
            yield data

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        while data := await self.read(n):
            yield data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.readline():
            yield data

    def set_exception(self, *arguments: Any) -> None:
        """What a response does to a body that is left before its end."""
        self._told(self._exchange.broke, GeneratorExit())
        self._inner.set_exception(*arguments)

    def __del__(self) -> None:
        self._told(self._exchange.broke, GeneratorExit())

    def _told(self, what: Callable[..., None], *arguments: Any) -> None:
        try:
            what(*arguments)
        except BaseException as error:
            self._exchange.active.recorder.wall(error)
