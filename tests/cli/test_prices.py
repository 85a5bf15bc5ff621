"""`reporter prices explain` says what a model costs and who says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.console import run

OWN = 'prices:\n  - {model: "llama-*", provider: in-house, input: 0.2, output: 0.6}\n'


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.rsplit(None, 1)] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["gpt-4o", "--on", "2026-11-01"],
            [["input", "2.5"], ["read from a cache", "1.25"], ["output, reasoning too", "10"]],
        ),
        (
            ["gpt-4o", "--on", "2026-11-01", "--price-class", "batch"],
            [["input", "1.25"], ["output, reasoning too", "5"]],
        ),
        (
            ["claude-sonnet-4-5", "--provider", "anthropic", "--on", "2026-11-01"],
            [
                ["input", "3"],
                ["written for an hour", "6"],
                ["Long requests cost more: 6 for input when there is a million of", "it."],
            ],
        ),
        (["text-embedding-3-small"], [["input", "0.02"]]),  # the same with each who sells it
        (["models/gemini-2.5-flash", "--provider", "google", "--price-class", "standard"], [["input", "0.3"]]),
        (["llama-70b", "--provider", "in-house"], [["input", "0.2"], ["So says reporter.yaml, under", "prices."]]),
    ],
)
def test_a_price_is_told_with_its_source(tmp_path: Path, arguments: list[str], told: list[list[str]]) -> None:
    (tmp_path / "reporter.yaml").write_text(OWN)
    done = run(tmp_path, "prices", "explain", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in told if line not in cells(done.stdout)] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gpt-4oo"], "There are gpt-4o"),
        (["moonshotai/kimi-k3"], "say --provider, and provider= where calls are recorded"),
        (["gpt-4o", "--provider", "groq"], "nobody names a price of it of groq's"),
        (["gpt-4o", "--price-class", "flex"], "nobody names a price of it as flex"),
        (["llama-70b", "--provider", "elsewhere"], "`prices:` in reporter.yaml gives it one"),
    ],
)
def test_no_price_is_told_with_what_to_do(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "reporter.yaml").write_text(OWN)
    done = run(tmp_path, "prices", "explain", *arguments)
    assert (done.returncode, done.stderr) == (1, "")
    assert says in done.stdout


def test_a_day_that_is_none_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "prices", "explain", "gpt-4o", "--on", "Friday")
    assert (done.returncode, done.stderr) == (2, "reporter: --on 'Friday': must be a day like 2026-11-01\n")


def test_a_class_that_nothing_is_sold_in_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "prices", "explain", "gpt-4o", "--price-class", "flexx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "reporter: --price-class flexx: nothing is sold in that class; did you mean flex?\n"
