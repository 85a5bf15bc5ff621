"""What the service shows over HTTP: /metrics to be scraped, /healthz and /readyz for whoever supervises it.

Only reads, knows three paths, and holds at most `MOST_AT_ONCE` connections, each for a few seconds.
"""

from __future__ import annotations

import errno
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any

from reporter.errors import AddressTaken, ConfigError
from reporter.exposition import CONTENT_TYPE, render
from reporter.serve.standing import Standing

OPENMETRICS = "application/openmetrics-text"
MOST_AT_ONCE = 32
_LATER = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.EMFILE, errno.ENFILE, socket.EAI_AGAIN)
"""What passes: whoever listens there ends, an interface or a name server comes up."""
_PLAIN = "text/plain; charset=utf-8"


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[::1]:PORT`, `:PORT` or `PORT` as host and port; the host is loopback if none is named.

    Raises:
        ConfigError: it is none of them.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535 or (":" in host and not host.startswith("[")):
        raise ConfigError(f"--listen {text!r}: write HOST:PORT, like 127.0.0.1:9464, or PORT for this machine only")
    return host.strip("[]") or "127.0.0.1", int(port)


class Pages(ThreadingHTTPServer):
    """The pages of one service, in threads of their own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], standing: Standing) -> None:
        self.standing = standing
        self._slots = BoundedSemaphore(MOST_AT_ONCE)
        try:
            if ":" in address[0]:
                self.address_family = socket.AF_INET6
            super().__init__(address, _Handler)
        except OSError as error:
            said = f"--listen {address[0]}:{address[1]}: can't listen there: {error.strerror}"
            if error.errno in _LATER:
                raise AddressTaken(said) from None
            raise ConfigError(said) from None

    def start(self) -> None:
        Thread(target=self.serve_forever, name="reporter-pages", daemon=True).start()

    @property
    def url(self) -> str:
        host, port = self.server_address[0], self.server_address[1]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that went away in mid-answer


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    server: Pages

    def do_GET(self) -> None:
        status, kind, body = self._answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  # as http.server looks it up

    def _answer(self) -> tuple[HTTPStatus, str, bytes]:
        standing, now = self.server.standing, time.monotonic()
        path = self.path.partition("?")[0]
        if path == "/metrics":
            page = None if standing.standby else standing.page
            if page is None:
                return _said(standing.unready(now) or "there is no page yet")
            if OPENMETRICS in self.headers.get("Accept", ""):
                kind = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
                return HTTPStatus.OK, kind, render(page.prepared.families, openmetrics=True)
            return HTTPStatus.OK, CONTENT_TYPE, page.body
        if path == "/healthz":
            return _said(standing.dead(now))
        if path == "/readyz":
            trouble = standing.unready(now)
            note = standing.push_trouble and f"\nbut the last push failed: {standing.push_trouble}"
            return _said(trouble, "" if trouble else note)
        return HTTPStatus.NOT_FOUND, _PLAIN, b"there are /metrics, /healthz and /readyz\n"

    def version_string(self) -> str:
        return "reporter"

    def log_message(self, format: str, *args: object) -> None:
        return


def _said(trouble: str, note: str = "") -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
    return status, _PLAIN, f"{trouble or 'ok'}{note}\n".encode()
