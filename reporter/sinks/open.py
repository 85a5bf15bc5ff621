"""From a database URL to the sink that writes there."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    Fact = dict[str, Any]  # column of `reporter.schema` → value; what is not known is left out

    class Sink(Protocol):
        """Where facts go; each of the first four raises OSError when it can't keep one."""

        @property
        def problem(self) -> str:
            """Why the last flush was not done; secrets are not in it."""

        def start(self, call_id: str, at_ns: int, told: str) -> None: ...
        def call(self, fact: Fact) -> None: ...
        def run(self, fact: Fact) -> None: ...
        def trouble(self, fact: Fact) -> None: ...
        def flush(self, timeout: float) -> bool: ...
        def close(self) -> None: ...
        def before_fork(self) -> None: ...
        def after_fork_in_parent(self) -> None: ...
        def after_fork_in_child(self) -> None: ...


URL = "REPORTER_DATABASE_URL"
RUN_URL = "REPORTER_RUN_DATABASE_URL"
"""Where the run is that a process belongs to, told by `reporter exec`, if it is not where URL says."""


def default_url() -> str:
    """The database when none is configured: that of the run this process is of, or a file in the user's state directory."""
    given = _told()
    if given:
        return given
    from reporter.sinks.spool import state_directory

    return "sqlite:///" + os.path.join(state_directory(), "reporter.db")


def _told() -> str | None:
    return os.environ.get(URL) or os.environ.get(RUN_URL)


def open_sink(url: str | None, say: Callable[[str], None] = lambda what: None) -> Sink:
    """The sink for `url`, or for the default database; `say` hears what people should know.

    Raises:
        UsageError: a URL of no known kind.
    """
    if not url and not _told():
        from reporter.sinks.spool import has_home

        if not has_home():
            say(f"there is no home directory for a database, so it is {default_url()}; set REPORTER_DATABASE_URL")
    url = url or default_url()
    if url.startswith("sqlite"):
        from reporter.sinks.sqlite import SQLiteSink

        return SQLiteSink(url, say)
    if url.startswith(("postgresql", "postgres")):
        from reporter.sinks.postgresql import PostgresSink

        return PostgresSink(url, say)
    from reporter.errors import UsageError

    scheme = url.partition("://")[0]
    raise UsageError(f"database {scheme}://…: not supported; write sqlite:///FILE or postgresql://USER@HOST/NAME")
