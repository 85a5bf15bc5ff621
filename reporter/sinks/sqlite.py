"""Writing into a SQLite file: one autocommitted append a fact, within a bounded wait, else into the spool.

    start of a call → spool line (it matters only while the call is in flight)
    end of a call, run → row; database locked, full, gone → spool line; that failing too → OSError

WAL with `synchronous=NORMAL`: what was acknowledged survives the death of the process, not always that of the machine.
"""

from __future__ import annotations

import os
from _thread import RLock, get_ident
from time import monotonic, sleep

from reporter.revision import USER_VERSION
from reporter.sinks.spool import Spool, directories_for, make_private, sqlite_path
from reporter.sinks.statements import call_statement, insert_statement, run_statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection, Cursor
    from typing import Any

    Fact = dict[str, Any]

LOCK_SECONDS = 0.1  # a write; a call writes at most twice
PAUSE_SECONDS = 0.001
"""Between two tries of a write that meets another one: SQLite's own pauses grow to 100 ms, shorter ones only burn CPU."""
PAGE_BYTES = 2048  # a write is a page into the WAL, whatever the row's size
CHECKPOINT_PAGES = 4_000  # 8 MB; the job that fills them waits for the disk
RETRY_SECONDS = 1.0  # after an opening that failed
_inherited: list[object] = []  # handles of a parent process: never used, never closed


class SQLiteSink:
    """The recorder's way into one SQLite file."""

    problem = ""  # nothing ever waits: what the file would not take is the reporter's to read

    def __init__(self, url: str, say: Callable[[str], None] = lambda what: None) -> None:
        self.path = os.path.abspath(sqlite_path(url))
        self.spool = Spool(directories_for(url), say)
        self._connection: Connection | None = None
        self._cursor: Cursor | None = None
        self._lock = RLock()  # a signal handler may record amid a write of its own thread
        self._opening = False
        self._forking = False  # writers step aside
        self._forked_by = 0  # the thread that holds the lock for its fork
        self._waits = True
        self._closed_until = 0.0
        self._statements: dict[tuple[str, ...], str] = {}

    def start(self, call_id: str, at_ns: int, told: str) -> None:
        """Keep a call's start while it is in flight."""
        self.spool.start(call_id, at_ns, told)

    def call(self, fact: Fact) -> None:
        """Keep a finished call."""
        columns = tuple(fact)
        statement = self._statements.get(columns)
        if statement is None:
            statement = self._statements[columns] = insert_statement("calls", columns, "?")
        if not self._write(statement, tuple(fact.values()), fact):
            self.spool.write("call", fact)
        self.spool.end(fact["call_id"])

    def run(self, fact: Fact) -> None:
        """Keep a run's start or end."""
        if not self._write(run_statement("?", tuple(fact)), tuple(fact.values())):
            self.spool.write("run", fact)

    def trouble(self, fact: Fact) -> None:
        """Keep what went wrong."""
        if not self._write(insert_statement("troubles", tuple(fact), "?"), tuple(fact.values())):
            self.spool.write("trouble", fact)

    def flush(self, timeout: float) -> bool:
        """Nothing waits: every fact is written through."""
        return True

    def close(self) -> None:
        """Let go of the file and the spool."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._cursor = None
        self.spool.close()

    def before_fork(self) -> None:
        """Wait, a little, until no other thread is inside a write."""
        self._forking = True
        if self._lock.acquire(timeout=2 * LOCK_SECONDS):
            self._forked_by = get_ident()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._forking = False
        if self._forked_by == get_ident():
            self._forked_by = 0
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the parent's handle, without closing it: its locks would go with it."""
        _inherited.append((self._connection, self._cursor))
        self._connection = self._cursor = None
        if self._forked_by != get_ident():  # a thread that is not here was inside SQLite, and holds SQLite's own locks
            self._closed_until = float("inf")
        self._forking, self._forked_by = False, 0
        self._lock = RLock()
        self.spool.after_fork_in_child()

    def _write(self, statement: str, values: tuple[object, ...], call: Fact | None = None) -> bool:
        """Run one statement; whether the database took it."""
        lock = self._lock
        if self._forking or not (lock.acquire(False) or lock.acquire(timeout=LOCK_SECONDS)):
            return False
        try:
            cursor = self._cursor
            if cursor is None:
                if self._opening or monotonic() < self._closed_until:
                    return False
                self._opening = True
                try:
                    cursor = self._open()
                finally:
                    self._opening = False
            try:
                cursor.execute(statement, values)
            except _driver().Error as error:
                return self._refused(error, cursor, statement, values, call)
            self._waits = True
            return True
        except (_driver().Error, OSError):
            self._connection = self._cursor = None
            self._closed_until = max(self._closed_until, monotonic() + RETRY_SECONDS)
            return False
        finally:
            lock.release()

    def _refused(
        self, error: Exception, cursor: Cursor, statement: str, values: tuple[object, ...], call: Fact | None
    ) -> bool:
        """What an error of a write means; whether the fact is in the database after all."""
        driver = _driver()
        until = monotonic() + LOCK_SECONDS
        while True:
            if isinstance(error, driver.IntegrityError):  # known already; a call that counts as lost gets its true end
                if call is not None:
                    cursor.execute(call_statement("?", tuple(call)), (*call.values(), call["call_id"]))
                return True
            if not isinstance(error, driver.OperationalError):  # not a database, malformed
                raise error
            if not self._waits or "locked" not in str(error):
                return False
            if monotonic() > until:
                self._waits = False  # whoever comes next does not wait again, until a write succeeds
                return False
            sleep(PAUSE_SECONDS)
            try:
                cursor.execute(statement, values)
                return True
            except driver.Error as another:
                error = another

    def _open(self) -> Cursor:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except FileNotFoundError:
            make_private(os.path.dirname(self.path))
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection: Connection = _driver().connect(
            self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            create(connection)
        elif version < USER_VERSION:  # the reporter migrates it, then reads the spool
            self._closed_until = monotonic() + 60 * RETRY_SECONDS
            raise OSError(f"{self.path}: its schema is older than this program")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._connection = connection
        self._cursor = cursor = connection.cursor()
        return cursor


def _driver() -> Any:
    """The driver without the package around it, which imports datetime: a job would pay for that at its start."""
    import _sqlite3

    return _sqlite3


def create(connection: Connection) -> None:
    """Make an empty file a database at head; many processes may try at once.

    Raises:
        sqlite3.OperationalError: another one holds the file for longer than the connection waits.
        OSError: it has tables of somebody else.
    """
    from reporter import schema

    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            found = connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()
            if found is not None:
                raise OSError(
                    17, f"is another program's database: it has {found[0]}, but no schema of reporter"
                )  # EEXIST
            for statement in schema.create_statements("sqlite"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {USER_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
