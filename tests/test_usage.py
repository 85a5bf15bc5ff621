"""Usage as providers tell it, read into our columns: as genai-prices, a second implementation, reads it."""

from __future__ import annotations

from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot

from reporter import usage

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


def test_bedrock_s_stream_tells_its_usage_in_the_metadata_event() -> None:
    told = usage.read({"metadata": {"usage": BEDROCK, "metrics": {"latencyMs": 1}}})
    assert (told["input_tokens"], told["output_tokens"], told["cache_write_1h_tokens"]) == (550, 300, 30)


@pytest.mark.parametrize(
    "body",
    [
        {"usage": None}, {"usage": "many"}, {"usage": []}, {"usage": {"prompt_tokens": "7"}}, {"usage": {"inputTokens": True}},
        {"usage": {"inputTokens": 1, "cacheDetails": "no"}}, {"metadata": 3}, {"usageMetadata": {"promptTokenCount": 1.5}},
        {}, None, 7,
    ],
)  # fmt: skip
def test_what_is_no_usage_is_read_as_none(body: Any) -> None:
    told = usage.read(body)
    assert all(type(value) is int for name, value in told.items() if name.endswith("_tokens"))
