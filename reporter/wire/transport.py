"""A transport to pass by hand, where the client is not at hand: around the one that would have been used.

It sees one request at a time: a redirect goes on with the request that follows it, an SDK's retries are calls of their own
unless one is open around them, and a response is always a stream.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from reporter.wire.watch import Watching


class WatchedTransport:
    """Any transport of either family, watched; synchronous or asynchronous, as the one inside it."""

    def __init__(self, inner: Any, watching: Watching) -> None:
        self._inner, self._watching = inner, watching

    def handle_request(self, request: Any) -> Any:
        exchange = self._watching.begin(request)
        if exchange is None:
            return self._inner.handle_request(request)
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.answered(response, streamed=True, may_be_followed=True)
        return response

    async def handle_async_request(self, request: Any) -> Any:
        exchange = self._watching.begin(request)
        if exchange is None:
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.answered(response, streamed=True, may_be_followed=True)
        return response

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)
