"""HTTP clients that record: every request of an instrumented client is a call, those to LLMs with tokens and times.

    sdk           the httpx and httpx2 clients in an SDK's client, and which requests are one call of it
    watch         one request, from before it leaves to the end of its answer, and the call it belongs to
    endpoints     what a request is: an LLM's operation, provider and model, or a host and a route
    streams       bodies that come bit by bit
    sessions      the same for google-genai's sessions of aiohttp
    transport     the same for a transport, where there is no client to instrument
    answers       usage, model, finish and first token, read as the bytes pass; nothing else is kept

Watched is the client's `send`: redirects, authentication, proxies and time-outs are below it and stay what they are, an
SDK's retries are above.  Both families are known by their shape; neither is imported.
"""

from __future__ import annotations

from reporter.wire import sdk
from reporter.wire.transport import WatchedTransport
from reporter.wire.watch import Watching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeVar

    from reporter.recorder import Recorder

    Client = TypeVar("Client")


def instrument(
    recorder: Recorder, client: Client, *, hosts: Iterable[str] | None = None, ignore: Iterable[str] = ()
) -> Client:
    """See `Recorder.instrument`."""
    sdk.unwrap(client)
    watched = tuple(hosts) if hosts is not None else None
    sdk.wrap(client, Watching(recorder, sdk.provider_of(client), watched, tuple(ignore)))
    return client


def transport(
    recorder: Recorder, inner: Any, *, hosts: Iterable[str] | None = None, ignore: Iterable[str] = ()
) -> WatchedTransport:
    """See `Recorder.transport`."""
    watched = tuple(hosts) if hosts is not None else None
    return WatchedTransport(inner, Watching(recorder, None, watched, tuple(ignore)))


def uninstrument(client: Client) -> Client:
    """See `Recorder.uninstrument`."""
    sdk.unwrap(client)
    return client
