"""OpenSLO's words for what both directions know."""

API = "openslo/v1"
SOURCE = "reporter"
"""The type of a metric source that says what makes an event good, as reporter.yaml does."""
ANNOTATION = "reporter/slo"
"""The annotation with what OpenSLO has no field for, as JSON."""
METHODS = {"Occurrences": "occurrences", "Timeslices": "timeslices", "RatioTimeslices": "ratio_timeslices"}
CALENDAR = {"1d": "day", "1w": "week", "1M": "month", "1Q": "quarter"}
