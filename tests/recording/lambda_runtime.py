"""A process that acts as a platform's runtime: it loads a function, and invokes it once for each line it reads.

A line is {"id", "seconds": until the platform ends it, "work": seconds or "fail" | "hang"}; its answer is a line, too.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import reporter
from reporter.aws_lambda import handler


class Context:
    def __init__(self, request_id: str, seconds: float) -> None:
        self.aws_request_id, self._ends = request_id, time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1000)


@handler("thumbnails", region="eu")
def entry(event: dict[str, Any], context: Context) -> str:
    """Do the work."""
    with reporter.call("resize"):
        if event["work"] == "fail":
            raise ValueError("no such picture")
        time.sleep(1000 if event["work"] == "hang" else event["work"])
    return "done"


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        event = json.loads(line)
        began = time.monotonic()
        try:
            answer = entry(event, Context(event["id"], event["seconds"]))
        except ValueError as error:
            answer = str(error)
        print(json.dumps({"answer": answer, "seconds": time.monotonic() - began}), flush=True)
