"""One turn of the service, and what is told of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reporter import cycle, state
from reporter.catalogue import fetch, parse_catalogue
from reporter.config.model import Config
from reporter.errors import ConfigError, LeaseHeld, PublishError, ReporterError
from reporter.filesystem import write_whole
from reporter.lease import Lease, release
from reporter.serve.log import tell
from reporter.serve.standing import Standing
from reporter.store import Store

SECOND_NS = 10**9
LATE_NS = 10 * SECOND_NS
"""A turn that begins so long after it was due is late."""


@dataclass(slots=True, kw_only=True)
class Turns:
    """The turns of one service, one after the other."""

    store: Store
    config: Config
    read_config: Callable[[], Config]
    standing: Standing
    every_ns: int
    pushes: bool
    shows: bool
    fetches_prices: bool = False
    is_stale: bool = False  # the configuration is to be read again
    last_due_ns: int | None = field(default=None, init=False)
    lease: Lease | None = field(default=None, init=False)  # of the turn at work, or one that could not give it back

    def take(self) -> None:
        """The turn that is due: the latest one, if more are."""
        now_ns, standing = time.time_ns(), self.standing
        due_ns = now_ns // self.every_ns * self.every_ns
        standing.began = time.monotonic()
        try:
            self._read_config_again()
            self._count(due_ns, now_ns)
            self._take(due_ns)
        except LeaseHeld as error:
            tell(logging.WARNING, "lease_held", str(error), due=due_ns / SECOND_NS)
            standing.trouble = str(error)
        except ReporterError as error:
            standing.trouble = str(error)
            tell(logging.ERROR, "turn_failed", f"nothing was reported: {error}", due=due_ns / SECOND_NS)

    def _with_prices(self) -> Config:
        """The configuration, without a price catalogue that is still to be fetched: until then the library's own is used."""
        file = self.config.price_catalogue
        if self.fetches_prices and file is not None and not file.exists():
            return self.config.model_copy(update={"price_catalogue": None})
        return self.config

    def _take(self, due_ns: int) -> None:
        began, standing = time.monotonic(), self.standing
        config = self._with_prices()
        gateway = cycle.gateway_of(config) if self.pushes else None
        with self._leased(config) as lease:
            made = cycle.turn(self.store, lease, config, due_ns)
            if self.shows:
                standing.page = cycle.page(self.store, lease, config, made)
            standing.well, standing.trouble = time.monotonic(), ""
            news, told = _news(made)
            told["due"] = due_ns / SECOND_NS
            if gateway is None:
                seconds = round(standing.well - began, 3)
                tell(logging.INFO, "reported", f"{news}; reported in {seconds:.2f} s", seconds=seconds, **told)
                return
            try:
                pushed = cycle.send(self.store, lease, config, gateway, made)
            except PublishError as error:
                standing.push_trouble = str(error)
                is_later = error.exit_code == 75
                level, event = (logging.WARNING, "push_later") if is_later else (logging.ERROR, "push_refused")
                tell(level, event, str(error), **told)
                return
        standing.pushed, standing.push_trouble = time.monotonic(), ""
        seconds = round(time.monotonic() - began, 3)
        sentence = f"{news}; pushed {pushed.series} series as number {pushed.sequence} in {seconds:.2f} s"
        tell(
            logging.INFO, "pushed", sentence, seconds=seconds, series=pushed.series, sequence=pushed.sequence,
            attempts=pushed.attempts, held=pushed.held, **told,
        )  # fmt: skip
        for note in pushed.notes:
            tell(logging.WARNING, "note", note)

    @contextmanager
    def _leased(self, config: Config) -> Iterator[Lease]:
        """The lease of one turn, known to whoever has to leave the turn behind."""
        if self.lease is not None:  # it could not be given back, and would keep us out until it runs out
            release(self.store, self.lease)
        with cycle.leased(self.store, config) as self.lease:
            yield self.lease
        self.lease = None

    def _count(self, due_ns: int, now_ns: int) -> None:
        """Tell and count what was due and is made up for now, and whether this turn is late."""
        before_ns, self.last_due_ns = self.last_due_ns, due_ns
        if before_ns is None:  # the first turn comes when the service does
            counted = {state.LATE_TICKS: 0, state.MISSED_TICKS: 0}
        else:
            missed = max(0, (due_ns - before_ns) // self.every_ns - 1)
            late_ns = now_ns - due_ns if now_ns - due_ns > min(LATE_NS, self.every_ns // 2) else 0
            if missed:
                sentence = f"{missed} turns were due and could not begin; this one makes up for them"
                tell(logging.WARNING, "missed", sentence, missed=missed, due=due_ns / SECOND_NS)
            elif late_ns:
                sentence = f"this turn begins {late_ns / SECOND_NS:.1f} s late"
                tell(logging.WARNING, "late", sentence, late_seconds=late_ns / SECOND_NS, due=due_ns / SECOND_NS)
            counted = {state.LATE_TICKS: int(bool(late_ns or missed)), state.MISSED_TICKS: missed}
            counted = {name: count for name, count in counted.items() if count}
        if counted:
            with self.store.append() as connection:
                for name, count in counted.items():
                    state.add(connection, name, count)

    def _read_config_again(self) -> None:
        """Use what reporter.yaml says now, if it can be meant; the database stays the one that is served."""
        if not self.is_stale:
            return
        self.is_stale = False
        try:
            read = self.read_config()
        except ConfigError as error:
            tell(logging.ERROR, "config_refused", f"the old configuration stays in use: {error}")
            return
        if read.database != self.config.database:
            tell(logging.WARNING, "config_database", "another database is served only after a restart")
        self.config = read.model_copy(update={"database": self.config.database})
        tell(logging.INFO, "config_read", f"read {read.source or 'the defaults'} again")

    def update_prices(self, url: str) -> None:
        """Fetch the latest catalogue from `url` into `price_catalogue`, and price by it from the next turn on."""
        file = self.config.price_catalogue
        if self.standing.standby or file is None:
            return
        try:
            content = fetch(url)
            providers = len(parse_catalogue(content, url).providers)
            write_whole(file, content, replace=True)
        except (ReporterError, OSError) as error:
            tell(logging.WARNING, "prices_kept", f"the price catalogue stays as it is: {error}")
            return
        self.is_stale = True
        tell(logging.INFO, "prices_updated", f"{file}: prices of {providers} providers", file=str(file))


def _news(made: cycle.Turn) -> tuple[str, dict[str, object]]:
    """What a turn found and did away with, for people and for machines; beside calls, only what there is."""
    told: dict[str, object] = {"calls": made.folded.calls if made.folded else 0}
    if made.folded:
        told |= {"runs": made.folded.runs, "lost_calls": made.folded.lost_calls}
    if made.pruned:
        told |= {"pruned_calls": made.pruned.calls, "pruned_runs": made.pruned.runs}
    words = {
        "runs": "ended runs",
        "lost_calls": "lost calls",
        "pruned_calls": "calls pruned",
        "pruned_runs": "runs pruned",
    }
    said = [f"{told[name]} {word}" for name, word in words.items() if told.get(name)]
    return ", ".join([f"{told['calls']} new calls", *said]), told
