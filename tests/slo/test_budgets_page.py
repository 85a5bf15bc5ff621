"""docs/budgets.md says what the program computes."""

import doctest
import re
from pathlib import Path

from reporter.config import parse_config

PAGE = Path(__file__).parents[2] / "docs" / "budgets.md"


def test_the_worked_examples_of_the_page_are_true() -> None:
    outcome = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert (outcome.failed, outcome.attempted > 10) == (0, True)


def test_the_yaml_of_the_page_loads() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    config = parse_config(block, "docs/budgets.md", {"HOME": "/home/x"})
    assert (len(config.budgets), config.unsupported) == (2, ())


def test_the_yaml_of_the_example_file_loads() -> None:
    """It is commented out there."""
    text = (PAGE.parents[1] / "examples" / "reporter.yaml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^# (budgets:.*\n(?:#   - .*\n)+)", text, re.MULTILINE)
    assert len(parse_config(block.replace("\n# ", "\n"), "example", {"HOME": "/home/x"}).budgets) == 2
