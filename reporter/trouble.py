"""What goes wrong while recording: told apart from what is the job's, counted, kept with the facts, and said once a minute.

Imported when the first thing goes wrong.
"""

from __future__ import annotations

import os
import sys
import time
from _signal import NSIG, getsignal  # type: ignore[import-not-found]  # signal itself imports enum

from reporter import facts
from reporter.ids import uuid7

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reporter.call import ActiveCall
    from reporter.recorder import Recorder

QUIET_NS = 60 * 10**9


def handle(recorder: Recorder, error: BaseException, active: ActiveCall | None = None) -> None:
    """Count and say a trouble of the recorder's own; raise what is the job's, after keeping the call it struck."""
    if not isinstance(error, Exception) or is_the_jobs(error):
        if active is not None and active.open:
            try:
                active.close(error)  # the same id: whatever of it was written before counts once
            except Exception as own:
                handle(recorder, own)
        raise error
    kind = "dropped" if isinstance(error, OSError) else "recorder_error"
    recorder.troubled += 1
    recorder.troubles[kind] = recorder.troubles.get(kind, 0) + 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        warn(recorder, f"{where}{error.strerror or error}: a fact is lost; set REPORTER_SPOOL_DIR to a place with room")
    else:
        warn(recorder, f"recording failed: {error!r:.200}")
    if time.monotonic_ns() - recorder.told_ns > QUIET_NS or not recorder.told_ns:
        tell(recorder)


def warn(recorder: Recorder, what: str) -> None:
    """One line on stderr, at most once a minute."""
    now_ns = time.monotonic_ns()
    if recorder.warned_ns and now_ns - recorder.warned_ns < QUIET_NS:
        return
    recorder.warned_ns = now_ns
    so_far = f" ({recorder.troubled} so far)" if recorder.troubled > 1 else ""
    try:
        sys.stderr.write(f"reporter: {what}; the job goes on{so_far}\n")
    except Exception:  # stderr is closed, or a stranger's
        return


def tell(recorder: Recorder) -> None:
    """Keep what was counted with the facts; what can't be kept now is tried again with the next flush."""
    if recorder.unsaid:
        unsaid, recorder.unsaid = recorder.unsaid, 0
        recorder.troubles["recorder_error"] = recorder.troubles.get("recorder_error", 0) + unsaid
    for kind, occurrences in list(recorder.troubles.items()):
        at_ns = recorder.clock.wall_ns()
        fact = {
            "trouble_id": uuid7(at_ns), "at_ns": at_ns, "host": facts.text(os.uname().nodename), "pid": os.getpid(),
            "trouble": kind, "occurrences": occurrences,
        }  # fmt: skip
        try:
            recorder.sink.trouble(fact)
        except Exception:  # the same trouble again
            return
        recorder.told_ns = time.monotonic_ns()
        recorder.troubles[kind] -= occurrences
        if not recorder.troubles[kind]:
            del recorder.troubles[kind]


def is_the_jobs(error: BaseException) -> bool:
    """Whether an exception that came up inside the recorder is the job's own: a signal handler raised it."""
    codes = set()
    for number in range(1, NSIG):
        handler = getsignal(number)
        handler = getattr(handler, "func", getattr(handler, "__func__", handler))
        code = getattr(handler, "__code__", None) or getattr(getattr(type(handler), "__call__", None), "__code__", None)  # noqa: B004  # its code is wanted
        if code is not None:
            codes.add(code)
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False
