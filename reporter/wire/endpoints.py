"""What a request is, told from its URL and body: an LLM's operation, provider and model, or a host and the route on it.

LLM endpoints are known by the end of their path, because proxies and compatible servers put whatever they like before it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BODY_BYTES = 8 * 1024 * 1024
"""A longer request is not searched for its model."""

_BY_PATH = (  # the end of a path → operation
    ("/chat/completions", "chat"),
    ("/responses", "chat"),
    ("/v1/messages", "chat"),
    ("/agents/completions", "chat"),
    ("/completions", "completion"),
    ("/embeddings", "embeddings"),
    ("/v2/chat", "chat"),
)
_BY_METHOD = {  # Gemini's and Vertex': /models/MODEL:method
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "rawPredict": "chat",
    "streamRawPredict": "chat",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
}
_BY_HOST = (  # the end of a host → provider, as genai-prices calls it
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("api.openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "google"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral"),
    ("openrouter.ai", "openrouter"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x-ai"),
    ("together.xyz", "together"),
    ("together.ai", "together"),
    ("fireworks.ai", "fireworks"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
    ("perplexity.ai", "perplexity"),
    ("cerebras.ai", "cerebras"),
    ("moonshot.ai", "moonshotai"),
    ("novita.ai", "novita"),
    ("huggingface.co", "huggingface"),
)
_IN_URL = re.compile(r"/models/([^/:]+):(\w+)$")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')
_AN_ID = re.compile(
    r"\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-fA-F]{16,}"
    r"|(?=[^/]*\d)[A-Za-z]*[_-]?[A-Za-z0-9_-]{16,}|.*@.*|.{64,}",
    re.DOTALL,
)


class Endpoint:
    """What a request is: `model` is None for a plain API call, and `model_is_told` False where only the answer tells it."""

    __slots__ = ("model", "model_is_told", "operation", "provider")

    def __init__(self, operation: str, provider: str | None, model: str | None, model_is_told: bool = True) -> None:
        self.operation, self.provider, self.model, self.model_is_told = operation, provider, model, model_is_told


def endpoint(
    method: str, host: str, path: str, headers: Mapping[bytes, bytes], body: bytes, provider: str | None = None
) -> Endpoint:
    """What the request is; `provider` is the SDK's, for hosts that tell nothing."""
    found = _llm(method, path, headers, body)
    if found is None:
        return Endpoint(f"{method} {route(path)}", host, None)
    operation, model, model_is_told = found
    provider = provider_of(host) or provider
    if provider is None and b"anthropic-version" in headers:
        provider = "anthropic"
    return Endpoint(operation, provider, model, model_is_told)


@lru_cache(1024)
def provider_of(host: str) -> str | None:
    """The provider whose host that is, if it is a known one's."""
    for end, provider in _BY_HOST:
        if host == end or host.endswith("." + end):
            return provider
    return None


def _llm(method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> tuple[str, str, bool] | None:
    """(operation, model, whether it is one rather than what stands for it) of a request to an LLM."""
    if method != "POST":
        return None
    path = path.rstrip("/")
    in_url = _IN_URL.search(path)
    if in_url is not None:
        operation = _BY_METHOD.get(in_url[2])
        return None if operation is None else (operation, in_url[1], True)
    operation = next((operation for end, operation in _BY_PATH if path.endswith(end)), None)
    if operation is None:
        return None
    if b"json" not in headers.get(b"content-type", b"json"):
        return None
    model, is_told = _model(body)
    if model is None or not is_told:
        deployment = _DEPLOYMENT.search(path)
        if deployment is not None:
            model, is_told = deployment[1], True
    return None if model is None else (operation, model, is_told)


def _model(body: bytes) -> tuple[str | None, bool]:
    """The member `model` of a request's body and True, or what stands for it and False."""
    if len(body) > MOST_BODY_BYTES:
        found = _MODEL.search(body)  # perhaps a nested one: better than none
        return (None if found is None else found[1].decode("utf-8", "replace")), True
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None, True
    if not isinstance(told, dict):
        return None, True
    model, prompt = told.get("model"), told.get("prompt")
    if isinstance(model, str) and model:
        return model, True
    # Mistral's agents and OpenAI's stored prompts have their model where they are kept
    kept = told.get("agent_id") or (prompt.get("id") if isinstance(prompt, dict) else None)
    return (kept if isinstance(kept, str) and kept else None), False


def route(path: str) -> str:
    """The path with what looks like an id replaced by `{id}`; never a query."""
    parts = [("{id}" if part and _AN_ID.fullmatch(part) else part) for part in path.split("/")]
    return "/".join(parts) or "/"
