"""`reporter exec`: any command, in any language, as one run of a batch job.

The command is started as it stands, nothing is quoted again; its standard input is ours, its output goes through us,
unchanged and as it comes, and the last of it is kept.  It leads a process group of its own, to which signals are passed on.
Whatever becomes of the recording, the exit code is the command's.

Standard library only: a job pays for every import.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import sys
import time

from reporter.errors import ReporterError, UsageError
from reporter.run import FLUSH_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Timer
    from types import FrameType
    from typing import Any

    from reporter.recorder import Recorder
    from reporter.run import ActiveRun

TIMED_OUT = 124  # as timeout(1) has it
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as shells have it
_SIGNALLED = 128
TAIL_BYTES = 8_192
START_SECONDS = 2.0
"""A command that runs for longer is known to be under way: its start waits for its end no longer."""
_CHUNK = 65_536
_MOST_LINE = 4_096  # bytes of a line that are looked at for `reporter: items=…`
_LINGER_SECONDS = 0.5  # that output is waited for after the command's end: a child of it may hold the pipe open
_PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class LockHeld(ReporterError):
    """Another run of the job is under way, and this one was not to be beside it."""

    exit_code = 75


class Settings:
    """How a command is run; lengths in seconds, None: without."""

    __slots__ = (
        "items_file",
        "job",
        "kill_after",
        "lock",
        "lock_wait",
        "retries",
        "retry_delay",
        "scheduled_for",
        "timeout",
    )

    def __init__(self, job: str) -> None:
        self.job = job
        self.timeout: float | None = None  # of each attempt
        self.kill_after = 10.0  # from SIGTERM to SIGKILL
        self.lock: str | None = None  # "skip", "wait" or "fail"
        self.lock_wait: float | None = None
        self.retries = 0
        self.retry_delay = 10.0
        self.items_file: str | None = None
        self.scheduled_for: str | None = None


def execute(recorder: Recorder, command: Sequence[str], settings: Settings) -> int:
    """Run a command as one run of a job, and return the exit code: its own, 128 + n after signal n, 124 when its time was up.

    Raises:
        LockHeld: another run of the job is under way.
        UsageError: `scheduled_for` is no moment.
    """
    lock = None
    if settings.lock is not None:
        lock = _take_lock(settings)
        if lock is None:
            print(f"reporter: {settings.job}: another run is under way; this one is skipped", file=sys.stderr)
            return 0
    try:
        with recorder.job(settings.job, scheduled_for=settings.scheduled_for).begin() as run:
            telling = _tell_start(recorder)
            try:
                return _attempts(run, command, settings)
            finally:
                telling.cancel()
    finally:
        if lock is not None:
            os.close(lock)


def _tell_start(recorder: Recorder) -> Timer:
    """Bring the start to the database, if the command takes a while: who waits for it shall not miss it.

    Beside the command, which waits for nothing, and not for so long that no time is left for the end.
    """
    from threading import Timer

    timer = Timer(START_SECONDS, recorder.flush, kwargs={"timeout": FLUSH_SECONDS / 2})
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # no thread is left: it is told with the end
        pass
    return timer


def _attempts(run: ActiveRun, command: Sequence[str], settings: Settings) -> int:
    environment = {**os.environ, "REPORTER_JOB": run.name, "REPORTER_RUN_ID": run.run_id} if run.run_id else os.environ
    signals, number = Signals(), 1
    try:
        attempt = signals.attempt = Attempt(command, environment, settings)
        attempt.go()
        while attempt.exit_code and number <= settings.retries and not signals.stopped:
            told = f"exit code {attempt.exit_code}; trying again ({number} of {settings.retries})"
            print(f"reporter: {settings.job}: {told} in {settings.retry_delay:g} s", file=sys.stderr)
            if not signals.stopped_within(settings.retry_delay):
                number += 1
                attempt = signals.attempt = Attempt(command, environment, settings)
                attempt.go()
    finally:
        signals.restore()
    if settings.retries:
        run.set(attempts=number)
    run.items = attempt.items if settings.items_file is None else _items_in(settings.items_file)
    if run.open:
        run.end(attempt.status, attempt.error_type, attempt.exit_code, attempt.tail.decode("utf-8", "replace"))
    return attempt.exit_code


class Signals:
    """Signals that are sent to us, passed on to the command."""

    def __init__(self) -> None:
        self.attempt: Attempt | None = None
        self.stopped = False  # by a signal that means the end
        self._before = {
            getattr(signal, name): signal.signal(getattr(signal, name), self._pass_on) for name in _PASSED_ON
        }

    def restore(self) -> None:
        """Handle signals as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stopped_within(self, seconds: float) -> bool:
        """Wait; whether a signal ended the waiting."""
        until = time.monotonic() + seconds
        while not self.stopped and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return self.stopped

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.stopped = self.stopped or number not in (signal.SIGUSR1, signal.SIGUSR2)
        by_terminal = number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0)  # which sent it to the command, too
        if self.attempt is not None and not by_terminal:
            self.attempt.send(number)


class Attempt:
    """One go at the command."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], settings: Settings) -> None:
        self.command, self.environment, self.settings = command, environment, settings
        self.pid = 0
        self.exit_code = 0
        self.status, self.error_type = "success", None  # type: tuple[str, str | None]
        self.items: int | None = None
        self.tail = b""
        self._lines: dict[int, bytes] = {}  # the line that each output is in the middle of
        self._kill_at: float | None = None

    def go(self) -> None:
        """Run it to its end."""
        outputs: dict[int, int] = {}  # our end of each pipe → where it goes
        inner = []
        for ours in (1, 2):
            reading, writing = os.pipe()
            outputs[reading] = ours
            inner.append((writing, ours))
        try:
            self._start(inner)
            if self.pid:
                self._watch(outputs)
        finally:
            for reading in outputs:
                os.close(reading)

    def _start(self, inner: Sequence[tuple[int, int]]) -> None:
        actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, writing, ours) for writing, ours in inner]
        leads: Any = {} if os.isatty(0) else {"setpgroup": 0}  # on a terminal it stays in front, where it may read
        try:
            self.pid = os.posix_spawnp(
                self.command[0],
                list(self.command),
                dict(self.environment),
                file_actions=actions,
                setsigdef=[getattr(signal, name) for name in _PASSED_ON],
                **leads,
            )
        except OSError as error:
            self.exit_code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
            self.status, self.error_type = "failed", f"exit {self.exit_code}"
            print(f"reporter: {self.command[0]}: {error.strerror}", file=sys.stderr)
        finally:
            for writing, _ in inner:
                os.close(writing)

    def _watch(self, outputs: Mapping[int, int]) -> None:
        """Pass output on until the command has ended and its pipes are empty."""
        poll = select.poll()
        for reading in outputs:
            poll.register(reading, select.POLLIN)
        began, open_, ended_at = time.monotonic(), len(outputs), None
        timeout_at = None if self.settings.timeout is None else began + self.settings.timeout
        while open_ or ended_at is None:
            for reading, _ in poll.poll(100 if open_ else 20):
                data = os.read(reading, _CHUNK)
                if data:
                    self._pass_on(outputs[reading], data)
                else:
                    poll.unregister(reading)
                    open_ -= 1
            now = time.monotonic()
            if ended_at is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    ended_at = now
                    self._ended(os.waitstatus_to_exitcode(status))
                else:
                    timeout_at = self._hurry(now, timeout_at)
            elif now - ended_at > _LINGER_SECONDS:
                break

    def _hurry(self, now: float, timeout_at: float | None) -> float | None:
        """End what takes too long: SIGTERM, then SIGKILL; when it is over, if that is still to come."""
        if timeout_at is not None and now >= timeout_at:
            self.status = "timeout"
            self._kill_at = now + self.settings.kill_after
            self.send(signal.SIGTERM)
            timeout_at = None
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self.send(signal.SIGKILL)
        return timeout_at

    def _ended(self, code: int) -> None:
        self.exit_code = code if code >= 0 else _SIGNALLED - code
        if self.status == "timeout":
            self.error_type, self.exit_code = "timeout", TIMED_OUT
        elif code < 0:
            self.status, self.error_type = "failed", signal.Signals(-code).name
        elif code:
            self.status, self.error_type = "failed", f"exit {code}"

    def _pass_on(self, output: int, data: bytes) -> None:
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        lines = (self._lines.get(output, b"") + data).split(b"\n")
        self._lines[output] = lines[-1][:_MOST_LINE]
        for line in lines[:-1]:
            if line.startswith(b"reporter: items="):
                number = line[16:].strip()
                if number.isdigit():
                    self.items = int(number)
        while data:
            try:
                data = data[os.write(output, data) :]
            except OSError:  # nobody reads any more: the command goes on, as it would
                return

    def send(self, number: int) -> None:
        """Send a signal to the command's process group."""
        if not self.pid:
            return
        try:
            if os.isatty(0):
                os.kill(self.pid, number)
            else:
                os.killpg(self.pid, number)
        except ProcessLookupError:
            pass


def _items_in(path: str) -> int | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            told = file.read(64).strip()
    except OSError as error:
        print(f"reporter: --items-file {path}: {error.strerror}", file=sys.stderr)
        return None
    if not told.isdecimal():
        print(f"reporter: --items-file {path}: is no number", file=sys.stderr)
        return None
    return int(told)


def _take_lock(settings: Settings) -> int | None:
    """The lock of a job on this machine; None: another run has it, and this one is to be skipped."""
    from reporter.sinks.spool import state_directory

    directory = os.path.join(state_directory(), "locks")
    name = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in settings.job)[:200]
    path = os.path.join(directory, f"{name}.lock")
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        until = None if settings.lock_wait is None else time.monotonic() + settings.lock_wait
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _locked(lock) and os.fstat(lock).st_ino == _inode(path):
                return lock
            os.close(lock)
            if settings.lock == "skip":
                return None
            if settings.lock == "fail" or (until is not None and time.monotonic() > until):
                raise LockHeld(f"{settings.job}: another run is under way on this machine ({path})")
            time.sleep(0.1)
    except OSError as error:
        raise UsageError(
            f"--lock: {path}: {error.strerror}; without a place for locks runs can't be told apart"
        ) from None


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _inode(path: str) -> int | None:
    """Which file is there now: the one that was locked may have been replaced meanwhile."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
