"""How much SQLite works, told in instructions of its virtual machine: the same on every computer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from reporter.store import Store


class Effort:
    """Instructions that connections to `store` have run since the count was last set to 0, in tens."""

    def __init__(self, store: Store) -> None:
        self.taken = 0
        event.listen(store.engine, "connect", self._watch)

    def _watch(self, connection: Any, _: object) -> None:
        connection.set_progress_handler(self._add, 10)

    def _add(self) -> None:
        self.taken += 1
