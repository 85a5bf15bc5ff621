"""Only type-checked, never run: the public names are typed, and a decorator leaves a function's signature as it was."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, assert_type

import reporter


@reporter.call("embed", provider="openai", model="text-embedding-3-small", deadline_seconds=10)
def embed(text: str, *, dimensions: int = 512) -> list[float]:
    return [float(len(text))] * dimensions


@reporter.call("chat")
async def chat(prompt: str) -> str:
    return prompt


@reporter.call("stream")
def stream(prompt: str) -> Iterator[str]:
    yield prompt


@reporter.call("astream")
async def astream(prompt: str) -> AsyncIterator[str]:
    yield prompt


@reporter.job("nightly", team="search")
def main(argv: list[str]) -> int:
    return len(argv)


assert_type(embed("a", dimensions=3), list[float])
assert_type(stream("a"), Iterator[str])
assert_type(astream("a"), AsyncIterator[str])
assert_type(main([]), int)
asynchronous: Callable[[str], Coroutine[Any, Any, str]] = chat

embed(7)  # type: ignore[arg-type]  # the decorator keeps what the function takes
embed("a", size=3)  # type: ignore[call-arg]
main("a")  # type: ignore[arg-type]


async def use() -> None:
    async with reporter.call("chat") as c:
        assert_type(c, reporter.ActiveCall)
        c.usage({"usage": {}})
        c.set(user_id="u-17")
    with reporter.job("nightly") as run:
        assert_type(run, reporter.ActiveRun)


assert_type(reporter.record(operation="chat", duration_seconds=1.2), str | None)
assert_type(reporter.flush(timeout=1.0), bool)
assert_type(reporter.configure("sqlite:///jobs.db", job="nightly"), reporter.Recorder)
