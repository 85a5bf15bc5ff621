"""The views people ask: UTC text times, seconds, USD.  The same columns on SQLite and on Postgres.

Read only when a database is created, so that recording does not pay for it.
"""


def _moment(dialect: str, column: str) -> str:
    """SQL for an integer-nanosecond moment as RFC 3339 text with milliseconds and `Z`."""
    if dialect == "sqlite":
        return (
            f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000000, 'unixepoch')"
            f" || printf('.%03dZ', {column} / 1000000 % 1000)"
        )
    return (
        f"to_char(to_timestamp({column} / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
        f" || '.' || lpad(({column} / 1000000 % 1000)::text, 3, '0') || 'Z'"
    )


def _views(dialect: str) -> dict[str, str]:
    def moment(column: str, name: str) -> str:
        return f"{_moment(dialect, column)} AS {name}"

    real = "REAL" if dialect == "sqlite" else "DOUBLE PRECISION"

    def scaled(expression: str, name: str) -> str:
        return f"CAST({expression} AS {real}) / 1e9 AS {name}"

    day = (
        "strftime('%Y-%m-%d', ended_at_ns / 1000000000, 'unixepoch')"
        if dialect == "sqlite"
        else "to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    )
    measures = f"""count(*) AS calls,
  sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
  CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
  CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
  {scaled("sum(cost_nanousd)", "cost_usd")},
  sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls"""
    return {
        "v_calls": f"""SELECT call_id, {moment("ended_at_ns", "ended_at")}, {moment("started_at_ns", "started_at")},
  {scaled("duration_ns", "duration_seconds")}, {scaled("ttft_ns", "ttft_seconds")},
  batch_job, run_id, operation, provider, model, response_model, status, error_type, http_status, retries, stream,
  input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,
  usage_status, price_class, {scaled("cost_nanousd", "cost_usd")}, cost_source, finish_reason, trace_id, attributes, flags
FROM calls""",
        "v_runs": f"""SELECT r.run_id, r.batch_job, {moment("r.started_at_ns", "started_at")},
  {moment("r.ended_at_ns", "ended_at")}, {scaled("r.duration_ns", "duration_seconds")},
  r.status, r.exit_code, r.error_type, r.items, r.host, r.pid, c.calls, c.errors, c.input_tokens, c.output_tokens,
  {scaled("c.cost_nanousd", "cost_usd")}, CAST(c.cost_nanousd AS {real}) / 1e9 / nullif(r.items, 0) AS cost_usd_per_item,
  c.unpriced_calls
FROM runs r LEFT JOIN (
  SELECT run_id, count(*) AS calls, sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens, CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(cost_nanousd) AS BIGINT) AS cost_nanousd,
    sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
  FROM calls GROUP BY run_id
) c ON c.run_id = r.run_id""",
        "v_cost_daily": f"""SELECT {day} AS day, {measures}
FROM calls GROUP BY 1""",
        "v_cost_by_model": f"""SELECT provider, model, {measures}
FROM calls WHERE model IS NOT NULL GROUP BY provider, model""",
        "v_cost_by_job": f"""SELECT batch_job, {measures}
FROM calls GROUP BY batch_job""",
    }


VIEWS = {
    name: {"sqlite": select, "postgresql": _views("postgresql")[name]} for name, select in _views("sqlite").items()
}
"""Each view's SELECT, by view and dialect."""
