"""The HTTP clients inside an SDK's client, and the method under all of its calls, above its retries.

OpenAI, Anthropic, Groq and all made by the same generator    `_client`, under `request`
google.genai                                                  `_api_client`: `_httpx_client`, `_async_httpx_client` (or the
                                                              session from `_get_aiohttp_session`), under `_request`,
                                                              `_async_request`
Mistral                                                       `sdk_configuration`: `client`, `async_client`, under
                                                              `do_request` and `do_request_async` of each of its parts
"""

from __future__ import annotations

from reporter.decorate import is_coroutine_function
from reporter.wire.sessions import unwatched, watched_sessions
from reporter.wire.watch import SDKCall, Watching, watched_send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "google": "google", "groq": "groq", "mistralai": "mistral"}
_PLACES = (
    ("_client",),
    ("_api_client", "_httpx_client"),
    ("_api_client", "_async_httpx_client"),
    ("sdk_configuration", "client"),
    ("sdk_configuration", "async_client"),
)
_COPIES = ("copy", "with_options")
_METHODS = (("request",), ("_api_client", "_request"), ("_api_client", "_async_request"))
_PARTS = ("chat", "embeddings", "fim", "agents", "responses")
"""Of Mistral's client, what asks models; loaded here, as they are when they are used."""
_SESSION_OF = "_get_aiohttp_session"
_PART_METHODS = ("do_request", "do_request_async")


def clients_of(client: object) -> list[Any]:
    """The HTTP clients in `client`: itself, or those of an SDK.

    Raises:
        UsageError: there is none.
    """
    if _is_http_client(client):
        return [client]
    found = [inner for inner in (_at(client, place) for place in _PLACES) if _is_http_client(inner)]
    if not found:
        from reporter.errors import UsageError

        raise UsageError(
            f"instrument({type(client).__module__}.{type(client).__name__}): there is no httpx or httpx2 client in it;"
            " pass the client that it uses"
        )
    return found


def provider_of(client: object) -> str | None:
    """Whose SDK it is."""
    if _is_http_client(client):
        return None
    kind = type(client)
    if "Azure" in kind.__name__:
        return "azure"
    if "Bedrock" in kind.__name__:
        return "aws"
    if "Vertex" in kind.__name__:
        return "google"
    return next((_PROVIDERS[top] for top in _tops(kind) if top in _PROVIDERS), None)


def _tops(kind: type) -> Iterator[str]:
    for base in kind.__mro__:  # a subclass of the user's own is of the SDK it derives from
        yield base.__module__.partition(".")[0]


def wrap(client: object, watching: Watching) -> None:
    """Watch whatever `client` sends, and know which requests are one call of an SDK."""
    for inner in clients_of(client):
        send = inner.send
        inner.__dict__["send"] = watched_send(watching, send, is_coroutine_function(send))
    if not _is_http_client(client):
        _tell_calls(client)
        _watch_sessions(getattr(client, "_api_client", None), watching)


def _watch_sessions(holder: Any, watching: Watching) -> None:
    """Watch google-genai's sessions of aiohttp, where it uses any; say so if this version hides them."""
    if callable(getattr(holder, _SESSION_OF, None)):
        holder.__dict__[_SESSION_OF] = watched_sessions(watching, getattr(holder, _SESSION_OF))
    elif callable(getattr(holder, "_use_aiohttp", None)) and holder._use_aiohttp():
        watching.recorder.say(
            "google-genai's asynchronous calls are not recorded: this version makes them through aiohttp, out of sight."
            " Update it to 1.45 or later, or uninstall aiohttp"
        )


def _tell_calls(client: Any) -> None:
    """Know which requests are one call of this SDK's client, and of the copies it makes of itself."""
    for holder, name in _methods(client):
        holder.__dict__[name] = _one_call(getattr(holder, name))
    for name in _COPIES:
        if hasattr(client, name):
            client.__dict__[name] = _copied(getattr(client, name))


def unwrap(client: object) -> None:
    """Undo `wrap`."""
    holders = [(inner, "send") for inner in clients_of(client)]
    if not _is_http_client(client):
        holders += [*_methods(client), *((client, name) for name in _COPIES)]
        holder: Any = getattr(client, "_api_client", None)
        if hasattr(holder, _SESSION_OF):
            holders.append((holder, _SESSION_OF))
            kept = vars(holder)
            kept.update({name: unwatched(kept[name]) for name in ("_aiohttp_session",) if name in kept})
    for holder, name in holders:
        if hasattr(holder.__dict__.get(name), "__reporter__"):
            del holder.__dict__[name]


def _methods(client: object) -> Iterator[tuple[Any, str]]:
    for *places, name in _METHODS:
        holder = _at(client, tuple(places))
        if callable(getattr(holder, name, None)) and hasattr(holder, "__dict__"):
            yield holder, name
    if hasattr(client, "sdk_configuration"):
        for part in filter(None, (getattr(client, part, None) for part in _PARTS)):
            yield from ((part, name) for name in _PART_METHODS if callable(getattr(part, name, None)))


def _one_call(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, with all that it sends being one call."""
    if is_coroutine_function(method):

        async def one_call(*args: Any, **kwargs: Any) -> Any:
            with SDKCall():
                return await method(*args, **kwargs)

    else:

        def one_call(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # one name, two kinds
            with SDKCall():
                return method(*args, **kwargs)

    one_call.__reporter__ = method  # type: ignore[attr-defined]  # functions take attributes
    return one_call


def _copied(copy: Callable[..., Any]) -> Callable[..., Any]:
    """`copy` of an SDK's client: the copy shares its HTTP client, and its calls are to be known as calls, too."""

    def copied(*args: Any, **kwargs: Any) -> Any:
        made = copy(*args, **kwargs)
        _tell_calls(made)
        return made

    copied.__reporter__ = copy  # type: ignore[attr-defined]
    return copied


def _at(client: object, place: tuple[str, ...]) -> Any:
    for name in place:
        client = getattr(client, name, None)
    return client


def _is_http_client(client: object) -> bool:
    return all(callable(getattr(client, name, None)) for name in ("send", "build_request", "_transport_for_url"))
