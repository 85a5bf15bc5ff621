"""Token usage as providers tell it, read into the columns of a call.

Ours: `input_tokens` includes what was read from and written to a cache, `output_tokens` includes reasoning; missing is None.
OpenAI counts cached tokens inside its prompt tokens, Anthropic beside its input tokens, Gemini's thoughts stand beside its
candidates.  Objects and dictionaries alike; a stranger's object that throws is left alone.
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
        usage = get(reply, "usageMetadata") or get(reply, "usage_metadata")
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
    return {
        "input_tokens": _count(usage, "prompt_tokens"),
        "output_tokens": _count(usage, "completion_tokens"),
        "cache_read_tokens": _count(get(usage, "prompt_tokens_details"), "cached_tokens"),
        "reasoning_tokens": _count(get(usage, "completion_tokens_details"), "reasoning_tokens"),
    }


def _openai_responses(usage: object) -> dict[str, int | None]:
    return {
        "input_tokens": _count(usage, "input_tokens"),
        "output_tokens": _count(usage, "output_tokens"),
        "cache_read_tokens": _count(get(usage, "input_tokens_details"), "cached_tokens"),
        "reasoning_tokens": _count(get(usage, "output_tokens_details"), "reasoning_tokens"),
    }


def _anthropic(usage: object) -> dict[str, int | None]:
    if get(usage, "input_tokens_details") is not None:
        return _openai_responses(usage)
    plain = _count(usage, "input_tokens")
    read_tokens = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    return {
        "input_tokens": None if plain is None else plain + (read_tokens or 0) + (written or 0),
        "output_tokens": _count(usage, "output_tokens"),
        "cache_read_tokens": read_tokens,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": _count(get(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
    }


def _gemini(usage: object) -> dict[str, int | None]:
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    answered = _count(usage, "candidatesTokenCount", "candidates_token_count")
    return {
        "input_tokens": _count(usage, "promptTokenCount", "prompt_token_count"),
        "output_tokens": None if answered is None and thoughts is None else (answered or 0) + (thoughts or 0),
        "cache_read_tokens": _count(usage, "cachedContentTokenCount", "cached_content_token_count"),
        "reasoning_tokens": thoughts,
    }


_READERS: tuple[tuple[str, Callable[[object], dict[str, int | None]]], ...] = (
    ("prompt_tokens", _openai_chat),
    ("input_tokens", _anthropic),
    ("promptTokenCount", _gemini),
    ("prompt_token_count", _gemini),
)


def finish_reason(reply: object) -> str | None:
    for name in ("stop_reason", "finish_reason"):
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
