"""Which database `reporter exec` records into: that of `reporter push` beside it, without the YAML reader where that can be.

Trouble with reporter.yaml keeps no job from running.
"""

from __future__ import annotations

import os

from reporter.attempt import say
from reporter.config_file import Unclear, database_in, find, read
from reporter.errors import ConfigError, ReporterError
from reporter.recorder import check_url
from reporter.sinks.open import RUN_URL, URL

_INSTEAD = "the run goes where jobs without a reporter.yaml are recorded: set REPORTER_DATABASE_URL"


def database(given: str | None, config: str | None) -> str | None:
    """Where the run is recorded, and from here on what its command records; None: as the environment says.

    Raises:
        ConfigError: `config` is no file.
    """
    url = given or (None if os.environ.get(URL) else _configured(config))
    if url is None:
        return None
    path, separator, query = url.removeprefix("sqlite:///").partition("?")
    told = f"sqlite:///{os.path.abspath(path)}{separator}{query}" if url.startswith("sqlite:///") else url
    os.environ[URL if os.environ.get(URL) else RUN_URL] = told  # absolute: the command may go elsewhere
    return url


def _configured(named: str | None) -> str | None:
    """The database that reporter.yaml names; None if it names none, or, with a warning, if that can't be told."""
    try:
        path = find(named, os.environ)
    except ConfigError as error:
        if named:
            raise
        say(f"{error}; {_INSTEAD}")
        return None
    if path is None:
        return None
    try:
        url = _named_in(read(path), path)
        check_url(url)
        return url
    except ReporterError as error:
        say(f"{error}; {_INSTEAD}")
    except ModuleNotFoundError as error:
        say(f"{path}: it takes {error.name} to read its database (pip install 'reporter[report]'); {_INSTEAD}")
    return None


def _named_in(text: str, path: str) -> str | None:
    try:
        return database_in(text, os.environ)
    except Unclear:
        from reporter.config.document import parse_document  # a job waits for it only where it must

        document = parse_document(text, path, os.environ)
    problems = [problem for problem in document.problems if problem.location == ("database",)]
    if problems:
        raise document.error(problems)
    url = document.data.get("database")
    if url is None or isinstance(url, str):
        return url
    raise ConfigError(f"{path}: database: must be a URL like sqlite:///jobs.db or postgresql://user@host/name")
