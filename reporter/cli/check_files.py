"""`reporter check PATH…`: what is wrong with files, or that nothing is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from reporter.check import complaints_of
from reporter.check.found import complaints, find
from reporter.check.place import Complaint
from reporter.cli import terminal
from reporter.cli.root import Context
from reporter.config import load_config
from reporter.errors import ConfigError
from reporter.formats.kinds import kind_of
from reporter.formats.model import Choices

_MOST_LEFT_OUT = 10  # that are named


def check_files(context: Context, paths: Sequence[Path], form: str) -> None:
    """Tell of the files; exit 2 if something is wrong, 1 if all is fine but an SLO asks for a mapping."""
    found = find(paths)
    wrong = list(found.unreadable)
    if found.read:
        wrong += complaints_of(found.read, tuple(context.config.pushgateway.grouping), all_read=not wrong)
    files: list[dict[str, Any]] = [
        {"file": file.sheet.name, "kind": file.kind.name, "counts": file.kind.counts(file.root)} for file in found.read
    ]
    asks: list[str] = []
    for path in found.settings:
        try:
            file, told = _settings(context, path)
        except ConfigError as error:
            wrong += complaints(error, path)
            continue
        files.append(file)
        asks += told
    wrong.sort()
    blamed = {complaint.file for complaint in wrong}
    if form == "json":
        click.echo(json.dumps(_as_json(files, wrong, found.left_out), indent=2, allow_nan=False))
    else:
        _show([file for file in files if file["file"] not in blamed], wrong, found.left_out)
    for sentence in asks:
        click.echo(f"reporter: {sentence}", err=True)
    if wrong:
        how_many = f"{_counted(len(wrong), 'complaint')} about {_counted(len(blamed), 'file')}"
        click.echo(f"reporter: {how_many} of {len(blamed | {file['file'] for file in files})}", err=True)
    if wrong or asks:
        sys.exit(2 if wrong else 1)


def _settings(context: Context, path: Path) -> tuple[dict[str, Any], list[str]]:
    """(what there is to tell of a file with SLOs, what it asks for).

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    kind = kind_of(path)
    if kind is None:
        return {"file": str(path), "kind": "", "counts": {"SLO": len(load_config(path).slos)}}, []
    name, read = kind
    known = {slo.name: slo for slo in context.config.slos}
    found = read([path], Choices(mappings={}, known=known))
    for sentence in found.findings.warnings:
        click.echo(f"reporter: {sentence}", err=True)
    counts = {"SLO": len(found.unmapped) or len(found.slos)}
    return {"file": str(path), "kind": name, "counts": counts, "asks": bool(found.unmapped)}, list(found.unmapped)


def _as_json(
    files: Sequence[dict[str, Any]], wrong: Sequence[Complaint], left_out: Sequence[tuple[Path, str]]
) -> dict[str, Any]:
    return {
        "files": sorted(files, key=lambda file: str(file["file"])),
        "complaints": [{"file": c.file, "line": c.line or None, "field": c.field, "why": c.why} for c in wrong],
        "left_out": [{"file": str(path), "why": why} for path, why in left_out],
    }


def _show(files: Sequence[dict[str, Any]], wrong: Sequence[Complaint], left_out: Sequence[tuple[Path, str]]) -> None:
    console = terminal.console()
    for file in sorted(files, key=lambda file: str(file["file"])):
        console.print(terminal.shown(_sentence(file)), soft_wrap=True)
    for sentence in _left_out(left_out):
        console.print(terminal.shown(sentence), soft_wrap=True)
    if wrong:
        sys.stdout.flush()
    for complaint in wrong:
        click.echo(terminal.shown(str(complaint)).plain, err=True)


def _sentence(file: dict[str, Any]) -> str:
    counts = ", ".join(_counted(count, what) for what, count in file["counts"].items())
    if file.get("asks"):
        return f"{file['file']}: {file['kind']}; {counts} asks for a mapping"
    return f"{file['file']}: fine; {file['kind']}{', ' * bool(file['kind'])}{counts}"


def _left_out(left_out: Sequence[tuple[Path, str]]) -> Iterator[str]:
    for path, why in left_out[:_MOST_LEFT_OUT]:
        yield f"{path}: left out; {why}"
    if len(left_out) > _MOST_LEFT_OUT:
        yield f"and {_counted(len(left_out) - _MOST_LEFT_OUT, 'file')} more left out; --format json names each"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
