"""One go at a command: started as it stands, watched to its end, its output passed on.

Nothing here waits without looking: neither for the command, nor for who reads its output.

Standard library only: a job pays for every import.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time

from reporter.facts import MOST_TAIL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from reporter.command import Settings

TIMED_OUT = 124  # as timeout(1) has it
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as shells have it
_SIGNALLED = 128
TAIL_BYTES = 2 * MOST_TAIL  # of which half is kept: a secret that the cut goes through is known by how it began
_CHUNK = 65_536
_MOST_LINE = 4_096  # bytes of a line that are looked at for `reporter: items=…`
_MOST_DIGITS = 40  # of a number of items: more than any that is kept; int() refuses thousands
_LINGER_SECONDS = 0.5  # that output is waited for after the command's end: a child of it may hold the pipe open
_PATIENCE_SECONDS = 2.0  # with a reader that takes nothing, once the command was stopped and has ended
_SHELL = "/bin/sh"
_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFSZ")  # the command is not to inherit that


class Output:
    """One output of the command: read from a pipe, passed on unchanged and as it comes."""

    __slots__ = ("_line", "error", "items", "its", "no_items", "open", "ours", "owed", "reading", "waiting", "writing")

    def __init__(self, its: Sequence[int]) -> None:
        self.its = its  # the command's descriptors that lead here
        self.ours = its[0]
        self.reading, self.writing = os.pipe()
        self.open = True
        self.waiting = b""  # read, and not yet passed on
        self.owed = 0  # bytes that the command had written when it ended, and that are still to be read
        self.error: OSError | None = None  # why it could not be passed on
        self.items: int | None = None
        self.no_items = b""  # what it said instead of a number of items
        self._line = b""  # that it is in the middle of

    def close(self) -> None:
        """Read no more; who still writes gets SIGPIPE."""
        if self.open:
            os.close(self.reading)
        self.open = False

    def watch(self, poll: select.poll) -> None:
        """Look for what is to be done next; of an idle one, whether its reader has gone."""
        if self.waiting or self.open:
            poll.register(self.ours, select.POLLOUT if self.waiting else 0)
        if self.open and not self.waiting:
            poll.register(self.reading, select.POLLIN)

    def read(self) -> bytes:
        """What the command wrote; nothing: it has closed it."""
        data = os.read(self.reading, _CHUNK)
        self.owed -= len(data)
        self.waiting = data
        if not data:
            self.close()
        lines = (self._line + (data or b"\n")).split(b"\n")  # the last one may have no end
        self._line = lines[-1][:_MOST_LINE]
        for line in lines[:-1]:
            if line.startswith(b"reporter: items="):
                number = line[16:_MOST_LINE].strip()
                if number.isdigit():
                    self.items = int(number.lstrip(b"0")[:_MOST_DIGITS] or b"0")
                else:
                    self.no_items = number
        return data

    def write(self) -> None:
        """Pass on as much as surely doesn't block, now that there is room; or learn that nobody reads."""
        if not self.waiting:
            self.close()
            return
        try:
            self.waiting = self.waiting[os.write(self.ours, self.waiting[: select.PIPE_BUF]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.error, self.waiting = error, b""
            self.close()

    def command_ended(self) -> None:
        """Learn how much of what is in the pipe is the command's."""
        if self.open:
            import fcntl
            import termios

            self.owed = int.from_bytes(fcntl.ioctl(self.reading, termios.FIONREAD, bytes(4)), sys.byteorder)


def open_outputs() -> list[Output]:
    """A pipe for each output that is open; one for both where they are one file, because two would not keep the order."""
    opened = [number for number, stream in ((1, sys.__stdout__), (2, sys.__stderr__)) if stream is not None]
    if len(opened) == 2 and os.path.sameopenfile(1, 2):
        return [Output(opened)]
    return [Output([number]) for number in opened]


class Attempt:
    """One go at the command."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], settings: Settings) -> None:
        self.command, self.environment, self.settings = command, environment, settings
        self.pid = 0
        self.exit_code = 0
        self.status, self.error_type = "success", None  # type: tuple[str, str | None]
        self.items: int | None = None
        self.tail = b""
        self.stopped = False  # by a signal or for its time: it shall come to an end
        self._early: list[int] = []  # signals that came before it was there to get them
        self._own_group = not os.isatty(0)  # on a terminal it stays in front, where it may read
        self._ended_at: float | None = None
        self._kill_at: float | None = None
        self._timeout_at: float | None = None
        self._progress_at = 0.0

    def go(self) -> None:
        """Run it to its end."""
        outputs = open_outputs()
        try:
            self._start(outputs)
            if self.pid:
                while self._early:
                    self.send(self._early.pop(0))
                self._watch(outputs)
        finally:
            for output in outputs:
                output.close()
        for output in outputs:
            self.items = self.items if output.items is None else output.items
            self._look_at(output)

    def end_unstarted(self, number: int) -> None:
        """End it before it begins, as the signal that was to end it would have."""
        self._ended(-number)

    def _start(self, outputs: Sequence[Output]) -> None:
        how: dict[str, Any] = {
            "file_actions": [(os.POSIX_SPAWN_DUP2, output.writing, its) for output in outputs for its in output.its],
            "setsigdef": [getattr(signal, name) for name in _IGNORED_BY_PYTHON],
        }
        if self._own_group:
            how["setpgroup"] = 0
        try:
            self.pid = spawn(list(self.command), dict(self.environment), how)
        except OSError as error:
            self.exit_code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
            self.status, self.error_type = "failed", f"exit {self.exit_code}"
            say(f"{self.command[0] or repr('')}: {error.strerror}")
        finally:
            for output in outputs:
                os.close(output.writing)

    def _watch(self, outputs: Sequence[Output]) -> None:
        """Pass output on until the command has ended and its pipes are empty."""
        now = time.monotonic()
        if self.settings.timeout is not None:
            self._timeout_at = now + self.settings.timeout
        while not self._over(outputs, now):
            poll = select.poll()
            for output in outputs:
                output.watch(poll)
            ready = {number for number, _ in poll.poll(100 if any(output.open for output in outputs) else 20)}
            now = time.monotonic()
            for output in outputs:
                if output.ours in ready:
                    output.write()
                    self._progress_at = now
                elif output.reading in ready and output.open:
                    self.tail = (self.tail + output.read())[-TAIL_BYTES:]
            if self._ended_at is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._ended_at = self._progress_at = now
                    self._ended(os.waitstatus_to_exitcode(status))
                    for output in outputs:
                        output.command_ended()
            self._hurry(now, outputs)

    def _over(self, outputs: Sequence[Output], now: float) -> bool:
        """Whether nothing is left to be waited for."""
        if self._ended_at is None or (self._kill_at is not None and self._group_lives()):
            return False
        for output in outputs:
            if output.owed <= 0 and now - self._ended_at > _LINGER_SECONDS:
                output.close()
        if self.stopped and now - self._progress_at > _PATIENCE_SECONDS:
            return True
        return not any(output.open or output.waiting for output in outputs)

    def _hurry(self, now: float, outputs: Sequence[Output]) -> None:
        """End what takes too long: SIGTERM, then SIGKILL for all that is left of its group."""
        if self._timeout_at is not None and now >= self._timeout_at:
            self._timeout_at = None
            if self._ended_at is None:
                self.status, self.stopped = "timeout", True
                self._kill_at = now + self.settings.kill_after
                self.send(signal.SIGTERM)
            elif any(output.waiting for output in outputs):  # it ended in time, but its output is not out
                self.status, self.stopped = "timeout", True
                self._ended(0)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self.send(signal.SIGKILL)

    def _ended(self, code: int) -> None:
        self.exit_code = code if code >= 0 else _SIGNALLED - code
        if self.status == "timeout":
            self.error_type, self.exit_code = "timeout", TIMED_OUT
        elif code < 0:
            self.status, self.error_type = "failed", signal.Signals(-code).name
        elif code:
            self.status, self.error_type = "failed", f"exit {code}"

    def _look_at(self, output: Output) -> None:
        """Output that could not be written is no success, unless it was not wanted."""
        if output.no_items:
            say(f"items={output.no_items[:40].decode('ascii', 'replace')!r}: is no number, and not kept")
        if output.error is None or output.error.errno in (errno.EPIPE, None):
            return
        which = "output" if len(output.its) == 2 else "stdout" if output.ours == 1 else "stderr"
        say(f"{which} of {self.command[0]}: {output.error.strerror}")
        if self.status == "success":
            self.status, self.error_type, self.exit_code = "failed", errno.errorcode[output.error.errno or 0], 1

    def send(self, number: int) -> None:
        """Send a signal to the command's process group."""
        if not self.pid:
            self._early.append(number)
            return
        try:
            if self._own_group:
                os.killpg(self.pid, number)
            elif self._ended_at is None:
                os.kill(self.pid, number)
        except OSError:  # gone, or not ours to signal
            pass

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return self._own_group


def spawn(command: list[str], environment: dict[str, str], how: Mapping[str, Any]) -> int:
    """Start a command as execvp(3) does: what is executable and no program, a script without `#!`, is one for /bin/sh.

    Raises:
        OSError: it can't be started.
    """
    try:
        return os.posix_spawnp(command[0], command, environment, **how)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    script = command[0] if "/" in command[0] else _found(command[0])
    return os.posix_spawn(_SHELL, [_SHELL, script, *command[1:]], environment, **how)


def _found(name: str) -> str:
    """Where in $PATH the command is."""
    paths = (os.path.join(directory, name) for directory in os.get_exec_path())
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), name)


def say(message: str) -> None:
    """One line on stderr, if anybody reads it."""
    if sys.stderr is not None:  # closed before we started
        try:
            print(f"reporter: {message}", file=sys.stderr, flush=True)
        except OSError:
            pass
