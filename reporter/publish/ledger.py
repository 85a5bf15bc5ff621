"""The ledger of counters: none ever falls, and a new one is shown as 0 first, because `increase()` can't see a first value.

For every counter sample (and histogram bucket, sum) that may have left this database, its highest value and when it was first
acknowledged.  Values are the exact integers of `reporter.family`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from reporter.family import Buckets, Family, Sample


@dataclass(slots=True)
class Ledger:
    """What was pushed under one group key."""

    sequence: int = 0
    marks: dict[str, list[int]] = field(default_factory=dict)  # series → its values: one, or buckets and sum
    since_ns: dict[str, int] = field(default_factory=dict)  # series → when it was first acknowledged


@dataclass(frozen=True, slots=True)
class Prepared:
    """Families fit to leave, and what was done to them."""

    families: tuple[Family, ...]
    marks: dict[str, list[int]]
    held: int
    new: tuple[str, ...]  # series shown as 0


def prepare(families: Sequence[Family], ledger: Ledger, now_ns: int, delay_ns: int) -> Prepared:
    """Hold what would fall at its mark, and show as 0 what is new or was first acknowledged less than `delay_ns` ago."""
    marks = dict(ledger.marks)
    held, new, ready = 0, [], []
    for family in families:
        if family.metric.type == "gauge":
            ready.append(family)
            continue
        samples: list[Sample | Buckets] = []
        for sample in family.samples:
            key = _key(family.metric.name, sample)
            true = [*sample.cumulative, sample.sum] if isinstance(sample, Buckets) else [int(sample.value)]
            first_ns = ledger.since_ns.get(key)
            if first_ns is None or now_ns - first_ns < delay_ns:
                values = [0] * len(true)
                new.append(key)
            else:
                mark = ledger.marks.get(key, [0] * len(true))
                values = [max(pair) for pair in zip(true, mark, strict=True)]
                held += values != true
            marks[key] = values
            samples.append(
                Buckets(sample.labels, tuple(values[:-1]), values[-1])
                if isinstance(sample, Buckets)
                else Sample(sample.labels, values[0])
            )
        ready.append(Family(family.metric, tuple(samples)))
    return Prepared(tuple(ready), marks, held, tuple(new))


def _key(name: str, sample: Sample | Buckets) -> str:
    return json.dumps([name, *sorted(sample.labels)], ensure_ascii=True, separators=(",", ":"))


def load(connection: Connection, group_key: str) -> Ledger:
    """The ledger of `group_key`; an empty one if nothing was ever pushed."""
    row = connection.execute(
        text("SELECT sequence, sent FROM pushes WHERE group_key = :key"), {"key": group_key}
    ).first()
    if row is None:
        return Ledger()
    kept = json.loads(zlib.decompress(bytes(row.sent)))
    return Ledger(row.sequence, kept["marks"], kept["since_ns"])


def save(connection: Connection, group_key: str, ledger: Ledger, acknowledged_at_ns: int | None) -> None:
    """Keep the ledger; before a push without `acknowledged_at_ns`, after it with."""
    sent = zlib.compress(json.dumps({"marks": ledger.marks, "since_ns": ledger.since_ns}).encode(), 1)
    connection.execute(
        text(
            "INSERT INTO pushes (group_key, sequence, sent, acknowledged_at_ns) VALUES (:key, :sequence, :sent, :at)"
            " ON CONFLICT (group_key) DO UPDATE SET sequence = excluded.sequence, sent = excluded.sent,"
            " acknowledged_at_ns = coalesce(excluded.acknowledged_at_ns, pushes.acknowledged_at_ns)"
        ),
        {"key": group_key, "sequence": ledger.sequence, "sent": sent, "at": acknowledged_at_ns},
    )
