"""Alertmanager's configuration: routes that lead somewhere, and matchers that can match alerts there are.

How a receiver tells (mail, chat, pagers) is taken as it is, but for webhooks: `amtool check-config` reads it.
Source: https://prometheus.io/docs/alerting/latest/configuration/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from reporter.check.place import Complaint, Place, twice
from reporter.check.shape import anything, duration, flag, keys, list_of, map_of, record, seconds, text, whole, words
from reporter.check.whole import Whole
from reporter.check.words import meant, near
from reporter.expression import parse

_MATCHER = re.compile(r'\s*([A-Za-z_:][\w:]*|"(?:[^"\\]|\\.)*")\s*(=~|!~|!=|=)\s*(.*?)\s*', re.ASCII | re.DOTALL)
_ROUTE_KEYS = {
    "receiver": words,
    **keys("group_by matchers mute_time_intervals active_time_intervals", list_of(words)),
    **keys("match match_re", map_of(text)),
    "continue": flag,
    **keys("group_wait group_interval repeat_interval", duration),
    "routes": anything,
}
_ROUTE = record(_ROUTE_KEYS)
_WEBHOOK = record(
    {
        **keys("url url_file", words),
        "send_resolved": flag,
        "max_alerts": whole,
        "timeout": duration,
        **keys("http_config payload"),
    }
)
_RECEIVER = record(
    {"name": words, "webhook_configs": list_of(_WEBHOOK)},
    {"name"},
    also=re.compile(r"\w+_configs"),
    what="the receiver",
)
_INHIBIT = record(
    {
        "name": text,
        **keys("source_matchers target_matchers equal", list_of(words)),
        **keys("source_match source_match_re target_match target_match_re", map_of(text)),
        "sources": anything,
    }
)
_INTERVALS = list_of(record({"name": words, "time_intervals": anything}, {"name"}, what="the interval"))
_FILE = record(
    {
        **keys("global tracing"),
        "templates": list_of(words),
        "route": anything,
        "inhibit_rules": list_of(_INHIBIT),
        "receivers": list_of(_RECEIVER),
        **keys("mute_time_intervals time_intervals", _INTERVALS),
    },
    {"route", "receivers"},
)
_VALUES = {"severity": ("page", "ticket"), "source": ("slo", "budget", "job", "calls", "reporter", "counters")}
_LIKE = 0.7  # other alerts have other labels: only what can hardly be meant otherwise is told


def wrong(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a configuration, so far as it is known."""
    yield from _FILE(root)
    receivers = list(root["receivers"].each())
    named = ((receiver["name"].text, receiver["name"]) for receiver in receivers if receiver["name"].text)
    yield from twice(named, "a receiver of this name is there already")
    for receiver in receivers:
        for webhook in receiver["webhook_configs"].each():
            yield from _webhook(webhook)
    known = {receiver["name"].text for receiver in receivers}
    spans = {s["name"].text for key in ("mute_time_intervals", "time_intervals") for s in root[key].each()}
    top = root["route"]
    for route in routes(top):
        yield from _ROUTE(route)
        yield from _route(route, known, spans, among)
    if isinstance(top.value, dict):
        if top["receiver"].value is None:
            yield top.wrong("the first route has no receiver, which it needs: it takes what no other does")
        for key in ("matchers", "match", "match_re", "continue"):
            if top[key].value is not None:
                yield top[key].wrong("the first route takes everything; choose in a route below it, under routes")
    for rule in root["inhibit_rules"].each():
        for key in ("source_matchers", "target_matchers"):
            for matcher in rule[key].each():
                yield from _matcher(matcher, among)
        for label in rule["equal"].each():
            yield from _label(label, label.text, among)


def routes(route: Place) -> Iterator[Place]:
    """A route, and those below it."""
    yield route
    for below in route["routes"].each():
        yield from routes(below)


def _webhook(webhook: Place) -> Iterator[Complaint]:
    url = webhook["url"]
    if (url.value is None) == (webhook["url_file"].value is None):
        yield webhook.wrong("the webhook must have either url or url_file")
    elif url.text and not re.match(r"https?://[^/\s]+", url.text):
        yield url.wrong(f"{url.text[:60]!r} is no address; write one like https://hooks.example.org/alerts")


def _route(route: Place, receivers: set[str], spans: set[str], among: Whole) -> Iterator[Complaint]:
    if route["receiver"].text and route["receiver"].text not in receivers:
        name = route["receiver"].text
        yield route["receiver"].wrong(f"there is no receiver {name}{meant(name, receivers)}")
    if route["routes"].value is not None and not isinstance(route["routes"].value, list):
        yield route["routes"].wrong("must be a list")
    for key in ("group_interval", "repeat_interval"):
        if seconds(route[key]) == 0:
            yield route[key].wrong("must be longer than nothing")
    wait, again = seconds(route["group_interval"]), seconds(route["repeat_interval"])
    if wait and again and again < wait:
        yield route["repeat_interval"].wrong("is shorter than group_interval, so it is never waited for")
    yield from twice(((label.text, label) for label in route["group_by"].each()), "is in group_by already")
    for label in route["group_by"].each():
        yield from _label(label, label.text, among)
    for matcher in route["matchers"].each():
        yield from _matcher(matcher, among)
    for key in ("mute_time_intervals", "active_time_intervals"):
        for span in route[key].each():
            if span.text and span.text not in spans:
                yield span.wrong(f"there is no interval {span.text}{meant(span.text, spans)}")


def _label(place: Place, label: str, among: Whole) -> Iterator[Complaint]:
    known = among.alert_labels
    if known and label and label != "..." and label not in known and near(label, known, likeness=_LIKE):
        yield place.wrong(f"no alert has the label {label}; did you mean {near(label, known)}?")


def _matcher(place: Place, among: Whole) -> Iterator[Complaint]:
    found = _MATCHER.fullmatch(place.text)
    if not place.text:
        return
    if found is None:
        yield place.wrong(
            f"{place.text[:60]!r} is no matcher; write one like 'severity=\"page\"', with =, !=, =~ or !~"
        )
        return
    label, operator, written = found[1].strip('"'), found[2], found[3]
    value = _unquoted(written)
    if value is None:
        yield place.wrong(f"{written[:60]} is no value; put it in double quotes")
        return
    yield from _label(place, label, among)
    options = [value]
    if "~" in operator:
        try:
            parse(f"x{{x=~{json.dumps(value)}}}")
        except ValueError:
            yield place.wrong(f"{value[:60]!r} is no regular expression")
            return
        options = value.split("|")
    known = set(among.alerts) if label == "alertname" else set(_VALUES.get(label, ()))
    for option in options:
        if known and option not in known and near(option, known, likeness=_LIKE):
            yield place.wrong(f'no alert has {label}="{option}"; did you mean {near(option, known)}?')


def _unquoted(text: str) -> str | None:
    """A matcher's value; None where its quotes are not in order."""
    if not text.startswith('"'):
        return None if '"' in text else text
    try:
        return str(json.loads(text))
    except ValueError:
        return None
