"""One HTTP exchange with a gateway, over at a moment that nothing the other side does can put off.

A client's time-outs count from one byte to the next, so a server that drips holds them off for ever, and a name server may
hang before there is a socket.  So the exchange runs in a daemon thread, and at its end the socket is shut from outside: the
thread ends, and nothing of a request that was given up leaves later.  Redirects are not followed, the environment's proxies
not asked.
"""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx

MOST_SHOWN = 500
"""Characters of a gateway's answer that a message shows."""
_RAW_CHUNK_BYTES = 64 * 1024
_LEAVE_SECONDS = 0.1  # for the thread to see that its socket is shut


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Access:
    """With what a gateway is spoken to."""

    auth: tuple[str, str] | None = None
    bearer_token: str | None = None
    tls: ssl.SSLContext | None = None  # None: the certificate authorities that httpx brings

    @property
    def headers(self) -> dict[str, bytes]:
        """The credentials, as bytes: what a header can't hold is then refused by name, not shown."""
        if self.bearer_token is not None:
            return {"Authorization": b"Bearer " + self.bearer_token.encode()}
        if self.auth is not None:
            return {"Authorization": b"Basic " + base64.b64encode(":".join(self.auth).encode())}
        return {}

    @property
    def without_credentials(self) -> Access:
        """For another place than the one these credentials were given for; a client certificate is one of them."""
        return Access()

    def redacted(self, text: str) -> str:
        """`text` without the secrets, which a hostile or helpful server may send back, and without control characters."""
        secrets = [self.bearer_token or "", (self.auth or ("", ""))[1]]
        secrets += [value.decode(errors="replace").partition(" ")[2] for value in self.headers.values()]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, "***")
        printable = "".join(character if character.isprintable() else " " for character in text)
        return " ".join(printable.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: a status and a body, or why there was none."""

    status: int | None = None
    body: bytes = b""
    whole: bool = True  # False: the body is longer than was asked for, and cut
    text: str = ""  # for people: the body's beginning, or what went wrong; no secret, no control character
    sent: bool = True  # False: there was no connection, so nothing of the request can have arrived
    silent: bool = False  # the other side closed the connection without a word
    final: bool = False  # trying again can't help: the other side is not who it should be
    date: str = ""  # what the other side's clock said, as its header has it

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(slots=True)
class _Line:
    """The connection of one exchange, so that it can be cut from outside."""

    stream: Any = None
    status: int | None = None  # known before the body has come
    given_up: bool = False
    answers: list[Answer] = field(default_factory=list)

    def trace(self, event: str, information: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.stream = information["return_value"]
        if self.given_up:
            raise httpx.ReadTimeout("given up")

    def cut(self) -> None:
        self.given_up = True
        if self.stream is not None:
            try:  # the plain socket's shutdown, also under TLS: there is no time for a farewell
                socket.socket.shutdown(self.stream.get_extra_info("socket"), socket.SHUT_RDWR)
            except OSError:
                pass  # closed meanwhile


def exchange(
    access: Access,
    method: str,
    url: str,
    until: float,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    most_bytes: int = 64 * 1024,
) -> Answer:
    """Send a request and take the answer, at most `most_bytes` of it; at `until` (monotonic seconds) it is over."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        return Answer(text="no time left", whole=False, sent=False)
    line = _Line()
    request = (access, method, url, seconds, content, {**(headers or {}), **access.headers}, most_bytes)
    thread = Thread(target=_run, args=(line, *request), name="reporter-gateway", daemon=True)
    thread.start()
    thread.join(seconds)
    if line.answers:
        return line.answers[0]
    line.cut()
    thread.join(_LEAVE_SECONDS)
    text = f"no whole answer within {seconds:.1f} s"
    return Answer(status=line.status, whole=False, text=text, sent=line.stream is not None)


def _run(
    line: _Line,
    access: Access,
    method: str,
    url: str,
    seconds: float,
    content: bytes | None,
    headers: Mapping[str, str | bytes],
    most_bytes: int,
) -> None:
    encoded = {name.encode(): value.encode() if isinstance(value, str) else value for name, value in headers.items()}
    encoded[b"Accept-Encoding"] = b"identity"  # so that a small answer can't become a large one
    try:
        with (
            # Its own time-out is the later one, so that what people read does not depend on which is noticed first.
            httpx.Client(verify=_tls(access, url), trust_env=False, timeout=seconds + 1) as client,
            client.stream(method, url, content=content, headers=encoded, extensions={"trace": line.trace}) as response,
        ):
            line.status = response.status_code
            body = bytearray()
            for chunk in response.iter_raw(_RAW_CHUNK_BYTES):
                body += chunk
                if len(body) > most_bytes:
                    break
            whole = len(body) <= most_bytes
            text = access.redacted(bytes(body[: 4 * MOST_SHOWN]).decode("utf-8", "replace"))[:MOST_SHOWN]
            body = body[:most_bytes]
            date = response.headers.get("Date", "")
            line.answers.append(
                Answer(status=response.status_code, body=bytes(body), whole=whole, text=text, date=date)
            )
    except httpx.LocalProtocolError:  # its text shows the header
        line.answers.append(Answer(text="the credentials hold a character that no header can", sent=False, final=True))
    except httpx.HTTPError as error:
        line.answers.append(
            Answer(
                text=access.redacted(f"{type(error).__name__}: {error}")[:MOST_SHOWN],
                sent=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol),
                silent=isinstance(error, httpx.RemoteProtocolError),
                final=_is_stranger(error),
            )
        )


def _tls(access: Access, url: str) -> ssl.SSLContext:
    if access.tls is not None:
        return access.tls
    if urlsplit(url).scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and made in no time
    return httpx.create_ssl_context(trust_env=False)


def _is_stranger(error: BaseException | None) -> bool:
    """Whether one side would not have the other's certificate."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and (
            "CERTIFICATE_VERIFY_FAILED" in str(error) or "ALERT" in str(error.reason)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
