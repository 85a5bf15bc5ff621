"""What happens when: APScheduler's clock, the lease of the one service that works, and how it stops.

turn     every minute, on the minute, and once at the start; one at a time, however late: coalesced, never dropped
lease    three times within its length, and before each turn; whoever does not get it stands by, and takes over when it is free
prices   once a day, if asked for
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock, Thread

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.triggers.interval import IntervalTrigger

from reporter.errors import LeaseHeld, ReporterError
from reporter.lease import SERVE, Lease, acquire, leave_behind, release
from reporter.serve.log import tell
from reporter.serve.pages import Pages
from reporter.serve.turns import SECOND_NS, Turns

GIVE_BACK_SECONDS = 3.0
"""Of the grace, what is kept for giving the leases back; a database that stands still can take all of it."""
LEFT_NS = 2 * SECOND_NS
"""A turn that is left behind may have a push on its way: nobody else pushes before it has arrived."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_CLOCK_SECONDS = 10.0  # how often it is seen whether the clock was set back
_LOOK_SECONDS = 0.05  # how often a thread is looked after while signals are waited for
_STOP = {signal.SIGTERM, signal.SIGINT}
_HEARD = {*_STOP, signal.SIGHUP}


@dataclass(slots=True, kw_only=True)
class Service:
    """One `reporter serve`."""

    turns: Turns
    pages: Pages | None
    prices_url: str | None  # None: prices stay as they are
    grace_seconds: float  # what stopping takes at most
    lease: Lease | None = None
    lease_trouble: bool = False  # it is told once, until it is over
    stopping: Event = field(default_factory=Event)
    at_work: Lock = field(default_factory=Lock)
    holding: Lock = field(default_factory=Lock)

    def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; False if the turn at work had to be left behind.

        Raises:
            StoreError: the database can't be used at the start.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # before there are threads: only this one hears them
        scheduler = self._scheduler()
        try:
            number = self._begin()
            if number is None:
                if self.pages is not None:
                    self.pages.start()
                    tell(logging.INFO, "listening", f"listening on {self.pages.url}", url=self.pages.url)
                scheduler.start()
                number = self._wait_for_signal(scheduler)
            return self._stop(scheduler, signal.Signals(number).name)
        finally:
            if not self.stopping.is_set():  # something else than a signal ends it
                self._give_back(GIVE_BACK_SECONDS)
            if self.pages is not None:
                self.pages.server_close()

    def _begin(self) -> int | None:
        """Take the lease, or stand by; the signal that came before the database answered."""
        failed: list[ReporterError] = []

        def hold() -> None:
            try:
                self._hold()
            except ReporterError as error:
                failed.append(error)

        first = Thread(target=hold, name="reporter-lease", daemon=True)
        first.start()
        while first.is_alive():
            first.join(_LOOK_SECONDS)
            if (told := signal.sigtimedwait(_STOP, 0)) is not None:
                return told.si_signo
        if failed:
            raise failed[0]
        return None

    def _wait_for_signal(self, scheduler: BackgroundScheduler) -> int:
        """The signal that ends it; a hangup has the configuration read again."""
        while True:
            told = signal.sigtimedwait(_HEARD, _CLOCK_SECONDS)
            if told is None:
                follow_clock(scheduler, datetime.now(UTC))
            elif told.si_signo == signal.SIGHUP:
                self.turns.is_stale = True
            else:
                return told.si_signo

    def _scheduler(self) -> BackgroundScheduler:
        """The clock; nothing is ever dropped for being late (`misfire_grace_time`), or done twice to catch up."""
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        scheduler.add_listener(_tell_of_bug, EVENT_JOB_ERROR)
        config = self.turns.config
        scheduler.add_job(self._turn, id="first turn")
        scheduler.add_job(self._turn, _on_the_dot(self.turns.every_ns / SECOND_NS), id="turn")
        scheduler.add_job(self._hold, _on_the_dot(config.lease_ns / SECOND_NS / 3), id="lease")
        if self.prices_url:
            update = partial(self.turns.update_prices, self.prices_url)
            scheduler.add_job(update, id="first prices")
            scheduler.add_job(update, _on_the_dot(_DAY_SECONDS), id="prices")
        return scheduler

    def _turn(self) -> None:
        if self.turns.standing.standby:
            return
        with self.at_work:  # the first turn may still be
            self._hold()  # who was suspended may have been replaced meanwhile, and then nothing was missed
            if not self.turns.standing.standby and not self.stopping.is_set():
                self.turns.take()

    def _hold(self) -> None:
        """Keep the lease, or try for it."""
        with self.holding:
            if not self.stopping.is_set():
                self._keep_or_take()

    def _keep_or_take(self) -> None:
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
            standing.begin_anew(time.monotonic())
            self.turns.last_due_ns = None

    def _stop(self, scheduler: BackgroundScheduler, name: str) -> bool:
        self.stopping.set()
        deadline = time.monotonic() + self.grace_seconds
        tell(logging.INFO, "stopping", f"{name}: stopping, once the turn at work is done")
        if scheduler.running:
            scheduler.shutdown(wait=False)
        give_back_seconds = min(GIVE_BACK_SECONDS, self.grace_seconds / 2)
        why = self._wait_for_turn(deadline - give_back_seconds)
        if why:
            tell(logging.ERROR, "left_behind", f"the turn at work is left: {why}; the next one makes up")
        self._give_back(give_back_seconds)
        if not why:
            tell(logging.INFO, "stopped", "stopped")
        return not why

    def _wait_for_turn(self, until: float) -> str:
        """Why the turn at work was not waited for any longer; nothing if it is done."""
        while not self.at_work.acquire(timeout=_LOOK_SECONDS):
            if (told := signal.sigtimedwait(_STOP, 0)) is not None:
                return f"{signal.Signals(told.si_signo).name} a second time"
            if time.monotonic() > until:
                return f"it was not done within the grace of {self.grace_seconds:g} s"
        return ""

    def _give_back(self, seconds: float) -> None:
        """Let the next one work at once; a database that does not answer in time frees the leases when they run out."""
        thread = Thread(target=self._release, name="reporter-leases", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            tell(logging.WARNING, "lease_trouble", "the database does not answer; the lease runs out by itself")

    def _release(self) -> None:
        store, left = self.turns.store, self.turns.lease
        with self.holding:
            try:
                if self.lease is not None:
                    release(store, self.lease)
                if left is not None:
                    leave_behind(store, left, LEFT_NS)
            except ReporterError as error:
                tell(logging.WARNING, "lease_trouble", f"the lease could not be given back, and runs out: {error}")


def _on_the_dot(seconds: float) -> IntervalTrigger:
    """At whole multiples of so many seconds; what is due at once besides is a job of its own, or it would shift them all."""
    return IntervalTrigger(seconds=max(1, round(seconds)), start_date=_EPOCH, timezone=UTC)


def follow_clock(scheduler: BaseScheduler, now: datetime) -> None:
    """Bring forward what is due in more than its interval: the clock was set back, and APScheduler would wait so long."""
    for job in scheduler.get_jobs():
        if job.next_run_time - now > getattr(job.trigger, "interval", job.next_run_time - now):
            scheduler.reschedule_job(job.id, trigger=job.trigger)


def _tell_of_bug(event: JobExecutionEvent) -> None:
    error = event.exception
    sentence = f"unexpected {type(error).__name__} in {event.job_id}: {error}; the next turn tries again"
    tell(logging.CRITICAL, "unexpected", sentence, traceback=str(event.traceback))
