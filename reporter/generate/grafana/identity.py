"""Whose files these are: names and uids of one reporter's, which another one's beside them in the same Grafana don't have.

A reporter is the group that it pushes.  The default, `job="reporter"`, is named without an addition; any other gets one made
of the group, the same each time, so that links, bookmarks and silences last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256

DEFAULT = {"job": "reporter"}
_MOST_NAME = 60
_UNPLAIN = re.compile(r"[^\w .-]")


def own(name: str, grouping: Mapping[str, str]) -> str:
    """A uid, or the name of a file, of this reporter's own."""
    return name if grouping == DEFAULT else f"{name}-{_digest(grouping)}"


def called(grouping: Mapping[str, str]) -> str:
    """What people call it: the folder's title, and the beginning of each dashboard's."""
    if grouping == DEFAULT:
        return "reporter"
    told = " ".join([grouping["job"], *(value for label, value in sorted(grouping.items()) if label != "job")])
    plain = _UNPLAIN.sub("_", told)[:_MOST_NAME]
    name = plain if plain == told and plain != "reporter" else f"{plain} {_digest(grouping)}"
    return f"reporter {name}"  # Grafana's reader of files would put an environment variable where a $ is


def _digest(grouping: Mapping[str, str]) -> str:
    return sha256(json.dumps(grouping, sort_keys=True).encode()).hexdigest()[:8]
