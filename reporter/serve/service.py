"""What happens when: APScheduler's clock, the lease of the one service that works, and how it stops.

turn     every minute, on the minute, and once at the start; one at a time, however late: coalesced, never dropped
lease    three times within its length; whoever does not get it stands by, and takes over when it is free
prices   once a day, if asked for
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from reporter.errors import LeaseHeld, ReporterError
from reporter.lease import SERVE, Lease, acquire, release
from reporter.serve.log import tell
from reporter.serve.pages import Pages
from reporter.serve.turns import SECOND_NS, Turns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_HEARD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@dataclass(slots=True, kw_only=True)
class Service:
    """One `reporter serve`."""

    turns: Turns
    pages: Pages | None
    prices_url: str | None  # None: prices stay as they are
    grace_seconds: float
    lease: Lease | None = None
    lease_trouble: bool = False  # it is told once, until it is over
    stopping: Event = field(default_factory=Event)
    at_work: Lock = field(default_factory=Lock)

    def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; False if the turn at work had to be left behind.

        Raises:
            StoreError: the database can't be used at the start.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # before there are threads: only `sigwait` hears them
        self._hold()
        if self.pages is not None:
            self.pages.start()
            tell(logging.INFO, "listening", f"listening on {self.pages.url}", url=self.pages.url)
        scheduler = self._scheduler()
        scheduler.start()
        try:
            while (number := signal.sigwait(_HEARD)) == signal.SIGHUP:
                self.turns.is_stale = True
            return self._stop(scheduler, signal.Signals(number).name)
        finally:
            if self.pages is not None:
                self.pages.server_close()

    def _scheduler(self) -> BackgroundScheduler:
        """The clock; nothing is ever dropped for being late (`misfire_grace_time`), or done twice to catch up."""
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        scheduler.add_listener(_tell_of_bug, EVENT_JOB_ERROR)
        now = datetime.now(UTC)
        self._add(scheduler, "turn", self._turn, self.turns.every_ns / SECOND_NS, now)
        self._add(scheduler, "lease", self._hold, self.turns.config.lease_ns / SECOND_NS / 3, None)
        if self.prices_url:
            self._add(scheduler, "prices", partial(self.turns.update_prices, self.prices_url), _DAY_SECONDS, now)
        return scheduler

    @staticmethod
    def _add(
        scheduler: BackgroundScheduler, name: str, what: Callable[[], None], seconds: float, first: datetime | None
    ) -> None:
        trigger = IntervalTrigger(seconds=max(1, round(seconds)), start_date=_EPOCH, timezone=UTC)
        if first is None:
            scheduler.add_job(what, trigger, id=name)
        else:
            scheduler.add_job(what, trigger, id=name, next_run_time=first)

    def _turn(self) -> None:
        if self.turns.standing.standby or not self.at_work.acquire(blocking=False):
            return
        try:
            if not self.stopping.is_set():
                self.turns.take()
        finally:
            self.at_work.release()

    def _hold(self) -> None:
        """Keep the lease, or try for it."""
        store, standing = self.turns.store, self.turns.standing
        try:
            if self.lease is not None:
                with store.write() as connection:
                    self.lease.renew(connection)
                self.lease_trouble = False
                return
            self.lease = acquire(store, self.turns.config.lease_ns, SERVE)
            self.lease_trouble = False
        except LeaseHeld as error:
            self.lease = None
            if not standing.standby:
                tell(logging.WARNING, "standby", f"standing by: {error}")
            standing.standby, standing.page = str(error), None
            return
        except ReporterError as error:
            if self.lease is None and not standing.standby:
                raise  # at the start
            if not self.lease_trouble:
                tell(logging.WARNING, "lease_trouble", f"the lease can't be kept: {error}")
            self.lease_trouble = True
            return
        if standing.standby:
            tell(logging.INFO, "took_over", "the other service is gone; this one works now")
            standing.since, standing.began, standing.well = time.monotonic(), None, None
            self.turns.last_due_ns = None
        standing.standby = ""

    def _stop(self, scheduler: BackgroundScheduler, name: str) -> bool:
        self.stopping.set()
        for number in (signal.SIGTERM, signal.SIGINT):  # asked twice, it ends at once
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD - {signal.SIGHUP})
        tell(logging.INFO, "stopping", f"{name}: stopping, once the turn at work is done")
        scheduler.shutdown(wait=False)
        if not self.at_work.acquire(timeout=self.grace_seconds):
            sentence = (
                f"the turn at work was not done within {self.grace_seconds:g} s and is left; the next one makes up"
            )
            tell(logging.ERROR, "left_behind", sentence)
            return False
        if self.lease is not None:
            try:
                release(self.turns.store, self.lease)
            except ReporterError as error:
                tell(logging.WARNING, "lease_trouble", f"the lease could not be given back, and runs out: {error}")
        tell(logging.INFO, "stopped", "stopped")
        return True


def _tell_of_bug(event: JobExecutionEvent) -> None:
    error = event.exception
    sentence = f"unexpected {type(error).__name__} in {event.job_id}: {error}; the next turn tries again"
    tell(logging.CRITICAL, "unexpected", sentence, traceback=str(event.traceback))
