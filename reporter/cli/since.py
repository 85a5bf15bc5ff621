"""`--since`, as several commands have it."""

from __future__ import annotations

from datetime import UTC, datetime

from reporter.errors import ConfigError
from reporter.slo.durations import parse_duration


def since_option(since: str, as_of_ns: int) -> int:
    """`--since` as a length in ns.

    Raises:
        ConfigError: it is neither a length nor a day before.
    """
    try:
        length_ns = parse_duration(since)
    except ValueError:
        try:
            day = datetime.fromisoformat(since)
        except ValueError:
            raise ConfigError(f"--since {since!r}: write a length like 7d, or a day like 2026-11-01") from None
        moment = day if day.tzinfo is not None else day.replace(tzinfo=UTC)
        length_ns = as_of_ns - int(moment.timestamp()) * 10**9
    if length_ns <= 0:
        raise ConfigError(f"--since {since!r}: must be before the moment that is asked about")
    return length_ns
