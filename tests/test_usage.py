"""Usage as providers tell it, read into our columns: as genai-prices, a second implementation, reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices.data_snapshot import get_snapshot

from reporter import Recorder, lines, usage
from reporter.pricing import UNKNOWN, PriceList, Usage
from reporter.sinks.memory import MemorySink

OPENAI = {
    "prompt_tokens": 1000, "completion_tokens": 300, "total_tokens": 1300,
    "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 200},
}  # fmt: skip
RESPONSES = {
    "input_tokens": 1000, "output_tokens": 300, "total_tokens": 1300,
    "input_tokens_details": {"cached_tokens": 400}, "output_tokens_details": {"reasoning_tokens": 200},
}  # fmt: skip
ANTHROPIC = {
    "input_tokens": 50, "output_tokens": 300, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 70, "ephemeral_1h_input_tokens": 30},
    "output_tokens_details": {"thinking_tokens": 20},
}  # fmt: skip
GEMINI = {
    "promptTokenCount": 1000, "candidatesTokenCount": 300, "thoughtsTokenCount": 200, "cachedContentTokenCount": 400,
    "toolUsePromptTokenCount": 7, "totalTokenCount": 1507,
}  # fmt: skip
BEDROCK = {
    "inputTokens": 50, "outputTokens": 300, "totalTokens": 850, "cacheReadInputTokens": 400, "cacheWriteInputTokens": 100,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 70}, {"ttl": "1h", "inputTokens": 30}],
}  # fmt: skip
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("openai", "chat", {"model": "gpt-4o", "usage": OPENAI}),
    ("openai", "responses", {"model": "gpt-4o", "usage": RESPONSES}),
    ("openai", "embeddings", {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8}}),
    ("azure", "chat", {"model": "gpt-4o", "usage": OPENAI}),
    ("anthropic", "default", {"model": "claude-sonnet-4-5", "usage": ANTHROPIC}),
    ("google", "default", {"modelVersion": "gemini-2.5-pro", "usageMetadata": GEMINI}),
    ("groq", "default", {"model": "llama-3.3-70b-versatile", "usage": OPENAI}),
    ("mistral", "default", {"model": "mistral-large-latest", "usage": OPENAI}),
    ("deepseek", "chat", {"model": "deepseek-chat", "usage": {**OPENAI, "prompt_cache_hit_tokens": 400}}),
    ("openrouter", "chat", {"model": "openai/gpt-4o", "usage": OPENAI}),
    ("x-ai", "chat", {"model": "grok-4", "usage": {**OPENAI, "total_tokens": 1500}}),
    ("moonshotai", "chat", {"model": "kimi-k2", "usage": OPENAI}),
    ("aws", "default", {"stopReason": "end_turn", "usage": BEDROCK}),
    ("aws", "anthropic", {"model": "claude-sonnet-4-5", "usage": ANTHROPIC}),
]
COLUMNS = {
    "input_tokens": "input_tokens", "cache_read_tokens": "cache_read_tokens", "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens", "output_tokens": "output_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}  # fmt: skip


@pytest.mark.parametrize(("provider", "flavor", "body"), BODIES, ids=[f"{body[0]}-{body[1]}" for body in BODIES])
def test_a_body_is_read_as_the_catalogues_own_extractor_reads_it(
    provider: str, flavor: str, body: dict[str, Any]
) -> None:
    told = usage.read(body)
    seller = get_snapshot().find_provider(None, provider, None)
    _, theirs = seller.extract_usage(body, api_flavor=flavor)
    (extractor,) = [one for one in seller.extractors or () if one.api_flavor == flavor]
    known = {mapping.dest for mapping in extractor.mappings}  # of what it doesn't know, it says 0
    assert "input_tokens" in known
    for ours, name in COLUMNS.items():
        if name in known:
            assert told.get(ours, 0) == getattr(theirs, name), (provider, flavor, ours)
    assert told["input_tokens"] is not None


NOT_CHAT = {"realtime", "live", "ocr", "ocr_annotated", "usage-event", "transcription", "speech"}
"""What is no answer to a request: events of a socket, exports, pages, minutes."""
WRAPPED = {("cloudflare", "default"), ("cloudflare", "decisions")}
"""Answers that stand in another document."""


def extractors() -> Iterator[tuple[Any, Any]]:
    for provider in get_snapshot().providers:
        for extractor in provider.extractors or ():
            if extractor.api_flavor not in NOT_CHAT and (provider.id, extractor.api_flavor) not in WRAPPED:
                yield provider, extractor


def put(place: Any, path: list[Any], value: object) -> None:
    """Set what is at `path`: names, and members of lists that are chosen by what another member says."""
    for step, following in pairwise(path):
        if isinstance(step, str):
            place = place.setdefault(step, {} if isinstance(following, str) else [])
        else:
            entry = next((one for one in place if one.get(step.field) == step.match.equals), None)
            if entry is None:
                entry = {step.field: step.match.equals}
                place.append(entry)
            place = entry
    place[path[-1]] = value


def path_of(told: Any) -> list[Any]:
    return [told] if isinstance(told, str) else list(told)


def body_of(extractor: Any, wanted: set[str] | None = None) -> dict[str, Any]:
    """An answer with a number of its own in each place that the extractor reads, or in those of some of its counts."""
    body: dict[str, Any] = {}
    tokens: dict[str, int] = {}
    for mapping in extractor.mappings:
        if wanted is None or mapping.required or mapping.dest in wanted:
            path = [*path_of(extractor.root), *path_of(mapping.path)]
            put(body, path, tokens.setdefault(repr(path), 1000 - 7 * len(tokens)))
    told = body["usage"] if "completion_tokens" in body.get("usage", {}) else {}
    beside = told.get("reasoning_tokens") or told.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    if told:
        told["total_tokens"] = told["prompt_tokens"] + told["completion_tokens"]
        if [one.dest for one in extractor.mappings if str(one.path).count("reasoning")].count("output_tokens"):
            told["total_tokens"] += beside
    put(body, path_of(extractor.model_path), "m")
    return body


def test_every_answer_that_the_catalogue_can_read_is_read_alike() -> None:
    seen = 0
    for provider, extractor in extractors():
        body = body_of(extractor)
        _, theirs = provider.extract_usage(body, api_flavor=extractor.api_flavor)
        known = {mapping.dest for mapping in extractor.mappings}
        told = usage.read(body)
        ours = {name: told.get(ours) for ours, name in COLUMNS.items() if name in known}
        assert ours == {name: getattr(theirs, name) for name in ours}, (provider.id, extractor.api_flavor)
        seen += 1
    assert seen > 60


AS_TEXT = {
    *COLUMNS.values(), "cache_write_5m_tokens", "web_searches", "input_image_tokens", "input_video_tokens",
    "cache_image_read_tokens", "cache_video_read_tokens",
}  # fmt: skip
"""What costs what text does, or is no tokens; pictures and films do so when they are sent to Gemini."""


def test_tokens_that_are_not_priced_as_text_are_told_by_the_price_class() -> None:
    seen = set()
    for provider, extractor in extractors():
        for dest in {mapping.dest for mapping in extractor.mappings}:
            if dest in AS_TEXT or "_text_" in dest or "tool" in dest:
                continue
            told = usage.read(body_of(extractor, {dest}))
            assert told.get("price_class") in ("audio", "image", "video", "citation"), (provider.id, dest)
            if extractor.api_flavor != "images":  # which always tells them
                assert "price_class" not in usage.read(body_of(extractor, set())), (provider.id, extractor.api_flavor)
            seen.add(dest)
    assert {"input_audio_tokens", "output_audio_tokens", "output_image_tokens", "output_citation_tokens"} <= seen


AUDIO = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"audio_tokens": 900}}
SPOKEN = [{"modality": "TEXT", "tokenCount": 100}, {"modality": "AUDIO", "tokenCount": 900}]


@pytest.mark.parametrize(
    ("provider", "flavor", "body"),
    [
        ("openai", "chat", {"model": "gpt-audio", "usage": AUDIO}),
        (
            "google", "default", {"modelVersion": "gemini-2.5-flash", "usageMetadata": {
                "promptTokenCount": 1000, "candidatesTokenCount": 100, "promptTokensDetails": SPOKEN}},
        ),
    ],
)  # fmt: skip
def test_a_call_with_sound_has_no_price_rather_than_that_of_text(
    provider: str, flavor: str, body: dict[str, Any]
) -> None:
    told = usage.read(body)
    at_ns = time.time_ns()
    seller = get_snapshot().find_provider(None, provider, None)
    model, theirs = seller.extract_usage(body, api_flavor=flavor)
    known = next(one for one in seller.models if one.is_match(model))
    text = LibraryUsage(input_tokens=1000, output_tokens=100)
    assert known.calc_price(theirs, seller).total_price > known.calc_price(text, seller).total_price
    tokens = Usage(told["input_tokens"], None, None, None, told["output_tokens"])  # type: ignore[arg-type]  # counts
    assert PriceList().price(provider, str(model), at_ns, tokens, str(told["price_class"])) == UNKNOWN
    assert PriceList().price(provider, str(model), at_ns, tokens) != UNKNOWN


@pytest.mark.parametrize(
    ("reply", "price_class"),
    [
        ({"service_tier": "flex"}, "flex"), ({"service_tier": "default"}, None), ({"service_tier": "fast"}, "fast"),
        ({"service_tier": None, "usage": {"service_tier": "priority"}}, "priority"), ({"service_tier": "new-one"}, None),
        ({"usage": {"input_tokens": 1, "speed": "fast", "service_tier": "standard"}}, "fast"),
        ({"usage": {"input_tokens": 1, "speed": "standard", "service_tier": "batch"}}, "batch"),
        ({"usageMetadata": {"promptTokenCount": 1, "trafficType": "ON_DEMAND_FLEX"}}, "flex"),
        ({"usageMetadata": {"promptTokenCount": 1, "trafficType": "PROVISIONED_THROUGHPUT"}}, "provisioned"),
        ({"usageMetadata": {"promptTokenCount": 1, "trafficType": "ON_DEMAND", "serviceTier": "standard"}}, None),
        ({"service_tier": "flex", "usage": AUDIO}, "audio"), ({"service_tier": 7, "usage": {"speed": []}}, None),
    ],
)  # fmt: skip
def test_the_class_in_which_a_call_was_served_is_read(reply: dict[str, Any], price_class: str | None) -> None:
    assert usage.read(reply).get("price_class") == price_class


@pytest.mark.parametrize(
    ("told", "nanousd"),
    [
        ({"cost": 0.00014}, 140_000), ({"cost": 0}, 0), ({"cost": None}, None), ({"cost": "much"}, None), ({"cost": -1}, None),
        ({"cost": True}, None), ({"cost": float("nan")}, None), ({"cost": {}}, None),
        ({"cost": {"total_cost": 0.006}}, 6_000_000),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}, 21_000_000),
        ({"cost": 0.001, "is_byok": True}, None), ({"cost": 0.001, "is_byok": False, "cost_details": None}, 1_000_000),
    ],
)  # fmt: skip
def test_a_cost_that_the_provider_tells_is_read(told: dict[str, Any], nanousd: int | None) -> None:
    assert usage.read({"usage": {"prompt_tokens": 1, **told}}).get("cost_nanousd") == nanousd


def test_objects_of_an_sdk_are_read_as_dictionaries_are() -> None:
    billed = SimpleNamespace(input_tokens=12.0, output_tokens=3.0)  # Cohere's SDK tells floats
    told = usage.read(SimpleNamespace(usage=SimpleNamespace(billed_units=billed, tokens=None)))
    assert told == {"input_tokens": 12, "output_tokens": 3}


@pytest.mark.parametrize("count", ["7", 1.5, -3, True, 2**41, [], float("inf")])
def test_a_count_that_is_none_is_flagged_and_the_row_kept(count: object) -> None:
    sink = MemorySink()
    with Recorder(sink=sink).call("chat", model="m") as call:
        call.usage({"usage": {"prompt_tokens": count, "completion_tokens": 7}})
    (kept,) = sink.calls
    assert (kept["input_tokens"], kept["output_tokens"], kept["flags"]) == (None, 7, "input_tokens")


@pytest.mark.parametrize(
    ("counts", "flags"),
    [
        ({"input_tokens": 10, "cache_read_tokens": 11}, "input_tokens"),
        ({"input_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 5}, "input_tokens"),
        ({"input_tokens": 10, "cache_write_tokens": 3, "cache_write_1h_tokens": 4}, "cache_write_tokens"),
        ({"output_tokens": 1, "reasoning_tokens": 2}, "output_tokens"),
        ({"input_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 4, "cache_write_1h_tokens": 4}, None),
        ({"cache_read_tokens": 6, "reasoning_tokens": 2}, None),  # of what, nobody says
        ({"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0}, None),
    ],
)
def test_a_count_that_is_less_than_its_parts_is_kept_and_flagged(counts: dict[str, int], flags: str | None) -> None:
    sink = MemorySink()
    Recorder(sink=sink).record(operation="chat", model="m", **counts)
    (kept,) = sink.calls
    assert {name: kept[name] for name in counts} == counts
    assert kept["flags"] == flags
    line = json.dumps({"operation": "chat", "ended_at": 1_800_000_000, **counts}).encode()
    _, values = lines.read_line(line)
    assert dict(zip(lines.COLUMNS["call"], values, strict=True))["flags"] == flags


def test_bedrock_s_stream_tells_its_usage_in_the_metadata_event() -> None:
    told = usage.read({"metadata": {"usage": BEDROCK, "metrics": {"latencyMs": 1}}})
    assert (told["input_tokens"], told["output_tokens"], told["cache_write_1h_tokens"]) == (550, 300, 30)


@pytest.mark.parametrize(
    ("bare", "tokens"),
    [
        (OPENAI, (1000, 400, 300)), (RESPONSES, (1000, 400, 300)), (ANTHROPIC, (550, 400, 300)), (GEMINI, (1007, 400, 500)),
        (BEDROCK, (550, 400, 300)), ({"billed_units": {"input_tokens": 12, "output_tokens": 3}}, (12, None, 3)),
        ({"prompt_tokens": 8, "total_tokens": 8}, (8, None, None)),
    ],
)  # fmt: skip
def test_a_bare_usage_is_read_as_the_answer_it_comes_from(
    bare: dict[str, Any], tokens: tuple[int, int | None, int | None]
) -> None:
    for usage_alone in (bare, SimpleNamespace(**bare)):
        sink = MemorySink()
        with Recorder(sink=sink).call("chat", model="m") as call:
            call.usage(usage_alone)
        (kept,) = sink.calls
        assert (kept["input_tokens"], kept["cache_read_tokens"], kept["output_tokens"]) == tokens
        assert kept["usage_status"] == "complete"


def test_the_cost_and_class_of_a_bare_usage_are_read_too() -> None:
    told = usage.read({"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.00014, "service_tier": "flex"})
    assert (told["cost_nanousd"], told["price_class"]) == (140_000, "flex")


def test_the_last_event_of_a_stream_of_responses_is_read_as_its_answer() -> None:
    told = usage.read({"type": "response.completed", "response": {"model": "gpt-4o", "usage": RESPONSES}})
    assert (told["input_tokens"], told["response_model"]) == (1000, "gpt-4o")


def test_a_call_that_named_no_model_is_to_the_one_that_answered() -> None:
    sink = MemorySink()
    recorder = Recorder(sink=sink)
    answer = {"model": "gpt-4o-2024", "usage": OPENAI}
    with recorder.call("chat") as call:
        call.usage(answer)
    with recorder.call("chat", model="mine") as call:
        call.usage(answer)
    with recorder.call("outer"), recorder.call("inner") as call:
        call.usage(SimpleNamespace(**answer))
        call.usage({"model": "gpt-4o-2025", "usage": OPENAI})
    told = [(call["operation"], call["model"], call["response_model"]) for call in sink.calls]
    assert told == [
        ("chat", "gpt-4o-2024", "gpt-4o-2024"), ("chat", "mine", "gpt-4o-2024"), ("outer", "gpt-4o-2024", "gpt-4o-2025"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {"usage": None}, {"usage": "many"}, {"usage": []}, {"usage": {"prompt_tokens": "7"}}, {"usage": {"inputTokens": True}},
        {"usage": {"inputTokens": 1, "cacheDetails": "no"}}, {"metadata": 3}, {"usageMetadata": {"promptTokenCount": 1.5}},
        {}, None, 7,
    ],
)  # fmt: skip
def test_what_is_no_usage_is_read_as_no_count(body: Any) -> None:
    told = usage.read(body)
    assert {value for name, value in told.items() if name.endswith("_tokens")} <= {1, usage.NO_COUNT}
