"""Streams by a clock that only the script moves: when the first token came, when the end, and what was known by then."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter import Recorder
from reporter.recorder import Clock
from reporter.sinks.memory import MemorySink
from reporter.wire.answers import Answer
from tests.instrument.llm_server import events

FAMILIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]
SECOND = 10**9
BORN = 1_800_000_000
STAYS = b""


class Steered(Clock):
    """Stands still unless it is told to go on."""

    seconds = 0

    def wall_ns(self) -> int:  # type: ignore[override]  # the real ones are functions
        return (BORN + self.seconds) * SECOND

    def monotonic_ns(self) -> int:  # type: ignore[override]
        return self.seconds * SECOND


class Script:
    """An answer of which each piece takes a second to come; a number is so many seconds of silence, an exception its end."""

    def __init__(self, family: ModuleType, path: str, *parts: bytes | int | BaseException) -> None:
        self.family, self.path, self.parts = family, path, parts
        self.clock, self.sink = Steered(), MemorySink()
        self.recorder = Recorder(sink=self.sink, clock=self.clock)
        self.stays = asyncio.Event()

    def _played(self) -> Iterator[bytes]:
        for part in self.parts:
            if isinstance(part, BaseException):
                raise part
            self.clock.seconds += part if isinstance(part, int) else 1
            if isinstance(part, bytes):
                yield part

    async def _played_later(self) -> AsyncIterator[bytes]:
        for part in self._played():
            if part == STAYS:
                self.stays.set()
                await asyncio.Event().wait()
            yield part

    def _response(self, content: Any) -> Any:
        return self.family.Response(200, headers={"content-type": "text/event-stream"}, content=content)

    def client(self) -> Any:
        transport = self.family.MockTransport(lambda _: self._response(self._played()))
        return self.recorder.instrument(self.family.Client(transport=transport))

    def async_client(self) -> Any:
        async def answer(_: object) -> Any:
            return self._response(self._played_later())

        return self.recorder.instrument(self.family.AsyncClient(transport=self.family.MockTransport(answer)))

    def asked(self, client: Any) -> Any:
        """A context manager of the response."""
        url = f"http://llm.example{self.path}"
        return client.stream("POST", url, json=None if ":" in self.path else {"model": "m", "stream": True})

    def read(self) -> None:
        """Read all of it."""
        with self.client() as client, self.asked(client) as response:
            for _ in response.iter_bytes():
                pass

    def read_later(self) -> None:
        """The same, asynchronously."""

        async def read() -> None:
            async with self.async_client() as client, self.asked(client) as response:
                async for _ in response.aiter_bytes():
                    pass

        asyncio.run(read())

    @property
    def call(self) -> dict[str, Any]:
        (call,) = self.sink.calls
        return call

    @property
    def told(self) -> tuple[object, ...]:
        """(status, error_type, seconds to the first token, seconds to the end, usage_status) of the one call there is."""
        call = self.call
        assert call["started_at_ns"] == BORN * SECOND
        assert call["ended_at_ns"] == BORN * SECOND + call["duration_ns"]
        ttft = None if call["ttft_ns"] is None else call["ttft_ns"] / SECOND
        return call["status"], call["error_type"], ttft, call["duration_ns"] / SECOND, call["usage_status"]


def event(told: object) -> bytes:
    return f"data: {json.dumps(told)}\n\n".encode()


def delta(**told: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": told, "finish_reason": None}]})


ROLE = delta(role="assistant", content="")
DONE = b"data: [DONE]\n\n"
USAGE = event({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI = "/v1beta/models/m:streamGenerateContent"
STARTED = event(
    {"type": "message_start", "message": {"model": "m", "usage": {
        "input_tokens": 500, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 100, "output_tokens": 1}}}
)  # fmt: skip
PING = event({"type": "ping"})


def block(**told: object) -> bytes:
    return event({"type": "content_block_start", "index": 0, "content_block": told})


def block_delta(**told: object) -> bytes:
    return event({"type": "content_block_delta", "index": 0, "delta": told})


def candidate(*parts: dict[str, object]) -> bytes:
    return event({"candidates": [{"content": {"role": "model", "parts": list(parts)}}]})


@pytest.mark.parametrize(
    ("path", "parts"),
    [  # the third piece brings the first token
        (CHAT, (ROLE, b": comment\n\n", delta(content="word"))),
        (CHAT, (ROLE, delta(content=None), delta(reasoning_content="hm"))),
        (CHAT, (event({"choices": [], "prompt_filter_results": []}), ROLE, delta(reasoning="hm"))),
        (CHAT, (ROLE, delta(), delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]))),
        (CHAT, (ROLE, delta(content="word")[:20], delta(content="word")[20:])),
        ("/v1/completions", (b"\n", event({"choices": [{"text": ""}]}), event({"choices": [{"text": "word"}]}))),
        (MESSAGES, (STARTED, block(type="text", text=""), block_delta(type="text_delta", text="word"))),
        (MESSAGES, (STARTED, block(type="thinking", thinking=""), block_delta(type="thinking_delta", thinking="hm"))),
        (MESSAGES, (STARTED, PING, block(type="tool_use", id="t", name="f", input={}))),
        (
            RESPONSES,
            (
                event({"type": "response.created", "response": {"model": "m"}}),
                event({"type": "response.output_item.added", "item": {"type": "message"}}),
                event({"type": "response.output_text.delta", "delta": "word"}),
            ),
        ),
        (
            RESPONSES,
            (
                event({"type": "response.created", "response": {"model": "m"}}),
                event({"type": "response.output_text.delta", "delta": ""}),
                event({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
            ),
        ),
        (RESPONSES, (b"\n", b"\n", event({"type": "response.function_call_arguments.delta", "delta": "{"}))),
        (GEMINI, (candidate(), candidate({"text": ""}), candidate({"text": "word"}))),
        (GEMINI, (candidate(), candidate(), candidate({"functionCall": {"name": "f"}}))),
    ],
)
def test_the_first_token_is_the_first_piece_that_carries_some(path: str, parts: tuple[bytes, ...]) -> None:
    script = Script(httpx, path, *parts, 4)
    script.read()
    assert script.told[2:4] == (3.0, 3.0)  # silence after the last byte is nobody's


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_ends_with_its_terminal_event_not_with_its_connection(family: ModuleType) -> None:
    script = Script(family, CHAT, ROLE, delta(content="word"), USAGE, DONE, 60, b"\n")
    script.read()
    assert script.told == ("success", None, 2.0, 4.0, "complete")
    assert (script.call["input_tokens"], script.call["output_tokens"]) == (10, 5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_that_stalls_is_a_timeout_with_its_real_duration_and_the_usage_so_far(family: ModuleType) -> None:
    script = Script(
        family, MESSAGES, STARTED, block_delta(type="text_delta", text="word"), 30, family.ReadTimeout("silence")
    )
    with pytest.raises(family.ReadTimeout):
        script.read()
    assert script.told == ("timeout", "ReadTimeout", 2.0, 32.0, "partial")
    assert (script.call["input_tokens"], script.call["cache_read_tokens"]) == (1000, 400)
    assert (script.call["http_status"], script.call["output_tokens"]) == (200, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_that_is_cut_is_an_error_with_the_usage_so_far(family: ModuleType) -> None:
    script = Script(family, MESSAGES, STARTED, family.RemoteProtocolError("cut"))
    with pytest.raises(family.RemoteProtocolError):
        script.read()
    assert script.told == ("error", "RemoteProtocolError", None, 1.0, "partial")


FINISHED = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
WORD = delta(content="word")
TEXT = block_delta(type="text_delta", text="word")
SAYS = event({"type": "response.output_text.delta", "delta": "word"})
ANSWERS = candidate({"text": "word"})
STOPPED = event({"candidates": [{"content": {"parts": [{"text": "word"}]}, "finishReason": "STOP"}]})
METERED = event({"candidates": [{"content": {"parts": []}}], "usageMetadata": {"promptTokenCount": 5}})


def choice(**told: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": ""}, **told}]})


def failed(**response: object) -> bytes:
    return event({"type": "response.failed", "response": {"status": "failed", **response}})


@pytest.mark.parametrize(
    ("path", "parts", "error_type"),
    [
        # in good order
        (CHAT, (ROLE, WORD, FINISHED, DONE), None),
        (CHAT, (ROLE, WORD, FINISHED), None),  # servers that send no [DONE]
        (CHAT, (ROLE, WORD, DONE), None),
        (MESSAGES, (STARTED, TEXT, event({"type": "message_stop"})), None),
        (MESSAGES, (STARTED, TEXT, event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})), None),
        (RESPONSES, (SAYS, event({"type": "response.completed", "response": {"error": None}})), None),
        (RESPONSES, (SAYS, event({"type": "response.incomplete", "response": {"status": "incomplete"}})), None),
        (GEMINI, (ANSWERS, STOPPED), None),
        (GEMINI, (ANSWERS, METERED, STOPPED), None),
        (GEMINI, (ANSWERS, STOPPED, METERED), None),
        (GEMINI, (event({"promptFeedback": {"blockReason": "SAFETY"}}),), None),
        (CHAT, (event({"type": "content-delta", "delta": {}}), event({"type": "message-end"})), None),  # not known
        # before the last word
        (CHAT, (), "StreamCut"),
        (CHAT, (b": ping\n\n",), "StreamCut"),
        (CHAT, (ROLE, WORD), "StreamCut"),
        (CHAT, (ROLE, WORD, USAGE), "StreamCut"),
        (CHAT, (ROLE, WORD, b'data: {"choices": [{"index": 0, "del'), "StreamCut"),
        (MESSAGES, (STARTED, PING), "StreamCut"),
        (MESSAGES, (STARTED, TEXT), "StreamCut"),
        (RESPONSES, (event({"type": "response.created", "response": {"model": "m"}}), SAYS), "StreamCut"),
        (GEMINI, (ANSWERS, METERED), "StreamCut"),
        # with an error
        (CHAT, (ROLE, WORD, event({"error": {"type": "server_error", "message": "canary"}}), DONE), "server_error"),
        (CHAT, (ROLE, WORD, event({"error": {"code": 502, "message": "canary"}})), "502"),
        (CHAT, (ROLE, event({"error": {"message": "canary", "type": "a canary of words", "code": None}})), "error"),
        (CHAT, (ROLE, WORD, event({"error": "canary"})), "error"),
        (CHAT, (ROLE, WORD, event({"type": "error", "code": "rate_limit", "message": "canary"})), "rate_limit"),
        (CHAT, (ROLE, event({"object": "error", "type": "BadRequestError", "message": "canary"})), "BadRequestError"),
        (CHAT, (ROLE, WORD, choice(finish_reason="error")), "error"),
        (CHAT, (ROLE, WORD, choice(finish_reason="error", error={"code": 429, "message": "canary"})), "429"),
        (MESSAGES, (STARTED, b"event: error\n", event({"type": "error", "error": {"type": "overloaded_error"}})),
         "overloaded_error"),
        (MESSAGES, (STARTED, TEXT, event({"type": "error", "message": "canary"})), "error"),
        (RESPONSES, (SAYS, event({"type": "error", "code": "server_error", "message": "canary"})), "server_error"),
        (RESPONSES, (SAYS, event({"type": "error", "code": None, "message": "canary"})), "error"),
        (RESPONSES, (SAYS, failed(error={"code": "rate_limit_exceeded", "message": "canary"})), "rate_limit_exceeded"),
        (RESPONSES, (SAYS, failed(error=None)), "failed"),
        (GEMINI, (ANSWERS, event({"error": {"code": 503, "status": "UNAVAILABLE", "message": "canary"}})), "503"),
    ],
)  # fmt: skip
def test_a_stream_that_ends_with_an_error_or_before_its_last_word_is_no_success(
    path: str, parts: tuple[bytes, ...], error_type: str | None
) -> None:
    expected = ("success" if error_type is None else "error", error_type)
    script, later, around = (Script(family, path, *parts) for family in (httpx, httpx2, httpx))
    script.read()
    later.read_later()
    with around.recorder.call("step"):
        around.read()
    for told in (script, later, around):  # the one around hears of it, too: nothing was raised there
        assert (told.call["status"], told.call["error_type"], told.call["http_status"]) == (*expected, 200)
        assert "canary" not in str(told.sink.calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_that_ends_without_its_terminal_event_has_partial_usage(family: ModuleType) -> None:
    script = Script(family, MESSAGES, STARTED, TEXT)
    script.read()
    assert script.told == ("error", "StreamCut", 2.0, 2.0, "partial")


def test_a_call_around_requests_ends_well_if_the_last_of_them_did() -> None:
    script = Script(httpx, CHAT, ROLE, WORD)
    again = Script(httpx, CHAT, ROLE, WORD, FINISHED)
    again.recorder = script.recorder
    with script.recorder.call("step"):
        script.read()
        again.read()

    @script.recorder.call("step")
    def raises() -> None:
        script.read()
        raise KeyError

    with pytest.raises(KeyError):
        raises()
    with script.recorder.call("step") as said:
        script.read()
        said.status = "success"  # what its code says counts
    told = [(call["status"], call["error_type"]) for call in script.sink.calls]
    assert told == [("success", None), ("error", "KeyError"), ("success", None)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reader_that_stops_leaves_a_call_that_ended_with_the_last_piece(family: ModuleType) -> None:
    script = Script(family, CHAT, ROLE, delta(content="word"), delta(content="word"), DONE)
    with script.client() as client, script.asked(client) as response:
        pieces = response.iter_bytes()
        next(pieces), next(pieces)
        script.clock.seconds += 50  # what the reader does meanwhile is not the provider's
    assert script.told == ("abandoned", None, 2.0, 2.0, "missing")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_that_is_never_read_is_abandoned(family: ModuleType) -> None:
    script = Script(family, CHAT, ROLE, DONE)
    client = script.client()
    response = script.asked(client).__enter__()
    del response
    gc.collect()
    assert script.told[:3] == ("abandoned", None, None)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_that_is_cancelled_in_a_stream_twice_is_recorded_once(family: ModuleType) -> None:
    script = Script(family, MESSAGES, STARTED, block_delta(type="text_delta", text="word"), STAYS)

    async def reading() -> None:
        async with script.async_client() as client, script.asked(client) as response:
            async for _ in response.aiter_bytes():
                pass

    async def main() -> None:
        task = asyncio.ensure_future(reading())
        await script.stays.wait()
        script.clock.seconds += 4
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert script.told == ("cancelled", "CancelledError", 2.0, 7.0, "partial")
    assert script.call["input_tokens"] == 1000


@pytest.mark.parametrize("family", FAMILIES)
def test_a_time_limit_around_the_loop_is_recorded_as_cancelled(family: ModuleType) -> None:
    script = Script(family, CHAT, ROLE, STAYS)

    async def main() -> None:
        async with script.async_client() as client, asyncio.timeout(None) as limit, script.asked(client) as response:
            async for _ in response.aiter_bytes():
                limit.reschedule(0)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert script.told[:2] == ("cancelled", "CancelledError")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_asynchronous_reader_that_stops_is_recorded_as_abandoned(family: ModuleType) -> None:
    script = Script(family, CHAT, ROLE, delta(content="word"), DONE)

    async def main() -> None:
        async with script.async_client() as client, script.asked(client) as response:
            async for _ in response.aiter_bytes():
                break
            script.clock.seconds += 50

    asyncio.run(main())
    assert script.told == ("abandoned", None, None, 1.0, "missing")


def test_null_in_a_later_usage_does_not_undo_an_earlier_one() -> None:
    told = {"output_tokens": 100, "input_tokens": None, "cache_read_input_tokens": None}
    ended = event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": told})
    script = Script(httpx, MESSAGES, STARTED, ended, event({"type": "message_stop"}))
    script.read()
    assert script.told == ("success", None, None, 3.0, "complete")
    assert (script.call["input_tokens"], script.call["cache_read_tokens"], script.call["output_tokens"]) == (
        1000,
        400,
        100,
    )


@given(st.data())
def test_a_stream_tells_the_same_however_it_is_cut_into_pieces(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([CHAT, MESSAGES, RESPONSES, GEMINI]))
    asked = {"model": "m", "stream_options": {"include_usage": True}, "sdk": ""}
    whole = b"".join(events(path, asked)).replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    answers = []
    for edges in ([0, len(whole)], [0, *cuts, len(whole)]):
        answer = Answer()
        for begin, end in itertools.pairwise(edges):
            answer.feed(whole[begin:end])
        answer.finish_feeding()
        answers.append((answer.columns(), answer.finish, answer.first_token, answer.ended))
    assert answers[0] == answers[1]
    assert answers[0][0]["input_tokens"] == 1000
    assert answers[0][2]
