"""Which calls an SLO, a price or a budget is about: patterns over the labels of a call."""

import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from reporter.slo.fields import Spec, as_list


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(pattern)).match


def _some(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns:
        raise ValueError("an empty list matches nothing; leave the key out to match everything")
    return tuple(sorted(set(patterns)))


Globs = Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(_some)]
"""Shell-style patterns (`*`, `?`, `[…]`), case-sensitive; one or a list, of which one must match."""


class Where(Spec):
    """Which calls are meant: every label that is named must match.  The value of an absent label is ''."""

    batch_job: Globs | None = None
    operation: Globs | None = None
    provider: Globs | None = None
    model: Globs | None = None

    def matches(self, batch_job: str, operation: str, provider: str, model: str) -> bool:
        """Return whether calls with these labels are meant."""
        return (
            _any(self.batch_job, batch_job)
            and _any(self.operation, operation)
            and _any(self.provider, provider)
            and _any(self.model, model)
        )

    def matches_job(self, batch_job: str) -> bool:
        """Return whether runs of this job are meant."""
        return _any(self.batch_job, batch_job)

    def describe(self) -> str:
        """Return the conditions in a few words, '' when there are none."""
        named = self.model_dump(exclude_none=True)
        return " ".join(f"{label}={'|'.join(patterns)}" for label, patterns in named.items())


def matches_any(patterns: tuple[str, ...], value: str) -> bool:
    """Return whether one of the patterns fits."""
    return any(_glob(pattern)(value) is not None for pattern in patterns)


def _any(patterns: tuple[str, ...] | None, value: str) -> bool:
    return patterns is None or matches_any(patterns, value)
