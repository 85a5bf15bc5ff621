"""Where facts lie: the database's files, their rights, the disk, the spool."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from reporter.doctor.finding import Finding, age, fail, ok, size, warn
from reporter.filesystem import warning
from reporter.sinks.shipping import orphans
from reporter.sinks.spool import MOST_BYTES, directories_for, sqlite_path, temporary

_LEAST_FREE_BYTES, _FEW_FREE_BYTES = 32 << 20, 512 << 20
_OLD_SECONDS = 15 * 60
"""Facts that lie in a spool longer than that are brought in by nobody."""


def examine_files(url: str) -> Iterator[Finding]:
    """A SQLite database's files: whose they are, and on what kind of disk."""
    path = Path(sqlite_path(url))
    shared = warning(path)
    if shared:
        sentence, _, remedy = shared.partition("; ")
        yield fail("disk", sentence, remedy)
    yield from _room(path.parent, "database")
    if not path.exists():
        return
    open_to_all = [
        str(file) for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm")))
        if file.exists() and file.stat().st_mode & 0o007
    ]  # fmt: skip
    if open_to_all:
        yield warn("files", f"every user can open {', '.join(open_to_all)}", f"chmod o= {' '.join(open_to_all)}")
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        yield fail(
            "files", f"{path}: this user may not write it, or the directory it lies in",
            "run as the user whose it is, or give a group of both the right to write",
        )  # fmt: skip
    elif path.parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        yield warn("files", f"{path.parent}: every user can replace the database there", f"chmod o-w {path.parent}")
    elif not open_to_all:
        yield ok("files", f"{path}: {size(path.stat().st_size)}, mode {stat.S_IMODE(path.stat().st_mode):o}")


def _room(directory: Path, what: str) -> Iterator[Finding]:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    told = f"{size(free)} free for the {what}, at {directory}"
    if free < _LEAST_FREE_BYTES:
        yield fail("disk", told, "make room: facts can't be kept on a full disk; reporter prune frees rows")
    elif free < _FEW_FREE_BYTES:
        yield warn("disk", told, "make room before it is full")
    else:
        yield ok("disk", told)


def examine_spool(url: str) -> Iterator[Finding]:
    """Where jobs put what the database does not take at once: may they write there, and does anybody bring it in?"""
    directories = directories_for(url)
    first = Path(directories[0])
    if first.exists() and not os.access(first, os.R_OK | os.W_OK | os.X_OK):
        yield fail(
            "spool", f"{first}: this user may not use it", "name another in REPORTER_SPOOL_DIR, or mend its rights"
        )
    elif not first.exists() and not os.access(_there(first), os.W_OK):
        yield warn(
            "spool", f"{first}: can't be made by this user; facts that can't be written at once go to {temporary()}",
            "make it, or name another in REPORTER_SPOOL_DIR",
        )  # fmt: skip
    if not url.startswith("sqlite"):
        yield from _room(first, "spool")
    for directory in filter(os.path.isdir, directories):
        yield from _backlog(Path(directory))


def _there(path: Path) -> Path:
    """The nearest directory above that exists."""
    return next(above for above in path.parents if above.exists())


def _backlog(directory: Path) -> Iterator[Finding]:
    files = [file for file in directory.iterdir() if file.is_file()]
    used = sum(file.stat().st_size for file in files)
    bad = [file for file in files if file.suffix == ".bad"]
    waiting, oldest = 0, time.time()
    for _, descriptor in orphans(str(directory)):
        found = os.fstat(descriptor)
        os.close(descriptor)
        waiting, oldest = waiting + 1, min(oldest, found.st_mtime)
    told = f"{directory}: {len(files)} files, {size(used)} of {size(MOST_BYTES)}"
    if used >= MOST_BYTES:
        yield fail("spool", f"{told}: it is full, so new facts are dropped", "reporter ingest --spool")
    elif waiting and time.time() - oldest > _OLD_SECONDS:
        yield fail(
            "spool", f"{told}; {waiting} of jobs that are gone, for {age(time.time() - oldest)}",
            "reporter ingest --spool; then find out why no reporter and no job does it: the same user, host, environment?",
        )  # fmt: skip
    elif bad:
        yield warn(
            "spool", f"{told}; lines that could not be read are in {bad[0].name}{' and others' if len(bad) > 1 else ''}",
            "each has its reason beside it; delete the file when you have seen it",
        )  # fmt: skip
    elif directory.stat().st_mode & 0o007:
        yield warn("spool", f"{directory}: every user can look into it", f"chmod 700 {directory}")
    else:
        yield ok("spool", told)
