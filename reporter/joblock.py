"""The lock of a job on this machine: one file a job, locked as flock(1) does.

Standard library only: a job pays for every import.
"""

from __future__ import annotations

import fcntl
import os
import time

from reporter.attempt import say
from reporter.errors import ReporterError

_MOST_NAME = 200  # of the 255 bytes that file systems allow


class LockHeld(ReporterError):
    """Another run of the job is under way, and this one was not to be beside it."""

    exit_code = 75


class JobLock:
    """Held from `take` to `release`, and by the command after our own death: it inherits the descriptor."""

    __slots__ = ("_file", "job")

    def __init__(self, job: str) -> None:
        self.job = job
        self._file: int | None = None

    def take(self, policy: str, wait_seconds: float | None) -> bool:
        """Whether this run may go on; where there is no place for locks, it may, with a warning.

        Raises:
            LockHeld: another run has it, and the policy is `fail`, or `wait` and the waiting was over.
        """
        from reporter.sinks.spool import state_directory

        path = os.path.join(state_directory(), "locks", f"{_file_name(self.job)}.lock")
        until = None if wait_seconds is None else time.monotonic() + wait_seconds
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            while not self._taken(path):
                if policy == "skip":
                    return False
                if policy == "fail" or (until is not None and time.monotonic() > until):
                    raise LockHeld(f"{self.job}: another run is under way on this machine ({path})")
                time.sleep(0.1)
        except OSError as error:
            why = f"--lock: {path}: {error.strerror}; {self.job} runs without a lock: make the directory writable"
            say(why)
        return True

    def release(self) -> None:
        """Let go, whoever else has the descriptor: what the command left in the background is not its run."""
        if self._file is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            finally:
                os.close(self._file)
                self._file = None

    def _taken(self, path: str) -> bool:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino == _inode(path):
                os.set_inheritable(lock, True)
                self._file = lock
                return True
        except BlockingIOError:
            pass
        finally:
            if self._file is None:
                os.close(lock)
        return False


def _file_name(job: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in job)
    if len(os.fsencode(name)) <= _MOST_NAME:
        return name
    from hashlib import sha256

    return sha256(os.fsencode(job)).hexdigest()


def _inode(path: str) -> int | None:
    """Which file is there now: the one that was locked may have been replaced meanwhile."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
