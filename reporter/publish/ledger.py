"""The ledger of counters: none ever falls, and a new one is shown as 0 first, because `increase()` can't see a first value.

For every counter sample (and histogram bucket, sum) that may have left this database, its highest value and when it was first
acknowledged.  Values are the exact integers of `reporter.family`.  "Falls" is what the other side sees: a smaller float64.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, text

from reporter.family import Buckets, Family, Labels, Metric, Sample
from reporter.metrics import REGRESSIONS_HELD
from reporter.publish.pushgateway import Group
from reporter.publish.readback import ShownGroup, reads_below

SCRAPED = Group.of("scraped", {})
"""What the ledger calls the page that is scraped: no gateway has it, so it is neither moved nor deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What was pushed to one group."""

    sequence: int = 0
    marks: Mapping[str, list[int]] = field(default_factory=dict)  # series → its values: one, or buckets and sum
    since_ns: Mapping[str, int] = field(default_factory=dict)  # series → when it was first acknowledged
    acknowledged: bool = False  # something of it was

    def caught_up(self, shown: ShownGroup) -> Ledger:
        """With what a gateway that is ahead shows: this database is an older one, restored, and its ledger with it."""
        marks, since_ns = dict(self.marks), dict(self.since_ns)
        for metric, labels, theirs in shown.counters():
            key = _key(metric.name, tuple(labels.items()))
            marks[key] = _highest(metric, theirs, marks.get(key, ()))
            if any(theirs):  # it has been shown as more than 0, so it is not new
                since_ns.setdefault(key, 0)
        return replace(
            self, sequence=max(self.sequence, shown.sequence or 0), marks=marks, since_ns=since_ns, acknowledged=True
        )

    def acknowledge(self, now_ns: int) -> Ledger:
        """With every series known to the gateway, since `now_ns` at the latest."""
        since_ns = {key: self.since_ns.get(key, now_ns) for key in self.marks}
        return replace(self, since_ns=since_ns, acknowledged=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Families fit to leave, and what was done to them."""

    families: tuple[Family, ...]
    marks: dict[str, list[int]]
    held: int  # samples that would have fallen
    held_total: int  # … over all snapshots
    new: tuple[str, ...]  # series shown as 0


def prepare(
    families: Sequence[Family], ledger: Ledger, *, now_ns: int, delay_ns: int, held_before: int = 0
) -> Prepared:
    """Hold what would fall at its mark, and show as 0 what is new or was first acknowledged less than `delay_ns` ago.

    `held_before` are the samples held in earlier snapshots; their counter is added to `families`.
    """
    marks = dict(ledger.marks)
    new: list[str] = []
    held = 0
    ready = []
    for family in families:
        if family.metric.type == "gauge":
            ready.append(family)
            continue
        samples = []
        for sample in family.samples:
            shown, is_held = _shown(family.metric, sample, ledger, marks, new, now_ns - delay_ns)
            samples.append(shown)
            held += is_held
        ready.append(Family(family.metric, tuple(samples)))
    (mark,) = ledger.marks.get(_key(REGRESSIONS_HELD.name, ()), (0,))
    held_total = max(held_before, mark) + held  # never held itself, else holding would not be seen
    own, _ = _shown(REGRESSIONS_HELD, Sample((), held_total), ledger, marks, new, now_ns - delay_ns)
    ready.append(Family(REGRESSIONS_HELD, (own,)))
    return Prepared(families=tuple(ready), marks=marks, held=held, held_total=held_total, new=tuple(new))


def _shown(
    metric: Metric, sample: Sample | Buckets, ledger: Ledger, marks: dict[str, list[int]], new: list[str], old_ns: int
) -> tuple[Sample | Buckets, bool]:
    """The sample as it may leave, and whether it was held; notes its mark, and that it is new."""
    key = _key(metric.name, sample.labels)
    true = [*sample.cumulative, sample.sum] if isinstance(sample, Buckets) else [int(sample.value)]
    first_ns = ledger.since_ns.get(key)
    is_new = first_ns is None or first_ns > old_ns
    if is_new:
        new.append(key)
    values = _highest(metric, [0] * len(true) if is_new else true, ledger.marks.get(key, ()))
    marks[key] = values
    is_held = not is_new and values != true
    if isinstance(sample, Buckets):
        return Buckets(sample.labels, tuple(values[:-1]), values[-1]), is_held
    return Sample(sample.labels, values[0]), is_held


def _highest(metric: Metric, values: Sequence[int], marks: Sequence[int]) -> list[int]:
    """Each of `values`, or its mark where it would read lower."""
    if len(values) != len(
        marks
    ):  # new, or with other buckets than before: then only the count of all and the sum compare
        marks = [*[0] * (len(values) - 2), *marks[-2:]] if marks else [0] * len(values)
    return [
        mark if value < mark and (index < len(values) - 1 or reads_below(value, mark, metric.scale)) else value
        for index, (value, mark) in enumerate(zip(values, marks, strict=True))
    ]


def _key(name: str, labels: Labels) -> str:
    return json.dumps([name, *sorted(labels)], ensure_ascii=True, separators=(",", ":"))


# ── kept with the database ──


def load(connection: Connection, group: Group) -> Ledger:
    """The ledger of `group`; if it was never pushed to, that of the same group at another gateway, from which it was moved.

    Prometheus sees the same series from either, and would take a new start for a reset.
    """
    row = connection.execute(
        text("SELECT sequence, sent, acknowledged_at_ns FROM pushes WHERE group_key = :key"), {"key": group.key}
    ).first()
    if row is not None:
        return _read(row.sequence, row.sent, acknowledged=row.acknowledged_at_ns is not None)
    moved = [known for known in others(connection, group) if known.group.grouping == group.grouping]
    if not moved:
        return Ledger()
    latest = max(moved, key=lambda known: known.sequence)
    sent = connection.execute(
        text("SELECT sent FROM pushes WHERE group_key = :key"), {"key": latest.group.key}
    ).scalar_one()
    return _read(latest.sequence, sent, acknowledged=False)


def _read(sequence: int, sent: bytes, *, acknowledged: bool) -> Ledger:
    kept = json.loads(zlib.decompress(bytes(sent)))
    return Ledger(sequence=sequence, marks=kept["marks"], since_ns=kept["since_ns"], acknowledged=acknowledged)


def save(connection: Connection, group: Group, ledger: Ledger, acknowledged_at_ns: int | None) -> None:
    """Keep the ledger; before a push without `acknowledged_at_ns`, after it with."""
    kept = {"marks": ledger.marks, "since_ns": ledger.since_ns}
    sent = zlib.compress(json.dumps(kept, separators=(",", ":")).encode(), 1)
    connection.execute(
        text(
            "INSERT INTO pushes (group_key, sequence, sent, acknowledged_at_ns) VALUES (:key, :sequence, :sent, :at)"
            " ON CONFLICT (group_key) DO UPDATE SET sequence = excluded.sequence, sent = excluded.sent,"
            " acknowledged_at_ns = coalesce(excluded.acknowledged_at_ns, pushes.acknowledged_at_ns)"
        ),
        {"key": group.key, "sequence": ledger.sequence, "sent": sent, "at": acknowledged_at_ns},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGroup:
    """A group that this database has pushed to."""

    group: Group
    sequence: int
    acknowledged_at_ns: int | None


def others(connection: Connection, group: Group) -> Iterable[KnownGroup]:
    """Every group ever pushed to but `group`; those forgotten, and what is scraped, left out."""
    rows = connection.execute(
        text(
            "SELECT group_key, sequence, acknowledged_at_ns FROM pushes WHERE group_key NOT IN (:key, :scraped)"
            " ORDER BY group_key"
        ),
        {"key": group.key, "scraped": SCRAPED.key},
    ).fetchall()
    return [
        KnownGroup(group=Group.from_key(key), sequence=sequence, acknowledged_at_ns=at) for key, sequence, at in rows
    ]


def forget(connection: Connection, group: Group) -> None:
    """Leave `group` out from now on: it is no longer at its gateway, or no longer ours."""
    connection.execute(text("DELETE FROM pushes WHERE group_key = :key"), {"key": group.key})
