"""What `reporter generate` wrote, ours or edited by hand, read as strictly as it can be; every complaint with file and line.

    found        the files of a directory
    kinds        which kind each is
    place        a value in a file, and complaints of it
    shape        what values may look like
    json_text    JSON that remembers its lines (YAML: reporter.config.document)
    names        the metrics and labels that can be asked for
    labels       those of an expression's result
    promql       expressions
    templates    the texts of alerts
    rules, rule_tests, scrape, alertmanager        Prometheus' files and Alertmanager's
    grafana                                        Grafana's
    whole        what all the files say together

Nothing is opened but the files, and nothing is asked over a network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reporter.check import kinds
from reporter.check.json_text import parse_json
from reporter.check.kinds import Kind
from reporter.check.place import Complaint, Place, Sheet, twice
from reporter.check.whole import Whole, whole_of
from reporter.config.document import GENERATED, parse_documents, read_text
from reporter.config.document import path as written

_LIST = re.compile(r"\ufeff?(?:\s*(?:#[^\n]*|---)?\n)*\s*(?:\[|-\s)")
__all__ = ["Complaint", "Read", "complaints_of", "read", "read_file"]


@dataclass(frozen=True, slots=True)
class Read:
    """A file of a known kind."""

    sheet: Sheet
    kind: Kind
    documents: int = 1  # that it holds: only the first is read, by us and by whoever it is for

    @property
    def root(self) -> Place:
        return self.sheet.root


def read_file(file: Path) -> Read | None:
    """Read a file; None if it is of no kind that is known.

    Raises:
        ConfigError: it can't be read, or is no YAML or JSON.
    """
    return read(read_text(file, GENERATED), str(file))


def read(text: str, name: str) -> Read | None:
    """Read a text; `name` is what messages call it, and a name with .json is of a file that must be JSON.

    Raises:
        ConfigError: it is no YAML or JSON, or breaks a cap.
    """
    if _LIST.match(text):
        return None  # targets of file_sd_configs, say
    documents = [parse_json(text, name)] if name.endswith(".json") else parse_documents(text, name, GENERATED)
    kind = kinds.kind_of(documents[0].data) if documents else None
    return None if kind is None else Read(Sheet(documents[0], text), kind, len(documents))


def complaints_of(
    files: Sequence[Read], grouping: Collection[str] = ("job",), *, all_read: bool = True
) -> list[Complaint]:
    """Everything that is wrong with files, one by one and together; `grouping` are the labels of the gateway's group.

    Where not `all_read`, what no file has may be in one of the others, and is not complained of.
    """

    def roots(kind: Kind) -> list[Place]:
        return [file.root for file in files if file.kind is kind]

    among = whole_of(
        roots(kinds.RULES), roots(kinds.GRAFANA_ALERTS), roots(kinds.DATASOURCES), roots(kinds.DASHBOARD), grouping
    )
    if not all_read:
        among = among.of_some()
    found = [complaint for file in files for complaint in _alone(file, among)]
    found += _together(roots(kinds.GRAFANA_ALERTS), roots(kinds.DATASOURCES), roots(kinds.DASHBOARD))
    return sorted(dict.fromkeys(found))


def _alone(file: Read, among: Whole) -> Iterator[Complaint]:
    for problem in file.sheet.document.problems:
        line = problem.line or file.sheet.document.line(problem.location)
        field = written(problem.location).removesuffix(": ")
        yield Complaint(file=file.sheet.name, line=line, field=field, why=problem.why)
    if file.documents > 1:
        yield file.root.wrong(
            f"holds {file.documents} documents, and only the first is read: put each into a file of its own"
        )
    try:
        yield from file.kind.wrong(file.root, among)
    except RecursionError:
        yield file.root.wrong("something in it is too deep to be read")


def _together(alerts: Sequence[Place], sources: Sequence[Place], boards: Sequence[Place]) -> Iterator[Complaint]:
    """What stands twice, in one file or in several."""
    groups = [group for root in alerts for group in root["groups"].each()]
    rules = [(group, rule) for group in groups for rule in group["rules"].each()]
    uids = (((_org(group), rule["uid"].text), rule["uid"]) for group, rule in rules if rule["uid"].text)
    yield from twice(uids, "another rule has this uid")
    titles = (
        ((_org(group), group["folder"].text, rule["title"].text), rule["title"])
        for group, rule in rules
        if rule["title"].text
    )
    yield from twice(titles, "another rule in this folder has this title")
    names = (
        ((_org(group), group["folder"].text, group["name"].text), group["name"])
        for group in groups
        if group["name"].text
    )
    yield from twice(names, "another group in this folder has this name")
    if len(sources) > 1:
        entries = [source for root in sources for source in root["datasources"].each()]
        yield from twice(
            (((_org(s), s["uid"].text), s["uid"]) for s in entries if s["uid"].text), "another data source has this uid"
        )
    for key in ("uid", "title"):
        yield from twice(
            ((root[key].text, root[key]) for root in boards if root[key].text), f"another dashboard has this {key}"
        )


def _org(entry: Place) -> int:
    return int(entry["orgId"].number() or 1)
