"""A sink for tests, yours and ours: facts as dictionaries in lists."""

from __future__ import annotations

from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS


class MemorySink:
    """Keeps every fact, in order, as column → value."""

    def __init__(self) -> None:
        self.calls: list[dict[str, object]] = []
        self.starts: list[dict[str, object]] = []
        self.runs: list[dict[str, object]] = []
        self.troubles: list[dict[str, object]] = []

    def start(self, call_id: str, fact: tuple[object, ...]) -> None:
        self.starts.append(dict(zip(START_COLUMNS, fact, strict=True)))

    def call(self, call_id: str, fact: tuple[object, ...]) -> None:
        self.calls.append(dict(zip(CALL_COLUMNS, fact, strict=True)))

    def run(self, fact: tuple[object, ...]) -> None:
        self.runs.append(dict(zip(RUN_COLUMNS, fact, strict=True)))

    def trouble(self, fact: tuple[object, ...]) -> None:
        self.troubles.append(dict(zip(TROUBLE_COLUMNS, fact, strict=True)))

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
