"""The exclusions in force: those of `reporter.yaml`, and those that `reporter exclude add` put into the database."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence

from sqlalchemy import Connection, text

from reporter.config.model import Config
from reporter.slo.exclusions import Exclusion
from reporter.store import Store
from reporter.tally import MINUTE_NS


def in_force(connection: Connection, config: Config) -> tuple[Exclusion, ...]:
    """Every exclusion, the earliest first."""
    written = [exclusion.meant for exclusion in config.exclusions]
    return tuple(sorted([*written, *_stored(connection)], key=lambda found: (found.first, found.end, found.name)))


def add(store: Store, first: int, end: int, slos: Sequence[str], reason: str) -> Exclusion:
    """Leave minutes [first, end) out of SLOs whose names match, from now on and in whatever is asked about the past."""
    exclusion = Exclusion(name=secrets.token_hex(4), first=first, end=end, slos=tuple(slos), reason=reason)
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO exclusions (name, from_ns, to_ns, slos, reason, added_at_ns)"
                " VALUES (:name, :from_ns, :to_ns, :slos, :reason, :now)"
            ),
            {
                "name": exclusion.name,
                "from_ns": first * MINUTE_NS,
                "to_ns": end * MINUTE_NS,
                "slos": json.dumps(list(slos)),
                "reason": reason,
                "now": time.time_ns(),
            },
        )
    return exclusion


def remove(store: Store, name: str) -> bool:
    """Count again what an exclusion left out; False when there is none of that name."""
    with store.write() as connection:
        return bool(connection.execute(text("DELETE FROM exclusions WHERE name = :name"), {"name": name}).rowcount)


def _stored(connection: Connection) -> list[Exclusion]:
    return [
        Exclusion(
            name=row.name,
            first=row.from_ns // MINUTE_NS,
            end=row.to_ns // MINUTE_NS,
            slos=tuple(json.loads(row.slos)),
            reason=row.reason,
        )
        for row in connection.execute(text("SELECT * FROM exclusions"))
    ]
