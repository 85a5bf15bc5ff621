"""A Pushgateway: groups to PUT, look at and DELETE, all within one total deadline.

PUT ── 2xx ──────────────────────────────→ it arrived
 ├── 4xx, 3xx, a stranger's certificate ─→ refused: PublishError, no second try
 └── 5xx, or no answer → look: does the gateway show the snapshot that was sent?
         ├── yes ────────────────────────→ it arrived
         └── no, or no telling → wait a little, render anew, PUT again, until time is up: PublishRetryLater
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from reporter.errors import PublishError, PublishRetryLater
from reporter.exposition import CONTENT_TYPE
from reporter.publish.exchange import Access, Answer, exchange
from reporter.publish.readback import ShownGroup, parse

MOST_LISTING_BYTES = 32 * 1024 * 1024
"""How much of what a gateway shows is read; one that shows more is pushed to without a look."""
MOST_SILENT = 3
"""How often a gateway may close the connection without a word: 1.11 does that when a push makes it panic."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LATER = (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one gateway: what a PUT replaces and a DELETE removes."""

    url: str  # of the gateway
    grouping: tuple[tuple[str, str], ...]  # sorted

    @classmethod
    def of(cls, url: str, grouping: Mapping[str, str]) -> Group:
        return cls(url.rstrip("/"), tuple(sorted(grouping.items())))

    @property
    def address(self) -> str:
        """The group's URL: `job` first, every value that needs it in base64."""
        parts = sorted(self.grouping, key=lambda part: part[0] != "job")
        return f"{self.url}/metrics/" + "/".join(_part(label, value) for label, value in parts)

    @property
    def key(self) -> str:
        """As the ledger names it."""
        return json.dumps([self.url, dict(self.grouping)], separators=(",", ":"))

    @classmethod
    def from_key(cls, key: str) -> Group:
        url, grouping = json.loads(key)
        return cls.of(url, grouping)

    def among(self, shown: tuple[ShownGroup, ...]) -> ShownGroup | None:
        """This group, if the gateway shows it."""
        return next((group for group in shown if tuple(sorted(group.labels.items())) == self.grouping), None)


def _part(label: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{quote(label)}/{value}"
    return f"{quote(label)}@base64/{base64.urlsafe_b64encode(value.encode()).decode() or '='}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where and how to push."""

    group: Group
    timeout_ns: int
    access: Access = field(default_factory=Access)

    @property
    def seconds(self) -> float:
        """All that one push may take of the gateway's time, tries, looks and tidying together."""
        return self.timeout_ns / 1e9

    @property
    def look_seconds(self) -> float:
        """What one look may take of it."""
        return self.seconds / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """How a snapshot arrived."""

    attempts: int
    lost_answer: str = ""  # what came instead of an answer, when only a look showed that the snapshot is there


class Looks:
    """What a gateway shows, or why that can't be said; looked at within `until`."""

    def __init__(self, access: Access, url: str, until: float) -> None:
        answer = exchange(access, "GET", f"{url}/api/v1/metrics", until, most_bytes=MOST_LISTING_BYTES)
        self.groups: tuple[ShownGroup, ...] | None = None
        self.trouble = ""
        if not answer.good:
            self.trouble = answer.text if answer.status is None else f"{answer.status} {answer.text}".strip()
        elif not answer.whole:
            self.trouble = answer.text if not answer.body else f"it shows more than {MOST_LISTING_BYTES // 2**20} MiB"
        else:
            try:
                self.groups = parse(answer.body)
            except ValueError as error:
                self.trouble = str(error)


def put(gateway: Gateway, snapshot: Callable[[], tuple[int, bytes]], deadline: float) -> Delivered:
    """PUT what `snapshot` makes, (sequence, body), anew at every attempt; until `deadline` (monotonic seconds).

    Raises:
        PublishError: the gateway refused; its words are in the message.
        PublishRetryLater: no useful answer came before the deadline, and a look did not show that the snapshot arrived.
        Exception: what `snapshot` raises; then no further attempt is made.
    """
    address = gateway.group.address
    headers = {
        "Content-Type": CONTENT_TYPE,
        "Content-Encoding": "gzip",
    }  # a body that was cut can't be unpacked, nor taken
    first, attempts, silent = 0, 0, 0
    reason = "no time was left"
    until = deadline - gateway.look_seconds  # the rest is for looking
    while time.monotonic() < until and silent < MOST_SILENT:
        attempts += 1
        sequence, body = snapshot()
        first = first or sequence
        ends = min(until, time.monotonic() + gateway.seconds / 2)
        content = gzip.compress(body, 6)
        answer = exchange(gateway.access, "PUT", address, ends, content=content, headers=headers)
        if answer.good:
            return Delivered(attempts=attempts)
        _raise_if_refused(address, answer)
        told = answer.text if answer.status is None else f"{answer.status} {answer.text}".strip()
        if answer.sent and _arrived(gateway, first, sequence, deadline):
            return Delivered(attempts=attempts, lost_answer=told)
        if answer.whole or attempts == 1:  # an attempt that the deadline cut says less than one that came to its end
            reason = told
        silent = silent + 1 if answer.silent else 0
        pause = random.uniform(0, min(2.0, 0.1 * 2**attempts))
        time.sleep(max(0.0, min(pause, until - time.monotonic())))
    if silent:
        reason += "; a Pushgateway that panics over a push does that, its log says why"
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    raise PublishRetryLater(
        f"{address}: not pushed within {gateway.seconds:g} s ({tries}): {reason};"
        " nothing is lost, the next push carries all of it"
    )


def _raise_if_refused(address: str, answer: Answer) -> None:
    if answer.final:
        raise PublishError(f"{address}: {answer.text}; check pushgateway.url, ca_file and the credentials")
    if answer.status is not None and answer.status < 500 and answer.status not in _LATER:
        did = "redirects, which a push does not follow" if answer.status < 400 else "refused the push"
        raise PublishError(f"{address}: the gateway {did} ({answer.status}): {answer.text}")


def _arrived(gateway: Gateway, first: int, last: int, deadline: float) -> bool:
    """Whether the gateway shows one of the snapshots `first` … `last`."""
    until = min(deadline, time.monotonic() + gateway.look_seconds)
    shown = gateway.group.among(Looks(gateway.access, gateway.group.url, until).groups or ())
    return shown is not None and shown.sequence is not None and first <= shown.sequence <= last


def delete(access: Access, group: Group, until: float) -> str:
    """Remove `group` from its gateway; why that failed, or ""."""
    answer = exchange(access, "DELETE", group.address, until)
    if answer.good:
        return ""
    return answer.text if answer.status is None else f"{answer.status} {answer.text}".strip()
