"""Over HTTP/2, calls are what they are over HTTP/1.1."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import httpx2
import pytest

from reporter import Recorder
from reporter.sinks.memory import MemorySink

FAMILIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
WHOLE = {"model": "m-2026", "choices": [{"message": {"content": "canary"}, "finish_reason": "stop"}], "usage": USAGE}
EVENTS = (
    {"model": "m-2026", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"model": "m-2026", "choices": [{"delta": {"content": "canary"}}]},
    {"model": "m-2026", "choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"model": "m-2026", "choices": [], "usage": USAGE},
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that speaks HTTP/2 from the first byte on, and nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=_serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def _serve(connection: socket.socket) -> None:
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    state.initiate_connection()
    connection.sendall(state.data_to_send())
    bodies: dict[int, bytes] = {}
    with connection, suppress(OSError):
        while received := connection.recv(65_536):
            for event in state.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    _answer(state, connection, event.stream_id, json.loads(bodies.pop(event.stream_id)))
            connection.sendall(state.data_to_send())


def _answer(state: Any, connection: socket.socket, stream: int, asked: dict[str, Any]) -> None:
    if not asked.get("stream"):
        headers = [(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")]
        state.send_headers(stream, headers)
        state.send_data(stream, gzip.compress(json.dumps(WHOLE).encode()), end_stream=True)
        return
    state.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
    for event in (*map(json.dumps, EVENTS), "[DONE]"):
        state.send_data(stream, f"data: {event}\n\n".encode())
        connection.sendall(state.data_to_send())
    state.end_stream(stream)


def rows(sink: MemorySink) -> list[tuple[Any, ...]]:
    columns = (
        "status",
        "http_status",
        "model",
        "response_model",
        "input_tokens",
        "cache_read_tokens",
        "output_tokens",
        "stream",
    )
    return [tuple(call[column] for column in columns) for call in sink.calls]


EXPECTED = [("success", 200, "m", "m-2026", 1000, 400, 100, None), ("success", 200, "m", "m-2026", 1000, 400, 100, 1)]


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_over_http2_are_one_right_row_each(family: ModuleType, url: str) -> None:
    sink = MemorySink()
    with Recorder(sink=sink).instrument(family.Client(http1=False, http2=True)) as client:
        whole = client.post(f"{url}/v1/chat/completions", json={"model": "m"})
        assert (whole.http_version, whole.json()) == ("HTTP/2", WHOLE)
        with client.stream("POST", f"{url}/v1/chat/completions", json={"model": "m", "stream": True}) as response:
            assert response.http_version == "HTTP/2"
            assert [line for line in response.iter_lines() if line][-1] == "data: [DONE]"
    assert rows(sink) == EXPECTED
    assert 0 < sink.calls[1]["ttft_ns"] <= sink.calls[1]["duration_ns"]
    assert "canary" not in str(sink.calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_asynchronous_calls_share_one_connection_and_stay_apart(family: ModuleType, url: str) -> None:
    sink = MemorySink()

    async def chat() -> None:
        async with Recorder(sink=sink).instrument(family.AsyncClient(http1=False, http2=True)) as client:

            async def whole() -> None:
                answer = await client.post(f"{url}/v1/chat/completions", json={"model": "m"})
                assert answer.http_version == "HTTP/2"

            async def stream() -> None:
                asked = {"model": "m", "stream": True}
                async with client.stream("POST", f"{url}/v1/chat/completions", json=asked) as response:
                    assert [line async for line in response.aiter_lines() if line][-1] == "data: [DONE]"

            await asyncio.gather(*(ask() for ask in (whole, stream) for _ in range(5)))

    asyncio.run(chat())
    assert sorted(rows(sink), key=str) == sorted(EXPECTED * 5, key=str)
