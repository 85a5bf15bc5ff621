"""Writing into a SQLite file: one autocommitted append a fact, within a bounded wait, else into the spool.

    start of a call → spool line (it matters only while the call is in flight)
    end of a call, run → row; database locked, full, gone → spool line; that failing too → one line on stderr, and a count

WAL with `synchronous=NORMAL`: what was acknowledged survives the death of the process, not always that of the machine.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from reporter import schema
from reporter.sinks.spool import Spool, directory_for, sqlite_path
from reporter.sinks.statements import call_statement, correction_statement, run_statement, trouble_statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

LOCK_SECONDS = 0.1  # a write; a call writes at most twice
_inherited: list[object] = []  # handles of a parent process: never used, never closed


class SQLiteSink:
    """The recorder's way into one SQLite file."""

    def __init__(self, url: str) -> None:
        self.path = os.path.abspath(sqlite_path(url))
        self.spool = Spool(directory_for(url))
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._lock = allocate_lock()
        self._waits = True
        self._refused = False
        self._call, self._correction = call_statement("?"), correction_statement("?")

    def start(self, call_id: str, fact: tuple[object, ...]) -> None:
        """Keep a call's start while it is in flight."""
        self.spool.start(call_id, fact)

    def call(self, call_id: str, fact: tuple[object, ...]) -> None:
        """Keep a finished call."""
        changed = self._write(self._call, fact)
        if changed == 0:  # known already; it matters if only as lost
            changed = self._write(self._correction, (*fact, call_id))
        if changed < 0:
            self.spool.write("call", fact)
        self.spool.end(call_id)

    def run(self, fact: tuple[object, ...]) -> None:
        """Keep a run's start or end."""
        if self._write(run_statement("?"), fact) < 0:
            self.spool.write("run", fact)

    def trouble(self, fact: tuple[object, ...]) -> None:
        """Keep what went wrong."""
        if self._write(trouble_statement("?"), fact) < 0:
            self.spool.write("trouble", fact)

    def flush(self, timeout: float) -> bool:
        """Nothing waits: every fact is written through."""
        return True

    def close(self) -> None:
        """Let go of the file and the spool."""
        if self._connection is not None and self._pid == os.getpid():
            self._connection.close()
        self._connection = None
        self.spool.close()

    def before_fork(self) -> None:
        """Wait, a little, until no other thread is inside a write."""
        self._lock.acquire(timeout=2 * LOCK_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._lock.locked():
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the parent's handle, without closing it: its locks would go with it."""
        _inherited.append(self._connection)
        self._connection = None
        self._lock = allocate_lock()
        self.spool.renew_lock()

    def _write(self, statement: str, fact: tuple[object, ...]) -> int:
        """Run one statement; the rows it changed, or -1 when the database would not."""
        import sqlite3

        if self._refused or not self._lock.acquire(timeout=LOCK_SECONDS):
            return -1
        try:
            connection = self._connection
            if connection is None or self._pid != os.getpid():
                connection = self._open()
            try:
                changed = connection.execute(statement, fact).rowcount
            except sqlite3.OperationalError as error:
                if self._waits and "locked" in str(error):
                    self._waits = False  # whoever comes next does not wait again, until a write succeeds
                    connection.execute("PRAGMA busy_timeout = 0")
                return -1
            if not self._waits:
                self._waits = True
                connection.execute(f"PRAGMA busy_timeout = {int(LOCK_SECONDS * 1000)}")
            return changed
        except (sqlite3.Error, OSError):
            self._connection = None
            return -1
        finally:
            self._lock.release()

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        directory = os.path.dirname(self.path)
        if not os.path.isdir(directory):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        if not os.path.exists(self.path):
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=LOCK_SECONDS, check_same_thread=False, cached_statements=32
        )
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            create(connection)
        elif version < schema.USER_VERSION:
            self._refused = True  # the reporter migrates it, then reads the spool
            raise sqlite3.DatabaseError("older schema")
        connection.execute("PRAGMA synchronous = NORMAL")
        self._connection, self._pid = connection, os.getpid()
        return connection


def create(connection: sqlite3.Connection) -> None:
    """Make an empty file a database at head; many processes may try at once.

    Raises:
        sqlite3.OperationalError: another one holds the file for longer than the connection waits.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in schema.create_statements("sqlite"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {schema.USER_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
