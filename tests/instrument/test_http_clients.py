"""Bare clients of both families: LLM calls known by their path, all else by host and route; nothing of the client changes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

import reporter
from reporter import Recorder
from reporter.errors import UsageError
from reporter.sinks.memory import MemorySink
from tests.instrument.llm_server import LLMServer

FAMILIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "canary-prompt"}]}


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with LLMServer() as running:
        yield running


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def recorder(sink: MemorySink) -> Recorder:
    return Recorder(sink=sink)


def only(sink: MemorySink) -> dict[str, Any]:
    (call,) = sink.calls
    return call


@pytest.mark.parametrize("family", FAMILIES)
def test_an_llm_call_of_a_bare_client(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    with recorder.instrument(family.Client()) as client:
        answer = client.post(
            f"{server.url}/v1/chat/completions", json=CHAT, headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        )
    assert answer.json()["usage"]["prompt_tokens"] == 1000
    call = only(sink)
    assert (call["operation"], call["provider"], call["model"], call["status"]) == ("chat", None, "m", "success")
    assert (call["input_tokens"], call["output_tokens"], call["price_class"]) == (1000, 100, "flex")
    assert (call["trace_id"], call["finish_reason"]) == ("ab" * 16, "stop")
    assert 0 < call["duration_ns"] < 10**10
    assert sink.starts[0]["call_id"] == call["call_id"]
    assert "canary" not in str(sink.calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_llm_call_of_a_bare_asynchronous_client(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    async def chat() -> list[str]:
        async with recorder.instrument(family.AsyncClient()) as client:
            asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
            async with client.stream("POST", f"{server.url}/v1/chat/completions", json=asked) as response:
                return [line async for line in response.aiter_lines() if line]

    assert asyncio.run(chat())[-1] == "data: [DONE]"
    call = only(sink)
    assert (call["status"], call["stream"], call["output_tokens"]) == ("success", 1, 100)
    assert 0 < call["ttft_ns"] < call["duration_ns"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("path", "operation", "status", "error_type"),
    [
        ("/users/123?secret=canary", "GET /users/{id}", "success", None),
        ("/users/123/orders/6ba7b810-9dad-11d1-80b4-00c04fd430c8", "GET /users/{id}/orders/{id}", "success", None),
        ("/missing/abc", "GET /missing/abc", "error", "404"),
        ("/", "GET /", "success", None),
    ],
)
def test_other_requests_are_api_calls_by_host_and_route(
    family: ModuleType,
    server: LLMServer,
    recorder: Recorder,
    sink: MemorySink,
    path: str,
    operation: str,
    status: str,
    error_type: str | None,
) -> None:
    with recorder.instrument(family.Client()) as client:
        client.get(server.url + path)
    call = only(sink)
    assert (call["operation"], call["provider"], call["model"]) == (operation, "127.0.0.1", None)
    assert (call["status"], call["error_type"], call["usage_status"]) == (status, error_type, None)
    assert "canary" not in str(sink.calls) + str(sink.starts)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("follows", [True, False])
def test_a_redirect_that_is_followed_is_part_of_its_call(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink, follows: bool
) -> None:
    with recorder.instrument(family.Client(follow_redirects=follows)) as client:
        answer = client.post(f"{server.url}/moved/v1/chat/completions", json=CHAT)
    assert answer.status_code == (200 if follows else 307)
    call = only(sink)
    assert (call["http_status"], call["output_tokens"]) == ((200, 100) if follows else (307, None))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_download_passes_untouched_and_ends_with_its_last_byte(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    with recorder.instrument(family.Client()) as client, client.stream("GET", f"{server.url}/big") as response:
        assert sum(map(len, response.iter_bytes())) == 3_000_000
        assert response.num_bytes_downloaded == 3_000_000
    assert only(sink)["status"] == "success"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_connection_that_is_refused_and_one_that_times_out(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    with recorder.instrument(family.Client(timeout=0.3)) as client:
        with pytest.raises(family.ConnectError) as refused:
            client.get("http://127.0.0.1:1/x")
        with pytest.raises(family.ReadTimeout):
            client.post(f"{server.url}/v1/chat/completions", json={**CHAT, "model": "hang"})
    assert [(call["status"], call["error_type"]) for call in sink.calls] == [
        ("error", "ConnectError"),
        ("timeout", "ReadTimeout"),
    ]
    assert "reporter" not in str(refused.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_instrumented_client_is_the_client_it_was(family: ModuleType, recorder: Recorder, sink: MemorySink) -> None:
    proxy = family.HTTPTransport(proxy="http://127.0.0.1:9")
    client = family.Client(mounts={"https://": proxy}, timeout=7, follow_redirects=True)
    before = {name: value for name, value in vars(client).items() if name != "send"}
    assert recorder.instrument(client) is client
    assert recorder.instrument(client) is client
    assert {name: value for name, value in vars(client).items() if name != "send"} == before
    assert recorder.uninstrument(client) is client
    assert "send" not in vars(client)
    recorder.uninstrument(client)


@pytest.mark.parametrize("family", FAMILIES)
def test_connections_are_kept_alive_as_without_us(family: ModuleType, recorder: Recorder, sink: MemorySink) -> None:
    with LLMServer() as server, recorder.instrument(family.Client()) as client:
        for _ in range(3):
            client.post(f"{server.url}/v1/chat/completions", json=CHAT)
            with client.stream("POST", f"{server.url}/v1/chat/completions", json={**CHAT, "stream": True}) as response:
                response.read()
            client.get(f"{server.url}/a")
        assert server.connections == 1
    assert len(sink.calls) == 9


@pytest.mark.parametrize("family", FAMILIES)
def test_proxies_and_mounts_go_where_they_went(family: ModuleType, recorder: Recorder, sink: MemorySink) -> None:
    host = "http://llm.invalid"  # that nobody finds but by the proxy
    with LLMServer() as proxy, LLMServer() as mounted:
        mounts = {"http://mounted.invalid": family.HTTPTransport(proxy=mounted.url)}
        with recorder.instrument(family.Client(proxy=proxy.url, mounts=mounts)) as client:
            client.post(f"{host}/v1/chat/completions", json=CHAT)
            client.get("http://mounted.invalid/a")
        assert proxy.requests == {f"{host}/v1/chat/completions": 1}
        assert mounted.requests == {"http://mounted.invalid/a": 1}
    told = [(call["operation"], call["provider"], call["status"], call["output_tokens"]) for call in sink.calls]
    assert told == [("chat", None, "success", 100), ("GET /a", "mounted.invalid", "success", None)]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/responses", {"prompt": {"id": "pmpt-1"}, "input": "x"}), ("/v1/agents/completions", {"agent_id": "ag-1"})],
)
def test_a_model_that_only_the_answer_tells_is_the_calls(
    server: LLMServer, recorder: Recorder, sink: MemorySink, path: str, body: dict[str, Any]
) -> None:
    with recorder.instrument(httpx.Client()) as client:
        client.post(server.url + path, json=body)
        for model in ("mine", None):
            with recorder.call("step", model=model):
                client.post(server.url + path, json=body)
    bare, named, unnamed = sink.calls
    stood_in = body.get("agent_id") or body["prompt"]["id"]
    assert (bare["operation"], bare["model"], bare["input_tokens"]) == ("chat", f"{stood_in}-2026", 1000)
    assert (named["operation"], named["model"], named["flags"]) == ("step", "mine", None)
    assert (unnamed["operation"], unnamed["model"], unnamed["output_tokens"]) == ("step", f"{stood_in}-2026", 100)


@pytest.mark.parametrize("family", FAMILIES)
def test_twice_instrumented_is_recorded_once_and_uninstrumented_not_at_all(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    with recorder.instrument(recorder.instrument(family.Client())) as client:
        client.get(f"{server.url}/a")
        assert len(sink.calls) == 1
        recorder.uninstrument(client).get(f"{server.url}/a")
    assert len(sink.calls) == 1


@pytest.mark.parametrize(
    ("hosts", "ignore", "recorded"),
    [
        (None, (), True), (["127.0.0.*"], (), True), (["api.openai.com"], (), False), (None, ["127.0.0.1"], False),
        (["127.*"], ["*.1"], False),
    ],
)  # fmt: skip
def test_hosts_can_be_chosen(
    server: LLMServer, recorder: Recorder, sink: MemorySink, hosts: list[str] | None, ignore: list[str], recorded: bool
) -> None:
    with recorder.instrument(httpx.Client(), hosts=hosts, ignore=ignore) as client:
        client.get(f"{server.url}/a")
    assert len(sink.calls) == int(recorded)


def test_what_has_no_http_client_is_refused_by_name(recorder: Recorder) -> None:
    with pytest.raises(UsageError, match=r"instrument\(builtins.dict\): there is no httpx or httpx2 client"):
        recorder.instrument({})
    with pytest.raises(UsageError):
        reporter.instrument(None)


def test_a_broken_recorder_changes_nothing_for_the_client(
    server: LLMServer, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(MemorySink):
        def start(self, call_id: str, at_ns: int, told: str) -> None:
            raise ValueError("broken")

        def call(self, fact: dict[str, Any]) -> None:
            raise ValueError("broken")

    with Recorder(sink=Broken()).instrument(httpx.Client()) as client:
        assert client.post(f"{server.url}/v1/chat/completions", json=CHAT).json()["model"] == "m-2026"
    assert "the job goes on" in capsys.readouterr().err


def answering(body: bytes) -> Iterator[str]:
    """A server that gives one answer, whatever it is."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            asked = connection.recv(65_536)
            while asked.startswith(b"POST") and not asked.endswith(b"}"):  # closing before would reset the connection
                asked += connection.recv(65_536)
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            connection.sendall(f"{head}connection: close\r\n\r\n".encode() + body)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/chat/completions"
    listening.close()


NO_JSON = {"usage_status": "missing", "status": "error", "error_type": "JSONDecodeError", "input_tokens": None}


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        (
            b'{"usage": {"prompt_tokens": -5, "completion_tokens": 7}}',
            {"input_tokens": None, "output_tokens": 7, "flags": "input_tokens", "usage_status": "partial"},
        ),
        (
            b'{"usage": {"prompt_tokens": "many", "completion_tokens": 1e99}}',
            {
                "usage_status": "missing",
                "flags": "input_tokens,output_tokens",
                "input_tokens": None,
                "output_tokens": None,
            },
        ),
        (
            b'{"usage": {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}}}',
            {"input_tokens": 10, "cache_read_tokens": 11, "usage_status": "complete", "flags": "input_tokens"},
        ),
        (b'{"usage": {"prompt_tokens": 10, "completion_tokens": 1', NO_JSON),
        (b'{"usage": []}', {"usage_status": "missing"}),
        (b"[]", {"usage_status": "missing"}),
        (b"null", NO_JSON),
        (b"\xff\xfe", NO_JSON),
        (b"", NO_JSON),
        (b'{"choices": [{"message": {"content": "' + b"x" * 100_000, NO_JSON),
        (b"[" * 100_000, NO_JSON),
        (b'{"model": 5, "choices": "x", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}', {"input_tokens": 3}),
        (b'{"usage": {"prompt_tokens": 99999999999999999999999, "completion_tokens": 4}}', {"flags": "input_tokens"}),
        (
            b'{"choices": [{"message": {"content": "' + b"x" * 3_000_000 + b'"}, "finish_reason": "stop"}],'
            b' "usage": {"prompt_tokens": 5, "completion_tokens": 6}}',
            {"input_tokens": 5, "output_tokens": 6},
        ),
        (
            b'{"choices": [{"message": {"content": "' + rb"\"usage\": {\"prompt_tokens\": 1}" * 3000 + b'"}}],'
            b' "usage": {"prompt_tokens": 5, "completion_tokens": 6}, "model": "m-9"}',
            {"input_tokens": 5, "response_model": "m-9"},
        ),
    ],
)
def test_a_malformed_answer_is_a_row_all_the_same(
    recorder: Recorder, sink: MemorySink, body: bytes, columns: dict[str, object]
) -> None:
    for url in answering(body):
        with recorder.instrument(httpx.Client()) as client:
            assert client.post(url, json=CHAT).content == body
    call = only(sink)
    expected = {"status": "success", "error_type": None, **columns}
    assert {name: call[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("told", "error_type"),
    [
        ({"error": {"code": 502, "message": "canary"}}, "502"),
        ({"error": {"type": "server_error", "message": "canary"}, "usage": None}, "server_error"),
        ({"error": "canary"}, "error"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "canary"}}, "overloaded_error"),
        ({"object": "error", "type": "BadRequestError", "code": 400, "message": "canary"}, "BadRequestError"),
        ({"status": "failed", "error": {"code": "server_error", "message": "canary"}}, "server_error"),
        ({"choices": [{"finish_reason": "error", "error": {"code": 524, "message": "canary"}}]}, "524"),
        ({"choices": [{"finish_reason": "stop"}], "error": None}, None),
        ({"choices": [{"finish_reason": "stop"}], "error": {}}, None),
        ({"status": "completed", "tools": [{"parameters": {"error": {"type": "string"}}}], "x": "y" * 40_000}, None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_that_is_told_with_status_200_is_an_error(
    recorder: Recorder, sink: MemorySink, told: dict[str, Any], error_type: str | None, streamed: bool
) -> None:
    async def ask(url: str) -> None:
        async with recorder.instrument(httpx2.AsyncClient()) as client:
            await client.post(url, json=CHAT)

    for url in answering(json.dumps(told).encode()):
        with recorder.instrument(httpx.Client()) as client:
            if streamed:
                with client.stream("POST", url, json=CHAT) as response:
                    response.read()
            else:
                client.post(url, json=CHAT)
            with recorder.call("step"):
                client.post(url, json=CHAT)
            client.get(url.replace("/v1", "/other/{}"))  # no LLM's: what it says is its own affair
        asyncio.run(ask(url))
    expected = ("success" if error_type is None else "error", error_type, 200)
    seen = [(call["status"], call["error_type"], call["http_status"]) for call in sink.calls]
    assert seen == [expected, expected, ("success", None, 200), expected]
    assert "canary" not in str(sink.calls)


def test_tls_is_still_the_clients_affair(recorder: Recorder) -> None:
    context = ssl.create_default_context()
    with recorder.instrument(httpx.Client(verify=context)) as client:
        assert client._transport._pool._ssl_context is context  # type: ignore[attr-defined]  # there is no public way to ask


@pytest.mark.parametrize("family", FAMILIES)
def test_a_transport_can_be_passed_by_hand(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    transport = recorder.transport(family.HTTPTransport())
    with family.Client(transport=transport, follow_redirects=True) as client:
        client.post(f"{server.url}/v1/chat/completions", json=CHAT)
        client.post(f"{server.url}/moved/v1/chat/completions", json={**CHAT, "model": "gzip-m"})
        client.get(f"{server.url}/moved/7", follow_redirects=False)
        client.get(f"{server.url}/users/8")
        with pytest.raises(family.ConnectError):
            client.get("http://127.0.0.1:1/x")
    told = [(call["operation"], call["http_status"], call["status"], call["output_tokens"]) for call in sink.calls]
    assert told == [
        ("chat", 200, "success", 100), ("chat", 200, "success", 100), ("GET /moved/{id}", 302, "success", None),
        ("GET /users/{id}", 200, "success", None), ("GET /x", None, "error", None),
    ]  # fmt: skip
    assert len({call["call_id"] for call in sink.calls}) == len(sink.starts) == 5


@pytest.mark.parametrize("family", FAMILIES)
def test_an_asynchronous_transport_can_be_passed_by_hand(
    family: ModuleType, server: LLMServer, recorder: Recorder, sink: MemorySink
) -> None:
    async def chat() -> None:
        async with family.AsyncClient(transport=recorder.transport(family.AsyncHTTPTransport())) as client:
            await client.post(f"{server.url}/v1/chat/completions", json=CHAT)

    asyncio.run(chat())
    assert only(sink)["input_tokens"] == 1000


def test_a_stream_that_is_never_closed_is_abandoned_when_the_process_ends(server: LLMServer, tmp_path: Path) -> None:
    program = f"""
import httpx, reporter, time
client = reporter.instrument(httpx.Client())
asked = {{"model": "slow", "messages": [], "stream": True}}
response = client.send(client.build_request("POST", "{server.url}/v1/chat/completions", json=asked), stream=True)
lines = response.iter_lines()
next(lines), next(lines), next(lines)
time.sleep(0.5)
"""
    environment = {**os.environ, "REPORTER_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.db"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, check=True)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        (call,) = connection.execute("SELECT status, duration_ns, ended_at_ns - started_at_ns FROM calls").fetchall()
    assert call[0] == "abandoned"
    assert call[1] < 400_000_000  # until the last byte, not until the end of the process
    assert call[2] < 400_000_000
