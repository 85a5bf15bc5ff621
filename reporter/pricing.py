"""What a call cost, in integer nano-dollars, or nothing: an unknown price is None, never 0.

Prices that people set themselves come before the catalogue's.  A model's prices are resolved once for each day of calls, and
applied to token counts by integer arithmetic (`reporter.rates`).

A model is priced by the name it was asked for, and by the name that the answer gives where nobody sells the first; on Azure
the other way round, because there people name their deployments as they like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple, Protocol

from reporter.catalogue import Catalogue
from reporter.rates import Rate, Rated, Tier, by_token, without_output


class Usage(NamedTuple):
    """The tokens a price is made of; `input_tokens` includes what was read from and written to a cache."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None  # including those kept for an hour
    cache_write_1h_tokens: int | None
    output_tokens: int | None


class Price(NamedTuple):
    """Money, and where it came from; both None when the price is not known."""

    nanousd: int | None
    source: str | None


UNKNOWN = Price(None, None)
SOURCE = "genai-prices"
OWN = "reporter.yaml"
REFUSED = "refused"
"""Where the 0 of a call comes from that the provider refused, which is billed by none."""
DAY_NS = 86_400 * 10**9

_NAMED_BY_CUSTOMERS = ("azure", "azure.ai.openai")
_NOT_SURELY_REFUSED = (408, 499, 502, 504, 522, 524)
"""What something between may answer while the provider goes on, and bills."""
PER_MTOK = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


class Offer(NamedTuple):
    """How calls are priced, by whom (SOURCE or OWN), by which rates (none when these alone don't tell) and by which name."""

    rate: Rate
    source: str
    tiers: tuple[Tier, ...]
    model: str

    def cost(self, at_ns: int, usage: Sequence[int | None]) -> int | None:
        """Nano-dollars of `usage`, a count that is not told being 0; None where none is, or they contradict each other."""
        tokens, read, write, write_1h, output = usage
        if tokens is None and output is None:
            return None
        return self.rate(at_ns, tokens or 0, read or 0, write or 0, write_1h or 0, output or 0)


class Listed(NamedTuple):
    """Rates of a model from a day to before another, counted from 1970; None: still."""

    since_day: int
    until_day: int | None
    tier: Tier
    source: str


class Asked(NamedTuple):
    """Whose model was priced, and in which class; "" is none, or standard."""

    provider: str
    model: str
    price_class: str


class OwnPrice(Protocol):
    """A price that people set themselves."""

    def sells(self, provider: str, model: str, day: int, price_class: str | None) -> bool:
        """Whether it is the price of such a call."""

    @property
    def price_class(self) -> str | None:
        """The class it is of; None: standard."""

    @property
    def since_day(self) -> int:
        """From when on, in days since 1970."""

    @property
    def usd_per_mtok(self) -> Mapping[str, Decimal]:
        """USD a million tokens, by the names of PER_MTOK; `input` at least."""


class PriceList:
    """The price of a call by provider, model, moment and usage; `own` prices come before the catalogue's."""

    def __init__(self, own: Sequence[OwnPrice] = (), catalogue: Catalogue | None = None) -> None:
        self._own = own
        self.catalogue = catalogue or Catalogue()
        self._offers: dict[tuple[str | None, str, int, str | None, str | None], Offer | None] = {}

    def price(
        self, provider: str | None, model: str, at_ns: int, usage: Usage, price_class: str | None = None
    ) -> Price:
        """The cost of one call at `at_ns`; UNKNOWN when model, class or tokens are."""
        offer = self.offer(provider, model, at_ns // DAY_NS, price_class)
        nanousd = None if offer is None else offer.cost(at_ns, usage)
        return UNKNOWN if offer is None or nanousd is None else Price(nanousd, offer.source)

    def offer(
        self, provider: str | None, model: str, day: int, price_class: str | None = None, served: str | None = None
    ) -> Offer | None:
        """What calls of one day (counted from 1970, UTC) cost, `served` being the model's name in their answers.

        None when nobody sells that model there in that class.
        """
        key = (provider, model, day, price_class, served)
        try:
            return self._offers[key]
        except KeyError:
            names = (model,) if not served or served == model else (model, served)
            if provider in _NAMED_BY_CUSTOMERS:
                names = names[::-1]
            found = (
                offer(provider, name, day, price_class)
                for offer in (self._own_offer, self._catalogue_offer)
                for name in names
            )
            one = self._offers[key] = next((offer for offer in found if offer is not None), None)
            return one

    @property
    def asked(self) -> set[Asked]:
        """What was priced so far, by the names asked for and those it was priced by."""
        return {
            Asked(provider or "", name, kind or "")
            for (provider, model, _, kind, _), offer in self._offers.items()
            for name in (model, model if offer is None else offer.model)
        }

    @property
    def classes(self) -> set[str]:
        """The price classes that anything is sold in, but for the standard one."""
        return self.catalogue.classes | {price.price_class for price in self._own if price.price_class}

    @property
    def digest(self) -> str:
        """What changes when a price may have."""
        told = f"{self.catalogue.digest}|{list(self._own)!r}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def listed(self, asked: Asked) -> Iterator[Listed]:
        """The rates of a model in a class, the earliest first; nothing where rates alone don't tell the price."""
        provider, model, kind = asked.provider or None, asked.model, asked.price_class or None
        days = self.catalogue.days_of_change(provider, model) | {price.since_day for price in self._own} | {0}
        offers = [(day, self.offer(provider, model, day, kind)) for day in sorted(days)]
        changes = [offers[0], *(later for earlier, later in pairwise(offers) if _said(later[1]) != _said(earlier[1]))]
        for (day, offer), (until, _) in pairwise([*changes, (None, None)]):
            if offer is not None and day is not None:
                for tier in offer.tiers:
                    yield Listed(day, until, tier, offer.source)

    def _own_offer(self, provider: str | None, model: str, day: int, price_class: str | None) -> Offer | None:
        """The latest of the own prices that fit; of two since the same day the first."""
        fit = [price for price in self._own if price.sells(provider or "", model, day, price_class)]
        if not fit:
            return None
        prices = max(fit, key=lambda price: price.since_day).usd_per_mtok
        rated = by_token({f"{name}_mtok": usd for name, usd in prices.items()})
        return _offer(rated if "output" in prices else without_output(rated), OWN, model)

    def _catalogue_offer(self, provider: str | None, model: str, day: int, price_class: str | None) -> Offer | None:
        rated = self.catalogue.rated(provider, model, day, price_class)
        return None if rated is None else _offer(rated, SOURCE, model)


def _offer(rated: Rated, source: str, model: str) -> Offer:
    return Offer(rated.rate, source, rated.tiers, model)


def is_counted(usage_status: str | None, flags: str | None) -> bool:
    """Whether the tokens of a call are all that it used, and counts: a price of a part, or of what is none, is no price.

    Calls that asked several models have a sum of tokens that no price fits.
    """
    return usage_status != "partial" and (not flags or ("tokens" not in flags and "models" not in flags))


def is_refused(status: str, usage_status: str | None, http_status: int | None) -> bool:
    """Whether a call that tells of no tokens was refused, so that there is nothing to pay: providers bill what they serve.

    `usage_status` tells of answers that were served, and is NULL where none was.

    Source: https://docs.claude.com/en/api/errors and OpenAI's and Google's pricing pages, which charge for tokens processed.
    """
    return (
        status == "error"
        and usage_status is None
        and http_status is not None
        and http_status >= 400
        and http_status not in _NOT_SURELY_REFUSED
    )


def _said(offer: Offer | None) -> object:
    """What of an offer can be listed."""
    return None if offer is None else (offer.tiers, offer.source)
