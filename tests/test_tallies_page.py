"""docs/tallies.md says what the program does."""

from __future__ import annotations

import doctest
import random
import re
from pathlib import Path

from benchmarks.history import COLUMNS, calls
from reporter import cycle, fold, minutes, sketch
from reporter.config import parse_config
from reporter.config.model import Retention
from reporter.pricing import PriceList
from reporter.report.windows import by_hour, spans
from reporter.slo.durations import format_duration, parse_duration
from reporter.store import open_store
from reporter.tally import FOLDED, SKETCHES, SUMS, tally
from tests.report.test_every_number import bring_in, config_for, history

PATH = Path(__file__).parents[1] / "docs" / "tallies.md"
PAGE = " ".join(PATH.read_text(encoding="utf-8").split())
HOUR_NS = 3600 * 10**9


def test_the_examples_of_the_page_are_true() -> None:
    outcome = doctest.testfile(str(PATH), module_relative=False, encoding="utf-8")
    assert (outcome.failed, outcome.attempted > 10) == (0, True)


def test_its_table_of_retention_is_the_default() -> None:
    told = dict(re.findall(r"`(calls|minutes|hours|days)`: (\w+)", PAGE))
    kept_ns = {f"{name}_ns": parse_duration(length) for name, length in told.items()}
    assert kept_ns == Retention().model_dump()


def test_its_numbers_are_those_of_the_program() -> None:
    config = parse_config("{}", environ={"HOME": "/"})
    for sentence in (
        f"in batches of {fold.BATCH:,}",
        f"{fold.CHUNK:,} at a time",
        f"the marks of at most {fold.CHUNK:,} calls",
        f"Up to {minutes.MOST_RECORDS} records an hour",
        f"{len(SUMS)} sums and {len(SKETCHES)} sketches",
        f"γ = {sketch.GAMMA}",
        f"{sketch.bins_of([2**63 - 1])[0]:,} bins hold every one",
        f"A reporter holds a lease ({format_duration(config.lease_ns)},",
        f"`report.lost_after` ({format_duration(config.report.lost_after_ns)})",
        f"else after {fold.FoldRules().run_lost_after_ns // (3600 * 10**9)}h",
    ):
        assert sentence in PAGE, sentence


def test_sixty_four_values_are_a_list_and_more_are_counts() -> None:
    assert "Few values (64) are stored as a list" in PAGE
    few, more = sketch.added(None, range(1, 65)), sketch.added(None, range(1, 66))
    assert [(stored or b"")[:1] for stored in (few, more)] == [b"L", b"D"]


def test_the_sketch_of_two_halves_is_the_sketch_of_the_whole() -> None:
    dice = random.Random(2)
    bins = sketch.bins_of([int(dice.lognormvariate(20, 3)) for _ in range(500)])
    for cut in (0, 30, 70, 250, 480, 500):
        for halves in ((bins[:cut], bins[cut:]), (bins[cut:], bins[:cut])):
            merged = sketch.added(sketch.added(None, halves[0]), halves[1])
            assert merged is not None
            assert sketch.decode(merged) == sketch.decode(sketch.added(None, bins) or b"")


def test_a_report_reads_few_rows_of_a_series_whatever_minute_it_is() -> None:
    most = int(re.findall(r"at most (\d+) rows of a series", PAGE)[0])
    lengths = parse_config("{}", environ={"HOME": "/"}).report.windows_ns
    assert len(lengths) == 9
    read = []
    for end in range(29_833_000, 29_833_000 + 1440):
        found = spans(end, lengths)
        whole = sum((span.end - span.first) // span.resolution for span in found if span.resolution > 1)
        read.append(whole + len(by_hour(found)))
    assert max(read) == most


def test_a_blob_of_minutes_takes_the_bytes_a_call_that_it_says() -> None:
    told = re.findall(r"(\d+)(?: bytes a call)? at ([\d,]+)", PAGE[PAGE.index("it takes") : PAGE.index("## Once")])
    hour_ns = 1_790_002_800 * 10**9
    found = []
    for _, an_hour in told:
        count = int(an_hour.replace(",", ""))
        some = (
            dict(zip(COLUMNS, call, strict=True)) for call in calls(count, begin_ns=hour_ns, end_ns=hour_ns + HOUR_NS)
        )
        one_series = {"batch_job": "nightly", "operation": "chat", "provider": "openai", "model": "gpt-4o"}
        (hour,) = tally(
            [tuple({**call, **one_series}.get(name) for name in FOLDED) for call in some], (), PriceList()
        ).hours
        found.append((str(len(minutes.pack_minutes(hour.columns)) // count), an_hour))
    assert found == told
    assert len(told) == 4


def test_marks_and_totals_are_of_the_same_calls(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    bring_in(store, tmp_path / "calls.jsonl", list(history(50, 1)))
    cycle.report(store, config_for(database_url), 1_790_000_040 * 10**9)
    with store.read() as connection:
        marked = connection.exec_driver_sql("SELECT count(*) FROM calls WHERE folded = 1").scalar_one()
        summed = connection.exec_driver_sql("SELECT sum(calls) FROM totals").scalar_one()
    assert marked == summed == 50
