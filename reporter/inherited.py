"""How a process tells those that it starts which run they belong to: two environment variables, set while a run is open.

One environment has room for one run: the last that began and is still open, whichever thread or task began it.
"""

from __future__ import annotations

import os
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reporter.run import ActiveRun

JOB, RUN_ID = "REPORTER_JOB", "REPORTER_RUN_ID"

_guard = RLock()
_open: list[ActiveRun] = []
_told: dict[str, str] = {}
_outside: dict[str, str | None] = {}  # what was there before we told anything


def outside(name: str) -> str | None:
    """What the environment said before a run of this process was told of, or says since by somebody else's doing."""
    with _guard:
        found = os.environ.get(name)
        return _outside.get(name) if found is not None and found == _told.get(name) else found


def tell(run: ActiveRun) -> None:
    """Processes that are started from here on belong to this run."""
    with _guard:
        _open.append(run)
        _settle()


def untell(run: ActiveRun) -> None:
    """It has ended: they belong to the one before that is still open, or to what they belonged to outside of any."""
    with _guard:
        if run in _open:
            _open.remove(run)
            _settle()


def after_fork_in_child() -> None:
    """Another thread may have been in here; it does not exist in the child."""
    global _guard
    _guard = RLock()


def _settle() -> None:
    for name in (JOB, RUN_ID):
        before = outside(name)
        if _open:
            value: str | None = _open[-1].name if name == JOB else _open[-1].run_id
        else:
            value = before
        try:
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        except ValueError:  # a name that no environment can hold
            continue
        _outside[name] = before
        if _open and value is not None:
            _told[name] = value
        else:
            _told.pop(name, None)
