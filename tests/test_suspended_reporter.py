"""A reporter that was suspended in mid-fold, while another one took over, keeps nothing when it wakes up."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import text

from reporter.config import parse_config
from reporter.errors import LeaseHeld, StoreError
from reporter.fold import FoldRules, fold
from reporter.lease import acquire, release
from reporter.store import Store, open_store

CALLS, ROUNDS = 3_000, 4
NOW_NS = 1_790_000_040 * 10**9
LEASE_NS = 300_000_000
CONFIG = "slos: [{name: quick, sli: p50 < 1s}]"
SLOS = parse_config(CONFIG, environ={"HOME": "/"}).slos
PROGRAM = f"""
import sys
from reporter import config, fold, lease, store
from reporter.errors import LeaseHeld
fold.CHUNK = 100
opened = store.open_store(sys.argv[1])
slos = config.parse_config({CONFIG!r}, environ={{"HOME": "/"}}).slos
try:
    fold.fold(opened, lease.acquire(opened, {LEASE_NS}), slos, fold.FoldRules(), now_ns={NOW_NS},
              progress=lambda what, counted, total: print(counted, flush=True))
except LeaseHeld:
    sys.exit(75)
"""


def record(store: Store, first: int) -> None:
    """More calls, of four models and the last ten hours."""
    dice = random.Random(first)
    calls = [
        {"id": f"0-{number}", "ended": NOW_NS - dice.randrange(36_000 * 10**9), "model": f"model-{number % 4}",
         "duration": dice.randrange(2 * 10**9)} for number in range(first, first + CALLS)
    ]  # fmt: skip
    insert = (
        "INSERT INTO calls (call_id, ended_at_ns, operation, model, status, duration_ns)"
        " VALUES (:id, :ended, 'chat', :model, 'success', :duration)"
    )
    with store.write() as connection:
        connection.execute(text(insert), calls)


def take_over(store: Store) -> bool:
    """Fold what there is; False if the suspended one stands in the way with its transaction."""
    try:
        lease = acquire(store, 60 * 10**9)
    except StoreError:
        return False
    fold(store, lease, SLOS, FoldRules(), now_ns=NOW_NS)
    release(store, lease)
    return True


def test_a_reporter_that_sleeps_through_its_lease_keeps_nothing(database_url: str) -> None:
    impatient = "&options=-c%20lock_timeout%3D1s" if database_url.startswith("postgresql") else ""
    store, dice, taken_over = open_store(database_url + impatient), random.Random(4), 0
    for number in range(ROUNDS):
        record(store, number * CALLS)
        sleeper = subprocess.Popen([sys.executable, "-c", PROGRAM, database_url], stdout=subprocess.PIPE, text=True)
        assert sleeper.stdout is not None
        for _ in range(dice.randrange(3, 25)):
            sleeper.stdout.readline()
        time.sleep(dice.random() * 0.02)
        sleeper.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_NS / 1e9 + 0.1)

        others_turn = take_over(store)
        sleeper.send_signal(signal.SIGCONT)

        sleeper.communicate(timeout=60)
        assert sleeper.returncode == (75 if others_turn else 0)
        taken_over += others_turn
        with store.read() as connection:
            told = [
                connection.exec_driver_sql(f"SELECT {counted}").scalar_one()
                for counted in (
                    "count(*) FROM calls WHERE folded = 1", "sum(calls) FROM totals",
                    "sum(calls) FROM tallies WHERE resolution = 60", "sum(calls) FROM tallies WHERE resolution = 1440",
                    "sum(good + bad) FROM slos", "sum(good + bad) FROM slo_tallies WHERE resolution = 60",
                )
            ]  # fmt: skip
        assert told == [(number + 1) * CALLS] * 6
        time.sleep(LEASE_NS / 1e9)
    assert taken_over > 0


def test_a_lease_that_is_taken_over_at_the_moment_it_is_renewed_is_lost(postgres_url: str) -> None:
    store = open_store(postgres_url)
    lease = acquire(store, 1)

    def wake_up_too_late() -> None:
        with store.write() as connection:
            connection.execute(text("SELECT count(*) FROM leases"))  # what this transaction sees from now on
            acquire(store, 60 * 10**9)
            lease.renew(connection)

    with pytest.raises(LeaseHeld, match="another one took over"):
        wake_up_too_late()
