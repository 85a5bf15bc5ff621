"""Running `reporter` as a person does: the real console script, in a directory of its own, with no settings of ours."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

SCRIPT = str(Path(sys.executable).with_name("reporter"))


def environment(directory: Path, **more: str) -> dict[str, str]:
    """This environment without settings of `reporter`, at home in `directory`."""
    dropped = ("REPORTER_", "XDG_", "OPENAI_", "NO_COLOR", "COLUMNS", "LINES", "CI")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"HOME": str(directory)} | more


def run(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, not on a terminal."""
    return subprocess.run(
        [SCRIPT, *arguments],
        cwd=directory,
        env=environment(directory, **environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run_on_terminal(directory: Path, *arguments: str, columns: int, **environ: str) -> tuple[int, str]:
    """(exit code, all that the terminal got) of a run on a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [SCRIPT, *arguments],
        cwd=directory,
        env=environment(directory, TERM="xterm-256color", **environ),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:  # the last one has hung up
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    return process.wait(60), seen.decode().replace("\r\n", "\n")
