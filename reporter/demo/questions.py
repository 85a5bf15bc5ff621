"""What people ask of their calls, in SQL that runs on SQLite and on Postgres alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and the SQL that answers it over the views."""

    asks: str
    sql: str


QUESTIONS = (
    Question(
        "Which model costs what?  A price nobody knows is no zero, but unpriced.",
        """
SELECT provider, model, calls, errors, cost_usd, unpriced_calls
FROM v_cost_by_model ORDER BY coalesce(cost_usd, 0) DESC""",
    ),
    Question(
        "Which job?",
        """
SELECT batch_job, calls, input_tokens, output_tokens, cost_usd
FROM v_cost_by_job ORDER BY coalesce(cost_usd, 0) DESC""",
    ),
    Question(
        "Is it growing?  Seven days each, day by day upwards.",
        """
SELECT day AS week_ending, week_usd FROM (
  SELECT day, row_number() OVER (ORDER BY day DESC) AS ago,
         sum(cost_usd) OVER (ORDER BY day ROWS 6 PRECEDING) AS week_usd
  FROM v_cost_daily) AS days
WHERE ago % 7 = 2 AND ago < 28 ORDER BY day""",
    ),
    Question(
        "How fast is each model?  Exact percentiles, from the rows themselves.",
        """
SELECT model, min(CASE WHEN share >= 0.50 THEN duration_seconds END) AS p50,
       min(CASE WHEN share >= 0.95 THEN duration_seconds END) AS p95,
       min(CASE WHEN share >= 0.99 THEN duration_seconds END) AS p99
FROM (SELECT model, duration_seconds, cume_dist() OVER (
        PARTITION BY model ORDER BY duration_seconds) AS share
      FROM v_calls WHERE status = 'success') AS ranked
GROUP BY model ORDER BY p95 DESC""",
    ),
    Question(
        "What broke, and when?  (Look for the outage five days ago.)",
        """
SELECT substr(ended_at, 1, 10) AS day, provider, error_type,
       count(*) AS calls, min(substr(ended_at, 12, 5)) AS since,
       max(substr(ended_at, 12, 5)) AS until
FROM v_calls WHERE status <> 'success'
GROUP BY substr(ended_at, 1, 10), provider, error_type
ORDER BY calls DESC, day LIMIT 4""",
    ),
    Question(
        "What was the killed process doing?",
        """
SELECT batch_job, model, status, ended_at
FROM v_calls WHERE status = 'lost'""",
    ),
)
