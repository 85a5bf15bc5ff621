"""`reporter exec`: any command, in any language, as one run of a batch job.

The command is started as it stands, nothing is quoted again; its standard input is ours, its output goes through us,
unchanged and as it comes, and the last of it is kept.  It leads a process group of its own, to which signals are passed on.
Whatever becomes of the recording, the exit code is the command's.

Standard library only: a job pays for every import.
"""

from __future__ import annotations

import os
import signal
import time

from reporter.attempt import Attempt, say
from reporter.facts import MOST_TAIL
from reporter.joblock import JobLock
from reporter.run import FLUSH_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from reporter.recorder import Recorder
    from reporter.run import ActiveRun

START_SECONDS = 2.0
"""A command that runs for longer is known to be under way: its start waits for its end no longer."""
MOST_WAIT_SECONDS = 300.0
"""Until it is tried again to tell it, at first five times as soon as the time before."""
_MOST_NUMBER = 64  # bytes of a file of items that are looked at
_PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


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
    recording = recorder.job(settings.job, scheduled_for=settings.scheduled_for)
    lock = JobLock(settings.job)
    if settings.lock is not None and not lock.take(settings.lock, settings.lock_wait):
        say(f"{settings.job}: another run is under way; this one is skipped")
        return 0
    signals = Signals()  # before anything is told of the run, and for good: none may end us before its end is told
    try:
        with recording.begin() as run:
            stop_telling = _tell_start(recorder)
            try:
                attempt = _attempts(run, command, settings, signals)
            finally:
                stop_telling()
            run.items = attempt.items if settings.items_file is None else _items_in(settings.items_file)
            if run.open:
                run.end(attempt.status, attempt.error_type, attempt.exit_code, _tail(recorder, attempt))
            return attempt.exit_code
    finally:
        lock.release()


def _tell_start(recorder: Recorder) -> Callable[[], None]:
    """Bring the start to the database, if the command takes a while: who waits for it shall not miss it.

    Beside the command, which waits for nothing; so what fails here takes none of the time that there is for the end.
    What is returned stops it.
    """
    from threading import Event, Lock, Thread

    over, guard = Event(), Lock()

    def tell() -> None:
        seconds = START_SECONDS
        while not over.wait(seconds) and not recorder.flush(FLUSH_SECONDS / 2):
            with guard:
                if over.is_set():  # what was paid is the end's to pay
                    return
                getattr(recorder.sink, "expect_again", int)()
            seconds = min(5 * seconds, MOST_WAIT_SECONDS)

    def stop() -> None:
        with guard:
            over.set()

    try:
        Thread(target=tell, name="reporter-start", daemon=True).start()
    except RuntimeError:  # no thread is left: it is told with the end
        pass
    return stop


def _attempts(run: ActiveRun, command: Sequence[str], settings: Settings, signals: Signals) -> Attempt:
    """The last of them."""
    number, attempt = 1, Attempt(command, os.environ, settings)
    signals.go(attempt)
    while attempt.exit_code and number <= settings.retries and not signals.stopped_by:
        told = f"exit code {attempt.exit_code}; trying again ({number} of {settings.retries})"
        say(f"{settings.job}: {told} in {settings.retry_delay:g} s")
        if not signals.stopped_within(settings.retry_delay):
            number, attempt = number + 1, Attempt(command, os.environ, settings)
            signals.go(attempt)
    if settings.retries:
        run.set(attempts=number)
    return attempt


def _tail(recorder: Recorder, attempt: Attempt) -> str:
    """The last of its output, without secrets; nothing, if that can't be told."""
    if not attempt.tail:
        return ""
    try:
        from reporter.redaction import redacted

        return redacted(attempt.tail.decode("utf-8", "replace"), attempt.environment)[-MOST_TAIL:]
    except Exception as trouble:
        recorder.wall(trouble)
        return ""


class Signals:
    """Signals that are sent to us, passed on to the command; those that were ignored when we started stay so for both."""

    def __init__(self) -> None:
        self.attempt: Attempt | None = None
        self.stopped_by = 0  # the first signal that means the end
        for name in _PASSED_ON:
            number = getattr(signal, name)
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._pass_on)

    def go(self, attempt: Attempt) -> None:
        """Run the command, unless a signal ended it before it began."""
        self.attempt = attempt
        if self.stopped_by:
            attempt.end_unstarted(self.stopped_by)
        else:
            attempt.go()

    def stopped_within(self, seconds: float) -> bool:
        """Wait; whether a signal ended the waiting."""
        until = time.monotonic() + seconds
        while not self.stopped_by and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return bool(self.stopped_by)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if number not in (signal.SIGUSR1, signal.SIGUSR2):
            self.stopped_by = self.stopped_by or number
        by_terminal = number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0)  # which sent it to the command, too
        if self.attempt is not None:
            self.attempt.stopped = self.attempt.stopped or bool(self.stopped_by)
            if not by_terminal or not self.attempt.pid:
                self.attempt.send(number)


def _items_in(path: str) -> int | None:
    """The number that a file holds; of a pipe none, as its writer may never come, and nothing may keep the exit code back."""
    from stat import S_ISREG

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                say(f"--items-file {path}: is no file")
                return None
            told = os.read(descriptor, _MOST_NUMBER).strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        say(f"--items-file {path}: {error.strerror}")
        return None
    if not told.isdigit():
        say(f"--items-file {path}: is no number")
        return None
    return int(told)
