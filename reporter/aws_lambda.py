"""Serverless functions: one run per invocation, in the database before the platform may freeze or end the process.

    @handler("thumbnails")
    def lambda_handler(event, context): …

AWS Lambda, Cloud Run functions and Azure Functions alike: what a context can tell is used, and nothing of it is needed.  A
function that runs out of time is killed with its disk, so each run's start is brought to the database before the function's
own work, and is lost when no end follows.
"""

from __future__ import annotations

import os

from reporter import _default, facts
from reporter.decorate import decorate, dress, kind_of
from reporter.errors import UsageError
from reporter.run import FLUSH_SECONDS, ActiveRun, RunRecording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import Any, TypeVar

    from reporter.recorder import Recorder

    Function = TypeVar("Function", bound=Callable[..., Any])

RESERVE_SECONDS = 0.2
"""What is left of an invocation's time for the function's answer to leave."""
START_SHARE = 0.2
"""The most of an invocation's time that bringing its start to the database may take, and FLUSH_SECONDS at most."""
_PLATFORMS = {
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "K_SERVICE": "Cloud Run",
    "CLOUD_RUN_JOB": "Cloud Run",
    "WEBSITE_SITE_NAME": "Azure Functions",
}
"""Where the platform says the function's name, which is the job's if none is given."""


def handler(
    job: str | None = None, *, recorder: Recorder | None = None, **attributes: object
) -> Callable[[Function], Function]:
    """Decorate a function's entry point, of any kind: each invocation is a run of `job`, of a generator until it ends.

    Its attributes are `cold_start` (the process's first invocation), `request_id` where the platform says one, and
    `attributes`.  Before it returns, its facts are brought to the database, within what the context's
    `get_remaining_time_in_millis()` leaves; what that is too short for goes with the next invocation of the process.

    Raises:
        UsageError: no name is known; or the database is a SQLite file, which is gone with the function's disk.  The latter
            is raised by an invocation if it became so only after this.
    """
    if callable(job) or job == "":
        raise UsageError('handler() needs brackets, and may have the job\'s name: @handler("thumbnails")')
    platform = next((name for name in _PLATFORMS if os.environ.get(name)), None)
    name = job or (os.environ[platform] if platform else "")
    if not name:
        raise UsageError('handler() needs the job\'s name here: @handler("thumbnails")')
    recording = _Invocations(recorder or _default, name, attributes, platform)
    if recording.suits():
        from reporter.sinks.shipping import load_driver

        load_driver()  # now, while the platform gives most of its CPU
    return recording.dressed


class _Invocation(ActiveRun):
    """A run that knows how much time the platform leaves it, and is brought to the database by who began it."""

    __slots__ = ("context",)

    def __init__(self, recorder: Recorder, name: str, attributes: dict[str, object], context: Any) -> None:
        super().__init__(recorder, name, attributes)
        self.context = context

    def flush_seconds(self) -> float:
        """None within its end itself: `ship_end` does it."""
        return 0.0

    def ship_start(self) -> None:
        """Bring its start to the database before the function's own work, if that can be in time."""
        expect_again = getattr(self.recorder.sink, "expect_again", None)
        if expect_again is not None:  # each invocation has a time of its own, and the disk may be gone after it
            expect_again()
        left = self.seconds_left()
        self.recorder.flush(FLUSH_SECONDS if left is None else min(FLUSH_SECONDS, max(0.0, left) * START_SHARE))

    def ship_end(self) -> None:
        """Bring all of it there, in what time is left but for the answer's."""
        left = self.seconds_left()
        seconds = FLUSH_SECONDS if left is None else min(FLUSH_SECONDS, left - RESERVE_SECONDS)
        if seconds > 0:
            self.recorder.flush(seconds)

    def seconds_left(self) -> float | None:
        """Until the platform ends the invocation; None where it does not say."""
        ask = getattr(self.context, "get_remaining_time_in_millis", None)
        left = ask() if callable(ask) else None
        return left / 1000 if isinstance(left, (int, float)) else None


class _Invocations(RunRecording):
    """Invocations of one function."""

    __slots__ = ("platform",)

    def __init__(self, recorder: Recorder, name: str, attributes: dict[str, object], platform: str | None) -> None:
        super().__init__(recorder, name, attributes, None)
        self.platform = platform

    def suits(self) -> bool:
        """Whether its facts go to a database that outlives the platform's instance, and not to none.

        Raises:
            UsageError: they would go to a file on its disk.
        """
        url = self.recorder.url if self.platform is not None and self.recorder.decide() else None
        if url is not None and url.startswith("sqlite"):
            raise UsageError(
                f"on {_PLATFORMS[self.platform or '']} a SQLite file is gone with the function's disk, and each instance would"
                " have one of its own; set REPORTER_DATABASE_URL=postgresql://USER@HOST/NAME (docs/running.md)"
            )
        return url is not None

    def invoked(self, arguments: Iterable[Any]) -> ActiveRun:
        """Begin one, told of by the arguments that the platform gave."""

        def make() -> ActiveRun:
            global _cold
            told: dict[str, object] = {"cold_start": _cold}
            _cold = False
            context, request_id = _context(arguments)
            if request_id is not None:
                told["request_id"] = request_id
            return _Invocation(self.recorder, self.name, {**told, **self.attributes}, context)

        self.suits()
        return self.begin(make)

    def dressed(self, function: Function) -> Function:
        """`function`, with each call of it an invocation."""
        kind = kind_of(function)
        if kind == "async generator":

            async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                run = self.invoked((*args, *kwargs.values()))
                steps = decorate(lambda: run, function)(*args, **kwargs)  # which ends it where `function` ends
                try:
                    await _aside(run, "ship_start")
                    step, argument = steps.asend, None
                    while True:
                        value = await step(argument)
                        try:
                            step, argument = steps.asend, (yield value)
                        except GeneratorExit:
                            raise
                        except BaseException as error:
                            step, argument = steps.athrow, error
                except StopAsyncIteration:
                    return
                except BaseException as error:
                    run.__exit__(type(error), error, None)  # if that came before its first step
                    raise
                finally:
                    await steps.aclose()
                    await _aside(run, "ship_end")

        elif kind == "coroutine":

            async def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # one name, four kinds
                run = self.invoked((*args, *kwargs.values()))
                try:
                    with run:
                        await _aside(run, "ship_start")
                        return await function(*args, **kwargs)
                finally:
                    await _aside(run, "ship_end")

        elif kind == "generator":

            def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
                run = self.invoked((*args, *kwargs.values()))
                try:
                    _now(run, "ship_start")
                    return (yield from decorate(lambda: run, function)(*args, **kwargs))
                except BaseException as error:
                    run.__exit__(type(error), error, None)
                    raise
                finally:
                    _now(run, "ship_end")

        else:

            def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
                run = self.invoked((*args, *kwargs.values()))
                try:
                    with run:
                        _now(run, "ship_start")
                        return function(*args, **kwargs)
                finally:
                    _now(run, "ship_end")

        return dress(wrapper, function)  # type: ignore[no-any-return]  # of the function's own kind


_cold = True  # until the process's first invocation


def _now(run: ActiveRun, ship: str) -> None:
    """Bring what there is to the database; trouble with that is not the function's."""
    if not isinstance(run, _Invocation) or not run.recorder.records:
        return
    try:
        getattr(run, ship)()
    except BaseException as trouble:
        run.recorder.wall(trouble)


async def _aside(run: ActiveRun, ship: str) -> None:
    """The same, while the event loop goes on: other invocations, and the function's own tasks, wait for no database."""
    import asyncio

    if asyncio._get_running_loop() is not None:
        try:
            await asyncio.to_thread(_now, run, ship)
            return
        except RuntimeError:  # no thread is left
            pass
    _now(run, ship)  # or it is another library's loop


def _context(arguments: Iterable[Any]) -> tuple[Any, str | None]:
    """The argument that is the platform's context, and the id it has for this invocation."""
    context = None
    for argument in arguments:
        if callable(getattr(argument, "get_remaining_time_in_millis", None)):
            context = argument
        for name in ("aws_request_id", "invocation_id"):
            found = getattr(argument, name, None)
            if type(found) is str:
                return argument, facts.text(found)
    return context, None
