"""Writing to Postgres: into the spool at once, from there to the server in `flush`, within a deadline.

A frozen server hangs a driver for ever whatever its settings say, so shipping runs in a daemon thread that is cut off at the
deadline.  Lines stay in the spool until their transaction is known to be committed; ids make a second shipping harmless.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic

from reporter.sinks.spool import Spool, directories_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    Fact = dict[str, Any]

RETRY_SECONDS = 300.0  # after that a job pays for a server in trouble again: less than a hundredth of its time
MOST_REASON = 300
LEAST_SECRET = 3  # characters; fewer would be found in any message


class PostgresSink:
    """The recorder's way to one Postgres database."""

    def __init__(self, url: str, say: Callable[[str], None] = lambda what: None) -> None:
        self.url = url
        self.spool = Spool(directories_for(url), say)
        self.problem = ""  # why the last flush failed
        self._paid_seconds = self._paid_at = 0.0  # for flushes that failed since the last one that did not
        self._thread: Thread | None = None
        self._flushing = allocate_lock()
        self._begun = self._done = 0  # numbers of shippings: the latest, and the latest that shipped everything

    def start(self, call_id: str, at_ns: int, told: str) -> None:
        """Keep a call's start while it is in flight."""
        self.spool.start(call_id, at_ns, told)

    def call(self, fact: Fact) -> None:
        """Keep a finished call."""
        self.spool.write("call", fact)
        self.spool.end(fact["call_id"])

    def run(self, fact: Fact) -> None:
        """Keep a run's start or end."""
        self.spool.write("run", fact)

    def trouble(self, fact: Fact) -> None:
        """Keep what went wrong."""
        self.spool.write("trouble", fact)

    def flush(self, timeout: float) -> bool:
        """Ship this process's file and those of dead processes; whether all is committed within `timeout` seconds.

        Flushes that fail take `timeout` in sum, not each, until RETRY_SECONDS have gone by.
        """
        return self._flush(timeout)

    def flush_own(self, timeout: float) -> bool:
        """The same for this process's file alone, however much waits beside it."""
        return self._flush(timeout, is_own=True)

    def _flush(self, timeout: float, *, is_own: bool = False) -> bool:
        began = monotonic()
        if self._paid_seconds >= timeout:
            if began - self._paid_at < RETRY_SECONDS:
                return False
            self._paid_seconds = 0.0
        own = self.spool.hand_over()
        begun = self._begun
        if not self._flushing.acquire(timeout=timeout):
            self.problem = self.problem or "Postgres took nothing yet: another thread's flush is not done"
            return False
        try:
            if self._done > begun:  # a shipping that began after the hand-over has taken it along
                return True
            problem = self._ship(began, timeout - self._paid_seconds, own if is_own else None)
            self.problem = problem and (
                f"Postgres took {problem}; facts wait in {self.spool.directories[0]}"
                " for the next run that can reach it, or for: reporter ingest --spool"
            )
            self._paid_at = monotonic()
            self._paid_seconds = self._paid_seconds + self._paid_at - began if problem else 0.0
            return not problem
        finally:
            self._flushing.release()

    def expect_again(self) -> None:
        """What failed before says nothing of the next flush, which may take its whole time."""
        self._paid_seconds = 0.0

    def _ship(self, began: float, seconds: float, only: str | None) -> str:
        """How much was not shipped by `seconds` after `began`, and why; nothing when all was, or all of the `only` file."""
        from threading import Thread

        from reporter.sinks.shipping import Shipping

        unreadable = misread(self.url)
        if unreadable:
            return f"nothing: {unreadable}"
        deadline = began + seconds
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - monotonic()))
            if self._thread.is_alive():  # cut off long ago, and still looking up a name
                return "nothing: still no answer"
        self._begun = number = self._begun + 1
        shipping = Shipping(self.url, self.spool.directories, only)
        ended: list[str] = []

        def run() -> None:
            try:
                shipping.run()
                ended.append("")
            except ImportError:
                ended.append("psycopg is not installed (pip install 'reporter[postgres]')")
            except Exception as error:  # whatever the driver throws: the lines are still in the spool
                ended.append(_reason(error, self.url))

        self._thread = Thread(target=run, name="reporter-flush", daemon=True)
        self._thread.start()
        try:
            self._thread.join(max(0.0, deadline - monotonic()))
        finally:  # a time limit of the job's may fire here
            in_time = tuple(ended)  # what it says after the cut is what the cut did
            if not in_time:
                shipping.cut()
        if in_time == ("",) and only is None:
            self._done = number
        reason = in_time[0] if in_time else f"no answer within {seconds:.2g} s"
        if shipping.lines:
            return reason and f"only {shipping.lines} facts: {reason}"
        return reason and f"nothing: {reason}"

    def close(self) -> None:
        """Let go of the spool."""
        self.spool.close()

    def before_fork(self) -> None:
        return

    def after_fork_in_parent(self) -> None:
        return

    def after_fork_in_child(self) -> None:
        """The file and the thread are the parent's."""
        self._thread = None
        self._flushing = allocate_lock()  # nobody here can release one that another thread held
        self.spool.after_fork_in_child()


def _reason(error: Exception, url: str) -> str:
    """What a driver says, and what to do about it."""
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    reason = f"{type(error).__name__}: {without_secrets(said, url)}"[:MOST_REASON]
    remedy = _REMEDIES.get(getattr(error, "sqlstate", None) or "")
    return f"{reason}; {remedy}" if remedy else reason


_REMEDIES = {
    "25006": "this server is a standby, name the primary in the database URL",
    "42501": "grant this role what a recorder needs, docs/postgres.md says how",
    "42703": "its schema is older than this program, run: reporter db upgrade",
    "42P01": "it has no schema yet, run: reporter db upgrade",
}


def misread(url: str) -> str:
    """Why a driver would take a part of the password for something else, and show it; nothing if it would not."""
    authority, _, path = url.partition("://")[2].partition("?")[0].replace("#", "/").partition("/")
    user, _, hosts = authority.rpartition("@")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts.split(",")]
    if "@" in user or "@" in path or not all(port.isdecimal() or not port for port in ports):
        return "the database URL can't be read; in a password write %40 for @, %2F for /, %3F for ? and %23 for #"
    return ""


def without_secrets(message: str, url: str) -> str:
    """A driver's message on one line, without the password that it may quote."""
    from urllib.parse import parse_qsl, unquote

    written = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for separator in "/?#":  # where a driver ends a password that holds one
        written = written.replace(separator, "@")
    secrets = [os.environ.get("PGPASSWORD", ""), *written.split("@"), *map(unquote, written.split("@"))]
    secrets += [value for name, value in parse_qsl(url.partition("?")[2]) if "password" in name.lower()]
    for secret in secrets:
        if len(secret) >= LEAST_SECRET:
            message = message.replace(secret, "***")
    return " ".join(message.split())
