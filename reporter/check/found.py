"""The files that are checked: those that are named, and those of directories that are of a kind that is known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reporter.check import Read, read_file
from reporter.check.place import Complaint
from reporter.config.document import GENERATED, read_text
from reporter.config_file import FILE_NAME
from reporter.errors import ConfigError
from reporter.formats.kinds import kind_of
from reporter.generate.files import MARK

SUFFIXES = (".yaml", ".yml", ".json")
MOST_FILES = 5_000


def files_in(directory: Path) -> Iterator[Path]:
    """Every file, sorted, but for hidden ones: a mounted ConfigMap has its files twice, once in a hidden directory.

    Raises:
        ConfigError: there are too many, or it can't be read.
    """
    count = 0

    def refuse(error: OSError) -> None:
        raise ConfigError(f"{error.filename or directory}: can't be read: {error.strerror}") from None

    for place, directories, names in os.walk(directory, onerror=refuse):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(names):
            count += 1
            if count > MOST_FILES:
                raise ConfigError(
                    f"{directory}: has more than {MOST_FILES} files; name the directory that was generated"
                )
            if not name.startswith("."):
                yield Path(place, name)


def may_be_read(file: Path) -> bool:
    """Whether it is a regular file whose name ends as those do that are read; a pipe would wait for ever."""
    return file.suffix in SUFFIXES and file.is_file()


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to be read, and what is left out."""

    read: tuple[Read, ...]
    settings: tuple[Path, ...]  # reporter.yaml, or SLOs in the format of another program
    left_out: tuple[tuple[Path, str], ...]  # with the reason
    unreadable: tuple[Complaint, ...]


def find(paths: Iterable[Path]) -> Found:
    """Read the files, and those of the directories.

    Raises:
        ConfigError: a directory can't be read, or has nothing of any kind that is known.
    """
    read: list[Read] = []
    settings: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    unreadable: list[Complaint] = []
    for path in dict.fromkeys(paths):
        before = len(read) + len(settings) + len(unreadable)
        is_named = not path.is_dir()
        for file in [path] if is_named else files_in(path):
            if not is_named and not may_be_read(file):
                left_out.append((file, f"ends with none of {', '.join(SUFFIXES)}"))
                continue
            try:
                document = read_file(file)
                if document is not None:
                    read.append(document)
                elif is_named or _is_settings(file):
                    settings.append(file)
                else:
                    left_out.append((file, "of no kind that is known"))
            except ConfigError as error:
                unreadable += complaints(error, file)
        if len(read) + len(settings) + len(unreadable) == before:
            raise ConfigError(
                f"{path}: has no file that can be checked; `reporter generate grafana -o {path}` writes some,"
                " and `reporter check` alone reads reporter.yaml"
            )
    return Found(_once(read), tuple(dict.fromkeys(settings)), tuple(left_out), tuple(unreadable))


def _once(files: Iterable[Read]) -> tuple[Read, ...]:
    """Files without those that were named twice, once in their directory."""
    return tuple({os.path.realpath(file.sheet.name): file for file in files}.values())


def _is_settings(file: Path) -> bool:
    """Whether a file of a directory is reporter.yaml, or says of itself that it has SLOs in another format.

    Raises:
        ConfigError: it was generated, and then so much was changed that its kind can't be told.
    """
    if MARK in next(iter(read_text(file, GENERATED).splitlines()), ""):
        raise ConfigError(f"{file}:1: was generated, but has no key that tells its kind: generate it again")
    try:
        kind = kind_of(file)
    except ConfigError:
        return False
    return kind is not None or file.name in (FILE_NAME, "reporter.yml")


def complaints(error: ConfigError, file: Path) -> Iterator[Complaint]:
    """An error of a file, a complaint for each of its lines."""
    for told in str(error).splitlines():
        rest = told.removeprefix(f"{file}:")
        line, _, why = rest.partition(": ")
        if line.isdecimal():
            yield Complaint(file=str(file), line=int(line), field="", why=why)
        else:
            yield Complaint(file=str(file), line=0, field="", why=rest.strip())
