"""What Grafana takes for a uid, and where it puts environment variables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reporter.check.place import Complaint, Place

MOST_UID, MOST_TITLE = 40, 190
OWN_SOURCES = ("__expr__", "-100", "grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --")
_UID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def uid(place: Place) -> Iterator[Complaint]:
    """A shape: a uid."""
    if not isinstance(place.value, str) or not place.value:
        yield place.wrong("must be a uid: text of letters, digits, - and _")
    elif not _UID.fullmatch(place.value):
        yield place.wrong(f"{place.value[:60]!r} is no uid: letters, digits, - and _ only")
    elif len(place.value) > MOST_UID:
        yield place.wrong(f"has {len(place.value)} characters; a uid has {MOST_UID} at most")


def title(place: Place) -> Iterator[Complaint]:
    """A shape: a title."""
    if not isinstance(place.value, str) or not place.value.strip():
        yield place.wrong("must be text, and not empty")
    elif len(place.value) > MOST_TITLE:
        yield place.wrong(f"has {len(place.value)} characters; Grafana takes {MOST_TITLE} at most")


def expanded(place: Place) -> Iterator[Complaint]:
    """Complain of a $ in a text in which Grafana puts environment variables when it reads the file."""
    if "$" in place.text.replace("$$", ""):
        yield place.wrong(
            "Grafana puts an environment variable where a $ is, and nothing where there is none: write $$ for a $"
        )
