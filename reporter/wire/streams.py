"""Bodies that are read as they pass: a stream of the client's own kind around the client's stream.

A client asks whether a stream is of its module's class, so the class is made for each module.  What closes it does not wait
for anything: a record that hung on an `await` is lost when the task is cancelled twice.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from reporter.wire.watch import Exchange

_classes: dict[type, type] = {}


def observe(response: Any, exchange: Exchange) -> None:
    """From here on `exchange` hears what passes through the body of `response`."""
    inner = response.stream
    for base in type(inner).__mro__:
        if base.__name__ in ("SyncByteStream", "AsyncByteStream"):
            break
    else:
        raise TypeError(f"{type(inner).__module__}.{type(inner).__name__} is no byte stream")
    found = _classes.get(base)
    if found is None:
        mixin = _Observed if base.__name__ == "SyncByteStream" else _AsyncObserved
        found = _classes[base] = type(mixin.__name__, (mixin, base), {})
    response.stream = found(inner, exchange, decoder_of(response))


def decoder_of(response: Any) -> Callable[[bytes], bytes] | None:
    """What undoes the content encoding; None: there is none.  One that is not known leaves the bytes as they are."""
    encodings = response.headers.get("content-encoding", "identity").lower().replace(" ", "")
    if encodings in ("", "identity"):
        return None
    family = type(response).__module__.partition(".")[0]
    known = getattr(sys.modules.get(f"{family}._decoders"), "SUPPORTED_DECODERS", {})
    decoders = [known[name]() for name in reversed(encodings.split(",")) if name in known]

    def decode(data: bytes) -> bytes:
        for decoder in decoders:
            decoded = decoder.decode(data)
            data = decoded if isinstance(decoded, bytes) else b"".join(decoded)
        return data

    return decode


class _Base:
    def __init__(self, inner: Any, exchange: Exchange, decode: Callable[[bytes], bytes] | None) -> None:
        self._inner, self._exchange, self._decode = inner, exchange, decode

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        self._told(self._exchange.broke, GeneratorExit())

    def _passed(self, data: bytes) -> None:
        try:
            self._exchange.passed(data if self._decode is None else self._decode(data))
        except BaseException as error:
            self._exchange.active.recorder.wall(error)

    def _told(self, what: Callable[..., None], *arguments: Any) -> None:
        try:
            what(*arguments)
        except BaseException as error:
            self._exchange.active.recorder.wall(error)


class _Observed(_Base):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._inner:
                self._passed(data)
                yield data
        except BaseException as error:
            self._told(self._exchange.broke, error)
            raise
        self._told(self._exchange.finished)

    def close(self) -> None:
        self._told(self._exchange.broke, GeneratorExit())
        self._inner.close()


class _AsyncObserved(_Base):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._inner:
                self._passed(data)
                yield data
        except BaseException as error:
            self._told(self._exchange.broke, error)
            raise
        self._told(self._exchange.finished)

    async def aclose(self) -> None:
        self._told(self._exchange.broke, GeneratorExit())
        await self._inner.aclose()
