"""The lease: at most one reporter folds and pushes at a time, and a dead one is replaced when its lease runs out.

A row, not a lock: it works through a transaction pooler, and a holder that lost it can't commit, because every folding
transaction renews it first and finds no row of its own (fencing).  Times are the database server's on Postgres, so that two
hosts with different clocks agree, and this host's on SQLite.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from reporter.errors import LeaseHeld
from reporter.ids import uuid7
from reporter.store import Store

NAME = "reporter"
SERVE = "serve"
"""What the `reporter serve` that works holds for as long as it lives; each of its turns takes `NAME` besides, as any does."""
SERIALIZATION_FAILURE = "40001"
MOST_TTL_NS = 3600 * 10**9
"""No lease is longer; one that seems to run out later was taken while the clock was wrong, and is void."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease; renew it inside each transaction that must not happen twice."""

    holder: str
    ttl_ns: int
    name: str = NAME

    def renew(self, connection: Connection) -> None:
        """Prolong the lease within the caller's transaction.

        Raises:
            LeaseHeld: it had run out and another reporter took it; roll back.
        """
        now_ns = now_ns_of(connection)
        try:
            renewed = connection.execute(
                text("UPDATE leases SET expires_at_ns = :expires WHERE name = :name AND holder = :holder"),
                {"expires": now_ns + self.ttl_ns, "name": self.name, "holder": self.holder},
            ).rowcount
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != SERIALIZATION_FAILURE:
                raise
            renewed = 0  # only who takes it over changes this row beside its holder
        if renewed != 1:
            raise LeaseHeld("this reporter's lease ran out and another one took over; nothing of this step was kept")


def acquire(store: Store, ttl_ns: int, name: str = NAME) -> Lease:
    """Take the lease of that name for `ttl_ns`.

    Raises:
        LeaseHeld: another reporter has it; the message names it and when its lease runs out.
    """
    holder = _holder()
    with store.write() as connection:
        now_ns = now_ns_of(connection)
        taken = connection.execute(
            text(
                "INSERT INTO leases (name, holder, expires_at_ns) VALUES (:name, :holder, :expires)"
                " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at_ns = excluded.expires_at_ns"
                " WHERE leases.expires_at_ns <= :now OR leases.expires_at_ns > :impossible"
            ),
            {
                "name": name,
                "holder": holder,
                "expires": now_ns + ttl_ns,
                "now": now_ns,
                "impossible": now_ns + MOST_TTL_NS,
            },
        )
        if taken.rowcount != 1:
            other = connection.execute(
                text("SELECT holder, expires_at_ns FROM leases WHERE name = :n"), {"n": name}
            ).one()
            host, pid, _ = other.holder.rsplit(":", 2)
            raise LeaseHeld(
                f"another reporter (process {pid} on {host}) is at work on {store.url};"
                f" try again, its lease runs out in {max(0, other.expires_at_ns - now_ns) / 1e9:.0f} s if it died"
            )
    return Lease(holder=holder, ttl_ns=ttl_ns, name=name)


def release(store: Store, lease: Lease) -> None:
    """Give the lease back, if it is still ours."""
    with store.write() as connection:
        connection.execute(
            text("DELETE FROM leases WHERE name = :name AND holder = :holder"),
            {"name": lease.name, "holder": lease.holder},
        )


def leave_behind(store: Store, lease: Lease, remaining_ns: int) -> None:
    """Take the lease from a step of ours that is at work and so can commit nothing more; it is free `remaining_ns` later."""
    with store.write() as connection:
        connection.execute(
            text("UPDATE leases SET holder = :left, expires_at_ns = :expires WHERE name = :name AND holder = :holder"),
            {
                "left": _holder(),
                "expires": now_ns_of(connection) + remaining_ns,
                "name": lease.name,
                "holder": lease.holder,
            },
        )


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid7(time.time_ns())}"


def now_ns_of(connection: Connection) -> int:
    """What the clock says that leases go by."""
    if connection.dialect.name == "sqlite":
        return time.time_ns()
    return (
        int(
            connection.execute(
                text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")
            ).scalar_one()
        )
        * 1000
    )
