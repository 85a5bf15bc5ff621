"""SLI kinds: which calls are good, bad, or no matter of the SLO."""

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import text

from reporter.schema import create_statements
from reporter.slo import SLO
from reporter.slo.indicators import CALL_KINDS
from reporter.store import open_store

SECOND = 10**9


@dataclass(frozen=True, kw_only=True)
class Call:
    status: str = "success"
    error_type: str | None = None
    duration_ns: int | None = SECOND
    ttft_ns: int | None = None
    output_tokens: int | None = None
    cost_nanousd: int | None = None
    stream: int | None = None


def slo(sli: Any, **more: Any) -> SLO:
    return SLO.model_validate({"name": "a", "sli": sli, "objective": 99, **more})


AVAILABILITY = "availability"
LATENCY = {"latency": {"threshold": "2.5s"}}
TTFT = {"time_to_first_token": {"threshold": "500ms"}}
THROUGHPUT = {"throughput": {"min_tokens_per_second": 30}}
COST = {"cost": {"max_usd": "0.05"}}

STATUSES = ["success", "error", "timeout", "cancelled", "abandoned", "lost"]


@pytest.mark.parametrize(
    ("sli", "call", "judgement"),
    [
        (AVAILABILITY, Call(), True),
        (AVAILABILITY, Call(duration_ns=None), True),
        (LATENCY, Call(duration_ns=2_500_000_000), True),
        (LATENCY, Call(duration_ns=2_500_000_001), False),
        (LATENCY, Call(duration_ns=None), False),
        (LATENCY, Call(status="error", duration_ns=1), False),
        (LATENCY, Call(status="lost", duration_ns=None), False),
        (TTFT, Call(stream=1, ttft_ns=500_000_000), True),
        (TTFT, Call(ttft_ns=500_000_000), True),
        (TTFT, Call(stream=1, ttft_ns=500_000_001), False),
        (TTFT, Call(stream=1), False),
        (TTFT, Call(), None),
        (TTFT, Call(stream=0), None),
        (TTFT, Call(stream=0, status="error"), None),
        (TTFT, Call(status="timeout"), False),
        (TTFT, Call(status="lost", duration_ns=None), False),
        (THROUGHPUT, Call(output_tokens=30), True),
        (THROUGHPUT, Call(output_tokens=29), False),
        (THROUGHPUT, Call(output_tokens=31, duration_ns=2 * SECOND, ttft_ns=SECOND, stream=1), True),
        (THROUGHPUT, Call(output_tokens=30, duration_ns=2 * SECOND, ttft_ns=SECOND, stream=1), False),
        (THROUGHPUT, Call(output_tokens=100, duration_ns=SECOND, ttft_ns=SECOND, stream=1), True),
        (THROUGHPUT, Call(output_tokens=None), None),
        (THROUGHPUT, Call(output_tokens=0), None),
        (THROUGHPUT, Call(output_tokens=9, duration_ns=None), False),
        (THROUGHPUT, Call(output_tokens=900, status="error"), False),
        (COST, Call(cost_nanousd=50_000_000), True),
        (COST, Call(cost_nanousd=50_000_001), False),
        (COST, Call(cost_nanousd=None), None),
        (COST, Call(cost_nanousd=0, status="error"), False),
    ],
)
def test_a_call_is_judged_at_the_boundary_and_by_what_is_missing(sli: Any, call: Call, judgement: bool | None) -> None:
    assert slo(sli).judge(call) is judgement


@pytest.mark.parametrize("sli", [AVAILABILITY, LATENCY, TTFT, THROUGHPUT, COST])
def test_a_lost_call_is_bad_for_every_kind(sli: Any) -> None:
    assert slo(sli).judge(Call(status="lost", duration_ns=None)) is False


@pytest.mark.parametrize("status", STATUSES[1:])
def test_whatever_is_not_a_success_is_unavailable(status: str) -> None:
    assert slo(AVAILABILITY).judge(Call(status=status)) is False


def test_excluded_error_types_are_out_whatever_the_kind_says() -> None:
    excluding = slo(LATENCY, exclude_error_types=["400", 422, "400"])
    assert excluding.exclude_error_types == ("400", "422")
    assert excluding.judge(Call(status="error", error_type="422")) is None
    assert excluding.judge(Call(status="error", error_type="429")) is False
    assert excluding.judge(Call(status="error", error_type=None)) is False


lengths = st.none() | st.integers(0, 3 * SECOND) | st.integers(0, 7 * 86_400 * SECOND)
calls = st.builds(
    Call,
    status=st.sampled_from(STATUSES),
    error_type=st.sampled_from([None, "400", "it's", "429"]),
    duration_ns=lengths,
    ttft_ns=lengths,
    output_tokens=st.none() | st.integers(0, 200) | st.integers(0, 2**40),
    cost_nanousd=st.none() | st.integers(0, 10**15),
    stream=st.none() | st.integers(0, 1),
)
thresholds = st.integers(1, 3 * SECOND).map(lambda length: f"{length}ns")
slis = st.one_of(
    st.just(AVAILABILITY),
    st.builds(lambda threshold: {"latency": {"threshold": threshold}}, thresholds),
    st.builds(lambda threshold: {"time_to_first_token": {"threshold": threshold}}, thresholds),
    st.builds(
        lambda rate: {"throughput": {"min_tokens_per_second": rate}},
        st.decimals("0.001", 1_000_000, places=3) | st.integers(1, 100),
    ),
    st.builds(lambda usd: {"cost": {"max_usd": usd}}, st.decimals("0.000000001", 1_000_000, places=9)),
)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in create_statements("sqlite"):
        connection.execute(statement)
    yield connection
    connection.close()


@given(sli=slis, call=calls, excluded=st.sampled_from([[], ["400"], ["it's", "400"]]))
def test_sql_judges_a_row_as_python_judges_a_call(
    database: sqlite3.Connection, sli: Any, call: Call, excluded: list[str]
) -> None:
    spec = slo(sli, exclude_error_types=excluded)
    row = {"call_id": "c", "ended_at_ns": 0, "operation": "chat", **vars(call)}
    database.execute("BEGIN")
    try:
        names = ", ".join(row)
        database.execute(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        good, counted = spec.sql("sqlite")
        [answer] = database.execute(f"SELECT {good}, {counted} FROM calls").fetchall()
    finally:
        database.execute("ROLLBACK")
    assert answer == {True: (1, 1), False: (0, 1), None: (0, 0)}[spec.judge(call)]


def test_both_databases_judge_every_combination_of_boundaries_and_nulls(database_url: str) -> None:
    rows = [
        Call(status=status, error_type=error_type, duration_ns=length, ttft_ns=ttft, output_tokens=tokens,
             cost_nanousd=cost, stream=stream)
        for (status, error_type), length, ttft, (tokens, cost), stream in itertools.product(
            [("success", None), ("error", "400"), ("error", "it's"), ("error", "Net::%s\\:a é"), ("lost", None)],
            [None, 0, 2_500_000_000, 2_500_000_001, 7 * 86_400 * SECOND],
            [None, 0, 500_000_000, 500_000_001],
            [(None, None), (0, 0), (1, 50_000_000), (76, 50_000_001), (2**40, 10**15)],
            [None, 0, 1],
        )
    ]  # fmt: skip
    store = open_store(database_url)
    columns = ["call_id", "ended_at_ns", "operation", *vars(rows[0])]
    insert = f"INSERT INTO calls ({', '.join(columns)}) VALUES ({', '.join(':' + column for column in columns)})"
    values = [{"call_id": f"{n:05d}", "ended_at_ns": 0, "operation": "chat", **vars(row)} for n, row in enumerate(rows)]
    with store.write() as connection:
        connection.execute(text(insert), values)
    for sli in (AVAILABILITY, LATENCY, TTFT, THROUGHPUT, COST, {"throughput": {"min_tokens_per_second": 1_000_000}}):
        spec = slo(sli, exclude_error_types=["400", "it's", "Net::%s\\:a é"])
        good, counted = spec.sql(database_url.partition(":")[0])
        query = f"SELECT CAST({good} AS INTEGER), CAST({counted} AS INTEGER) FROM calls ORDER BY call_id"
        with store.read() as connection:
            answers = [tuple(answer) for answer in connection.exec_driver_sql(query)]
            assert answers == [tuple(answer) for answer in connection.execute(text(query))]
        assert answers == [{True: (1, 1), False: (0, 1), None: (0, 0)}[spec.judge(row)] for row in rows]


@given(call=calls, rate=st.decimals("0.001", 1_000_000, places=3))
def test_throughput_is_the_plain_division_in_exact_arithmetic(call: Call, rate: Decimal) -> None:
    tokens, length = call.output_tokens, call.duration_ns
    if call.status == "success" and tokens and length:
        streamed = call.ttft_ns is not None and call.ttft_ns < length and tokens > 1
        speed = Fraction(tokens - 1, length - (call.ttft_ns or 0)) if streamed else Fraction(tokens, length)
        assert slo({"throughput": {"min_tokens_per_second": rate}}).judge(call) is (speed * SECOND >= Fraction(rate))


@pytest.mark.parametrize("written", ["availability", {"availability": {}}, {"availability": None}])
def test_availability_is_written_with_or_without_braces(written: Any) -> None:
    assert slo(written) == slo(AVAILABILITY)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("latncy", "did you mean latency"),
        ({"latency": {"threshold": "2s"}, "cost": {}}, "must be one kind"),
        ({"latency": "2s"}, "takes a mapping"),
        ({"latency": {"threshold": 2.5}}, "with its unit"),
        ({"latency": {"threshold": "0s"}}, "longer than 0"),
        ({"throughput": {"min_tokens_per_second": "0.0001"}}, "three decimals"),
        ({"throughput": {"min_tokens_per_second": True}}, "must be a number"),
        ({"cost": {"max_usd": -1}}, "above 0"),
        ({"cost": {"max_usd": "1e-10"}}, "nine decimals"),
        ({"cost": {"max_usd": ".inf"}}, "must be a number"),
        ({"availability": {"kind": "cost"}}, "no key 'kind'"),
        (3, "must be one kind"),
    ],
)
def test_a_senseless_sli_is_refused_with_the_remedy(written: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        slo(written)


def test_every_kind_describes_itself_on_one_line() -> None:
    written = [AVAILABILITY, LATENCY, TTFT, THROUGHPUT, COST]
    assert [slo(sli).sli.describe() for sli in written] == [
        "availability",
        "latency <= 2.5s",
        "time to first token <= 500ms",
        "throughput >= 30 tokens/s",
        "cost <= $0.05",
    ]
    assert len(CALL_KINDS) == len(written)
