"""Generated files, and what is said of them after a change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from reporter.check import Complaint, complaints_of, read
from tests.cli.console import run

KINDS = {
    "prometheus": (
        "reporter.rules.yml",
        "reporter.rules.test.yml",
        "reporter-from-counters.rules.yml",
        "prometheus.yml",
    ),
    "alertmanager": ("alertmanager.yml",),
    "grafana": ("alerting/reporter.yaml", "datasources/reporter.yaml", "dashboards/reporter.yaml"),
}


def generate(directory: Path, document: str, *options: str) -> Path:
    """All that `reporter generate` writes of this reporter.yaml, in the directory `out`."""
    (directory / "reporter.yaml").write_text(document)
    for kind in KINDS:
        more = ["--from-counters"] if kind == "prometheus" else []
        done = run(directory, "generate", kind, "-o", "out", *more, *(options if kind != "alertmanager" else ()))
        assert done.returncode == 0, done.stderr
    return directory / "out"


def texts_in(out: Path) -> dict[str, str]:
    """The files of a directory, by the names they have there."""
    return {str(file.relative_to(out)): file.read_text() for file in sorted(out.rglob("*")) if file.is_file()}


_read = cache(read)  # of many changes each is of one file


def complaints(texts: dict[str, str], grouping: Sequence[str] = ("job",)) -> list[Complaint]:
    files = [_read(text, name) for name, text in texts.items()]
    known = [file for file in files if file is not None]
    assert len(known) == len(files)
    return complaints_of(known, grouping)


def changed(text: str, pattern: str, instead: str) -> tuple[str, int]:
    """The text with the first that matches replaced, and the line on which the new begins."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found, f"no {pattern}"
    new = found.expand(instead)
    at = found.start() + next((i for i, (a, b) in enumerate(zip(found[0], new, strict=False)) if a != b), 0)
    return text[: found.start()] + new + text[found.end() :], text.count("\n", 0, at) + 1
