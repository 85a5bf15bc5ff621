"""The name of a job on the command line."""

from __future__ import annotations

from difflib import get_close_matches

from sqlalchemy import Connection

from reporter.cli.root import Context
from reporter.errors import ConfigError
from reporter.report.jobs import read_job_names


def check_job(context: Context, connection: Connection, name: str | None) -> None:
    """Whether there is such a job, in the configuration or in the database.

    Raises:
        ConfigError: there is not.
    """
    if name is None:
        return
    names = sorted({*read_job_names(connection), *context.config.expected})
    if name in names:
        return
    near = get_close_matches(name, names, 1)
    known = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    hint = f"did you mean {near[0]!r}?" if near else f"there are {known}" if names else "none ever ran or is configured"
    raise ConfigError(f"no job {name!r}; {hint}")
