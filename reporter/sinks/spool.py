"""The spool: per-process files of JSON Lines, for starts, for Postgres, and for whatever the database would not take.

A process appends to a file of its own with one `write` a line, and holds a lock on it as long as it lives; whoever gets the
lock knows that the owner is gone.  A file that holds nothing but starts of calls that have ended since is replaced when it
grows; one that holds facts is closed, and waits to be read.  When the first directory takes nothing, the next one is tried.
"""

from __future__ import annotations

import fcntl
import os
from _thread import RLock

from reporter.facts import json_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Fact = dict[str, Any]

ROTATE_BYTES = 256 * 1024  # of starts alone
ROTATE_DIRTY_BYTES = 8 * 1024 * 1024
MOST_BYTES = 256 * 1024 * 1024
"""What a spool directory may hold; beyond it new facts are dropped and counted, and what is there is kept."""
RESERVE_BYTES = 1024 * 1024
"""Beyond that, for the lines that say so."""


class SpoolFull(OSError):
    """The spool directory has reached its limit; the new fact was not kept."""


class Spool:
    """This process's own file in the first of some directories that takes it."""

    def __init__(self, directories: tuple[str, ...], say: Callable[[str], None] = lambda what: None) -> None:
        self.directories = directories
        self._say = say
        self._refused: OSError | None = None  # why the first directory took nothing, until it is said
        self._directory = 0
        self._fd, self._path = -1, ""
        self._size, self._most = 0, -1  # bytes; beyond `_most`, as at first, a new file is begun
        self._pid_told = f',"pid":{os.getpid()}'
        self._dirty = False  # it holds facts that exist nowhere else
        self._open_starts: dict[str, bytes] = {}
        self._lock = RLock()

    def start(self, call_id: str, at_ns: int, told: str) -> None:
        """Write a start, and remember it until `end`; `told` is what else is known, as JSON members.

        Raises:
            OSError: it could not be written.
        """
        line = f'{{"kind":"start","call_id":"{call_id}","started_at_ns":{at_ns}{told}{self._pid_told}}}\n'
        self._append(line.encode(), call_id)

    def end(self, call_id: str) -> None:
        """The call's end is kept elsewhere: its start matters no more."""
        self._open_starts.pop(call_id, None)

    def write(self, kind: str, fact: Fact) -> None:
        """Write a fact that must be read back.

        Raises:
            OSError: it could not be written.
        """
        line = f'{{"kind":"{kind}"{json_members(fact)}}}\n'.encode()
        try:
            self._append(line, None)
        except SpoolFull:
            if kind != "trouble":
                raise
            self._append(line, None, RESERVE_BYTES)
            self.hand_over()  # no fact may follow it into the reserve

    def close(self) -> None:
        """Let go of the file; one that holds nothing worth reading is removed."""
        with self._lock:
            self._let_go(worthless=not self._dirty and not self._open_starts)

    def hand_over(self) -> str:
        """Let go of a file that holds facts, so that it can be shipped; starts still in flight are in the next one too.

        Returns its path; "" where there is none.
        """
        with self._lock:
            if not self._dirty:
                return ""
            path = self._path
            self._let_go(worthless=False)
            return path

    def after_fork_in_child(self) -> None:
        """The file and the calls in flight are the parent's; its lock goes when the last copy of its descriptor does."""
        self._lock = RLock()  # nobody here can release one that another thread held
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size, self._most, self._dirty = -1, 0, -1, False
        self._open_starts, self._pid_told = {}, f',"pid":{os.getpid()}'

    def _append(self, written: bytes, start_of: str | None, reserve: int = 0) -> None:
        """Write one line, the start of the call `start_of` or a fact; a full directory has `reserve` bytes left for it."""
        lock = self._lock
        locked = lock.acquire(False) or lock.acquire(timeout=0.1)  # without it after that: a write is whole anyway
        try:
            while True:
                try:
                    if self._size > self._most:
                        self._begin_file(reserve)
                    taken = os.write(self._fd, written)
                    if taken < len(written):
                        raise _no_room(self._path)
                    self._size += taken
                    break
                except OSError as error:
                    self._refused = self._refused or error
                    self._most = -1  # whatever comes next begins a new file, so a torn line spoils no other
                    self._directory += 1
                    if self._directory == len(self.directories):
                        self._directory = 0  # for the next line; this one is lost
                        raise
            if self._refused is not None:
                self._told_of_fallback()
            if start_of is not None:
                self._open_starts[start_of] = written
            elif not self._dirty:
                self._dirty, self._most = True, max(ROTATE_DIRTY_BYTES, self._most)
        finally:
            if locked:
                lock.release()

    def _told_of_fallback(self) -> None:
        error, self._refused = self._refused, None
        if self._directory and error is not None:
            self._say(
                f"{self.directories[0]}: {error.strerror}; facts go to {self.directories[self._directory]} meanwhile"
            )

    def _begin_file(self, reserve: int) -> None:
        """Go on in a new file, which begins with the starts in flight."""
        directory = self.directories[self._directory]
        make_private(directory)
        if self._dirty or self._fd < 0:
            _refuse_when_full(directory, MOST_BYTES + reserve)
        path = os.path.join(directory, f"{os.getpid()}-{os.urandom(4).hex()}.jsonl")
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            kept = b"".join(list(self._open_starts.values()))
            if kept and os.write(fd, kept) < len(kept):
                raise _no_room(path)
        except OSError:
            os.unlink(path)
            os.close(fd)
            raise
        self._let_go(worthless=not self._dirty)
        self._fd, self._path = fd, path
        self._size, self._most = len(kept), max(ROTATE_BYTES, 2 * len(kept))

    def _let_go(self, *, worthless: bool) -> None:
        fd, self._fd = self._fd, -1
        self._size, self._most, self._dirty = 0, -1, False
        if fd < 0:
            return
        if worthless:
            try:
                os.unlink(self._path)
            except FileNotFoundError:  # somebody tidied up
                pass
        os.close(fd)


def _no_room(path: str) -> OSError:
    return OSError(28, "no room for the whole line", path)  # ENOSPC; errno is one more import


def _refuse_when_full(directory: str, most: int) -> None:
    used = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                used += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # its owner has just removed it
    if used > most:
        raise SpoolFull(28, f"holds {used} bytes, which is its limit", directory)


# ── where it is ──


def directories_for(url: str) -> tuple[str, ...]:
    """The spool directories that belong to a database, in the order in which they are tried: $REPORTER_SPOOL_DIR alone, else
    beside a SQLite file or under the user's state directory, and a private one in TMPDIR."""
    given = os.environ.get("REPORTER_SPOOL_DIR")
    if given:
        return (given,)
    if url.startswith("sqlite"):
        path = os.path.abspath(sqlite_path(url))
        return path + ".spool", os.path.join(temporary(), "spool-" + _digest(path))
    where = url.partition("://")[2].rpartition("@")[2].partition("?")[0]
    found = (
        os.path.join(state_directory(), "spool", _digest(where)),
        os.path.join(temporary(), "spool-" + _digest(where)),
    )
    return found if found[0] != found[1] else found[:1]


def _digest(text: str) -> str:
    from zlib import crc32

    return f"{crc32(text.encode('utf-8', 'surrogateescape')):08x}"


def sqlite_path(url: str) -> str:
    """The file of a `sqlite:///FILE` URL.

    Raises:
        UsageError: it names none.
    """
    path = url.partition(":///")[2].partition("?")[0]
    if not path or path == ":memory:":
        from reporter.errors import UsageError

        raise UsageError(f"database {url!r}: names no file; write sqlite:///FILE (four slashes for an absolute path)")
    return path


def state_directory() -> str:
    """Where reporter keeps what it must not forget: $XDG_STATE_HOME/reporter, or a private place in TMPDIR without a HOME."""
    base = os.environ.get("XDG_STATE_HOME")
    if not base and has_home():
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "reporter") if base else temporary()


def has_home() -> bool:
    """Whether there is a place for what must not be forgotten."""
    home = os.path.expanduser("~")
    return bool(os.environ.get("XDG_STATE_HOME")) or (os.path.isabs(home) and os.path.isdir(home))


def temporary() -> str:
    """A place in TMPDIR that is this user's alone."""
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"reporter-{os.getuid()}")


def make_private(directory: str) -> None:
    """Make a directory, for this user alone, that is not there yet.

    Raises:
        OSError: it can't be made; or it lies in the shared TMPDIR and is a link, or somebody else's.
    """
    shared = temporary()
    if directory.startswith(shared):
        os.makedirs(shared, mode=0o700, exist_ok=True)
        found = os.lstat(shared)
        if found.st_uid != os.getuid() or found.st_mode & 0o170022 != 0o040000:
            raise OSError(1, "is not a directory that only this user can write", shared)  # EPERM
    if not os.path.isdir(directory):
        os.makedirs(directory, mode=0o700, exist_ok=True)
