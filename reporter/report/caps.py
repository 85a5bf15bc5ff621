"""The cap on label values: the busiest keep their names, the rest become `other`, and every sum stays exact.

What once had a name keeps it and what was once `other` stays `other`, because a counter that moved between the two would
fall.  Pure; `push` remembers the outcome with the database.
"""

from __future__ import annotations

from collections.abc import Mapping

OTHER = "other"


def admit(known: Mapping[str, bool], calls_by_value: Mapping[str, int], most: int) -> dict[str, bool]:
    """Which values of one label keep their names; "" (absent) always does and takes no place.

    `known` are earlier decisions, `calls_by_value` all values there are with how busy they are.
    """
    decided = dict(known)
    free = most - sum(1 for value, named in known.items() if named and value in calls_by_value)
    fresh = [value for value in calls_by_value if value and value not in decided]
    for value in sorted(fresh, key=lambda value: (-calls_by_value[value], value)):
        decided[value] = free > 0
        free -= 1
    return decided
