"""What an instrumented client adds: to a call that is answered at once, and to each chunk of a stream.

CPU time over a transport in memory, plain and instrumented in turn, medians; facts go nowhere, so that what recording costs
(benchmarks/recording.py) is not in it.  The bars are DESIGN §10's; the same call without us is the floor beside them.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator

import httpx

from reporter import Recorder
from reporter.sinks.memory import MemorySink

ROUNDS, CALLS, CHUNKS = 40, 50, 400
URL = "http://model.example/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "y" * 2000}]}
ANSWER = json.dumps(
    {
        "id": "c-1", "model": "gpt-4o", "choices": [{"message": {"content": "x" * 1500}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 10}},
    }
).encode()  # fmt: skip
CHUNK = (
    b'data: {"id":"c-1","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
)


class Nowhere(MemorySink):
    """Keeps nothing."""

    def start(self, call_id: str, at_ns: int, told: str) -> None:
        return

    def call(self, fact: dict[str, object]) -> None:
        return


class Answers(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, content=ANSWER)


class Streams(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        def chunks() -> Iterator[bytes]:
            for _ in range(CHUNKS):
                yield CHUNK
            yield b"data: [DONE]\n\n"

        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=chunks())


def call(client: httpx.Client) -> None:
    client.post(URL, json=ASKED)


def stream(client: httpx.Client) -> None:
    with client.stream("POST", URL, json={**ASKED, "stream": True}) as response:
        for _ in response.iter_bytes():
            pass


def microseconds(work: Callable[[httpx.Client], None], client: httpx.Client, times: int) -> float:
    began = time.process_time_ns()
    for _ in range(times):
        work(client)
    return (time.process_time_ns() - began) / times / 1e3


def main() -> None:
    recorder = Recorder(sink=Nowhere())
    plain = (httpx.Client(transport=Answers()), httpx.Client(transport=Streams()))
    watched = (
        recorder.instrument(httpx.Client(transport=Answers())), recorder.instrument(httpx.Client(transport=Streams())),
    )  # fmt: skip
    taken: dict[str, list[float]] = {"plain call": [], "call": [], "plain stream": [], "stream": []}
    for _ in range(ROUNDS):
        taken["plain call"].append(microseconds(call, plain[0], CALLS))
        taken["call"].append(microseconds(call, watched[0], CALLS))
        taken["plain stream"].append(microseconds(stream, plain[1], 3))
        taken["stream"].append(microseconds(stream, watched[1], 3))
    assert not recorder.troubled, "what is measured is not what it says"
    middle = {name: statistics.median(values) for name, values in taken.items()}
    for what, added, bar, floor in (
        ("a call", middle["call"] - middle["plain call"], 50, middle["plain call"]),
        ("a chunk", (middle["stream"] - middle["plain stream"]) / CHUNKS, 2, middle["plain stream"] / CHUNKS),
    ):
        verdict = "met" if added <= bar else "MISSED"
        print(
            f"{what:<8} + {added:6.2f} µs  (bar ≤ {bar}: {verdict}); without us {floor:7.2f} µs, {added / floor:.2f} × more"
        )


if __name__ == "__main__":
    main()
