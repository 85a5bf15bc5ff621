"""What importing a file of another format comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from reporter.formats.part import Findings, Part
from reporter.formats.promql import Unrecognised, recognise
from reporter.slo.spec import SLO


@dataclass(slots=True)
class Import:
    """SLOs as a person would write them, each with where it came from; and what asks for a mapping."""

    slos: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    mapped: set[str] = field(default_factory=set)

    def map(self, name: str, choices: Choices) -> dict[str, Any]:
        """What the person who imports says of an SLO."""
        self.mapped.add(name)
        return choices.mappings[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the person who imports says."""

    mappings: Mapping[str, dict[str, Any]]  # SLO → `sli`, and `where` … if said
    known: Mapping[str, SLO]  # the SLOs of reporter.yaml
    period: str | None = None  # where the format has none


Places = Mapping[str, tuple[Part, str]]
"""Where a file has an SLO's field, if not under its name: the mapping, and the key in it."""
_BY_NAME: Places = MappingProxyType({})


def keep(found: Import, part: Part, slo: dict[str, Any], *, origin: str, places: Places = _BY_NAME) -> None:
    """Keep an SLO, if it can be meant."""
    if can_be_meant(part, slo, places):
        found.slos.append((slo, origin))


def can_be_meant(part: Part, slo: dict[str, Any], places: Places = _BY_NAME) -> bool:
    """Whether an SLO makes sense.  If not, what is wrong is told, where the file has it."""
    try:
        SLO.model_validate(slo)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            place = ".".join(str(step) for step in problem["loc"])
            key = place.partition(".")[0]
            why = problem["msg"].removeprefix("Value error, ")
            if key in places:
                places[key][0].blame(places[key][1], why)
            elif part.has(key):
                part.blame(key, why)
            else:
                part.blame(None, f"SLO {slo.get('name', '')!r}: {place}{': ' * bool(place)}{why}")
        return False
    return True


def judged_by(
    found: Import,
    part: Part,
    name: str,
    choices: Choices,
    *,
    total: str,
    good: str | None = None,
    bad: str | None = None,
) -> dict[str, Any] | None:
    """What queries mean, by what they say or by the mapping that was given; None when neither tells, which is told."""
    if name in choices.mappings:
        return found.map(name, choices)
    try:
        return recognise(total, good=good, bad=bad, known=choices.known)
    except Unrecognised as why:
        ask(found, part, name, good or bad or "", str(why))
        return None


def ask(found: Import, part: Part, name: str, query: str, why: str) -> None:
    """Tell that an SLO asks for a mapping, and how one is given."""
    shown = " ".join(query.split())
    found.unmapped.append(
        f"{part.place}: SLO {name!r} is left out: its query {why}: {shown[:200]}\n"
        f"  say what it means: --map '{name}={{latency: {{threshold: 2.5s}}}}', or availability, job_success, …"
    )
