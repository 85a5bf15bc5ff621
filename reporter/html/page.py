"""The whole page: how things stand first, then each part.  It may load nothing and run nothing, and says so itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files

from reporter import __version__
from reporter.html.history import Page
from reporter.html.markup import Child, Markup, joined, tag
from reporter.html.money import cost_section, speed_section
from reporter.html.slos import slo_section
from reporter.html.words import dollars, minute, several
from reporter.html.work import call_section, job_section
from reporter.tally import MINUTE_NS


def render(page: Page, title: str) -> str:
    """The page as the text of a file."""
    sections = (
        ("slos", "SLOs", [slo_section(page)]),
        ("cost", "Cost", [*cost_section(page)]),
        ("latency", "Latency", [*speed_section(page)]),
        ("jobs", "Jobs", [*job_section(page)]),
        ("calls", "Calls that stand out", [*call_section(page)]),
    )
    as_of = minute(page.status.report.as_of_ns)
    links = [tag("a", name, href=f"#{place}") for place, name, _ in sections]
    header = tag(
        "header",
        tag("h1", title),
        tag("p", f"As of {as_of} UTC; charts and lists go back to {minute(page.since_ns)}. {_pushed(page)}", class_="muted"),
        tag("nav", *links, aria_label="Parts of this page"),
    )  # fmt: skip
    parts = [
        tag("section", tag("h2", name, id=f"{place}-name"), *inside, id=place, aria_labelledby=f"{place}-name")
        for place, name, inside in sections
    ]
    body = tag("body", header, tag("main", _tiles(page), *parts), tag("footer", *_footer(page)))
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Markup:
    style = files("reporter.html").joinpath("style.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"reporter {__version__}"),
        tag("link", rel="icon", href="data:,"),  # else a browser asks the server for one
        tag("title", title),
        tag("style", Markup(style)),
    )


def _pushed(page: Page) -> str:
    at_ns = page.status.pushed_at_ns
    return "Never pushed to a gateway." if at_ns is None else f"Latest push {minute(at_ns)} UTC."


def _tiles(page: Page) -> Markup:
    status = page.status
    made, today, unpriced = status.report, status.today, status.today.unpriced_calls
    alarmed = sum(slo.state in ("burning", "exhausted") for slo in made.slos)
    silent = sum(slo.state == "no_data" for slo in made.slos)
    trouble = sum(made.self_status.troubles.values())
    told = [
        ("SLOs not ok", f"{alarmed} of {len(made.slos)}", f"{silent} without data" if silent else None, alarmed > 0),
        ("alerts firing", f"{status.alerts_firing}", None, status.alerts_firing > 0),
        ("jobs not ok", f"{len(status.troubled_jobs)} of {len(made.jobs)}", None, bool(status.troubled_jobs)),
        ("USD today (UTC)", dollars(None if today.cost_usd is None else today.nanousd, partial=unpriced > 0),
         f"{unpriced:,} without a price" if unpriced else several(today.calls, "call", "calls"), False),
        ("calls lost so far", f"{made.self_status.lost_calls:,}", None, False),
    ]  # fmt: skip
    if trouble:
        told.append(("recorders' troubles", f"{trouble:,}", None, True))
    tiles = [
        tag(
            "div",
            tag("dt", name),
            tag("dd", value, None if more is None else tag("small", more), class_="error" if bad else None),
        )
        for name, value, more, bad in told
    ]
    return tag("dl", *tiles, class_="tiles")


def _footer(page: Page) -> Iterator[Child]:
    made = page.status.report
    for excluded in made.exclusions:
        first, end = minute(excluded.first * MINUTE_NS), minute(excluded.end * MINUTE_NS)
        yield tag("p", f"Left out: {first} to {end} UTC of {', '.join(excluded.slos)}, {excluded.reason}")
    for trouble, occurrences in made.self_status.troubles.items():
        yield tag("p", f"Recorders report {occurrences:,}× {trouble}.")
    for note in made.notes:
        yield tag("p", f"Note: {note}")
    if page.days_since_ns > page.since_ns:
        yield tag("p", f"Days are told from {minute(page.days_since_ns)} on: tallies from before were pruned.")
    if not made.self_status.folded:
        yield tag("p", "New rows were not folded before: this is what was folded until then.")
    yield joined([f"Made by reporter {__version__}. Counts are exact, percentiles within 1 %; times are UTC."])
