"""Prices agree with the catalogue's own arithmetic to the nano-dollar."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporter.pricing import UNKNOWN, PriceList, Usage

AT_NS = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 10**9
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-1"),
    ("google", "gemini-2.5-pro"),
    ("openai", "text-embedding-3-small"),
    ("openai", "o3"),  # costs a fifth since a day
    ("openai", "gpt-5"),
    ("deepseek", "deepseek-chat"),  # cost less at night
    ("mistral", "mistral-large-latest"),
    ("x-ai", "grok-4"),
    ("groq", "llama-3.3-70b-versatile"),
    ("google", "gemini-2.5-flash"),
]
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
) | st.sampled_from(
    [
        datetime.fromtimestamp(AT_NS // 10**9, UTC),
        datetime(2025, 6, 10, tzinfo=UTC),
        datetime(2025, 9, 5, 16, 0, tzinfo=UTC),
    ]
)


PRICES = PriceList()
CLASSES = [  # model, class, and what the library has to be told of it
    ("openai", "gpt-4o", "batch", {"processing": "batch"}),
    ("openai", "gpt-4.1", "batch", {"processing": "batch"}),  # which leaves cached tokens at their price
    ("openai", "gpt-4.1", "priority", {"service_tier": "priority"}),
    ("openai", "gpt-5", "flex", {"service_tier": "flex"}),
    ("openai", "gpt-5", "default", {"service_tier": "default"}),
    ("anthropic", "claude-sonnet-4-5", "batch", {"processing": "batch"}),
    ("anthropic", "claude-sonnet-4-5", "standard", None),
    ("google", "gemini-2.5-pro", "batch", {"processing": "batch"}),
    ("openai", "gpt-4o", None, None),
]


def by_the_library(
    provider: str, model: str, usage: Usage, context: dict[str, str] | None = None, at: datetime | None = None
) -> int:
    told = {name: value for name, value in usage._asdict().items() if value is not None}
    price = genai_prices.calc_price(
        genai_prices.Usage(**told),
        model,
        provider_id=provider,
        genai_request_timestamp=at or datetime.fromtimestamp(AT_NS // 10**9, UTC),
        price_context=context,
    )
    return int((price.total_price * 10**9).to_integral_value(ROUND_HALF_EVEN))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(MODELS),
    MOMENTS,
    st.sampled_from([0, 1, 1999, 199_999, 200_000, 200_001, 1_000_000]) | st.integers(0, 500_000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 50_000),
)
def test_a_price_agrees_with_the_library_to_the_nano_dollar(
    sold: tuple[str, str], at: datetime, tokens: int, read: float, write: float, output: int
) -> None:
    provider, model = sold
    cache_read = int(tokens * read)
    cache_write = int((tokens - cache_read) * write)
    if "claude" not in model:
        cache_write = 0  # the others have no price of their own for writing a cache
    usage = Usage(tokens, cache_read, cache_write, cache_write // 2, output)
    told = PRICES.price(provider, model, int(at.timestamp()) * 10**9, usage)
    assert told.nanousd == by_the_library(provider, model, usage, at=at)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(CLASSES),
    st.sampled_from([0, 1, 200_001]) | st.integers(0, 500_000),
    st.floats(0, 1),
    st.integers(0, 9_999),
)
def test_a_class_has_the_librarys_price_of_it(
    sold: tuple[str, str, str | None, dict[str, str] | None], tokens: int, read: float, output: int
) -> None:
    provider, model, price_class, context = sold
    usage = Usage(tokens, int(tokens * read), None, None, output)
    told = PriceList().price(provider, model, AT_NS, usage, price_class)
    assert told.nanousd == by_the_library(provider, model, usage, context)


def test_a_batch_costs_half() -> None:
    usage = Usage(1_000_000, None, None, None, 1_000_000)
    standard, batch = (PriceList().price("openai", "gpt-4o", AT_NS, usage, name).nanousd for name in (None, "batch"))
    assert (standard, batch) == (12_500_000_000, 6_250_000_000)


@pytest.mark.parametrize(
    ("provider", "model", "price_class"),
    [
        ("openai", "gpt-4o", "flex"),  # not sold so
        ("openai", "gpt-4o", "scale"),
        ("anthropic", "claude-sonnet-4-5", "priority"),  # agreed on with each customer
        ("openai", "gpt-4o", "Batch"),
    ],
)
def test_a_class_without_a_price_is_not_priced_as_standard(provider: str, model: str, price_class: str) -> None:
    assert PriceList().price(provider, model, AT_NS, Usage(1, None, None, None, 1), price_class) == UNKNOWN


@pytest.mark.parametrize(
    ("provider", "model", "price_class", "day", "nanousd"),
    [
        ("openai", "gpt-4o", "batch", (2025, 11, 1), 1_750_000),  # half of 3,500,000
        ("anthropic", "claude-sonnet-4-5", "batch", (2025, 11, 1), 2_250_000),
        ("google", "gemini-2.5-flash", "batch", (2025, 11, 1), 275_000),
        ("openai", "o3", "flex", (2025, 11, 1), 1_400_000),
        ("openai", "o3", "batch", (2025, 4, 20), None),  # o3 cost five times as much then
        ("openai", "gpt-4o", "flex", (2025, 11, 1), None),
    ],
)
def test_a_class_sold_before_the_catalogue_has_it_costs_what_it_later_does_while_the_standard_price_is_the_same(
    provider: str, model: str, price_class: str, day: tuple[int, int, int], nanousd: int | None
) -> None:
    at_ns = int(datetime(*day, 12, tzinfo=UTC).timestamp()) * 10**9
    assert PriceList().price(provider, model, at_ns, Usage(1000, None, None, None, 100), price_class).nanousd == nanousd


def test_a_price_computed_by_hand() -> None:
    usage = Usage(1_000, 400, None, None, 100)  # 600 × 2.50 + 400 × 1.25 + 100 × 10.00 USD a million
    assert PriceList().price("openai", "gpt-4o", AT_NS, usage).nanousd == 3_000_000


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        (None, "a-model-nobody-sells", Usage(1, None, None, None, 1)),
        ("nobody", "gpt-4o", Usage(1, None, None, None, 1)),
        ("openai", "gpt-4o", Usage(None, None, None, None, None)),
        ("openai", "gpt-4o", Usage(10, 11, None, None, 1)),
    ],
)
def test_what_is_not_known_has_no_price_rather_than_a_wrong_one(provider: str | None, model: str, usage: Usage) -> None:
    assert PriceList().price(provider, model, AT_NS, usage) == UNKNOWN


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [  # prices of more digits than a nano-dollar has
        ("huggingface_together", "meta-llama/Llama-3.3-70B-Instruct", Usage(1_000_000, None, None, None, 0)),
        ("huggingface_together", "meta-llama/Llama-3.3-70B-Instruct", Usage(120_000_000, None, None, None, 30_000_000)),
        ("perplexity", "sonar-deep-research", Usage(1_000, None, None, None, 10_000, 9_000)),  # reasoning costs another
    ],
)
def test_rare_prices_agree_with_the_library_too(provider: str, model: str, usage: Usage) -> None:
    told = usage._asdict()
    named = {"output_reasoning_tokens": told.pop("reasoning_tokens"), **told}
    price = genai_prices.calc_price(
        genai_prices.Usage(**{name: value for name, value in named.items() if value is not None}),
        model, provider_id=provider, genai_request_timestamp=datetime.fromtimestamp(AT_NS // 10**9, UTC),
    )  # fmt: skip
    exact = int((price.total_price * 10**9).to_integral_value(ROUND_HALF_EVEN))
    assert PriceList().price(provider, model, AT_NS, usage).nanousd == exact


def test_every_price_of_the_catalogue_agrees_with_the_library() -> None:
    prices, wrong = PriceList(), []
    usage = Usage(1_234_567, 200_001, None, None, 76_543, 0)
    for provider, model in prices.catalogue.models():
        told = {"input_tokens": 1_234_567, "cache_read_tokens": 200_001, "output_tokens": 76_543}
        try:
            price = genai_prices.calc_price(
                genai_prices.Usage(**told), model, provider_id=provider,
                genai_request_timestamp=datetime.fromtimestamp(AT_NS // 10**9, UTC),
            )  # fmt: skip
        except LookupError:
            continue
        ours = prices.price(provider, model, AT_NS, usage).nanousd
        if ours != int((price.total_price * 10**9).to_integral_value(ROUND_HALF_EVEN)):
            wrong.append((provider, model, ours, price.total_price))
    assert wrong == []


def test_reasoning_of_which_nobody_told_how_much_has_no_price_where_it_costs_another() -> None:
    usage = Usage(1_000, None, None, None, 10_000)
    assert PriceList().price("perplexity", "sonar-deep-research", AT_NS, usage) == UNKNOWN
