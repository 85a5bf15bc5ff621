"""Token usage as providers tell it, read into the columns of a call.

Ours: `input_tokens` includes what was read from and written to a cache, `output_tokens` includes reasoning; missing is None.
OpenAI counts cached tokens inside its prompt tokens, Anthropic and Bedrock beside their input tokens; Gemini's thoughts stand
beside its candidates, xAI's beside its completion.

Objects and dictionaries alike; a stranger's object that throws is left alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def read(reply: object) -> dict[str, object]:
    """The columns `reply` tells of; empty when it tells of none."""
    told: dict[str, object] = {}
    model = get(reply, "model") or get(reply, "modelVersion") or get(reply, "model_version")
    if isinstance(model, str):
        told["response_model"] = model
    usage = get(reply, "usage")
    if usage is None:
        usage = get(reply, "usageMetadata") or get(reply, "usage_metadata") or get(get(reply, "metadata"), "usage")
    if usage is not None:
        for knows, reads in _READERS:
            if get(usage, knows) is not None:
                told.update({name: value for name, value in reads(usage).items() if value is not None})
                break
    finish = finish_reason(reply)
    if finish is not None:
        told["finish_reason"] = finish
    return told


def get(source: object, name: str) -> object:
    """`source[name]` or `source.name`, or None, whatever `source` is."""
    if source is None:
        return None
    if isinstance(source, dict):
        return source.get(name)
    try:
        return getattr(source, name, None)
    except Exception:
        return None


def _count(source: object, *names: str) -> int | None:
    for name in names:
        value = get(source, name)
        if type(value) is int:
            return value
    return None


def _openai_chat(usage: object) -> dict[str, int | None]:
    told, answered = get(usage, "prompt_tokens_details"), get(usage, "completion_tokens_details")
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    reasoning = _count(answered, "reasoning_tokens")
    if reasoning and output is not None and _count(usage, "total_tokens") == (prompt or 0) + output + reasoning:
        output += reasoning  # xAI tells it beside its completion tokens
    cached = _count(told, "cached_tokens")
    return {
        "input_tokens": prompt,
        "output_tokens": output,
        "cache_read_tokens": _count(usage, "prompt_cache_hit_tokens", "cached_tokens") if cached is None else cached,
        "cache_write_tokens": _count(told, "cache_write_tokens"),
        "reasoning_tokens": reasoning,
    }


def _openai_responses(usage: object) -> dict[str, int | None]:
    told = get(usage, "input_tokens_details")
    return {
        "input_tokens": _count(usage, "input_tokens"),
        "output_tokens": _count(usage, "output_tokens"),
        "cache_read_tokens": _count(told, "cached_tokens"),
        "cache_write_tokens": _count(told, "cache_write_tokens"),
        "reasoning_tokens": _count(get(usage, "output_tokens_details"), "reasoning_tokens"),
    }


def _anthropic(usage: object) -> dict[str, int | None]:
    if get(usage, "input_tokens_details") is not None:
        return _openai_responses(usage)
    plain = _count(usage, "input_tokens")
    read_tokens = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    return {
        "input_tokens": _together(plain, read_tokens, written),
        "output_tokens": _count(usage, "output_tokens"),
        "cache_read_tokens": read_tokens,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": _count(get(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
        "reasoning_tokens": _count(get(usage, "output_tokens_details"), "thinking_tokens"),
    }


def _bedrock(usage: object) -> dict[str, int | None]:
    """AWS Bedrock's `converse`: cached tokens stand beside its input tokens, as with Anthropic."""
    read_tokens = _count(usage, "cacheReadInputTokens")
    written = _count(usage, "cacheWriteInputTokens")
    kept = get(usage, "cacheDetails")
    hours = [get(entry, "inputTokens") for entry in kept if get(entry, "ttl") == "1h"] if isinstance(kept, list) else []
    return {
        "input_tokens": _together(_count(usage, "inputTokens"), read_tokens, written),
        "output_tokens": _count(usage, "outputTokens"),
        "cache_read_tokens": read_tokens,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": sum(hour for hour in hours if type(hour) is int) if hours else None,
    }


def _gemini(usage: object) -> dict[str, int | None]:
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    answered = _count(usage, "candidatesTokenCount", "candidates_token_count")
    asked = _count(usage, "promptTokenCount", "prompt_token_count")
    return {
        "input_tokens": _together(asked, _count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count")),
        "output_tokens": None if answered is None and thoughts is None else (answered or 0) + (thoughts or 0),
        "cache_read_tokens": _count(usage, "cachedContentTokenCount", "cached_content_token_count"),
        "reasoning_tokens": thoughts,
    }


def _together(tokens: int | None, *beside: int | None) -> int | None:
    """Input tokens with those that are told beside them; None when there are none to begin with."""
    return None if tokens is None else tokens + sum(more or 0 for more in beside)


_READERS: tuple[tuple[str, Callable[[object], dict[str, int | None]]], ...] = (
    ("prompt_tokens", _openai_chat),
    ("input_tokens", _anthropic),
    ("inputTokens", _bedrock),
    ("promptTokenCount", _gemini),
    ("prompt_token_count", _gemini),
)


def finish_reason(reply: object) -> str | None:
    for name in ("stop_reason", "finish_reason", "stopReason"):
        value = get(reply, name)
        if isinstance(value, str):
            return value
    for name in ("choices", "candidates"):
        choices = get(reply, name)
        if isinstance(choices, list | tuple) and choices:
            value = get(choices[0], "finish_reason") or get(choices[0], "finishReason")
            if value is not None:
                return str(value)
    return None
