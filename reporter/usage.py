"""Token usage as providers tell it, read into the columns of a call.

Ours: `input_tokens` includes what was read from and written to a cache, `output_tokens` includes reasoning; missing is None.
OpenAI counts cached tokens inside its prompt tokens, Anthropic and Bedrock beside their input tokens; Gemini's thoughts stand
beside its candidates, xAI's beside its completion, Perplexity's beside it together with citations.

Tokens of sound, of made images and of citations have prices of their own and no column: a call with some says so by its
`price_class`, and has no price rather than that of text.

Objects and dictionaries alike; a stranger's object that throws is left alone.
"""

from __future__ import annotations

from reporter import facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def read(reply: object) -> dict[str, object]:
    """The columns `reply` tells of; empty when it tells of none.  A count that is none is NO_COUNT, which a call flags."""
    told: dict[str, object] = {}
    if get(get(reply, "response"), "usage") is not None:
        reply = get(reply, "response")  # the last event of a stream of OpenAI's Responses has the answer in it
    model = get(reply, "model") or get(reply, "modelVersion") or get(reply, "model_version")
    if isinstance(model, str):
        told["response_model"] = model
    usage = get(reply, "usage")
    if usage is None:
        usage = get(reply, "usageMetadata") or get(reply, "usage_metadata") or get(get(reply, "metadata"), "usage")
    if usage is None:
        usage = get(reply, "meta")  # of Cohere's embeddings
    if usage is None and any(get(reply, knows) is not None for knows, _ in _READERS):
        usage = reply  # the bare usage of an answer
    if usage is not None:
        for knows, reads in _READERS:
            if get(usage, knows) is not None:
                told.update({name: value for name, value in reads(usage).items() if value is not None})
                break
        cost = _reported_nanousd(usage)
        if cost is not None:
            told["cost_nanousd"] = cost
    kind = _price_class(reply, usage)
    if kind is not None:
        told["price_class"] = kind
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


NO_COUNT = -1
"""Stands for what is told where a count should be, and is none: text, half a token, less than nothing."""


def _count(source: object, *names: str) -> int | None:
    for name in names:
        value = get(source, name)
        if type(value) is int:
            return value if 0 <= value <= facts.MOST_TOKENS else NO_COUNT
        if value is None:
            continue
        if type(value) is float and value.is_integer():  # as Cohere's SDK tells them
            value = int(value)
        return value if type(value) is int and 0 <= value <= facts.MOST_TOKENS else NO_COUNT
    return None


_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens", "cached_prompt_text_tokens")
"""What compatible servers call tokens read from a cache: DeepSeek, Moonshot and Anthropic, Databricks, xAI."""


def _openai_chat(usage: object) -> dict[str, int | None]:
    told, answered = get(usage, "prompt_tokens_details"), get(usage, "completion_tokens_details")
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    reasoning, citations = _count(answered, "reasoning_tokens"), _count(usage, "citation_tokens")
    if reasoning is None:
        reasoning = _count(usage, "reasoning_tokens")
    if citations is not None:  # Perplexity's, beside its completion tokens with its reasoning
        output = _together(output, reasoning, citations)
    elif reasoning and output is not None and _count(usage, "total_tokens") == (prompt or 0) + output + reasoning:
        output = _together(output, reasoning)  # xAI tells it beside its completion tokens
    cached = _count(told, "cached_tokens")
    return {
        "input_tokens": prompt,
        "output_tokens": output,
        "cache_read_tokens": _count(usage, *_CACHED) if cached is None else cached,
        "cache_write_tokens": _count(told, "cache_write_tokens"),
        "reasoning_tokens": reasoning,
    }


def _openai_responses(usage: object) -> dict[str, int | None]:
    told = get(usage, "input_tokens_details")
    return {
        "input_tokens": _count(usage, "input_tokens"),
        "output_tokens": _count(usage, "output_tokens"),
        "cache_read_tokens": _count(told, "cached_tokens", "cache_read_input_tokens"),
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
    entries = kept if isinstance(kept, list) else []
    hours = [_count(entry, "inputTokens") for entry in entries if get(entry, "ttl") == "1h"]
    return {
        "input_tokens": _together(_count(usage, "inputTokens"), read_tokens, written),
        "output_tokens": _count(usage, "outputTokens"),
        "cache_read_tokens": read_tokens,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": _together(0, *hours) if hours else None,
    }


def _gemini(usage: object) -> dict[str, int | None]:
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    answered = _count(usage, "candidatesTokenCount", "candidates_token_count")
    asked = _count(usage, "promptTokenCount", "prompt_token_count")
    return {
        "input_tokens": _together(asked, _count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count")),
        "output_tokens": thoughts if answered is None else _together(answered, thoughts),
        "cache_read_tokens": _count(usage, "cachedContentTokenCount", "cached_content_token_count"),
        "reasoning_tokens": thoughts,
    }


def _cohere(usage: object) -> dict[str, int | None]:
    """What is billed, else what was counted."""
    billed, counted = get(usage, "billed_units"), get(usage, "tokens")
    told = counted if billed is None else billed
    return {
        "input_tokens": _count(told, "input_tokens"),
        "output_tokens": _count(told, "output_tokens"),
        "cache_read_tokens": _count(usage, "cached_tokens") if billed is None else None,
    }


def _together(tokens: int | None, *beside: int | None) -> int | None:
    """Tokens with those that are told beside them; None when there are none to begin with."""
    if tokens is None:
        return None
    parts = [part for part in (tokens, *beside) if part is not None]
    return NO_COUNT if NO_COUNT in parts else sum(parts)


_READERS: tuple[tuple[str, Callable[[object], dict[str, int | None]]], ...] = (
    ("prompt_tokens", _openai_chat),
    ("input_tokens", _anthropic),
    ("inputTokens", _bedrock),
    ("promptTokenCount", _gemini),
    ("prompt_token_count", _gemini),
    ("billed_units", _cohere),
    ("tokens", _cohere),
)


TIERS = {  # how a call was served, as answers tell it → `price_class`; any other is served at the list price
    **{name: name for name in ("flex", "priority", "batch", "fast", "scale", "performance")},
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "on_demand_offpeak": "offpeak",
    "provisioned_throughput": "provisioned",
}
_SPECIAL = (  # where tokens are told that don't cost what text does → what they are of
    ("prompt_tokens_details", "audio_tokens", "audio"),
    ("completion_tokens_details", "audio_tokens", "audio"),
    ("input_tokens_details", "image_tokens", "image"),
    ("output_tokens_details", "image_tokens", "image"),
    (None, "citation_tokens", "citation"),
)
_SPECIAL_LISTS = (  # the same in Gemini's lists of modalities, whose pictures and films cost what text does when they are sent
    (("promptTokensDetails", "prompt_tokens_details", "toolUsePromptTokensDetails", "tool_use_prompt_tokens_details"),
     ("AUDIO",)),
    (("cacheTokensDetails", "cache_tokens_details"), ("AUDIO",)),
    (("candidatesTokensDetails", "candidates_tokens_details"), ("AUDIO", "IMAGE", "VIDEO")),
)  # fmt: skip


def _price_class(reply: object, usage: object) -> str | None:
    """What of a call is not priced as text, else the class it was served in; None: the list price holds."""
    if usage is not None:
        kind = _special(usage)
        if kind is not None:
            return kind
    for source in (reply, usage):
        for name in ("service_tier", "serviceTier", "traffic_type", "trafficType", "speed"):
            tier = get(source, name)
            if tier is None:
                continue
            tier = get(tier, "value") or tier
            if isinstance(tier, str) and tier.lower() in TIERS:
                return TIERS[tier.lower()]
    return None


def _special(usage: object) -> str | None:
    """What of a call is not priced as text, if anything is."""
    for place, name, kind in _SPECIAL:
        told = usage if place is None else get(usage, place)
        if told is not None and (_count(told, name) or 0) > 0:
            return kind
    for names, kinds in _SPECIAL_LISTS:
        for name in names:
            entries = get(usage, name)
            for entry in entries if isinstance(entries, list) else ():
                modality = get(entry, "modality")
                modality = get(modality, "value") or modality  # google-genai's is an enumeration
                if modality in kinds and (_count(entry, "tokenCount", "token_count") or 0) > 0:
                    return str(modality).lower()
    return None


def _reported_nanousd(usage: object) -> int | None:
    """What the provider says it costs: OpenRouter, with what it says another one charges, and Perplexity."""
    cost = get(usage, "cost")
    if cost is None:
        return None
    parts = [get(cost, "total_cost") or cost]
    if get(usage, "is_byok") is True:  # the user's own key of another provider
        parts.append(get(get(usage, "cost_details"), "upstream_inference_cost"))
    sums = [facts.nanousd(part, []) for part in parts if type(part) in (int, float)]
    told = [one for one in sums if one is not None]
    return sum(told) if len(told) == len(parts) else None


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
