"""Log lines: a sentence for people, or one JSON object a line, on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

LOGGER = logging.getLogger("reporter.serve")
Format = Literal["text", "json"]


def tell(level: int, event: str, sentence: str, **fields: object) -> None:
    """Log one event: its name and `fields` for machines, the sentence for people."""
    LOGGER.log(level, "%s", sentence, extra={"event": event, "fields": fields})


def log_to_stderr(format: Format) -> None:
    """Send what this program logs, and what APScheduler complains of, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines() if format == "json" else _Lines())
    for name, level in (("reporter", logging.INFO), ("apscheduler", logging.CRITICAL)):  # its events are told by us
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        sentence = "".join(c if c.isprintable() else " " for c in record.getMessage())
        return f"{_moment(record)} {record.levelname.lower():7} {sentence}{self._traceback(record)}"

    def _traceback(self, record: logging.LogRecord) -> str:
        return "\n" + self.formatException(record.exc_info) if record.exc_info else ""


class _JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "at": _moment(record), "level": record.levelname.lower(), "event": getattr(record, "event", record.name),
            "message": record.getMessage(), **getattr(record, "fields", {}),
        }  # fmt: skip
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, allow_nan=False)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
