"""Wrapping a function of any kind so that each call of it runs inside a recording.

The wrapper is of the function's own kind, so whatever looks at it (asyncio, pytest, a framework) sees what it saw before.
Between the steps of a generator its recording is paused: what its consumer calls meanwhile is the consumer's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # CPython's co_flags, as in the inspect module


def decorate(begin: Callable[[], Any], function: Callable[..., Any]) -> Any:
    """`function` with each call inside a fresh `begin()`, a context manager."""
    if not callable(function):
        from reporter.errors import UsageError

        raise UsageError(
            f"a {type(function).__name__} can't be decorated; below @classmethod, @staticmethod or @property is the place"
        )
    flags = _flags(function)
    if flags & _ASYNC_GENERATOR:

        async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            generator = function(*args, **kwargs)
            with begin() as active:
                try:
                    step, argument = generator.asend, None
                    while True:
                        value = await step(argument)
                        active.pause()
                        try:
                            step, argument = generator.asend, (yield value)
                        except GeneratorExit:
                            raise
                        except BaseException as error:
                            step, argument = generator.athrow, error
                        finally:
                            active.resume()
                except StopAsyncIteration:
                    return
                finally:
                    await generator.aclose()

    elif flags & _COROUTINE:

        async def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # one name, four kinds
            with begin():
                return await function(*args, **kwargs)

    elif flags & _GENERATOR:

        def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[misc]
            generator = function(*args, **kwargs)
            with begin() as active:
                step, argument = generator.send, None
                while True:
                    try:
                        value = step(argument)
                    except StopIteration as stop:
                        return stop.value  # type: ignore[no-any-return]  # whatever it returns
                    active.pause()
                    try:
                        step, argument = generator.send, (yield value)
                    except GeneratorExit:
                        generator.close()
                        raise
                    except BaseException as error:
                        step, argument = generator.throw, error
                    finally:
                        active.resume()

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            with begin():
                return function(*args, **kwargs)

    return dress(wrapper, function)


def dress(wrapper: Any, function: Callable[..., Any]) -> Any:
    """`wrapper` with what people and frameworks read of `function`."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        if hasattr(function, name):
            setattr(wrapper, name, getattr(function, name))
    wrapper.__dict__.update(getattr(function, "__dict__", {}))
    wrapper.__wrapped__ = function
    return wrapper


def kind_of(function: object) -> str:
    """What calling `function` gives: a `generator`, a `coroutine`, an `async generator`, or what a plain `function` does."""
    flags = _flags(function)
    kinds = ((_ASYNC_GENERATOR, "async generator"), (_COROUTINE, "coroutine"), (_GENERATOR, "generator"))
    return next((kind for flag, kind in kinds if flags & flag), "function")


def is_coroutine_function(function: object) -> bool:
    """Whether calling `function` gives something to await."""
    return kind_of(function) == "coroutine"


def _flags(function: object) -> int:
    while True:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if inner is None:
            break
        function = inner
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)  # noqa: B004  # its code is wanted
    return getattr(code, "co_flags", 0)
