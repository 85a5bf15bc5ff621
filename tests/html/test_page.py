"""`reporter html`: its numbers are the report's, its file is whole, and hostile names are names."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reporter import cycle, exclusions
from reporter.cost import read_costs
from reporter.html.charts import capped_scale
from reporter.html.history import Page, read_page
from reporter.html.page import render
from reporter.store import open_store
from tests.cli.console import run
from tests.html.browser import Browser
from tests.publish.pushing import calls, written
from tests.report.test_explain import explained, settled
from tests.report.test_slo_methods import AS_OF, DAY, MINUTE_NS

HOSTILE = (
    "<script>window.owned = 1</script>",
    '"><img src=//evil.example/x onerror="window.owned = 2">',
    "'></title></style></svg><svg onload=window.owned=3>",
    "</td></table><h1>\u202eowned\u2066 &lt;b&gt; &amp;",
    "javascript:window.owned=4" + "x" * 150,
)
SIZES = {"desk": (1280, 900, False), "tablet": (820, 1100, True), "phone": (390, 844, False)}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_past_is_what_a_report_of_then_says_for_every_kind_of_slo(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    store = open_store(database_url)
    config, _, _ = settled(store, tmp_path, seed)
    page = made_page(database_url, config, 3 * DAY)

    ends = {step.end_ns for steps in page.steps.values() for step in steps}
    assert 60 < len(ends) <= 96
    for end_ns in [*random.Random(seed).sample(sorted(ends), 5), max(ends)]:
        then = {slo.slo: slo for slo in cycle.make_report(store, config, end_ns, folded=True).slos}
        for name, steps in page.steps.items():
            [step] = [step for step in steps if step.end_ns == end_ns]
            assert step.remaining_ratio == then[name].remaining_ratio, (name, end_ns)
    now = {slo.slo: slo for slo in cycle.make_report(store, config, AS_OF * MINUTE_NS, folded=True).slos}
    for name in ("calls", "quick", "runs", "fresh"):  # of time slices some begin before a step does
        assert sum(step.bad for step in page.steps[name]) == now[name].windows["3d"].bad, name
    store.engine.dispose()


def test_days_are_those_of_the_cost(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    config, _, _ = settled(store, tmp_path, 3)
    told = [
        {"operation": "chat", "model": model, "provider": provider, "ended_at_ns": (AS_OF - back) * MINUTE_NS - 5,
         "input_tokens": 1000, "output_tokens": 10, "duration_seconds": 2, "call_id": f"d-{back}-{model}"}
        for back in (1, 700, 3000, 4000) for model, provider in (("gpt-4o", "openai"), ("nobody-sells-it", "x"))
    ]  # fmt: skip
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    assert run(tmp_path, "--database", database_url, "ingest", "more.jsonl").returncode == 0
    cycle.report(store, config, AS_OF * MINUTE_NS)
    page = made_page(database_url, config, 3 * DAY)

    with store.read() as connection:
        costs = read_costs(connection, ("day", "model"), as_of_ns=AS_OF * MINUTE_NS, length_ns=3 * DAY * MINUTE_NS)
    priced = {(row.values["day"], row.values["model"]): row.window for row in costs.rows}
    assert priced == {(one.day, one.model): one.window for one in page.days if one.model}
    assert len(priced) == 6
    assert "nobody-sells-it (without a price)" in render(page, "x")
    store.engine.dispose()


def test_what_burned_the_budget_is_what_explain_says(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    config, _, _ = settled(store, tmp_path, 3)
    page = made_page(database_url, config, 3 * DAY)

    for name in ("calls", "quick", "runs"):
        explained_, burned = explained(store, config, name), page.burned[name]
        assert burned.bad == explained_.bad == sum(share.bad for share in explained_.by["status"])
        for by in burned.by:
            if by != "error_type":  # where a bad call has none, its status says what happened
                assert sorted(burned.by[by], key=repr)[:2] == sorted(explained_.by[by], key=repr)[:2] or len(
                    {share.bad for share in burned.by[by]}
                ) < len(burned.by[by])
                assert sum(share.bad for share in burned.by[by]) == sum(share.bad for share in explained_.by[by])
        assert not {"", "success"} & {share.value for share in burned.by["error_type"]}
    assert "too slow" in {share.value for share in page.burned["quick"].by["error_type"]}
    assert "fresh" not in page.burned
    assert "What burned it: " in render(page, "x")
    store.engine.dispose()


def test_a_spike_is_cut_off_and_said_to_be(tmp_path: Path) -> None:
    facts = [
        call
        for hours_ago in range(1, 90)
        for call in [
            *calls(20, seconds_ago=hours_ago * 3600),
            *calls(
                20 if hours_ago == 40 else hours_ago % 2,
                seconds_ago=hours_ago * 3600 + 60,
                status="error",
                error_type="429",
            ),
        ]
    ]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", "http://localhost:1",
            slo="{name: up, sli: availability, objective: 99.9, period: 30d}")  # fmt: skip
    assert run(tmp_path, "ingest", "facts.jsonl").returncode == 0

    page = run(tmp_path, "html", "--since", "4d").stdout

    told = re.search(r"1 step is cut off at (\d+), the highest is (\d+)", page)
    assert told is not None
    cap, highest = int(told[1]), int(told[2])
    assert 47 < cap < highest / 3
    assert page.count('class="cut"') == 1
    assert f"burn rate {highest}<" in page  # to whom points there
    assert "error <bdi>429</bdi> (100\N{NO-BREAK SPACE}%)" in page


@pytest.mark.parametrize(
    ("values", "high"),
    [
        ([], 2),
        ([0.0, 0.5], 2),
        ([1.0] * 20 + [500.0], 2),  # a spike
        ([1.0] * 20 + [4.0], 4),  # not worth a cut
        ([1.0] * 20 + [100.0] * 5, 100),  # an outage that lasted
    ],
)
def test_a_scale_is_capped_where_a_few_values_would_flatten_the_rest(values: list[float], high: float) -> None:
    assert capped_scale(values, least=2.0).high == high


def made_page(database_url: str, config: cycle.Config, minutes: int) -> Page:
    store = open_store(database_url)
    made = cycle.make_report(store, config, AS_OF * MINUTE_NS, folded=True)
    with store.read() as connection:
        page = read_page(
            connection, made, config.slos, exclusions.in_force(connection, config), (AS_OF - minutes) * MINUTE_NS
        )
    store.engine.dispose()
    return page


class Elements(HTMLParser):
    """The elements of a page, and where each one's text and attributes are."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.texts: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "an element is closed that is not the one that was opened last"

    def handle_data(self, data: str) -> None:
        self.texts.add(data)


@pytest.fixture
def hostile(database_url: str, tmp_path: Path) -> Path:
    """A directory with the page of a database in which every name is hostile."""
    now_ns = time.time_ns()
    facts = [
        call
        for number, name in enumerate(HOSTILE)
        for back in (60, 90_000, 200_000)
        for call in calls(
            5, seconds_ago=back + number, operation=name, model=name, provider=name, batch_job=name, error_type=name,
            status="error" if number % 2 else "success", run_id=f"run{name[:60]}", cost_usd="0.25", ttft_ns=10**8,
        )
    ]  # fmt: skip
    facts += [
        {"kind": "run", "run_id": f"run{name[:60]}", "batch_job": name, "status": "failed", "error_type": name, "exit_code": 3,
         "started_at_ns": now_ns - 10**11, "ended_at_ns": now_ns - 10**10, "duration_ns": 9 * 10**10, "items": 4}
        for name in HOSTILE
    ]  # fmt: skip
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    slos = [
        {"name": "chat-available", "sli": "availability", "objective": 99, "where": {"operation": "<script>*"}},
        {"name": "all", "service": HOSTILE[0], "sli": "availability", "objective": 50},
        {"name": "of-nothing", "sli": "availability", "objective": 99, "where": {"operation": "nothing"}},
    ]
    settings = {
        "database": database_url, "slos": slos,
        "budgets": [{"name": "month", "usd": 1, "period": "30d"}],
        "exclusions": [
            {"from": "2026-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z", "slos": ["of-*"], "reason": HOSTILE[2]}
        ],
    }  # fmt: skip
    (tmp_path / "reporter.yaml").write_text(json.dumps(settings))
    spool = {"REPORTER_SPOOL_DIR": str(tmp_path / "spool")}
    assert run(tmp_path, "ingest", "facts.jsonl", **spool).returncode == 0
    done = run(tmp_path, "html", "-o", "report.html", "--title", HOSTILE[1], **spool)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "reporter: wrote report.html\n")
    return tmp_path


def test_hostile_names_are_names(hostile: Path) -> None:
    page = Elements((hostile / "report.html").read_text())

    assert page.open == []
    assert not page.names & {"script", "img", "iframe", "object", "embed", "form", "input", "base", "foreignobject"}
    assert not [name for name in page.attributes if name.startswith("on") or name in ("src", "style", "srcdoc")]
    for name in HOSTILE:
        assert name.replace("\u202e", "\ufffd").replace("\u2066", "\ufffd") in page.texts


def test_it_names_nothing_to_load_and_forbids_it(hostile: Path) -> None:
    page = (hostile / "report.html").read_text()

    assert set(re.findall(r'(?:href|src)="([^"#]*)', page)) <= {"", "data:,"}
    assert not re.search(r"url\(|@import", page)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")
    assert "unsafe" not in policy[1]


def test_a_database_without_anything_still_has_a_page(database_url: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--database", database_url, "html", "--since", "2026-01-01")

    assert (done.returncode, done.stderr) == (0, "")
    page = Elements(done.stdout)
    assert page.open == []
    assert "No job has run yet." in page.texts


def test_an_old_page_stays_whole_until_the_new_one_is(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")

    refused = run(tmp_path, "html", "-o", "nowhere/report.html")
    written = run(tmp_path, "html", "-o", "report.html")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "reporter: --output nowhere/report.html: can't be written: No such file or directory\n"
    assert written.returncode == 0
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".report")] == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: it takes seconds to start."""
    browser = Browser()
    try:
        yield browser
    finally:
        browser.stop()


def test_a_browser_runs_nothing_asks_for_nothing_and_shows_all_of_it(hostile: Path, browser: Browser) -> None:
    url = (hostile / "report.html").as_uri()
    browser.resize(1280, 900)
    browser.open(url)

    assert browser.value("window.owned === undefined && document.scripts.length === 0")
    assert (
        browser.value("getComputedStyle(document.querySelector('.card')).borderTopStyle") == "solid"
    )  # the policy lets it
    assert browser.value("[...document.querySelectorAll('h1,h2,h3')].map(one => one.tagName[1]).join('')").startswith(
        "123"
    )
    assert browser.value("[...document.querySelectorAll('svg[role=img]')].every(one => one.getAttribute('aria-label'))")
    assert browser.value(
        "[...document.querySelectorAll('table')].every(one => one.caption && one.tHead.rows.length == 1)"
    )
    for name, (width, height, dark) in SIZES.items():
        browser.resize(width, height, dark=dark)
        browser.picture(hostile / f"{name}.png")
        assert browser.value("document.documentElement.scrollWidth") <= width, name
        assert (hostile / f"{name}.png").stat().st_size > 20_000
    browser.resize(794, 1123, paper=True)
    assert browser.value("document.documentElement.scrollWidth") <= 794
    browser.resize(1280, 900)
    assert [message["request"]["url"] for message in browser.told("Network.requestWillBeSent")] == [url]
    for event in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert browser.told(event) == []
