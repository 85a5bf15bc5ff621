"""The histogram bounds, said once: what the fold sorts observations into, and what is pushed as `le`.

An observation belongs to the first bucket whose bound is not below it (`le` includes its bound), else to +Inf, the last:
`bisect.bisect_left(DURATION_BOUNDS_NS, duration_ns)` is its index.
"""

DURATION_BOUNDS_NS = (
    50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 8_000_000_000,
    10_000_000_000, 20_000_000_000, 30_000_000_000, 60_000_000_000, 120_000_000_000, 300_000_000_000, 600_000_000_000,
)  # fmt: skip
"""Durations and times to first token, in nanoseconds; 8 s is one because the slowest SLO tier's threshold is."""

SPEED_BOUNDS = (5, 10, 25, 30, 50, 100, 150, 200, 300, 500, 1000)
"""Output speed, in tokens per second."""

SPEED_SCALE = 10**6
"""Speeds are kept as integers, tokens per million seconds: rounding a slow one must not add to what percentiles are within."""
SCALED_SPEED_BOUNDS = tuple(bound * SPEED_SCALE for bound in SPEED_BOUNDS)
