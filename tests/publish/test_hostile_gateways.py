"""A push ends within its deadline, with the right exit code and words, whatever the gateway does."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reporter import cycle
from reporter.errors import PublishError, PublishRetryLater
from reporter.publish.pushgateway import MOST_LISTING_BYTES, MOST_SILENT
from reporter.store import open_store
from tests.publish.loopback import EMPTY, Answer, Loopback, Request, forward, replying, reset, said
from tests.publish.pushing import configured, run, value_of, written
from tests.servers import Server, wait_for

TIMEOUT = "timeout: 1s"
SLACK_SECONDS = 1.5  # for folding, and for two busy cores


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("REPORTER_DATABASE_URL", raising=False)
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(tmp_path / "spool"))
    return f"sqlite:///{tmp_path}/jobs.db"


def in_vain(directory: Path, database: str, answer: Answer) -> tuple[PublishError, float, int]:
    """Push to a gateway that answers so: the error, how long it took, how many PUTs came."""
    with Loopback(answer) as gateway:
        config, store = configured(directory, database, gateway.url, gateway=TIMEOUT), open_store(database)
        began = time.monotonic()
        with pytest.raises(PublishError) as raised:
            cycle.push(store, config, time.time_ns())
        took = time.monotonic() - began
        wait_for(lambda: not _gateway_threads(), 3, "no thread is left behind")
        return raised.value, took, len(gateway.puts())


def _gateway_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reporter-gateway"]


def hang(request: Request, connection: socket.socket) -> None:
    connection.settimeout(60)
    connection.recv(1)  # until the other side goes away


def drip(request: Request, connection: socket.socket) -> None:
    """A head that never ends, a byte at a time, each well within any time-out between bytes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_body(request: Request, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def say_nothing(request: Request, connection: socket.socket) -> None:
    """What Pushgateway 1.11 does when a push makes it panic."""
    if request.method == "GET":
        connection.sendall(said("200 OK", EMPTY))


def send_reset(request: Request, connection: socket.socket) -> None:
    reset(connection)


def flood(request: Request, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    while True:
        connection.sendall(b"no " * 10_000)


def flood_zipped(request: Request, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    while True:
        connection.sendall(b"\x00" * 30_000)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (replying("503 Service Unavailable", b"draining"), "503 draining"),
        (replying("429 Too Many Requests", b"slow down"), "429 slow down"),
        (hang, "no whole answer within"),
        (drip, "no whole answer within"),
        (drip_body, "500 no whole answer within"),
        (send_reset, "Error"),
    ],
    ids=["503", "429", "black hole", "dripping head", "dripping body", "reset"],
)
def test_a_gateway_that_gives_no_answer_costs_the_deadline_and_no_more(
    tmp_path: Path, database: str, answer: Answer, words: str
) -> None:
    error, took, puts = in_vain(tmp_path, database, answer)
    assert isinstance(error, PublishRetryLater)
    assert words in str(error)
    assert "nothing is lost" in str(error)
    assert took < 1 + SLACK_SECONDS
    assert 1 <= puts <= 8


def test_what_the_gateway_said_before_it_fell_silent_is_what_is_told(tmp_path: Path, database: str) -> None:
    said_it = threading.Event()

    def answer(request: Request, connection: socket.socket) -> None:
        if said_it.is_set():
            hang(request, connection)
        elif request.method == "PUT":
            said_it.set()
            connection.sendall(said("503 Service Unavailable", b"being moved"))
        else:
            connection.sendall(said("200 OK", EMPTY))

    with Loopback(answer) as gateway:
        config = configured(tmp_path, database, gateway.url, gateway=TIMEOUT)
        with pytest.raises(PublishRetryLater, match="503 being moved"):
            cycle.push(open_store(database), config, time.time_ns())


def test_a_gateway_that_panics_is_not_asked_for_ever(tmp_path: Path, database: str) -> None:
    error, _, puts = in_vain(tmp_path, database, say_nothing)
    assert isinstance(error, PublishRetryLater)
    assert "panics" in str(error)
    assert puts == MOST_SILENT


def test_a_flood_of_an_answer_is_cut(tmp_path: Path, database: str) -> None:
    error, took, puts = in_vain(tmp_path, database, flood)
    assert not isinstance(error, PublishRetryLater)
    assert len(str(error)) < 1_000
    assert took < 1 + SLACK_SECONDS
    assert puts == 1


def test_a_push_that_is_taken_with_a_flood_of_an_answer_is_done(tmp_path: Path, database: str) -> None:
    with Loopback(flood_zipped) as gateway:
        config = configured(tmp_path, database, gateway.url, gateway=TIMEOUT)
        assert cycle.push(open_store(database), config, time.time_ns()).attempts == 1


def test_a_refusal_is_shown_and_not_tried_again(tmp_path: Path, database: str) -> None:
    with Loopback(replying("400 Bad Request", b"pushed metrics are \x1b[31minvalid\r\n")) as gateway:
        done = run(written(tmp_path, database, gateway.url), "push")
        assert (done.returncode, done.stdout) == (1, "")
        assert "refused the push (400): pushed metrics are [31minvalid\n" in done.stderr
        assert len(gateway.puts()) == 1


def test_the_last_success_of_a_refused_push_stands_still(tmp_path: Path, database: str, pushgateway: Server) -> None:
    refusing = False

    def answer(request: Request, connection: socket.socket) -> None:
        if refusing and request.method == "PUT":
            request = Request(request.method, request.path, {}, b"twice 1\ntwice 1\n")
        connection.sendall(forward(request, pushgateway.url))

    with Loopback(answer) as gateway:
        config, store = configured(tmp_path, database, gateway.url), open_store(database)
        cycle.push(store, config, time.time_ns())
        before = value_of(pushgateway.url, "reporter_last_success_timestamp_seconds")
        refusing = True
        with pytest.raises(PublishError, match=r"refused the push \(400\): pushed metrics are invalid"):
            cycle.push(store, config, time.time_ns())
        assert value_of(pushgateway.url, "reporter_last_success_timestamp_seconds") == before
        assert value_of(pushgateway.url, "push_failure_time_seconds")
        refusing = False
        cycle.push(store, config, time.time_ns())
        assert value_of(pushgateway.url, "reporter_last_success_timestamp_seconds") > before


def test_no_answer_exits_75(tmp_path: Path, database: str) -> None:
    with Loopback(replying("502 Bad Gateway")) as gateway:
        done = run(written(tmp_path, database, gateway.url, gateway=TIMEOUT), "push")
    assert (done.returncode, done.stdout) == (75, "")
    assert "nothing is lost" in done.stderr


def test_a_redirect_is_not_followed_and_takes_no_credentials_along(tmp_path: Path, database: str) -> None:
    with Loopback(replying("200 OK")) as elsewhere:
        with Loopback(replying("307 Temporary Redirect", b"", f"Location: {elsewhere.url}/metrics")) as gateway:
            secret = "username: push, password: '${SECRET}'"
            done = run(written(tmp_path, database, gateway.url, gateway=secret), "push", SECRET="canary-3f1")
            assert {request.headers["authorization"][:6] for request in gateway.requests} == {"Basic "}
        assert done.returncode == 1
        assert "redirects, which a push does not follow" in done.stderr
        assert elsewhere.requests == []


def test_a_look_that_is_redirected_is_not_followed_either(tmp_path: Path, database: str) -> None:
    with Loopback(replying("200 OK")) as elsewhere:

        def answer(request: Request, connection: socket.socket) -> None:
            moved = said("302 Found", b"", f"Location: {elsewhere.url}/api/v1/metrics")
            connection.sendall(moved if request.method == "GET" else said("200 OK"))

        with Loopback(answer) as gateway:
            pushed = cycle.push(open_store(database), configured(tmp_path, database, gateway.url), time.time_ns())
        assert "can't be looked at (302)" in pushed.notes[0]
        assert elsewhere.requests == []


def test_a_look_that_hangs_or_floods_does_not_hold_up_the_push(tmp_path: Path, database: str) -> None:
    def flood_looks(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT":
            connection.sendall(said("200 OK"))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(MOST_LISTING_BYTES // 2**20 + 2):
            connection.sendall(b"[" * 2**20)

    def hang_looks(request: Request, connection: socket.socket) -> None:
        (hang if request.method == "GET" else replying("200 OK"))(request, connection)

    for answer, words in ((flood_looks, "it shows more than 32 MiB"), (hang_looks, "no whole answer within")):
        with Loopback(answer) as gateway:
            config = configured(tmp_path, database, gateway.url, gateway="timeout: 4s")
            pushed = cycle.push(open_store(database), config, time.time_ns())
        assert pushed.attempts == 1
        assert words in pushed.notes[0]


def test_the_environments_proxies_are_ignored(tmp_path: Path, database: str, pushgateway: Server) -> None:
    with Loopback(replying("500 Internal Server Error")) as proxy:
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        done = run(written(tmp_path, database, pushgateway.url), "push", **dict.fromkeys(names, proxy.url), no_proxy="")
        assert done.returncode == 0, done.stderr
        assert proxy.requests == []


@pytest.mark.parametrize("secret", ["username: push, password: '${SECRET}'", "bearer_token_file: token"])
def test_credentials_are_not_sent_over_plain_http_to_another_machine(
    tmp_path: Path, database: str, secret: str
) -> None:
    (tmp_path / "token").write_text("canary-3f1")
    done = run(written(tmp_path, database, "http://gateway.example:9091", gateway=secret), "push", SECRET="canary-3f1")
    assert done.returncode == 2
    assert "must be https" in done.stderr
    assert not (tmp_path / "jobs.db").exists()


@pytest.mark.parametrize("secret", ["username: push, password: '${SECRET}'", "bearer_token_file: token"])
@pytest.mark.parametrize("status", ["400 Bad Request", "503 Service Unavailable"])
def test_a_secret_is_in_no_output_log_or_file_even_if_the_gateway_sends_it_back(
    tmp_path: Path, database: str, secret: str, status: str
) -> None:
    canary = "canary-3f1/+ü"
    (tmp_path / "token").write_text(canary)
    seen = []

    def tell_all(request: Request, connection: socket.socket) -> None:
        seen.append(request.headers["authorization"])
        told = json.dumps({**request.headers, "password": canary}, ensure_ascii=False).encode(
            "utf-8", "surrogateescape"
        )
        connection.sendall(said(status, told))

    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG); from reporter.cli import main;"
        " sys.argv = sys.argv[:1] + sys.argv[2:]; main()"
    )
    with Loopback(tell_all) as gateway:
        config = written(tmp_path, database, gateway.url, gateway=f"{secret}, {TIMEOUT}")
        done = subprocess.run(
            [sys.executable, "-c", program, "-", "--config", str(config), "push"],
            capture_output=True,
            env={**os.environ, "SECRET": canary, "REPORTER_TRACEBACK": "1"},
            check=False,
        )
    assert done.returncode in (1, 75)
    assert b"HTTP Request: PUT" in done.stderr  # the log is on
    assert b"***" in done.stderr  # what was sent back is shown, without the secret
    assert seen
    kept = [path.read_bytes() for path in tmp_path.glob("jobs.db*")]
    for hidden in (canary.encode(), base64.b64encode(f"push:{canary}".encode()), repr(canary)[1:-1].encode()):
        assert all(hidden not in text for text in (done.stdout, done.stderr, *kept))


def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(tmp_path: Path, database: str) -> None:
    (tmp_path / "token").write_text("canary-3f1 ")
    with Loopback(replying("200 OK")) as gateway:
        done = run(written(tmp_path, database, gateway.url, gateway="bearer_token_file: token"), "push")
        assert gateway.requests == []
    assert done.returncode == 1
    assert "credentials" in done.stderr
    assert "canary" not in done.stderr
