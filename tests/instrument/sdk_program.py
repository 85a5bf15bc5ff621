"""Run with one SDK on the path: does what a person would do with it, and prints the calls that were recorded, by scenario.

python -m tests.instrument.sdk_program openai http://127.0.0.1:8080
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from reporter import Recorder
from reporter.sinks.memory import MemorySink

warnings.simplefilter("ignore")  # models go out of fashion
PROMPT = "canary-prompt-5f2"
KEY = "canary-key-9c4"
sink = MemorySink()
recorder = Recorder(sink=sink)
told: dict[str, Any] = {}


def scenario(name: str, action: Callable[[], Any]) -> None:
    """Do it, and keep what was recorded and which exception came out."""
    error = None
    try:
        action()
    except Exception as caught:
        error = type(caught).__name__
    gc.collect()
    told[name] = {"calls": list(sink.calls), "error": error, "starts": len(sink.starts)}
    sink.calls.clear()
    sink.starts.clear()


FAULTY = (  # answers that are no successes, or malformed
    "short stream", "error-event stream", "flat-error stream", "told", "told stream", "half", "half stream", "odd",
    "odd stream",
)  # fmt: skip


def faulty(make: Callable[[], Any], make_async: Callable[[], Any], ask: Callable[[Any, str, bool], Any]) -> None:
    """Each of them with clients that are watched, and with bare ones."""

    def all_of(kind: str, watch: Callable[[Any], Any]) -> None:
        client = watch(make())
        for name in FAULTY:
            model, _, streams = name.partition(" ")
            later = watch(make_async())  # a client keeps the event loop that it was first used in
            read: Callable[[Any], Any] = list if streams else id
            scenario(f"{kind}{name}", lambda: read(ask(client, model, bool(streams))))  # noqa: B023  # called at once
            scenario(f"{kind}async {name}", drained(lambda: ask(later, model, bool(streams))))  # noqa: B023

    all_of("", recorder.instrument)
    all_of("bare ", lambda client: client)


def drained(coroutine: Callable[[], Awaitable[Any]]) -> Callable[[], Any]:
    async def drain() -> None:
        answer = await coroutine()
        if hasattr(answer, "__aiter__"):
            async for _ in answer:
                pass

    return lambda: asyncio.run(drain())


def openai_like(sync: Any, make_async: Callable[[], Any]) -> None:
    """OpenAI's SDK and those made after it."""
    messages = [{"role": "user", "content": PROMPT}]
    usage = {"stream_options": {"include_usage": True}} if "groq" not in type(sync).__module__ else {}

    def chat(client: Any, model: str = "m", **more: Any) -> Any:
        return client.chat.completions.create(model=model, messages=messages, **more)

    patient = sync.with_options(timeout=0.4, max_retries=0)
    scenario("whole", lambda: chat(sync))
    scenario("stream", lambda: list(chat(sync, stream=True, **usage)))
    scenario("stream, no usage", lambda: list(chat(sync, stream=True)))
    scenario("zipped", lambda: chat(sync, "gzip-m"))
    scenario("zipped stream", lambda: list(chat(sync, "gzip-m", stream=True, **usage)))
    scenario("busy", lambda: chat(sync, "busy-2"))
    scenario("busy stream", lambda: list(chat(sync, "gzip-busy-1", stream=True, **usage)))
    scenario("broken", lambda: chat(sync.with_options(max_retries=1), "broken"))
    scenario("hang", lambda: chat(patient, "hang"))
    scenario("cut", lambda: list(chat(patient, "cut", stream=True)))
    scenario("stall", lambda: list(chat(patient, "stall", stream=True)))
    scenario("error event", lambda: list(chat(patient, "error-event", stream=True)))
    scenario("refused", lambda: chat(sync.with_options(base_url="http://127.0.0.1:1", max_retries=0)))

    def left() -> None:
        for _ in chat(sync, "slow", stream=True):
            break

    def closed() -> None:
        stream = chat(sync, "slow", stream=True)
        iterator = iter(stream)
        next(iterator), next(iterator)
        stream.close()

    scenario("left", left)
    scenario("closed", closed)

    def inside() -> None:
        with recorder.call("my-step", provider="mine"):
            chat(sync)
            list(chat(sync, stream=True, **usage))

    def returned() -> None:
        @recorder.call("my-step")
        def ask() -> Any:
            return chat(sync, stream=True, **usage)

        list(ask())

    def while_streaming() -> None:
        stream = iter(chat(sync, stream=True, **usage))
        next(stream)
        chat(sync, "other")
        list(stream)

    scenario("inside a call", inside)
    scenario("while streaming", while_streaming)
    scenario("a stream returned", returned)
    scenario("raw", lambda: sync.chat.completions.with_raw_response.create(model="m", messages=messages).parse())
    if hasattr(sync, "responses"):
        scenario("responses", lambda: sync.responses.create(model="m", input=PROMPT))
        scenario("responses stream", lambda: list(sync.responses.create(model="m", input=PROMPT, stream=True)))
        scenario("embeddings", lambda: sync.embeddings.create(model="m", input=PROMPT))

    scenario("async", drained(lambda: chat(make_async())))
    scenario("async stream", drained(lambda: chat(make_async(), stream=True, **usage)))
    scenario("async busy", drained(lambda: chat(make_async(), "gzip-busy-2")))

    async def cancelled() -> None:
        task = asyncio.ensure_future(chat(make_async(), "hang"))
        while not sink.starts:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def together() -> None:
        client = make_async()
        await asyncio.gather(*(chat(client, f"m{number}") for number in range(10)))

    scenario("async cancelled", lambda: asyncio.run(cancelled()))
    scenario("async together", lambda: asyncio.run(together()))
    recorder.uninstrument(sync)
    scenario("uninstrumented", lambda: chat(sync))


def openai(url: str) -> None:
    import openai

    def ask(client: Any, model: str, streams: bool) -> Any:
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": PROMPT}], stream=streams
        )

    how = {"api_key": KEY, "base_url": f"{url}/v1", "max_retries": 0}
    faulty(lambda: openai.OpenAI(**how), lambda: openai.AsyncOpenAI(**how), ask)

    def make_async() -> Any:
        return recorder.instrument(openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1"))

    sync = recorder.instrument(openai.OpenAI(api_key=KEY, base_url=f"{url}/v1"))
    assert recorder.instrument(sync) is sync
    azure = recorder.instrument(openai.AzureOpenAI(api_key=KEY, api_version="1", azure_endpoint=url))
    scenario("azure", lambda: azure.chat.completions.create(model="m", messages=[{"role": "user", "content": PROMPT}]))
    openai_like(sync, make_async)


def groq(url: str) -> None:
    import groq

    def ask(client: Any, model: str, streams: bool) -> Any:
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": PROMPT}], stream=streams
        )

    how = {"api_key": KEY, "base_url": url, "max_retries": 0}
    faulty(lambda: groq.Groq(**how), lambda: groq.AsyncGroq(**how), ask)
    sync = recorder.instrument(groq.Groq(api_key=KEY, base_url=url))
    openai_like(sync, lambda: recorder.instrument(groq.AsyncGroq(api_key=KEY, base_url=url)))


def anthropic(url: str) -> None:
    import anthropic

    sync = recorder.instrument(anthropic.Anthropic(api_key=KEY, base_url=url))

    def create(client: Any, model: str = "m", **more: Any) -> Any:
        return client.messages.create(
            model=model, max_tokens=10, messages=[{"role": "user", "content": PROMPT}], **more
        )

    def helper() -> None:
        with sync.messages.stream(model="m", max_tokens=10, messages=[{"role": "user", "content": PROMPT}]) as stream:
            assert stream.get_final_message().usage.output_tokens == 100

    def make_async() -> Any:
        return recorder.instrument(anthropic.AsyncAnthropic(api_key=KEY, base_url=url))

    scenario("whole", lambda: create(sync))
    scenario("stream", lambda: list(create(sync, stream=True)))
    scenario("helper", helper)
    scenario("zipped stream", lambda: list(create(sync, "gzip-m", stream=True)))
    scenario("busy", lambda: create(sync, "busy-2"))
    scenario("error event", lambda: list(create(sync, "error-event", stream=True)))
    scenario("async", drained(lambda: create(make_async())))
    scenario("async stream", drained(lambda: create(make_async(), stream=True)))
    how = {"api_key": KEY, "base_url": url, "max_retries": 0}
    faulty(
        lambda: anthropic.Anthropic(**how), lambda: anthropic.AsyncAnthropic(**how),
        lambda client, model, streams: create(client, model, stream=streams),
    )  # fmt: skip


def genai(url: str) -> None:
    from google import genai

    options = {"base_url": url, "retry_options": {"attempts": 3, "initial_delay": 0.01, "max_delay": 0.02}}
    client = recorder.instrument(genai.Client(api_key=KEY, http_options=options))
    models, asynchronous = client.models, client.aio.models
    scenario("whole", lambda: models.generate_content(model="m", contents=PROMPT))
    scenario("stream", lambda: list(models.generate_content_stream(model="m", contents=PROMPT)))
    scenario("busy", lambda: models.generate_content(model="busy-2", contents=PROMPT))
    scenario("async", drained(lambda: asynchronous.generate_content(model="m", contents=PROMPT)))
    scenario("async stream", drained(lambda: asynchronous.generate_content_stream(model="m", contents=PROMPT)))
    scenario("async busy", drained(lambda: asynchronous.generate_content(model="gzip-busy-1", contents=PROMPT)))
    scenario("async get", drained(lambda: asynchronous.get(model="m")))
    later = recorder.instrument(genai.Client(api_key=KEY, http_options={"base_url": url, "timeout": 400}))
    scenario("async hang", drained(lambda: later.aio.models.generate_content(model="hang", contents=PROMPT)))
    nowhere = {"base_url": "http://127.0.0.1:1", "retry_options": {"attempts": 1}}
    lost = recorder.instrument(genai.Client(api_key=KEY, http_options=nowhere))
    scenario("async refused", drained(lambda: lost.aio.models.generate_content(model="m", contents=PROMPT)))

    async def left() -> None:
        stream = await asynchronous.generate_content_stream(model="slow", contents=PROMPT)
        async for _ in stream:
            break
        await stream.aclose()

    async def cancelled() -> None:
        task = asyncio.ensure_future(asynchronous.generate_content(model="hang", contents=PROMPT))
        while not sink.starts:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def inside() -> None:
        with recorder.call("my-step"):
            await asynchronous.generate_content(model="m", contents=PROMPT)
            async for _ in await asynchronous.generate_content_stream(model="m", contents=PROMPT):
                pass

    scenario("async left", lambda: asyncio.run(left()))
    scenario("async cancelled", lambda: asyncio.run(cancelled()))
    scenario("async inside a call", lambda: asyncio.run(inside()))
    recorder.uninstrument(client)
    scenario("uninstrumented", drained(lambda: asynchronous.generate_content(model="m", contents=PROMPT)))
    holders = [client._api_client, client._api_client._async_httpx_client]
    assert not [value for holder in holders for value in vars(holder).values() if hasattr(value, "__reporter__")]
    assert "WatchedSession" not in repr(vars(client._api_client))

    def ask(client: Any, model: str, streams: bool) -> Any:
        models = client.models if client in made else client.aio.models
        return (models.generate_content_stream if streams else models.generate_content)(model=model, contents=PROMPT)

    made: list[Any] = []

    def make() -> Any:
        made.append(genai.Client(api_key=KEY, http_options={"base_url": url}))
        return made[-1]

    faulty(make, lambda: genai.Client(api_key=KEY, http_options={"base_url": url}), ask)


def mistral(url: str) -> None:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    client = recorder.instrument(Mistral(api_key=KEY, server_url=url))
    messages = [{"role": "user", "content": PROMPT}]
    scenario("whole", lambda: client.chat.complete(model="m", messages=messages))

    def stream() -> None:
        with client.chat.stream(model="m", messages=messages) as events:
            for _ in events:
                pass

    scenario("stream", stream)

    def ask(client: Any, model: str, streams: bool) -> Any:
        name = f"{'stream' if streams else 'complete'}{'' if client in made else '_async'}"
        return getattr(client.chat, name)(model=model, messages=messages)

    made: list[Any] = []

    def make() -> Any:
        made.append(Mistral(api_key=KEY, server_url=url))
        return made[-1]

    faulty(make, lambda: Mistral(api_key=KEY, server_url=url), ask)
    patient = RetryConfig("backoff", BackoffStrategy(10, 50, 1.1, 5000), False)
    scenario("busy", lambda: client.chat.complete(model="busy-2", messages=messages, retries=patient))

    def chat() -> Any:  # a client keeps the event loop that it was first used in
        return recorder.instrument(Mistral(api_key=KEY, server_url=url)).chat

    scenario("async", drained(lambda: chat().complete_async(model="m", messages=messages)))
    scenario(
        "async busy", drained(lambda: chat().complete_async(model="gzip-busy-2", messages=messages, retries=patient))
    )
    scenario("async stream", drained(lambda: chat().stream_async(model="m", messages=messages)))

    def busy_stream() -> None:
        with client.chat.stream(model="gzip-busy-1", messages=messages, retries=patient) as events:
            list(events)

    scenario("busy stream", busy_stream)
    always = Mistral(api_key=KEY, server_url=url, retry_config=patient)
    fresh = dict(vars(always))
    recorder.instrument(always)
    scenario("of its own accord", lambda: always.chat.complete(model="busy-1", messages=messages))
    scenario("hang", lambda: always.chat.complete(model="hang", messages=messages, timeout_ms=300))
    scenario("fim", lambda: always.fim.complete(model="m", prompt=PROMPT, retries=patient))
    scenario("agent", lambda: always.agents.complete(agent_id="ag-1", messages=messages))
    scenario("embeddings", lambda: always.embeddings.create(model="m", inputs=PROMPT))
    recorder.uninstrument(always)
    parts = [part for name, part in vars(always).items() if name not in fresh]
    assert {type(part).__name__ for part in parts} >= {"Chat", "Fim", "Agents", "Embeddings"}
    holders = [always, *parts, always.sdk_configuration.client, always.sdk_configuration.async_client]
    assert not [value for holder in holders for value in vars(holder).values() if hasattr(value, "__reporter__")]
    scenario("uninstrumented", lambda: always.chat.complete(model="m", messages=messages))


if __name__ == "__main__":
    {"openai": openai, "groq": groq, "anthropic": anthropic, "genai": genai, "mistral": mistral}[sys.argv[1]](
        sys.argv[2]
    )
    print(json.dumps(told))
