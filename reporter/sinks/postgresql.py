"""Writing to Postgres: into the spool at once, from there to the server in `flush`, within a deadline.

A frozen server hangs a driver for ever whatever its settings say, so shipping runs in a daemon thread that is left behind at
the deadline.  Lines stay in the spool until their transaction is known to be committed; ids make a second shipping harmless.
"""

from __future__ import annotations

from time import monotonic

from reporter.sinks.spool import Spool, directories_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Fact = dict[str, Any]

RETRY_SECONDS = 60.0  # after a flush that failed: the job pays the deadline once


class PostgresSink:
    """The recorder's way to one Postgres database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spool = Spool(directories_for(url))
        self.problem = ""  # why the last flush failed
        self._failed_at = 0.0

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
        """Ship this process's file and those of dead processes; whether all is committed within `timeout` seconds."""
        from threading import Thread

        from reporter.sinks.shipping import ship

        if self._failed_at and monotonic() - self._failed_at < RETRY_SECONDS:
            return False
        self.spool.hand_over()
        ended: list[str] = []

        def run() -> None:
            try:
                ship(self.url, self.spool.directories)
                ended.append("")
            except ImportError:
                ended.append("psycopg is not installed (pip install 'reporter[postgres]')")
            except Exception as error:  # whatever the driver throws: the lines are still in the spool
                ended.append(f"{type(error).__name__}: {' '.join(str(error).split())}")

        thread = Thread(target=run, name="reporter-flush", daemon=True)
        thread.start()
        thread.join(timeout)
        problem = ended[0] if ended else f"no answer within {timeout:g} s"
        self._failed_at = monotonic() if problem else 0.0
        self.problem = problem and f"Postgres took nothing: {problem}; facts wait in {self.spool.directories[0]}"
        return not problem

    def close(self) -> None:
        """Let go of the spool."""
        self.spool.close()

    def before_fork(self) -> None:
        return

    def after_fork_in_parent(self) -> None:
        return

    def after_fork_in_child(self) -> None:
        self.spool.after_fork_in_child()
