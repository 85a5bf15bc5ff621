"""What the Pushgateway shows of us: is it there, is the group ours, is it fresh, does its clock agree?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

from reporter.config.model import Config
from reporter.doctor.contents import examine_skew
from reporter.doctor.finding import Finding, age, fail, ok, warn
from reporter.publish.exchange import exchange
from reporter.publish.ledger import SCRAPED
from reporter.publish.pushgateway import Gateway, Looks
from reporter.publish.readback import ShownGroup

_STALE_SECONDS = 300


def examine_gateway(gateway: Gateway, config: Config, sent: Mapping[str, int]) -> Iterator[Finding]:
    """All of it; `sent` has the number of the latest snapshot that left the database, by group."""
    group = gateway.group
    looks = Looks(gateway.access, group.url, time.monotonic() + gateway.seconds)
    if looks.groups is None:
        yield _unreachable(group.url, looks.trouble, config, sent)
        return
    yield from _itself(gateway)
    shown = group.among(looks.groups)
    if shown is None:
        held = f"{group.url}: reachable; it has no group {dict(group.grouping)}"
        yield warn(
            "pushgateway",
            held,
            "reporter push; if it was there before, the gateway lost it and the next push restores it",
        )
    else:
        yield from _group(shown, group.url, sent.get(group.key))


def _unreachable(url: str, trouble: str, config: Config, sent: Mapping[str, int]) -> Finding:
    told = f"{url}: {trouble}"
    if "pushgateway" not in config.model_fields_set and SCRAPED.key in sent:
        return ok("pushgateway", f"none is configured, but reporter serve shows a page to be scraped ({told})")
    if "pushgateway" not in config.model_fields_set:
        remedy = "write pushgateway: {url: …} into reporter.yaml, or have the page of reporter serve scraped"
        return warn("pushgateway", f"none is configured, and none is where it would be by default ({told})", remedy)
    return fail("pushgateway", told, "check pushgateway.url, the credentials, and that the gateway runs")


def _itself(gateway: Gateway) -> Iterator[Finding]:
    """Its version, whether it keeps what would better be forgotten, and its clock."""
    asked = time.time()
    answer = exchange(
        gateway.access, "GET", f"{gateway.group.url}/api/v1/status", time.monotonic() + gateway.look_seconds
    )
    try:
        told = json.loads(answer.body)["data"]
        version, kept = str(told["build_information"]["version"]), str(told["flags"].get("persistence.file", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        version, kept = "of a version it does not tell", ""
    if kept:
        yield warn(
            "pushgateway", f"{version}; after a crash it brings back old values from {kept}",
            "start it without --persistence.file: the next push is the whole truth again",
        )  # fmt: skip
    else:
        yield ok("pushgateway", f"{gateway.group.url}: reachable, {version}")
    try:
        date = parsedate_to_datetime(answer.date).timestamp()
    except ValueError:
        return
    yield from examine_skew("gateway", date + 0.5 - (asked + time.time()) / 2)  # its header has whole seconds


def _group(shown: ShownGroup, url: str, sent: int | None) -> Iterator[Finding]:
    name = ", ".join(f'{label}="{value}"' for label, value in sorted(shown.labels.items()))
    pushed = shown.seconds_of("push_time_seconds") or 0.0
    refused = shown.seconds_of("push_failure_time_seconds") or 0.0
    told = f"{url}: the group {name}"
    if shown.is_ghost:
        yield fail("group", f"{told} is empty: its first push was refused", "run reporter push, which says why")
    elif refused > pushed:
        yield fail("group", f"{told}: its latest push was refused", "run reporter push, which says why")
    elif shown.sequence is None:
        yield fail(
            "group", f"{told} holds what is none of ours: somebody else pushes to it",
            "give pushgateway.grouping another job",
        )  # fmt: skip
    elif time.time() - pushed > _STALE_SECONDS:
        yield fail(
            "group", f"{told} was pushed {age(time.time() - pushed)} ago", "run reporter push; does cron, or serve?"
        )  # fmt: skip
    elif sent is not None and shown.sequence > sent:
        yield warn(
            "group", f"{told} shows number {shown.sequence}, this database sent {sent}: it is an older copy, or not alone",
            "let one database push to a group",
        )  # fmt: skip
    else:
        yield ok("group", f"{told} was pushed {age(time.time() - pushed)} ago")
