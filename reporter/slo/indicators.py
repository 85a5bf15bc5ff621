"""SLIs: what makes one call good, bad, or no matter of the SLO at all.  One small class a kind.

One rule runs through all kinds that judge calls: **whatever is not a success is bad**, lost calls included; a fast
failure is no good latency. A success is good or bad by what was measured. Where a kind has nothing to measure on a
success (no first token because nothing was streamed, no output tokens, no known price) the call is out of total. NULL
never makes `good` neither true nor false: each `judge` says True, False or None (out), and `sql` says the same of a
row, which a property test holds together.
"""

from abc import abstractmethod
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol

from pydantic import AfterValidator, Field

from reporter.slo.durations import format_duration
from reporter.slo.fields import PositiveDecimal, PositiveDuration, Spec, plain


class JudgedCall(Protocol):
    """What an SLI looks at: a row of `calls`, or anything else with these attributes.  NULL is None."""

    @property
    def status(self) -> str: ...
    @property
    def error_type(self) -> str | None: ...
    @property
    def duration_ns(self) -> int | None: ...
    @property
    def ttft_ns(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def cost_nanousd(self) -> int | None: ...
    @property
    def stream(self) -> int | bool | None: ...


class Predicates(NamedTuple):
    """Two SQL conditions over columns of `calls`, or of `runs`; neither is ever NULL, and `good` implies `counted`.

    They are literal SQL without parameters and without a colon or a percent sign, so that they may stand in any query,
    whatever marks its parameters.
    """

    good: str
    counted: str


class CallIndicator(Spec):
    """An SLI over calls."""

    over: ClassVar[Literal["calls", "runs", "minutes"]] = "calls"

    @abstractmethod
    def judge(self, call: JudgedCall) -> bool | None:
        """Return whether the call is good (True), bad (False) or out of total (None)."""

    @abstractmethod
    def sql(self, dialect: str) -> Predicates:
        """Return the same judgement as SQL for "sqlite" or "postgresql"."""

    @abstractmethod
    def describe(self) -> str:
        """Return the SLI in a few words: `latency <= 2.5s`."""


class Availability(CallIndicator):
    """Good: the call succeeded.  Cancelled, abandoned and lost calls count, and are bad."""

    kind: Literal["availability"] = "availability"

    def judge(self, call: JudgedCall) -> bool | None:
        return call.status == "success"

    def sql(self, dialect: str) -> Predicates:
        return Predicates("status = 'success'", "1 = 1")

    def describe(self) -> str:
        return "availability"


class Latency(CallIndicator):
    """Good: the call succeeded within the threshold.  A success without a duration is bad."""

    kind: Literal["latency"] = "latency"
    threshold_ns: PositiveDuration = Field(alias="threshold")

    def judge(self, call: JudgedCall) -> bool | None:
        return call.status == "success" and call.duration_ns is not None and call.duration_ns <= self.threshold_ns

    def sql(self, dialect: str) -> Predicates:
        return Predicates(
            f"status = 'success' AND duration_ns IS NOT NULL AND duration_ns <= {self.threshold_ns}", "1 = 1"
        )

    def describe(self) -> str:
        return f"latency <= {format_duration(self.threshold_ns)}"


class TimeToFirstToken(CallIndicator):
    """Good: a streamed call succeeded and its first token came within the threshold.

    A call is out when it was not streamed: it has no time to first token and either says so itself (stream = 0) or
    succeeded without saying that it streamed.  A failed call that may have been streamed is bad, and so is a streamed
    success without a first token.
    """

    kind: Literal["time_to_first_token"] = "time_to_first_token"
    threshold_ns: PositiveDuration = Field(alias="threshold")

    def judge(self, call: JudgedCall) -> bool | None:
        if call.ttft_ns is None and (call.stream == 0 or (call.stream is None and call.status == "success")):
            return None
        return call.status == "success" and call.ttft_ns is not None and call.ttft_ns <= self.threshold_ns

    def sql(self, dialect: str) -> Predicates:
        return Predicates(
            f"status = 'success' AND ttft_ns IS NOT NULL AND ttft_ns <= {self.threshold_ns}",
            "ttft_ns IS NOT NULL OR coalesce(stream, CASE WHEN status = 'success' THEN 0 ELSE 1 END) <> 0",
        )

    def describe(self) -> str:
        return f"time to first token <= {format_duration(self.threshold_ns)}"


def _thousandths(rate: Decimal) -> Decimal:
    if rate * 1000 != int(rate * 1000) or rate > 1_000_000:
        raise ValueError("must be tokens per second, at most 1000000 and at most three decimals")
    return rate


class Throughput(CallIndicator):
    """Good: the call succeeded and gave its output at least this fast.

    A streamed call's speed is (output_tokens - 1) / (last - first token); any other's, and that of one whose tokens all
    came at once, is output_tokens / duration.  A success without output tokens has no speed and is out; one with tokens
    and no duration is bad.
    """

    kind: Literal["throughput"] = "throughput"
    min_tokens_per_second: Annotated[PositiveDecimal, AfterValidator(_thousandths)]

    @property
    def min_tokens_per_1000_seconds(self) -> int:
        return int(self.min_tokens_per_second * 1000)

    def judge(self, call: JudgedCall) -> bool | None:
        if call.status != "success":
            return False
        tokens, elapsed_ns = call.output_tokens, call.duration_ns
        if tokens is None or tokens < 1:
            return None
        if elapsed_ns is None:
            return False
        if call.ttft_ns is not None and call.ttft_ns < elapsed_ns and tokens > 1:
            tokens, elapsed_ns = tokens - 1, elapsed_ns - call.ttft_ns
        return tokens * 10**12 >= self.min_tokens_per_1000_seconds * elapsed_ns

    def sql(self, dialect: str) -> Predicates:
        streamed = "ttft_ns IS NOT NULL AND ttft_ns < duration_ns AND output_tokens > 1"
        tokens = f"(output_tokens - CASE WHEN {streamed} THEN 1 ELSE 0 END)"
        elapsed = f"(duration_ns - CASE WHEN {streamed} THEN ttft_ns ELSE 0 END)"
        milli = self.min_tokens_per_1000_seconds
        # tokens * 10**12 >= milli * elapsed_ns, cut in two at the microsecond digit so that 64 bits hold every product
        fast = (
            f"{tokens} * 1000000 - ({elapsed} / 1000000) * {milli}"
            f" >= (({elapsed} - ({elapsed} / 1000000) * 1000000) * {milli} + 999999) / 1000000"
        )
        measurable = "output_tokens IS NOT NULL AND output_tokens >= 1"
        return Predicates(
            f"status = 'success' AND {measurable} AND duration_ns IS NOT NULL AND {fast}",
            f"status <> 'success' OR ({measurable})",
        )

    def describe(self) -> str:
        return f"throughput >= {plain(self.min_tokens_per_second)} tokens/s"


def _whole_nanousd(usd: Decimal) -> Decimal:
    if usd * 10**9 != int(usd * 10**9) or usd > 1_000_000:
        raise ValueError("must be US dollars, at most 1000000 and at most nine decimals")
    return usd


class Cost(CallIndicator):
    """Good: the call succeeded and cost no more than this.  A success of unknown price is out of total, never free."""

    kind: Literal["cost"] = "cost"
    max_usd: Annotated[PositiveDecimal, AfterValidator(_whole_nanousd)]

    @property
    def max_nanousd(self) -> int:
        return int(self.max_usd * 10**9)

    def judge(self, call: JudgedCall) -> bool | None:
        if call.status != "success":
            return False
        return None if call.cost_nanousd is None else call.cost_nanousd <= self.max_nanousd

    def sql(self, dialect: str) -> Predicates:
        return Predicates(
            f"status = 'success' AND cost_nanousd IS NOT NULL AND cost_nanousd <= {self.max_nanousd}",
            "status <> 'success' OR cost_nanousd IS NOT NULL",
        )

    def describe(self) -> str:
        return f"cost <= ${plain(self.max_usd)}"


CALL_KINDS: tuple[type[CallIndicator], ...] = (Availability, Latency, TimeToFirstToken, Throughput, Cost)
"""A kind over calls is one of these classes."""
