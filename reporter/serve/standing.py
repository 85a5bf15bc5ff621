"""How the service goes: written by its turns, read by its pages."""

from __future__ import annotations

from dataclasses import dataclass

from reporter.publish.delivery import Snapshot

MOST_BEHIND_TURNS = 3
"""So many turns without one that was well, and it is not ready; five times as many without any, and it is not alive."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """What the latest turns came to; moments are monotonic seconds."""

    every_seconds: float
    since: float  # when the service, or its time as the one that works, began
    standby: str = ""  # why another one works; nothing when this one does
    began: float | None = None  # the latest turn
    well: float | None = None  # the end of the latest turn that folded and reported
    pushed: float | None = None  # when a gateway last took a push
    trouble: str = ""  # of the latest turn
    push_trouble: str = ""
    page: Snapshot | None = None

    def begin_anew(self, now: float) -> None:
        """This one works from `now` on, and another one did until then."""
        self.standby, self.trouble, self.push_trouble = "", "", ""
        self.since, self.began, self.well, self.pushed = now, None, None, None

    def unready(self, now: float) -> str:
        """Why what is shown here should not be relied upon; nothing if it may."""
        if self.standby:
            return f"standing by: {self.standby}"
        if self.well is None:
            return self.trouble or "the first turn is not done"
        most = MOST_BEHIND_TURNS * self.every_seconds
        if (behind := now - self.well) > most:
            return f"the latest turn that was well ended {behind:.0f} s ago" + (self.trouble and f": {self.trouble}")
        if self.push_trouble and (behind := now - (self.pushed or self.since)) > most:
            return f"nothing was pushed for {behind:.0f} s: {self.push_trouble}"
        return ""

    def dead(self, now: float) -> str:
        """Why this process should be replaced; nothing if it lives."""
        if self.standby:
            return ""
        idle = now - max(self.since, self.began or 0.0)
        if idle > 5 * MOST_BEHIND_TURNS * self.every_seconds:
            return f"no turn began for {idle:.0f} s"
        return ""
