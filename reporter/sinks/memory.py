"""A sink for tests, yours and ours: facts as dictionaries in lists."""

from __future__ import annotations

import json

from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Fact = dict[str, Any]


class MemorySink:
    """Keeps every fact, in order, as column → value; what is not known is None."""

    problem = ""

    def __init__(self) -> None:
        self.calls: list[Fact] = []
        self.starts: list[Fact] = []
        self.runs: list[Fact] = []
        self.troubles: list[Fact] = []

    def start(self, call_id: str, at_ns: int, told: str) -> None:
        members = json.loads(f"{{{told[1:]}}}")
        self.starts.append({**dict.fromkeys(START_COLUMNS), "call_id": call_id, "started_at_ns": at_ns, **members})

    def call(self, fact: Fact) -> None:
        self.calls.append({**dict.fromkeys(CALL_COLUMNS), **fact})

    def run(self, fact: Fact) -> None:
        self.runs.append({**dict.fromkeys(RUN_COLUMNS), **fact})

    def trouble(self, fact: Fact) -> None:
        self.troubles.append({**dict.fromkeys(TROUBLE_COLUMNS), **fact})

    def flush(self, timeout: float) -> bool:
        return True

    def close(self) -> None:
        return

    def before_fork(self) -> None:
        return

    def after_fork_in_parent(self) -> None:
        return

    def after_fork_in_child(self) -> None:
        return
