"""What the program itself stands on: Python, SQLite, its configuration, prices."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from reporter import __version__
from reporter.config import default_database
from reporter.config.model import Config
from reporter.doctor.finding import Finding, age, fail, ok, warn
from reporter.errors import ConfigError
from reporter.sinks.spool import sqlite_path
from reporter.slo.durations import format_duration

_LEAST_SQLITE = (3, 35, 0)  # RETURNING
_MENDED_SQLITE = (3, 51, 3)
_PASSWORD = re.compile(r"^(?!\s*#).*(://[^/\s:@]*:(?!\$\{)[^@\s]+@|\bpassword: *['\"]?(?!['\"]?\$\{)\S)", re.MULTILINE)
"""In a configuration that says one itself, and not where it is."""
_OLD_FILE_SECONDS, _OLD_BUNDLE_DAYS = 45 * 86_400, 180


def examine_python() -> Iterator[Finding]:
    """The versions that everything else runs on."""
    yield ok("python", f"Python {platform.python_version()}, reporter {__version__}")


def examine_sqlite() -> Iterator[Finding]:
    """The library that keeps the database.

    Source: https://www.sqlite.org/wal.html, "The WAL-Reset Bug"
    """
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < _LEAST_SQLITE:
        yield fail("sqlite", f"SQLite {found}", "use a Python with SQLite 3.35 or later")
    elif sqlite3.sqlite_version_info < _MENDED_SQLITE:
        yield ok(
            "sqlite", f"SQLite {found}; 3.51.3 mends a rare fault of its log that can damage a database: back it up"
        )
    else:
        yield ok("sqlite", f"SQLite {found}")


def examine_config(config: Config) -> Iterator[Finding]:
    """What was read, and whether jobs write where this looks."""
    if config.source is None:
        yield warn(
            "config", "there is no reporter.yaml, so no SLO, job or budget", "reporter init writes one to start from"
        )
    else:
        parts = {"SLO": len(config.slos), "job": len(config.jobs), "budget": len(config.budgets)}
        told = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in parts.items())
        yield ok("config", f"{config.source}: {told}")
    if os.environ.get("REPORTER_DISABLED", "0") not in ("", "0"):
        yield warn("config", "REPORTER_DISABLED is set: jobs with this environment record nothing", "unset it")
    stray = default_database()
    if not os.environ.get("REPORTER_DATABASE_URL") and config.database != stray and Path(sqlite_path(stray)).exists():
        yield warn(
            "config",
            f"{sqlite_path(stray)} is there: some job recorded into it, and nothing of it is in {config.masked_database}",
            "set REPORTER_DATABASE_URL where jobs run: they do not read reporter.yaml",
        )


def examine_retention(config: Config) -> Iterator[Finding]:
    """Whether calls are kept as long as an SLO that is changed would want to count them again."""
    kept_ns = config.retention.calls_ns
    longest_ns, name = max(((ns, slo.name) for slo in config.slos for _, ns in slo.windows), default=(0, ""))
    if longest_ns > kept_ns:
        longest = format_duration(longest_ns)
        yield warn(
            "retention",
            f"calls are kept {format_duration(kept_ns)}, {name} looks back {longest}: changed, it would begin with less",
            f"write retention: {{calls: {longest}}} or more, if that matters",
        )
    else:
        yield ok(
            "retention", f"calls {format_duration(kept_ns)}, minutes {format_duration(config.retention.minutes_ns)}"
        )


def examine_secrets(config: Config) -> Iterator[Finding]:
    """Files with secrets: there, usable, and nobody else's to read."""
    gateway, source = config.pushgateway, config.source
    is_open = source is not None and source.is_file() and source.stat().st_mode & 0o004
    if source is not None and is_open and _PASSWORD.search(source.read_text(errors="replace")):
        remedy = f"chmod 600 {source}, or write ${{VARIABLE}} for it"
        yield warn("secrets", f"every user can read {source}, which has a password in it", remedy)
    try:
        gateway.check_files()
    except ConfigError as error:
        yield fail("secrets", str(error), "put it right in the file, or under pushgateway")
        return
    files = [
        file for file in (gateway.password_file, gateway.bearer_token_file, gateway.client_key) if file is not None
    ]
    exposed = [str(file) for file in files if file.stat().st_mode & 0o004]
    if exposed:
        yield warn("secrets", f"every user can read {', '.join(exposed)}", f"chmod 600 {' '.join(exposed)}")
    elif files:
        yield ok("secrets", ", ".join(map(str, files)))


def examine_prices(config: Config, now_ns: int) -> Iterator[Finding]:
    """How old what models cost is."""
    file = config.price_catalogue
    today = datetime.fromtimestamp(now_ns / 1e9, UTC).date()
    try:
        changed = config.price_list.catalogue.latest_change(today)
        old = file is not None and now_ns / 1e9 - file.stat().st_mtime > _OLD_FILE_SECONDS
    except (ConfigError, OSError) as error:
        yield fail("prices", str(error), "reporter prices update --to FILE writes a catalogue")
        return
    since = "" if changed is None else f"; its latest change is of {changed}"
    if file is not None:
        name, told = str(file), f"written {age(now_ns / 1e9 - file.stat().st_mtime)} ago"
    else:
        name, told = f"genai-prices {version('genai-prices')}", "as it came with the library"
        old = changed is not None and (today - changed).days > _OLD_BUNDLE_DAYS
    if old:
        yield warn(
            "prices", f"{name}, {told}{since}: newer models have no price, others an old one",
            f"reporter prices update --to {file or 'prices.json'}",
        )  # fmt: skip
    else:
        yield ok("prices", f"{name}, {told}{since}")
