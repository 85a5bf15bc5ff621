"""From a database URL to the sink that writes there."""

from __future__ import annotations

import os

from reporter.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sink(Protocol):
        """Where facts go, as tuples in the order of `reporter.schema`'s columns; each may raise OSError when it can't."""

        def start(self, call_id: str, fact: tuple[object, ...]) -> None: ...
        def call(self, call_id: str, fact: tuple[object, ...]) -> None: ...
        def run(self, fact: tuple[object, ...]) -> None: ...
        def trouble(self, fact: tuple[object, ...]) -> None: ...
        def flush(self, timeout: float) -> bool: ...
        def close(self) -> None: ...
        def before_fork(self) -> None: ...
        def after_fork_in_parent(self) -> None: ...
        def after_fork_in_child(self) -> None: ...


def default_url() -> str:
    """The database when none is configured: a SQLite file in the user's state directory."""
    from reporter.sinks.spool import state_directory

    return os.environ.get("REPORTER_DATABASE_URL") or "sqlite:///" + os.path.join(state_directory(), "reporter.db")


def open_sink(url: str | None) -> Sink:
    """The sink for `url`, or for the default database.

    Raises:
        UsageError: a URL of no known kind.
    """
    url = url or default_url()
    if url.startswith("sqlite"):
        from reporter.sinks.sqlite import SQLiteSink

        return SQLiteSink(url)
    if url.startswith(("postgresql", "postgres")):
        from reporter.sinks.postgresql import PostgresSink

        return PostgresSink(url)
    scheme = url.partition("://")[0]
    raise UsageError(f"database {scheme}://…: not supported; write sqlite:///FILE or postgresql://USER@HOST/NAME")
