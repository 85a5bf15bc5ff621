"""The file of settings: where it is found, and, for who waits for no YAML reader, which database it names.

Standard library only: a job pays for every import.
"""

from __future__ import annotations

import os

from reporter.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "reporter.yaml"
MAX_BYTES = 1 << 20


class Unclear(Exception):
    """It takes a YAML reader to tell."""


def find(named: str | None, environ: Mapping[str, str]) -> str | None:
    """The file to read: `named`, $REPORTER_CONFIG, ./reporter.yaml, then $XDG_CONFIG_HOME/reporter/reporter.yaml.

    Raises:
        ConfigError: `named` or $REPORTER_CONFIG names no file.
    """
    for path, by in ((named, "--config"), (environ.get("REPORTER_CONFIG"), "REPORTER_CONFIG")):
        if path:
            if os.path.isdir(path):
                raise ConfigError(f"{path}: is a directory; {by} must name a file")
            if not os.path.exists(path):  # a pipe is fine
                raise ConfigError(f"{path}: there is no such file, though {by} names it; `reporter init` writes one")
            return path
    places = [FILE_NAME]
    given, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if os.path.isabs(given):  # the XDG specification ignores relative paths
        places.append(os.path.join(given, "reporter", FILE_NAME))
    elif os.path.isabs(home):
        places.append(os.path.join(home, ".config", "reporter", FILE_NAME))
    return next((place for place in places if os.path.isfile(place)), None)


def read(path: str, most_bytes: int = MAX_BYTES) -> str:
    """The text of a file that people write.

    Raises:
        ConfigError: it can't be read, is too large, or is no UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise ConfigError(f"{path}: is larger than {most_bytes} bytes; that is no configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from error


def database_in(text: str, environ: Mapping[str, str]) -> str | None:
    """The database that the text of such a file names, if it does, read as far as it is written plainly.

    Raises:
        Unclear: it may, but not so plainly.
    """
    told = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not any("database" in line or "\\" in line for line in told):
        return None
    for line, following in zip(told, [*told[1:], ""], strict=True):
        if line.startswith("database: ") and not following.startswith((" ", "\t")):  # where it might go on
            return _expanded(_scalar(line[9:].strip()), environ)
        if line.startswith("database") or any(
            mark in line for mark in "\"'{[|>&*!%@`?\t"
        ):  # what may hold the next line, too
            break
    raise Unclear


def _scalar(written: str) -> str:
    """A URL on one line, plain or in quotes, and maybe a comment behind it."""
    quote = written[:1]
    if quote in ('"', "'"):
        value, end, rest = written[1:].partition(quote)
        plain = end and "\\" not in value
    else:
        value, space, rest = written.partition(" ")
        rest = space + rest
        plain = quote.isalpha() and not value.endswith(":")
    comment = not rest or (rest.startswith(" ") and rest.lstrip().startswith("#"))
    if not (plain and comment and "://" in value and value.isascii() and value.isprintable()):
        raise Unclear
    return value


def _expanded(value: str, environ: Mapping[str, str]) -> str:
    """With `${NAME}` replaced, as the configuration does it."""
    first, *parts = value.split("$")
    expanded = first
    for part in parts:
        name, brace, rest = part[1:].partition("}")
        plain = part.startswith("{") and brace and name.isidentifier() and name.isascii()
        if not plain or not (environ.get(name, "").isprintable() and name in environ):
            raise Unclear
        expanded += environ[name] + rest
    return expanded
