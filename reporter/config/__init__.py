"""Settings: found, read, checked; every complaint with its file, line and field.

document   YAML text → plain data that knows its lines
model      what may be set, and the defaults
complaints pydantic's errors in the words of the file
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from reporter import config_file
from reporter.config.complaints import problems_of
from reporter.config.document import Document, Problem, parse_document, read_document
from reporter.config.gateway import Pushgateway
from reporter.config.jobs import Job
from reporter.config.model import Config, ReportSettings, Retention, WrittenExclusion, duplicate_names
from reporter.config.model import database_url as _database_url
from reporter.config.money import CostBudget
from reporter.config_file import FILE_NAME
from reporter.errors import ConfigError
from reporter.sinks.spool import state_directory

__all__ = [
    "Config",
    "CostBudget",
    "Job",
    "Pushgateway",
    "ReportSettings",
    "Retention",
    "WrittenExclusion",
    "default_database",
    "find_config",
    "load_config",
    "parse_config",
]


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the settings of the file at `path`, or of the first that is found, or the defaults, which have no SLOs.

    Raises:
        ConfigError: with every problem of the file, one a line: `reporter.yaml:17: slos[0].objective: must be …`.
    """
    file = find_config(path, environ)
    document = Document("the defaults") if file is None else read_document(file, environ)
    config = _validate(document, environ, Path() if file is None else file.parent)
    config._source = file
    return config


def parse_config(text: str, name: str = FILE_NAME, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the settings that a YAML text says; `name` is what messages call it.

    Raises:
        ConfigError: as load_config.
    """
    return _validate(parse_document(text, name, environ), environ, Path())


def find_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file to read: `path`, $REPORTER_CONFIG, ./reporter.yaml, then $XDG_CONFIG_HOME/reporter/reporter.yaml.

    Raises:
        ConfigError: `path` or $REPORTER_CONFIG names no file.
    """
    found = config_file.find(None if path is None else str(path), environ)
    return None if found is None else Path(found)


def default_database() -> str:
    """Return the URL of the database that a recorder without settings writes to."""
    return "sqlite:///" + os.path.join(state_directory(), "reporter.db")


def _validate(document: Document, environ: Mapping[str, str], directory: Path) -> Config:
    problems = list(document.problems)
    data = dict(document.data)
    for section in (
        "database",
        "pushgateway",
        "report",
        "retention",
        "jobs",
        "slos",
        "prices",
        "budgets",
        "exclusions",
    ):
        if section in data and data[section] is None:  # `slos:` with everything under it commented out
            del data[section]
    if url := environ.get("REPORTER_DATABASE_URL"):
        try:
            data["database"] = _database_url(url)
        except ValueError as error:
            raise ConfigError(f"REPORTER_DATABASE_URL: {error}") from None
    elif "database" not in data:
        data["database"] = default_database()
    config = None
    try:
        config = Config.model_validate(data, context={"directory": directory})
    except ValidationError as error:
        blamed = {problem.location for problem in problems}
        problems += [problem for problem in problems_of(error) if not _within(problem.location, blamed)]
    names = {section: _names(data.get(section)) for section in ("slos", "budgets")}
    problems += [Problem(location, why) for location, why in duplicate_names(names)]
    if config is None or problems:
        raise document.error(problems)
    return config


def _within(location: tuple[str | int, ...], blamed: set[tuple[str | int, ...]]) -> bool:
    return any(location[:length] in blamed for length in range(1, len(location) + 1))


def _names(entries: object) -> list[object]:
    """The names of a section that may not be what it should be; None where there is none."""
    entries = entries if isinstance(entries, list) else []
    return [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
