"""A gateway on the loopback whose every answer a test writes, byte by byte, or passes on to a real one."""

from __future__ import annotations

import gzip
import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

EMPTY = b'{"status":"success","data":[]}'


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return gzip.decompress(self.body).decode()

    @property
    def sequence(self) -> int:
        found = re.search(r"^reporter_snapshot_sequence (\d+)$", self.text, re.MULTILINE)
        assert found is not None
        return int(found[1])


Answer = Callable[[Request, socket.socket], None]


class Loopback:
    """Takes requests one a connection, remembers them, and lets `answer` write to the socket; then closes it."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer, self.tls = answer, tls
        self.requests: list[Request] = []
        self.over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def puts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "PUT"]

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                request = _read(connection)
                self.requests.append(request)
                self.answer(request, connection)
        except OSError:
            connection.close()


def _read(connection: socket.socket) -> Request:
    with connection.makefile("rb") as stream:
        method, path, version = [*stream.readline().decode().split(" "), "", ""][:3]
        if not version:
            raise ConnectionError("gone before it asked")
        headers = {}
        while (line := stream.readline().decode().rstrip("\r\n")) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Request(method, path, headers, stream.read(int(headers.get("content-length", 0))))


# ── what an answer may be ──


def said(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def replying(status: str, body: bytes = b"", *headers: str) -> Answer:
    """Answers every PUT and DELETE so, and shows no groups."""

    def answer(request: Request, connection: socket.socket) -> None:
        connection.sendall(said("200 OK", EMPTY) if request.method == "GET" else said(status, body, *headers))

    return answer


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def forward(request: Request, url: str) -> bytes:
    """Pass a request on to the real gateway at `url`; its answer, to be sent or not."""
    real = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        headers = {name: value for name, value in request.headers.items() if name.startswith("content-")}
        real.request(request.method, request.path, request.body, headers)
        answer = real.getresponse()
        return said(f"{answer.status} {answer.reason}", answer.read())
    finally:
        real.close()
