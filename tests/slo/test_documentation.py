"""docs/slo.md says what the program computes."""

import doctest
import re
from pathlib import Path

import pytest

from reporter.config import parse_config
from reporter.slo import SLO

PAGE = Path(__file__).parents[2] / "docs" / "slo.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_worked_examples_of_the_page_are_true() -> None:
    outcome = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert (outcome.failed, outcome.attempted > 10) == (0, True)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_yaml_of_the_page_loads(block: str) -> None:
    assert parse_config(block, "docs/slo.md", {"HOME": "/home/x"}).unsupported == ()


def test_the_two_spellings_of_a_tier_are_one_slo() -> None:
    short, long = parse_config(BLOCKS[0], "docs/slo.md", {"HOME": "/home/x"}).slos
    assert short.model_copy(update={"name": long.name}) == long


@pytest.mark.parametrize("period", ["28d", "30d"])
def test_the_table_of_factors_is_computed(period: str) -> None:
    slo = SLO.model_validate({"name": "a", "sli": "availability", "objective": 99.9, "period": period})
    rows = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| page |", "| ticket |"))
    ]
    column = {"30d": -3, "28d": -2}[period]
    assert [float(row.split("|")[column]) for row in rows] == [round(float(pair.factor), 3) for pair in slo.pairs]
