"""The spool: per-process files of JSON Lines, for starts, for Postgres, and for whatever the database would not take.

A process appends to a file of its own with one `write` a line, and holds a lock on it as long as it lives; whoever gets the
lock knows that the owner is gone.  A file that holds nothing but starts of calls that have ended since is replaced when it
grows; one that holds facts is closed, and waits to be read.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock
from zlib import crc32

from reporter.errors import UsageError
from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS

try:
    from _json import encode_basestring_ascii as quote
except ImportError:  # another Python than CPython
    from json.encoder import encode_basestring_ascii as quote

ROTATE_BYTES = 65_536  # of starts alone
ROTATE_DIRTY_BYTES = 8 * 1024 * 1024
MOST_BYTES = 256 * 1024 * 1024  # a directory; beyond it new facts are dropped and counted, the oldest are kept

COLUMNS = {"call": CALL_COLUMNS, "start": START_COLUMNS, "run": RUN_COLUMNS, "trouble": TROUBLE_COLUMNS}
_HEADS = {kind: ['{"kind":"' + kind + '"'] + [f',"{name}":' for name in names] for kind, names in COLUMNS.items()}


def line(kind: str, fact: tuple[object, ...]) -> bytes:
    """One fact as one line of JSON; NULLs are left out."""
    heads = _HEADS[kind]
    parts = [heads[0]]
    for at, value in enumerate(fact, 1):
        if value is None:
            continue
        parts.append(heads[at])
        if type(value) is int:
            parts.append(str(value))
        elif heads[at] == ',"attributes":':
            parts.append(str(value))  # JSON already
        else:
            parts.append(quote(str(value)))
    parts.append("}\n")
    return "".join(parts).encode("ascii")


def directory_for(url: str) -> str:
    """The spool directory that belongs to a database: beside a SQLite file, else under the user's state directory."""
    given = os.environ.get("REPORTER_SPOOL_DIR")
    if given:
        return given
    if url.startswith("sqlite"):
        return sqlite_path(url) + ".spool"
    where = url.partition("://")[2].rpartition("@")[2].partition("?")[0]
    return os.path.join(state_directory(), "spool", f"{crc32(where.encode()):08x}")


def sqlite_path(url: str) -> str:
    """The file of a `sqlite:///FILE` URL.

    Raises:
        UsageError: it names none.
    """
    path = url.partition(":///")[2].partition("?")[0]
    if not path or path == ":memory:":
        raise UsageError(f"database {url!r}: names no file; write sqlite:///FILE (four slashes for an absolute path)")
    return path


def state_directory() -> str:
    """Where reporter keeps what it must not forget: $XDG_STATE_HOME/reporter, or a private place in TMPDIR without a HOME."""
    base = os.environ.get("XDG_STATE_HOME")
    if not base:
        home = os.path.expanduser("~")
        base = os.path.join(home, ".local", "state") if os.path.isabs(home) and os.path.isdir(home) else ""
    return os.path.join(base, "reporter") if base else _temporary()


def _temporary() -> str:
    return os.path.join(os.environ.get("TMPDIR", "/tmp"), f"reporter-{os.getuid()}")


class SpoolFull(OSError):
    """The spool directory has reached its limit; the new fact was not kept."""


class Spool:
    """This process's own file in a spool directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._fd = -1
        self._path = ""
        self._size = 0
        self._pid = 0
        self._dirty = False  # it holds facts that exist nowhere else
        self._open_starts: dict[str, bytes] = {}
        self._lock = allocate_lock()

    def start(self, call_id: str, fact: tuple[object, ...]) -> None:
        """Write a start, and remember it until `end`."""
        written = line("start", fact)
        if self._pid == os.getpid():
            self._open_starts[call_id] = written
        self._append(written, dirty=False)
        self._open_starts[call_id] = written

    def end(self, call_id: str) -> None:
        """The call's end is kept elsewhere: its start matters no more."""
        self._open_starts.pop(call_id, None)

    def write(self, kind: str, fact: tuple[object, ...]) -> None:
        """Write a fact that must be read back.

        Raises:
            OSError: it could not be written.
        """
        self._append(line(kind, fact), dirty=True)

    def close(self) -> None:
        """Let go of the file; one that holds nothing worth reading is removed."""
        if self._fd >= 0 and self._pid == os.getpid():
            if not self._dirty and not self._open_starts:
                os.unlink(self._path)
            os.close(self._fd)
        self._fd = -1

    def hand_over(self) -> None:
        """Close a file that holds facts, so that it can be shipped; starts still in flight go on in the next one."""
        with self._lock:
            if self._pid == os.getpid() and self._fd >= 0 and self._dirty:
                self._rotate()

    def _append(self, written: bytes, dirty: bool) -> None:
        locked = self._lock.acquire(timeout=0.1)
        try:
            if self._pid != os.getpid():
                self._forget()
            if self._fd < 0 or self._size > (ROTATE_DIRTY_BYTES if self._dirty else ROTATE_BYTES):
                self._rotate()
            os.write(self._fd, written)
            self._size += len(written)
            self._dirty = self._dirty or dirty
        finally:
            if locked:
                self._lock.release()

    def _forget(self) -> None:
        """After a fork: the file and the calls in flight are the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._open_starts, self._pid = -1, {}, os.getpid()

    def _rotate(self) -> None:
        before, path, dirty = self._fd, self._path, self._dirty
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        if dirty or before < 0:
            self._refuse_when_full()
        name = os.path.join(self.directory, f"{os.getpid()}-{os.urandom(4).hex()}.jsonl")
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        kept = b"".join(list(self._open_starts.values()))
        if kept:
            os.write(fd, kept)
        self._fd, self._path, self._size, self._dirty = fd, name, len(kept), False
        if before >= 0:
            if not dirty:
                os.unlink(path)
            os.close(before)

    def _refuse_when_full(self) -> None:
        used = 0
        with os.scandir(self.directory) as entries:
            for entry in entries:
                used += entry.stat(follow_symlinks=False).st_size
        if used > MOST_BYTES:
            raise SpoolFull(f"{self.directory} holds {used} bytes, which is its limit")

    def renew_lock(self) -> None:
        """After a fork: nobody here can release a lock another thread held."""
        self._lock = allocate_lock()
