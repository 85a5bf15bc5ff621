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
from reporter.decorate import dress, is_coroutine_function
from reporter.errors import UsageError
from reporter.run import FLUSH_SECONDS, ActiveRun, RunRecording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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
    "WEBSITE_SITE_NAME": "Azure Functions",
}
"""Where the platform says the function's name, which is the job's if none is given."""


def handler(
    job: str | None = None, *, recorder: Recorder | None = None, **attributes: object
) -> Callable[[Function], Function]:
    """Decorate a function's entry point, plain or async: each invocation is a run of `job`.

    Its attributes are `cold_start` (the process's first invocation), `request_id` where the platform says one, and
    `attributes`.  Before it returns, its facts are brought to the database, within what the context's
    `get_remaining_time_in_millis()` leaves; what that is too short for goes with the next invocation of the process.

    Raises:
        UsageError: no name is known; or the database is a SQLite file, which is gone with the function's disk.
    """
    if callable(job) or job == "":
        raise UsageError('handler() needs brackets, and may have the job\'s name: @handler("thumbnails")')
    platform = next((name for name in _PLATFORMS if os.environ.get(name)), None)
    name = job or (os.environ[platform] if platform else "")
    if not name:
        raise UsageError('handler() needs the job\'s name here: @handler("thumbnails")')
    recorder = recorder or _default
    if platform is not None:
        _get_ready(recorder, _PLATFORMS[platform])
    recording = _Invocations(recorder, name, attributes, None)

    def decorate(function: Function) -> Function:
        if is_coroutine_function(function):

            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with recording.invoked((*args, *kwargs.values())):
                    return await function(*args, **kwargs)

        else:

            def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # one name, two kinds
                with recording.invoked((*args, *kwargs.values())):
                    return function(*args, **kwargs)

        return dress(wrapper, function)  # type: ignore[no-any-return]  # of the function's own kind

    return decorate


def _get_ready(recorder: Recorder, platform: str) -> None:
    """Refuse a database that can't be meant here; import now what a flush needs, while the platform gives most of its CPU."""
    url = recorder.url if recorder.decide() else None
    if url is None:
        return
    if url.startswith("sqlite"):
        raise UsageError(
            f"on {platform} a SQLite file is gone with the function's disk, and each instance would have one of its own;"
            " set REPORTER_DATABASE_URL=postgresql://USER@HOST/NAME (docs/running.md)"
        )
    from reporter.sinks.shipping import load_driver

    load_driver()


class _Invocation(ActiveRun):
    """A run that knows how much time the platform leaves it."""

    __slots__ = ("context",)

    def __init__(self, recorder: Recorder, name: str, attributes: dict[str, object], context: Any) -> None:
        super().__init__(recorder, name, attributes)
        self.context = context

    def begin(self) -> None:
        """As any run; and its start is in the database before the function's own work, if that can be in time."""
        super().begin()
        left = self.seconds_left()
        self.recorder.flush(FLUSH_SECONDS if left is None else min(FLUSH_SECONDS, max(0.0, left) * START_SHARE))

    def flush_seconds(self) -> float:
        """What is left, but for the answer's time; 0 is none."""
        left = self.seconds_left()
        return FLUSH_SECONDS if left is None else max(0.0, min(FLUSH_SECONDS, left - RESERVE_SECONDS))

    def seconds_left(self) -> float | None:
        """Until the platform ends the invocation; None where it does not say."""
        ask = getattr(self.context, "get_remaining_time_in_millis", None)
        left = ask() if callable(ask) else None
        return left / 1000 if isinstance(left, (int, float)) else None


class _Invocations(RunRecording):
    """Invocations of one function."""

    __slots__ = ("cold",)

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.cold = True

    def invoked(self, arguments: Iterable[Any]) -> ActiveRun:
        """Begin one, told of by the arguments that the platform gave."""

        def make() -> ActiveRun:
            told: dict[str, object] = {"cold_start": self.cold}
            self.cold = False
            context, request_id = _context(arguments)
            if request_id is not None:
                told["request_id"] = request_id
            return _Invocation(self.recorder, self.name, {**told, **self.attributes}, context)

        return self.begin(make)


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
