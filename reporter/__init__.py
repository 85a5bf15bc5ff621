"""Exact SLOs, burn rates and cost for batch jobs that are too short-lived to be scraped.

This is the recording half's face: standard library only, and nothing is opened before the first fact.
"""

from __future__ import annotations

from reporter.call import ActiveCall
from reporter.recorder import Recorder
from reporter.run import ActiveRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from reporter.call import CallRecording
    from reporter.run import RunRecording

    Client = TypeVar("Client")

__all__ = [
    "ActiveCall",
    "ActiveRun",
    "Recorder",
    "call",
    "configure",
    "flush",
    "instrument",
    "job",
    "record",
    "transport",
    "uninstrument",
]
__version__ = "0.1.0"

_default = Recorder()


def configure(database: str | None = None, *, job: str | None = None, disabled: bool | None = None) -> Recorder:
    """Set the default recorder's database and job, for what was decorated before, too; see `Recorder.configure`."""
    _default.configure(database, job=job, disabled=disabled)
    return _default


def call(operation: str = "", **about: Any) -> CallRecording:
    """Record a call with the default recorder; see `Recorder.call`."""
    return _default.call(operation, **about)


def job(name: str = "", **attributes: Any) -> RunRecording:
    """Record a run with the default recorder; see `Recorder.job`."""
    return _default.job(name, **attributes)


def instrument(client: Client, **which: Any) -> Client:
    """Record every request of an HTTP or SDK client with the default recorder; see `Recorder.instrument`."""
    return _default.instrument(client, **which)


def transport(inner: Any, **which: Any) -> Any:
    """A recording transport around another one, with the default recorder; see `Recorder.transport`."""
    return _default.transport(inner, **which)


def uninstrument(client: Client) -> Client:
    """Undo `instrument`."""
    return _default.uninstrument(client)


def record(**told: Any) -> str | None:
    """Record a call measured elsewhere with the default recorder; see `Recorder.record`."""
    return _default.record(**told)


def flush(timeout: float = 2.0) -> bool:
    """Bring what waits to the database within `timeout` seconds; see `Recorder.flush`."""
    return _default.flush(timeout)
