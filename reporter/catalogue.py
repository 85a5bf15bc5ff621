"""The catalogue of prices: genai-prices', as it came with the library, or as a later file has it.

Prices are by provider, model, price class and the moment of the call.  A class (batch, flex, …) that it has no price of is
unknown, never priced as standard.  What is not a list of prices per token, or changes within the day, is left to the
library's own arithmetic, which takes 60–100 µs a call.

The library takes 28 MiB of memory and 130 ms to import, and is imported only when a price is needed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reporter.errors import CatalogueUnreachable, ConfigError
from reporter.rates import Rated, by_token

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, Provider

_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure": "azure",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "gemini": "google",
    "vertex": "google",
}
_STANDARD = ("standard", "default")  # what Anthropic and OpenAI call it in their answers
_CLASS_KEYS = ("processing", "service_tier", "speed")  # what the catalogue's price variants say of a request
_LIBRARY_PRICES = {
    "requests_kcount",
    "output_reasoning_mtok",
}  # prices of what a call always has, in rare catalogues entries
_EPOCH = date(1970, 1, 1)
UPDATE_URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
"""Where genai-prices publishes its catalogue; a test compares it with the library's own address."""
MOST_BYTES = 64 << 20
MOST_SECONDS = 60


class Catalogue:
    """What models cost, by genai-prices: as bundled with it, or as a file has it that `reporter prices update` wrote."""

    def __init__(self, path: Path | None = None) -> None:
        """Nothing is read before the first price is asked for."""
        self._path = path

    @cached_property
    def digest(self) -> str:
        """What changes when the catalogue does."""
        if self._path is None:
            return f"genai-prices {version('genai-prices')}"
        return hashlib.sha256(self._read()).hexdigest()[:32]

    def rated(self, provider_name: str | None, model: str, day: int, price_class: str | None) -> Rated | None:
        """What calls of a day (counted from 1970, UTC) cost; None when nobody sells that model there in that class."""
        found = self._find(provider_name, model)
        if found is None:
            return None
        provider, info = found
        hours = _hours(day)
        context = _context(provider, info, hours, price_class)
        if price_class and context is None and price_class not in _STANDARD:
            return _rated_later(provider, info, hours, price_class)
        hourly = [info.get_prices(hour, context) for hour in hours]
        prices = {key: value for key, value in vars(hourly[0]).items() if value is not None}
        if (
            any(other != hourly[0] for other in hourly[1:])
            or _LIBRARY_PRICES & prices.keys()
            or "input_mtok" not in prices
        ):
            return _by_library(provider, info, context, reasons="output_reasoning_mtok" in prices)
        return by_token(prices)

    def days_of_change(self, provider_name: str | None, model: str) -> set[int]:
        """Days, counted from 1970, on which the price of a model may change."""
        found = self._find(provider_name, model)
        if found is None:
            return set()
        _, info = found
        prices = info.prices if isinstance(info.prices, list) else []
        constraints = [one.constraint for one in (*prices, *(info.price_variants or ()))]
        starts = (getattr(constraint, "start_date", None) for constraint in constraints)
        return {(start - _EPOCH).days for start in starts if start is not None}

    def sellers(self, model: str) -> list[str]:
        """Providers that have a model of exactly that name."""
        return [found.id for found in self._snapshot.providers if any(one.id == model for one in found.models)]

    def similar(self, model: str) -> list[str]:
        """Models that are called much like `model`."""
        known = sorted({found.id for provider in self._snapshot.providers for found in provider.models})
        return get_close_matches(model, known, 3, 0.75)

    @property
    def classes(self) -> set[str]:
        """The price classes that it has prices of, but for the standard one."""
        variants = (one.when for p in self._snapshot.providers for m in p.models for one in m.price_variants or ())
        return {when[key] for when in variants for key in _CLASS_KEYS if key in when and len(when) == 1} - {*_STANDARD}

    def check(self) -> None:
        """Read it, where it is a file.

        Raises:
            ConfigError: the file is not there, or no catalogue.
        """
        if self._path is not None:
            _ = self._snapshot

    def latest_change(self, until: date) -> date | None:
        """The latest day up to `until` on which it has a price begin: how fresh it is, at the least."""
        constraints = (
            price.constraint
            for provider in self._snapshot.providers
            for model in provider.models
            if isinstance(model.prices, list)
            for price in model.prices
        )
        starts = (getattr(constraint, "start_date", None) for constraint in constraints)
        return max((start for start in starts if start is not None and start <= until), default=None)

    def models(self) -> dict[tuple[str, str], str]:
        """Every model, by provider and name, with all its prices as one text, to be compared."""
        return models_of(self._snapshot)

    def _find(self, provider_name: str | None, model: str) -> tuple[Provider, ModelInfo] | None:
        name = _PROVIDERS.get(provider_name, provider_name) if provider_name else None
        _, _, short = model.rpartition(
            "models/"
        )  # Google's `models/gemini-…`; Fireworks' own are called so in the catalogue
        for called in dict.fromkeys((model, short)):
            try:
                return self._snapshot.find_provider_model(called, None, name, None)
            except LookupError:
                pass
            if name is None and (seller := self._any_seller(called)) is not None:
                return seller
        return None

    def _any_seller(self, model: str) -> tuple[Provider, ModelInfo] | None:
        """One of the providers that have a model of exactly that name, where its list price is the same with all."""
        sold = [(seller, one) for seller in self._snapshot.providers for one in seller.models if one.id == model]
        if len({repr(one.prices) for _, one in sold}) != 1:
            return None
        return max(sold, key=lambda pair: len(pair[1].price_variants or ()))

    @cached_property
    def _snapshot(self) -> DataSnapshot:
        from genai_prices.data_snapshot import get_snapshot

        return get_snapshot() if self._path is None else parse_catalogue(self._read(), str(self._path))

    def _read(self) -> bytes:
        assert self._path is not None
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"price_catalogue: {self._path}: {error.strerror}; `reporter prices update --to` writes one"
            ) from None


def models_of(snapshot: DataSnapshot) -> dict[tuple[str, str], str]:
    """Every model of a catalogue, as `Catalogue.models` tells them."""
    return {
        (provider.id, model.id): repr((model.prices, model.price_variants))
        for provider in snapshot.providers
        for model in provider.models
    }


def fetch(url: str) -> bytes:
    """What is at `url`, at most MOST_BYTES of it, within MOST_SECONDS.

    Raises:
        CatalogueUnreachable: the network or the server is in trouble.
        ConfigError: it is no address.
    """
    import httpx

    ends = time.monotonic() + MOST_SECONDS
    content = b""
    try:
        with httpx.stream("GET", url, timeout=10, follow_redirects=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise CatalogueUnreachable(
                        f"{url}: more than {MOST_BYTES >> 20} MB came, which is no price catalogue"
                    )
                if time.monotonic() > ends:
                    raise CatalogueUnreachable(f"{url}: not there within {MOST_SECONDS} s; try again")
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise ConfigError(f"--from {url}: {error}") from None
    except httpx.HTTPStatusError as error:
        raise CatalogueUnreachable(
            f"{url}: answered {error.response.status_code}; try again, or name a mirror by --from"
        ) from None
    except httpx.HTTPError as error:
        told = f"{type(error).__name__}: {error}"
        raise CatalogueUnreachable(f"{url}: {told}; is there a network? A mirror can be named by --from") from None
    return content


def parse_catalogue(content: bytes, place: str) -> DataSnapshot:
    """The catalogue in a file.

    Raises:
        ConfigError: it is none.
    """
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import _providers_from_raw  # the library reads no file but its own

    try:
        raw: Any = json.loads(content)
        providers = _providers_from_raw(raw) if isinstance(raw, list) else []
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{place}: is no price catalogue of genai-prices: {type(error).__name__}: {error}") from None
    if not providers:
        raise ConfigError(f"{place}: is no price catalogue of genai-prices: a list of providers is expected")
    return DataSnapshot(providers, from_auto_update=False)


def _context(
    provider: Provider, info: ModelInfo, hours: Sequence[datetime], price_class: str | None
) -> dict[str, str] | None:
    """What to tell the library of a call in `price_class`; None if this provider has no such price the whole day."""
    if not price_class or all(model is not info for model in provider.models):  # the library would price it as standard
        return None
    for variant in info.price_variants or ():
        constraint = variant.constraint
        if any(variant.when == {key: price_class} for key in _CLASS_KEYS) and (
            constraint is None or all(constraint.active(hour) for hour in hours)
        ):
            return variant.when
    return None


def _hours(day: int) -> list[datetime]:
    return [datetime.fromtimestamp(day * 86_400 + hour * 3600, UTC) for hour in range(24)]


def _rated_later(provider: Provider, info: ModelInfo, hours: Sequence[datetime], price_class: str) -> Rated | None:
    """The price of a class that was sold before the day from which the catalogue has it: that day's, if the standard price has
    not changed in between."""
    for variant in info.price_variants or ():
        start = getattr(variant.constraint, "start_date", None)
        if (
            start is None
            or start <= hours[0].date()
            or not any(variant.when == {key: price_class} for key in _CLASS_KEYS)
        ):
            continue
        later = _hours((start - _EPOCH).days)
        context = _context(provider, info, later, price_class)
        standard = {hour: info.get_prices(hour, None) for hour in (*hours, *later)}
        if context is None or any(price != standard[later[0]] for price in standard.values()):
            continue
        prices = {key: value for key, value in vars(info.get_prices(later[0], context)).items() if value is not None}
        if "input_mtok" in prices and not _LIBRARY_PRICES & prices.keys():
            return by_token(prices)
    return None


def _by_library(provider: Provider, info: ModelInfo, context: dict[str, str] | None, *, reasons: bool) -> Rated:
    """The library's own arithmetic, for prices that change within the day or count more than tokens.

    `reasons`: reasoning has a price of its own.
    """
    from genai_prices import Usage as LibraryUsage

    def rate(
        at_ns: int, tokens: int, read: int, write: int, hour: int, output: int, reasoning: int | None
    ) -> int | None:
        if read + write > tokens or hour > write:
            return None
        if reasons and (reasoning if output else 0) is None:  # how much of the output it was is not known
            return None
        if reasons and (reasoning or 0) > output:
            return None
        cached = {"cache_read_tokens": read, "cache_write_tokens": write, "cache_write_1h_tokens": hour}
        if reasons:
            cached["output_reasoning_tokens"] = reasoning or 0
        usage = LibraryUsage(
            input_tokens=tokens, output_tokens=output, **{name: count for name, count in cached.items() if count}
        )
        moment = datetime.fromtimestamp(at_ns // 10**9, UTC)
        total = info.calc_price(usage, provider, genai_request_timestamp=moment, price_context=context).total_price
        return int((total * 10**9).to_integral_value(ROUND_HALF_EVEN))

    return Rated(rate, ())
