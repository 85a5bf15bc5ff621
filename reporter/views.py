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
    hour = (
        "strftime('%Y-%m-%dT%H:00Z', ended_at_ns / 1000000000, 'unixepoch')"
        if dialect == "sqlite"
        else "to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:00\"Z\"')"
    )
    exploded = (
        "CAST(member.value AS TEXT) AS value FROM calls, json_each(calls.attributes) AS member"
        if dialect == "sqlite"
        else "member.value FROM calls, jsonb_each_text(calls.attributes::jsonb) AS member"
    )

    def days_ago(column: str) -> str:
        """Whole days of 24 hours that have passed since."""
        if dialect == "sqlite":
            return f"(CAST(strftime('%s', 'now') AS INTEGER) - {column} / 1000000000) / 86400 AS days_ago"
        return f"CAST(floor((extract(epoch FROM now()) - {column} / 1000000000) / 86400) AS BIGINT) AS days_ago"

    speed = f"""CASE WHEN coalesce(output_tokens, 0) = 0 OR coalesce(duration_ns, 0) = 0 THEN NULL
    WHEN ttft_ns < duration_ns AND output_tokens > 1 THEN CAST(output_tokens - 1 AS {real}) * 1e9 / (duration_ns - ttft_ns)
    ELSE CAST(output_tokens AS {real}) * 1e9 / duration_ns END"""

    def calls_that(condition: str, name: str) -> str:
        return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END) AS {name}"

    def usd_per_mtok(*names: str) -> str:
        return ", ".join(f"CAST({name}_nanousd_per_mtok AS {real}) / 1e9 AS {name}_usd_per_mtok" for name in names)

    def date_of(column: str) -> str:
        if dialect == "sqlite":
            return f"strftime('%Y-%m-%d', {column} / 1000000000, 'unixepoch')"
        return f"to_char(to_timestamp({column} / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"

    tokens = "coalesce(c.input_tokens, 0)"
    applies = f"""p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
  AND {tokens} > p.above_tokens AND (p.up_to_tokens IS NULL OR {tokens} <= p.up_to_tokens)"""
    same_model = "p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model)"
    its_own = f"{same_model} AND p.price_class = coalesce(c.price_class, '') AND {applies}"
    read, write, write_1h = (f"coalesce(c.cache_{name}_tokens, 0)" for name in ("read", "write", "write_1h"))
    # As `reporter.pricing` has it: counts that are none or contradict each other, or are of a part, have no price.
    consistent = f"{read} + {write} <= {tokens} AND {write_1h} <= {write} AND coalesce(c.flags, '') NOT LIKE '%tokens%'"
    counted = (
        f"""{consistent} AND coalesce(c.flags, '') NOT LIKE '%models%' AND coalesce(c.usage_status, '') <> 'partial'"""
    )

    def nanousd(tokens: str, rate: str) -> str:
        """Nano-dollars for a million times so many tokens: as a real number, because 64 bits hold no sum of such."""
        return f"CAST({tokens} AS {real}) * ({rate})"

    cached = f"""{nanousd(read, "p.cache_read_nanousd_per_mtok - p.input_nanousd_per_mtok")}
    + {nanousd(write, "p.cache_write_nanousd_per_mtok - p.input_nanousd_per_mtok")}
    + {nanousd(write_1h, "p.cache_write_1h_nanousd_per_mtok - p.cache_write_nanousd_per_mtok")}"""

    def of_consistent(name: str) -> str:
        return f"CAST(coalesce(sum(CASE WHEN {consistent} THEN c.{name}_tokens END), 0) AS BIGINT) AS {name}_tokens"

    output = f"""CASE WHEN coalesce(c.output_tokens, 0) = 0 THEN 0
    ELSE {nanousd("c.output_tokens", "p.output_nanousd_per_mtok")} END"""
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
  usage_status, price_class, {scaled("cost_nanousd", "cost_usd")}, cost_source, priced_model,
  CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END AS unpriced,
  finish_reason, trace_id, attributes, flags, {speed} AS tokens_per_second,
  {day} AS day, {hour} AS hour, {days_ago("ended_at_ns")}
FROM calls""",
        "v_attributes": f"""SELECT call_id, member.key AS name, {exploded}""",
        "v_runs": f"""SELECT r.run_id, r.batch_job, {moment("r.started_at_ns", "started_at")},
  {moment("r.ended_at_ns", "ended_at")}, {scaled("r.duration_ns", "duration_seconds")},
  r.status, r.exit_code, r.error_type, r.items, r.host, r.pid, c.calls, c.errors, c.input_tokens, c.output_tokens,
  {scaled("c.cost_nanousd", "cost_usd")}, CAST(c.cost_nanousd AS {real}) / 1e9 / nullif(r.items, 0) AS cost_usd_per_item,
  c.unpriced_calls, {days_ago("r.started_at_ns")}
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
        "v_errors": f"""SELECT {hour} AS hour, provider, model, operation, count(*) AS calls,
  {calls_that("status <> 'success'", "errors")}, {calls_that("status = 'timeout'", "timeouts")},
  {calls_that("error_type = '429'", "rate_limited")}, {calls_that("status IN ('cancelled', 'abandoned')", "given_up")},
  {calls_that("status = 'lost'", "lost")}, CAST(coalesce(sum(retries), 0) AS BIGINT) AS retries,
  {scaled("sum(CASE WHEN status <> 'success' THEN cost_nanousd END)", "wasted_usd")}
FROM calls GROUP BY 1, provider, model, operation""",
        "v_cache": f"""SELECT c.provider, c.model, count(*) AS calls,
  {of_consistent("input")}, {of_consistent("cache_read")}, {of_consistent("cache_write")},
  CAST(sum(CASE WHEN {consistent} THEN c.cache_read_tokens END) AS {real})
    / nullif(sum(CASE WHEN {consistent} THEN c.input_tokens END), 0) AS hit_ratio,
  0 - sum(CASE WHEN {consistent} THEN {cached} END) / 1e15 AS saved_usd,
  {calls_that(f"p.model IS NULL AND {read} + {write} > 0 AND {consistent}", "calls_without_rates")},
  {calls_that(f"NOT ({consistent})", "calls_left_out")}
FROM calls c LEFT JOIN prices p ON {its_own}
WHERE c.model IS NOT NULL GROUP BY c.provider, c.model""",
        "v_prices": f"""SELECT provider, model, price_class, {date_of("since_ns")} AS since, {date_of("until_ns")} AS until,
  above_tokens, up_to_tokens,
  {usd_per_mtok("input", "cache_read", "cache_write", "cache_write_1h", "output")}, source
FROM prices""",
        "v_rates": f"""SELECT c.call_id, {usd_per_mtok("input", "cache_read", "cache_write", "cache_write_1h", "output")},
  p.source FROM calls c JOIN prices p ON {its_own}
WHERE c.model IS NOT NULL""",
        "v_what_if": f"""SELECT c.call_id, {day} AS day, {days_ago("c.ended_at_ns")}, c.batch_job, c.provider, c.model,
  coalesce(c.price_class, '') AS price_class, {scaled("c.cost_nanousd", "cost_usd")},
  p.provider AS on_provider, p.model AS on_model, p.price_class AS on_price_class,
  CASE WHEN {same_model} THEN 1 ELSE 0 END AS same_model,
  CASE WHEN {counted} THEN
    ({nanousd(tokens, "p.input_nanousd_per_mtok")} + {cached}
    + {output}) / 1e15 END AS on_cost_usd
FROM calls c JOIN prices p ON {applies}
WHERE c.model IS NOT NULL AND (c.input_tokens IS NOT NULL OR c.output_tokens IS NOT NULL)""",
        "v_unpriced": f"""SELECT provider, model, count(*) AS calls,
  CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
  CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
  {calls_that("usage_status = 'missing' OR (input_tokens IS NULL AND output_tokens IS NULL)", "calls_without_usage")},
  {calls_that("usage_status = 'partial'", "calls_with_partial_usage")},
  {calls_that("flags LIKE '%tokens%' OR flags LIKE '%models%'", "calls_with_wrong_counts")},
  {moment("min(ended_at_ns)", "first_at")}, {moment("max(ended_at_ns)", "last_at")}
FROM calls WHERE model IS NOT NULL AND cost_nanousd IS NULL AND folded = 1 GROUP BY provider, model""",
        "v_slo": f"""SELECT name AS slo, good, bad, CAST(good AS {real}) / nullif(good + bad, 0) AS sli_ratio,
  {moment("counted_from_ns", "counted_from")}
FROM slos WHERE retired_at_ns IS NULL""",
        "v_budget": f"""SELECT name AS budget, period, period_name, {moment("starts_at_ns", "starts_at")},
  {moment("ends_at_ns", "ends_at")}, {scaled("budget_nanousd", "usd")}, {scaled("spent_nanousd", "spent_usd")},
  {scaled("budget_nanousd - spent_nanousd", "remaining_usd")}, {scaled("projected_nanousd", "projected_usd")},
  unpriced_calls, {moment("exhausted_at_ns", "exhausted_at")}, state, {moment("as_of_ns", "as_of")}
FROM budgets""",
    }


VIEWS = {
    name: {"sqlite": select, "postgresql": _views("postgresql")[name]} for name, select in _views("sqlite").items()
}
"""Each view's SELECT, by view and dialect."""
