"""Log lines: a sentence for people, or one JSON object a line, on stderr."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Literal

LOGGER = logging.getLogger("reporter.serve")
Format = Literal["text", "json"]


def tell(level: int, event: str, sentence: str, **fields: object) -> None:
    """Log one event: its name and `fields` for machines, the sentence for people."""
    LOGGER.log(level, "%s", sentence, extra={"event": event, "fields": fields})


def log_to_stderr(format: Format) -> None:
    """Send what this program logs to stderr, and in the same form what others say there: warnings, threads that fail."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines() if format == "json" else _Lines())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("reporter").setLevel(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # its events are told by us
    logging.captureWarnings(True)
    threading.excepthook = _tell_of_thread


def _tell_of_thread(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else "a thread"
    sentence = f"unexpected {failed.exc_type.__name__} in {name}: {failed.exc_value}"
    error = failed.exc_value or failed.exc_type()
    extra = {"event": "unexpected", "fields": {}}
    LOGGER.critical("%s", sentence, extra=extra, exc_info=(failed.exc_type, error, failed.exc_traceback))


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        sentence = " ".join("".join(c if c.isprintable() else " " for c in record.getMessage()).split())
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
