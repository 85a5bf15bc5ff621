"""The first schema: facts, tallies, totals, the reporter's state, and views for people."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE = (
    """CREATE TABLE calls (
      call_id TEXT NOT NULL,
      ended_at_ns INTEGER NOT NULL,
      started_at_ns INTEGER,
      duration_ns INTEGER,
      ttft_ns INTEGER,
      batch_job TEXT,
      run_id TEXT,
      operation TEXT NOT NULL,
      provider TEXT,
      model TEXT,
      response_model TEXT,
      status TEXT NOT NULL,
      error_type TEXT,
      http_status INTEGER,
      retries INTEGER,
      stream INTEGER,
      input_tokens INTEGER,
      cache_read_tokens INTEGER,
      cache_write_tokens INTEGER,
      cache_write_1h_tokens INTEGER,
      output_tokens INTEGER,
      reasoning_tokens INTEGER,
      usage_status TEXT,
      price_class TEXT,
      cost_nanousd INTEGER,
      cost_source TEXT,
      finish_reason TEXT,
      trace_id TEXT,
      attributes TEXT,
      flags TEXT,
      folded INTEGER NOT NULL DEFAULT 0,
      priced_model TEXT,
      PRIMARY KEY (folded, call_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE starts (
      call_id TEXT NOT NULL,
      started_at_ns INTEGER NOT NULL,
      deadline_at_ns INTEGER,
      batch_job TEXT,
      run_id TEXT,
      operation TEXT NOT NULL,
      provider TEXT,
      model TEXT,
      host TEXT,
      pid INTEGER,
      PRIMARY KEY (call_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE runs (
      run_id TEXT NOT NULL,
      batch_job TEXT NOT NULL,
      started_at_ns INTEGER NOT NULL,
      ended_at_ns INTEGER,
      duration_ns INTEGER,
      status TEXT NOT NULL,
      exit_code INTEGER,
      error_type TEXT,
      items INTEGER,
      host TEXT,
      pid INTEGER,
      scheduled_for_ns INTEGER,
      output_tail TEXT,
      attributes TEXT,
      folded_status TEXT,
      PRIMARY KEY (run_id)
    )""",
    """CREATE TABLE troubles (
      trouble_id TEXT NOT NULL,
      at_ns INTEGER NOT NULL,
      host TEXT,
      pid INTEGER,
      trouble TEXT NOT NULL,
      occurrences INTEGER NOT NULL,
      detail TEXT,
      PRIMARY KEY (trouble_id)
    )""",
    """CREATE TABLE series (
      series_id INTEGER PRIMARY KEY,
      batch_job TEXT NOT NULL,
      operation TEXT NOT NULL,
      provider TEXT NOT NULL,
      model TEXT NOT NULL,
      UNIQUE (batch_job, operation, provider, model)
    )""",
    """CREATE TABLE tallies (
      resolution INTEGER NOT NULL,
      bucket INTEGER NOT NULL,
      series_id INTEGER NOT NULL,
      calls INTEGER NOT NULL,
      errors INTEGER NOT NULL,
      lost INTEGER NOT NULL,
      unpriced INTEGER NOT NULL,
      input_tokens INTEGER NOT NULL,
      cache_read_tokens INTEGER NOT NULL,
      cache_write_tokens INTEGER NOT NULL,
      output_tokens INTEGER NOT NULL,
      reasoning_tokens INTEGER NOT NULL,
      cost_nanousd INTEGER NOT NULL,
      durations BLOB,
      ttfts BLOB,
      speeds BLOB,
      PRIMARY KEY (resolution, bucket, series_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE tally_minutes (
      bucket INTEGER NOT NULL,
      series_id INTEGER NOT NULL,
      minutes BLOB NOT NULL,
      PRIMARY KEY (bucket, series_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE totals (
      series_id INTEGER NOT NULL,
      status TEXT NOT NULL,
      calls INTEGER NOT NULL,
      unpriced INTEGER NOT NULL,
      input_tokens INTEGER NOT NULL,
      cache_read_tokens INTEGER NOT NULL,
      cache_write_tokens INTEGER NOT NULL,
      output_tokens INTEGER NOT NULL,
      reasoning_tokens INTEGER NOT NULL,
      cost_nanousd INTEGER NOT NULL,
      duration_sum_ns INTEGER NOT NULL,
      ttft_sum_ns INTEGER NOT NULL,
      speed_sum INTEGER NOT NULL,
      duration_counts TEXT NOT NULL,
      ttft_counts TEXT NOT NULL,
      speed_counts TEXT NOT NULL,
      PRIMARY KEY (series_id, status)
    ) WITHOUT ROWID""",
    """CREATE TABLE slos (
      slo_id INTEGER PRIMARY KEY,
      name TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      counted_from_ns INTEGER,
      good INTEGER NOT NULL,
      bad INTEGER NOT NULL,
      retired_at_ns INTEGER
    )""",
    """CREATE TABLE slo_tallies (
      resolution INTEGER NOT NULL,
      bucket INTEGER NOT NULL,
      slo_id INTEGER NOT NULL,
      good INTEGER NOT NULL,
      bad INTEGER NOT NULL,
      PRIMARY KEY (resolution, bucket, slo_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE slo_minutes (
      bucket INTEGER NOT NULL,
      slo_id INTEGER NOT NULL,
      minutes BLOB NOT NULL,
      PRIMARY KEY (bucket, slo_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE job_totals (
      batch_job TEXT NOT NULL,
      status TEXT NOT NULL,
      runs INTEGER NOT NULL,
      PRIMARY KEY (batch_job, status)
    )""",
    """CREATE TABLE jobs (
      batch_job TEXT NOT NULL,
      schedule TEXT,
      declared_at_ns INTEGER NOT NULL,
      since_ns INTEGER NOT NULL,
      retired_at_ns INTEGER,
      judged_until_ns INTEGER NOT NULL,
      next_due_at_ns INTEGER,
      grace_over_at_ns INTEGER,
      missed_runs INTEGER NOT NULL,
      late_runs INTEGER NOT NULL,
      overruns INTEGER NOT NULL,
      overlapping_runs INTEGER NOT NULL,
      too_fast_runs INTEGER NOT NULL,
      PRIMARY KEY (batch_job)
    ) WITHOUT ROWID""",
    """CREATE TABLE job_events (
      batch_job TEXT NOT NULL,
      kind TEXT NOT NULL,
      subject TEXT NOT NULL,
      at_ns INTEGER NOT NULL,
      due_at_ns INTEGER,
      until_ns INTEGER,
      made_up_at_ns INTEGER,
      PRIMARY KEY (batch_job, kind, subject)
    ) WITHOUT ROWID""",
    """CREATE TABLE prices (
      provider TEXT NOT NULL,
      model TEXT NOT NULL,
      price_class TEXT NOT NULL,
      since_ns INTEGER NOT NULL,
      until_ns INTEGER,
      above_tokens INTEGER NOT NULL,
      up_to_tokens INTEGER,
      input_nanousd_per_mtok INTEGER NOT NULL,
      cache_read_nanousd_per_mtok INTEGER NOT NULL,
      cache_write_nanousd_per_mtok INTEGER NOT NULL,
      cache_write_1h_nanousd_per_mtok INTEGER NOT NULL,
      output_nanousd_per_mtok INTEGER,
      source TEXT NOT NULL,
      PRIMARY KEY (provider, model, price_class, since_ns, above_tokens)
    )""",
    """CREATE TABLE late_calls (
      call_id TEXT NOT NULL,
      folded_at_ns INTEGER NOT NULL,
      PRIMARY KEY (call_id)
    )""",
    """CREATE TABLE exclusions (
      name TEXT NOT NULL,
      from_ns INTEGER NOT NULL,
      to_ns INTEGER NOT NULL,
      slos TEXT NOT NULL,
      reason TEXT NOT NULL,
      added_at_ns INTEGER NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE budgets (
      name TEXT NOT NULL,
      period TEXT NOT NULL,
      period_name TEXT,
      starts_at_ns INTEGER NOT NULL,
      ends_at_ns INTEGER NOT NULL,
      budget_nanousd INTEGER NOT NULL,
      spent_nanousd INTEGER,
      projected_nanousd INTEGER,
      unpriced_calls INTEGER,
      exhausted_at_ns INTEGER,
      state TEXT NOT NULL,
      as_of_ns INTEGER NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE state (
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE leases (
      name TEXT NOT NULL,
      holder TEXT NOT NULL,
      expires_at_ns INTEGER NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE pushes (
      group_key TEXT NOT NULL,
      sequence INTEGER NOT NULL,
      sent BLOB NOT NULL,
      acknowledged_at_ns INTEGER,
      PRIMARY KEY (group_key)
    )""",
    "CREATE INDEX runs_started ON runs (batch_job, started_at_ns)",
    "CREATE INDEX job_events_at ON job_events (at_ns)",
    "CREATE INDEX runs_unfolded ON runs (run_id) WHERE folded_status IS NULL OR folded_status <> status",
    """CREATE VIEW v_calls AS
    SELECT call_id, strftime('%Y-%m-%dT%H:%M:%S', ended_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', ended_at_ns / 1000000 % 1000) AS ended_at, strftime('%Y-%m-%dT%H:%M:%S', started_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', started_at_ns / 1000000 % 1000) AS started_at,
      CAST(duration_ns AS REAL) / 1e9 AS duration_seconds, CAST(ttft_ns AS REAL) / 1e9 AS ttft_seconds,
      batch_job, run_id, operation, provider, model, response_model, status, error_type, http_status, retries, stream,
      input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,
      usage_status, price_class, CAST(cost_nanousd AS REAL) / 1e9 AS cost_usd, cost_source, priced_model,
      CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END AS unpriced,
      finish_reason, trace_id, attributes, flags, CASE WHEN coalesce(output_tokens, 0) = 0 OR coalesce(duration_ns, 0) = 0 THEN NULL
        WHEN ttft_ns < duration_ns AND output_tokens > 1 THEN CAST(output_tokens - 1 AS REAL) * 1e9 / (duration_ns - ttft_ns)
        ELSE CAST(output_tokens AS REAL) * 1e9 / duration_ns END AS tokens_per_second,
      strftime('%Y-%m-%d', ended_at_ns / 1000000000, 'unixepoch') AS day, strftime('%Y-%m-%dT%H:00Z', ended_at_ns / 1000000000, 'unixepoch') AS hour, ((CAST(strftime('%s', 'now') AS INTEGER) - ended_at_ns / 1000000000) - CASE WHEN (CAST(strftime('%s', 'now') AS INTEGER) - ended_at_ns / 1000000000) < 0 THEN 86399 ELSE 0 END) / 86400 AS days_ago
    FROM calls""",
    """CREATE VIEW v_attributes AS
    SELECT call_id, member.key AS name, CASE member.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(member.value AS TEXT) END AS value FROM calls, json_each(calls.attributes) AS member""",
    """CREATE VIEW v_runs AS
    SELECT r.run_id, r.batch_job, strftime('%Y-%m-%dT%H:%M:%S', r.started_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', r.started_at_ns / 1000000 % 1000) AS started_at,
      strftime('%Y-%m-%dT%H:%M:%S', r.ended_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', r.ended_at_ns / 1000000 % 1000) AS ended_at, CAST(r.duration_ns AS REAL) / 1e9 AS duration_seconds,
      r.status, r.exit_code, r.error_type, r.items, r.host, r.pid, c.calls, c.errors, c.input_tokens, c.output_tokens,
      CAST(c.cost_nanousd AS REAL) / 1e9 AS cost_usd, CAST(c.cost_nanousd AS REAL) / 1e9 / nullif(r.items, 0) AS cost_usd_per_item,
      c.unpriced_calls, CASE WHEN r.started_at_ns < (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM state WHERE name = 'calls_pruned_before_ns') THEN 1 ELSE 0 END AS calls_pruned, ((CAST(strftime('%s', 'now') AS INTEGER) - r.started_at_ns / 1000000000) - CASE WHEN (CAST(strftime('%s', 'now') AS INTEGER) - r.started_at_ns / 1000000000) < 0 THEN 86399 ELSE 0 END) / 86400 AS days_ago
    FROM runs r LEFT JOIN (
      SELECT run_id, count(*) AS calls, sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens, CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS BIGINT) AS cost_nanousd, sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
      FROM calls GROUP BY run_id
    ) c ON c.run_id = r.run_id AND r.started_at_ns >= (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM state WHERE name = 'calls_pruned_before_ns')""",
    """CREATE VIEW v_cost_daily AS
    SELECT strftime('%Y-%m-%d', ended_at_ns / 1000000000, 'unixepoch') AS day, count(*) AS calls,
      sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS REAL) / 1e9 AS cost_usd,
      sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls,
      CASE WHEN strftime('%Y-%m-%d', ended_at_ns / 1000000000, 'unixepoch') = strftime('%Y-%m-%d', (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM state WHERE name = 'calls_pruned_before_ns') / 1000000000, 'unixepoch') THEN 1 ELSE 0 END AS pruned
    FROM calls GROUP BY 1""",
    """CREATE VIEW v_cost_by_model AS
    SELECT provider, model, count(*) AS calls,
      sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS REAL) / 1e9 AS cost_usd,
      sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
    FROM calls WHERE model IS NOT NULL GROUP BY provider, model""",
    """CREATE VIEW v_cost_by_job AS
    SELECT batch_job, count(*) AS calls,
      sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS REAL) / 1e9 AS cost_usd,
      sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
    FROM calls GROUP BY batch_job""",
    """CREATE VIEW v_errors AS
    SELECT strftime('%Y-%m-%dT%H:00Z', ended_at_ns / 1000000000, 'unixepoch') AS hour, provider, model, operation, count(*) AS calls,
      sum(CASE WHEN status <> 'success' THEN 1 ELSE 0 END) AS errors, sum(CASE WHEN status = 'timeout' THEN 1 ELSE 0 END) AS timeouts,
      sum(CASE WHEN http_status = 429 OR error_type IN ('429', 'rate_limit_exceeded', 'rate_limit_error', 'RateLimitError') THEN 1 ELSE 0 END) AS rate_limited, sum(CASE WHEN status IN ('cancelled', 'abandoned') THEN 1 ELSE 0 END) AS given_up,
      sum(CASE WHEN status = 'lost' THEN 1 ELSE 0 END) AS lost, CAST(coalesce(sum(retries), 0) AS BIGINT) AS retries,
      CAST(sum(CASE WHEN status <> 'success' THEN cost_nanousd END) AS REAL) / 1e9 AS wasted_usd
    FROM calls GROUP BY 1, provider, model, operation""",
    """CREATE VIEW v_cache AS
    SELECT c.provider, c.model, count(*) AS calls,
      CAST(coalesce(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.input_tokens END), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.cache_read_tokens END), 0) AS BIGINT) AS cache_read_tokens, CAST(coalesce(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.cache_write_tokens END), 0) AS BIGINT) AS cache_write_tokens,
      CAST(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.cache_read_tokens END) AS REAL)
        / nullif(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.input_tokens END), 0) AS hit_ratio,
      0 - sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN CAST(coalesce(c.cache_read_tokens, 0) AS REAL) * (p.cache_read_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_tokens, 0) AS REAL) * (p.cache_write_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_1h_tokens, 0) AS REAL) * (p.cache_write_1h_nanousd_per_mtok - p.cache_write_nanousd_per_mtok) END) / 1e15 AS saved_usd,
      sum(CASE WHEN p.model IS NULL AND coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) > 0 AND coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN 1 ELSE 0 END) AS calls_without_rates,
      sum(CASE WHEN NOT (coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%') THEN 1 ELSE 0 END) AS calls_left_out
    FROM calls c LEFT JOIN prices p ON p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model) AND p.price_class = coalesce(c.price_class, '') AND p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
      AND coalesce(c.input_tokens, 0) > p.above_tokens AND (p.up_to_tokens IS NULL OR coalesce(c.input_tokens, 0) <= p.up_to_tokens)
    WHERE c.model IS NOT NULL GROUP BY c.provider, c.model""",
    """CREATE VIEW v_prices AS
    SELECT provider, model, price_class, strftime('%Y-%m-%d', since_ns / 1000000000, 'unixepoch') AS since, strftime('%Y-%m-%d', until_ns / 1000000000, 'unixepoch') AS until,
      above_tokens, up_to_tokens,
      CAST(input_nanousd_per_mtok AS REAL) / 1e9 AS input_usd_per_mtok, CAST(cache_read_nanousd_per_mtok AS REAL) / 1e9 AS cache_read_usd_per_mtok, CAST(cache_write_nanousd_per_mtok AS REAL) / 1e9 AS cache_write_usd_per_mtok, CAST(cache_write_1h_nanousd_per_mtok AS REAL) / 1e9 AS cache_write_1h_usd_per_mtok, CAST(output_nanousd_per_mtok AS REAL) / 1e9 AS output_usd_per_mtok, source
    FROM prices""",
    """CREATE VIEW v_rates AS
    SELECT c.call_id, CAST(input_nanousd_per_mtok AS REAL) / 1e9 AS input_usd_per_mtok, CAST(cache_read_nanousd_per_mtok AS REAL) / 1e9 AS cache_read_usd_per_mtok, CAST(cache_write_nanousd_per_mtok AS REAL) / 1e9 AS cache_write_usd_per_mtok, CAST(cache_write_1h_nanousd_per_mtok AS REAL) / 1e9 AS cache_write_1h_usd_per_mtok, CAST(output_nanousd_per_mtok AS REAL) / 1e9 AS output_usd_per_mtok,
      p.source FROM calls c JOIN prices p ON p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model) AND p.price_class = coalesce(c.price_class, '') AND p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
      AND coalesce(c.input_tokens, 0) > p.above_tokens AND (p.up_to_tokens IS NULL OR coalesce(c.input_tokens, 0) <= p.up_to_tokens)
    WHERE c.model IS NOT NULL""",
    """CREATE VIEW v_what_if AS
    SELECT c.call_id, strftime('%Y-%m-%d', ended_at_ns / 1000000000, 'unixepoch') AS day, ((CAST(strftime('%s', 'now') AS INTEGER) - c.ended_at_ns / 1000000000) - CASE WHEN (CAST(strftime('%s', 'now') AS INTEGER) - c.ended_at_ns / 1000000000) < 0 THEN 86399 ELSE 0 END) / 86400 AS days_ago, c.batch_job, c.provider, c.model,
      coalesce(c.price_class, '') AS price_class, CAST(c.cost_nanousd AS REAL) / 1e9 AS cost_usd,
      p.provider AS on_provider, p.model AS on_model, p.price_class AS on_price_class,
      CASE WHEN p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model) THEN 1 ELSE 0 END AS same_model,
      CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' AND coalesce(c.flags, '') NOT LIKE '%models%' AND coalesce(c.usage_status, '') <> 'partial' THEN
        (CAST(coalesce(c.input_tokens, 0) AS REAL) * (p.input_nanousd_per_mtok) + CAST(coalesce(c.cache_read_tokens, 0) AS REAL) * (p.cache_read_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_tokens, 0) AS REAL) * (p.cache_write_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_1h_tokens, 0) AS REAL) * (p.cache_write_1h_nanousd_per_mtok - p.cache_write_nanousd_per_mtok)
        + CASE WHEN coalesce(c.output_tokens, 0) = 0 THEN 0
        ELSE CAST(c.output_tokens AS REAL) * (p.output_nanousd_per_mtok) END) / 1e15 END AS on_cost_usd
    FROM calls c JOIN prices p ON p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
      AND coalesce(c.input_tokens, 0) > p.above_tokens AND (p.up_to_tokens IS NULL OR coalesce(c.input_tokens, 0) <= p.up_to_tokens)
    WHERE c.model IS NOT NULL AND (c.input_tokens IS NOT NULL OR c.output_tokens IS NOT NULL)""",
    """CREATE VIEW v_unpriced AS
    SELECT provider, model, count(*) AS calls,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      sum(CASE WHEN usage_status = 'missing' OR (input_tokens IS NULL AND output_tokens IS NULL) THEN 1 ELSE 0 END) AS calls_without_usage,
      sum(CASE WHEN usage_status = 'partial' THEN 1 ELSE 0 END) AS calls_with_partial_usage,
      sum(CASE WHEN flags LIKE '%tokens%' OR flags LIKE '%models%' THEN 1 ELSE 0 END) AS calls_with_wrong_counts,
      sum(CASE WHEN price_class IS NOT NULL THEN 1 ELSE 0 END) AS calls_in_a_class,
      strftime('%Y-%m-%dT%H:%M:%S', min(ended_at_ns) / 1000000000, 'unixepoch') || printf('.%03dZ', min(ended_at_ns) / 1000000 % 1000) AS first_at, strftime('%Y-%m-%dT%H:%M:%S', max(ended_at_ns) / 1000000000, 'unixepoch') || printf('.%03dZ', max(ended_at_ns) / 1000000 % 1000) AS last_at
    FROM calls WHERE model IS NOT NULL AND cost_nanousd IS NULL AND folded = 1 GROUP BY provider, model""",
    """CREATE VIEW v_slo AS
    SELECT name AS slo, good, bad, CAST(good AS REAL) / nullif(good + bad, 0) AS sli_ratio,
      strftime('%Y-%m-%dT%H:%M:%S', counted_from_ns / 1000000000, 'unixepoch') || printf('.%03dZ', counted_from_ns / 1000000 % 1000) AS counted_from
    FROM slos WHERE retired_at_ns IS NULL""",
    """CREATE VIEW v_budget AS
    SELECT name AS budget, period, period_name, strftime('%Y-%m-%dT%H:%M:%S', starts_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', starts_at_ns / 1000000 % 1000) AS starts_at,
      strftime('%Y-%m-%dT%H:%M:%S', ends_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', ends_at_ns / 1000000 % 1000) AS ends_at, CAST(budget_nanousd AS REAL) / 1e9 AS usd, CAST(spent_nanousd AS REAL) / 1e9 AS spent_usd,
      CAST(budget_nanousd - spent_nanousd AS REAL) / 1e9 AS remaining_usd, CAST(projected_nanousd AS REAL) / 1e9 AS projected_usd,
      unpriced_calls, strftime('%Y-%m-%dT%H:%M:%S', exhausted_at_ns / 1000000000, 'unixepoch') || printf('.%03dZ', exhausted_at_ns / 1000000 % 1000) AS exhausted_at, state, strftime('%Y-%m-%dT%H:%M:%S', as_of_ns / 1000000000, 'unixepoch') || printf('.%03dZ', as_of_ns / 1000000 % 1000) AS as_of
    FROM budgets""",
)

POSTGRESQL = (
    """CREATE TABLE calls (
      call_id TEXT COLLATE "C" NOT NULL,
      ended_at_ns BIGINT NOT NULL,
      started_at_ns BIGINT,
      duration_ns BIGINT,
      ttft_ns BIGINT,
      batch_job TEXT,
      run_id TEXT,
      operation TEXT NOT NULL,
      provider TEXT,
      model TEXT,
      response_model TEXT,
      status TEXT NOT NULL,
      error_type TEXT,
      http_status BIGINT,
      retries BIGINT,
      stream BIGINT,
      input_tokens BIGINT,
      cache_read_tokens BIGINT,
      cache_write_tokens BIGINT,
      cache_write_1h_tokens BIGINT,
      output_tokens BIGINT,
      reasoning_tokens BIGINT,
      usage_status TEXT,
      price_class TEXT,
      cost_nanousd BIGINT,
      cost_source TEXT,
      finish_reason TEXT,
      trace_id TEXT,
      attributes TEXT,
      flags TEXT,
      folded BIGINT NOT NULL DEFAULT 0,
      priced_model TEXT,
      PRIMARY KEY (folded, call_id)
    )""",
    """CREATE TABLE starts (
      call_id TEXT COLLATE "C" NOT NULL,
      started_at_ns BIGINT NOT NULL,
      deadline_at_ns BIGINT,
      batch_job TEXT,
      run_id TEXT,
      operation TEXT NOT NULL,
      provider TEXT,
      model TEXT,
      host TEXT,
      pid BIGINT,
      PRIMARY KEY (call_id)
    )""",
    """CREATE TABLE runs (
      run_id TEXT NOT NULL,
      batch_job TEXT NOT NULL,
      started_at_ns BIGINT NOT NULL,
      ended_at_ns BIGINT,
      duration_ns BIGINT,
      status TEXT NOT NULL,
      exit_code BIGINT,
      error_type TEXT,
      items BIGINT,
      host TEXT,
      pid BIGINT,
      scheduled_for_ns BIGINT,
      output_tail TEXT,
      attributes TEXT,
      folded_status TEXT,
      PRIMARY KEY (run_id)
    )""",
    """CREATE TABLE troubles (
      trouble_id TEXT NOT NULL,
      at_ns BIGINT NOT NULL,
      host TEXT,
      pid BIGINT,
      trouble TEXT NOT NULL,
      occurrences BIGINT NOT NULL,
      detail TEXT,
      PRIMARY KEY (trouble_id)
    )""",
    """CREATE TABLE series (
      series_id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
      batch_job TEXT NOT NULL,
      operation TEXT NOT NULL,
      provider TEXT NOT NULL,
      model TEXT NOT NULL,
      UNIQUE (batch_job, operation, provider, model)
    )""",
    """CREATE TABLE tallies (
      resolution BIGINT NOT NULL,
      bucket BIGINT NOT NULL,
      series_id BIGINT NOT NULL,
      calls BIGINT NOT NULL,
      errors BIGINT NOT NULL,
      lost BIGINT NOT NULL,
      unpriced BIGINT NOT NULL,
      input_tokens BIGINT NOT NULL,
      cache_read_tokens BIGINT NOT NULL,
      cache_write_tokens BIGINT NOT NULL,
      output_tokens BIGINT NOT NULL,
      reasoning_tokens BIGINT NOT NULL,
      cost_nanousd BIGINT NOT NULL,
      durations BYTEA,
      ttfts BYTEA,
      speeds BYTEA,
      PRIMARY KEY (resolution, bucket, series_id)
    )""",
    """CREATE TABLE tally_minutes (
      bucket BIGINT NOT NULL,
      series_id BIGINT NOT NULL,
      minutes BYTEA NOT NULL,
      PRIMARY KEY (bucket, series_id)
    )""",
    """CREATE TABLE totals (
      series_id BIGINT NOT NULL,
      status TEXT NOT NULL,
      calls BIGINT NOT NULL,
      unpriced BIGINT NOT NULL,
      input_tokens BIGINT NOT NULL,
      cache_read_tokens BIGINT NOT NULL,
      cache_write_tokens BIGINT NOT NULL,
      output_tokens BIGINT NOT NULL,
      reasoning_tokens BIGINT NOT NULL,
      cost_nanousd BIGINT NOT NULL,
      duration_sum_ns BIGINT NOT NULL,
      ttft_sum_ns BIGINT NOT NULL,
      speed_sum BIGINT NOT NULL,
      duration_counts TEXT NOT NULL,
      ttft_counts TEXT NOT NULL,
      speed_counts TEXT NOT NULL,
      PRIMARY KEY (series_id, status)
    )""",
    """CREATE TABLE slos (
      slo_id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
      name TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      counted_from_ns BIGINT,
      good BIGINT NOT NULL,
      bad BIGINT NOT NULL,
      retired_at_ns BIGINT
    )""",
    """CREATE TABLE slo_tallies (
      resolution BIGINT NOT NULL,
      bucket BIGINT NOT NULL,
      slo_id BIGINT NOT NULL,
      good BIGINT NOT NULL,
      bad BIGINT NOT NULL,
      PRIMARY KEY (resolution, bucket, slo_id)
    )""",
    """CREATE TABLE slo_minutes (
      bucket BIGINT NOT NULL,
      slo_id BIGINT NOT NULL,
      minutes BYTEA NOT NULL,
      PRIMARY KEY (bucket, slo_id)
    )""",
    """CREATE TABLE job_totals (
      batch_job TEXT NOT NULL,
      status TEXT NOT NULL,
      runs BIGINT NOT NULL,
      PRIMARY KEY (batch_job, status)
    )""",
    """CREATE TABLE jobs (
      batch_job TEXT NOT NULL,
      schedule TEXT,
      declared_at_ns BIGINT NOT NULL,
      since_ns BIGINT NOT NULL,
      retired_at_ns BIGINT,
      judged_until_ns BIGINT NOT NULL,
      next_due_at_ns BIGINT,
      grace_over_at_ns BIGINT,
      missed_runs BIGINT NOT NULL,
      late_runs BIGINT NOT NULL,
      overruns BIGINT NOT NULL,
      overlapping_runs BIGINT NOT NULL,
      too_fast_runs BIGINT NOT NULL,
      PRIMARY KEY (batch_job)
    )""",
    """CREATE TABLE job_events (
      batch_job TEXT NOT NULL,
      kind TEXT NOT NULL,
      subject TEXT NOT NULL,
      at_ns BIGINT NOT NULL,
      due_at_ns BIGINT,
      until_ns BIGINT,
      made_up_at_ns BIGINT,
      PRIMARY KEY (batch_job, kind, subject)
    )""",
    """CREATE TABLE prices (
      provider TEXT NOT NULL,
      model TEXT NOT NULL,
      price_class TEXT NOT NULL,
      since_ns BIGINT NOT NULL,
      until_ns BIGINT,
      above_tokens BIGINT NOT NULL,
      up_to_tokens BIGINT,
      input_nanousd_per_mtok BIGINT NOT NULL,
      cache_read_nanousd_per_mtok BIGINT NOT NULL,
      cache_write_nanousd_per_mtok BIGINT NOT NULL,
      cache_write_1h_nanousd_per_mtok BIGINT NOT NULL,
      output_nanousd_per_mtok BIGINT,
      source TEXT NOT NULL,
      PRIMARY KEY (provider, model, price_class, since_ns, above_tokens)
    )""",
    """CREATE TABLE late_calls (
      call_id TEXT COLLATE "C" NOT NULL,
      folded_at_ns BIGINT NOT NULL,
      PRIMARY KEY (call_id)
    )""",
    """CREATE TABLE exclusions (
      name TEXT NOT NULL,
      from_ns BIGINT NOT NULL,
      to_ns BIGINT NOT NULL,
      slos TEXT NOT NULL,
      reason TEXT NOT NULL,
      added_at_ns BIGINT NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE budgets (
      name TEXT NOT NULL,
      period TEXT NOT NULL,
      period_name TEXT,
      starts_at_ns BIGINT NOT NULL,
      ends_at_ns BIGINT NOT NULL,
      budget_nanousd BIGINT NOT NULL,
      spent_nanousd BIGINT,
      projected_nanousd BIGINT,
      unpriced_calls BIGINT,
      exhausted_at_ns BIGINT,
      state TEXT NOT NULL,
      as_of_ns BIGINT NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE state (
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE leases (
      name TEXT NOT NULL,
      holder TEXT NOT NULL,
      expires_at_ns BIGINT NOT NULL,
      PRIMARY KEY (name)
    )""",
    """CREATE TABLE pushes (
      group_key TEXT NOT NULL,
      sequence BIGINT NOT NULL,
      sent BYTEA NOT NULL,
      acknowledged_at_ns BIGINT,
      PRIMARY KEY (group_key)
    )""",
    "CREATE INDEX runs_started ON runs (batch_job, started_at_ns)",
    "CREATE INDEX job_events_at ON job_events (at_ns)",
    "CREATE INDEX runs_unfolded ON runs (run_id) WHERE folded_status IS NULL OR folded_status <> status",
    """CREATE VIEW v_calls AS
    SELECT call_id, to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((ended_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS ended_at, to_char(to_timestamp(started_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((started_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS started_at,
      CAST(duration_ns AS DOUBLE PRECISION) / 1e9 AS duration_seconds, CAST(ttft_ns AS DOUBLE PRECISION) / 1e9 AS ttft_seconds,
      batch_job, run_id, operation, provider, model, response_model, status, error_type, http_status, retries, stream,
      input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,
      usage_status, price_class, CAST(cost_nanousd AS DOUBLE PRECISION) / 1e9 AS cost_usd, cost_source, priced_model,
      CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END AS unpriced,
      finish_reason, trace_id, attributes, flags, CASE WHEN coalesce(output_tokens, 0) = 0 OR coalesce(duration_ns, 0) = 0 THEN NULL
        WHEN ttft_ns < duration_ns AND output_tokens > 1 THEN CAST(output_tokens - 1 AS DOUBLE PRECISION) * 1e9 / (duration_ns - ttft_ns)
        ELSE CAST(output_tokens AS DOUBLE PRECISION) * 1e9 / duration_ns END AS tokens_per_second,
      to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00"Z"') AS hour, CAST(floor((extract(epoch FROM now()) - ended_at_ns / 1000000000) / 86400) AS BIGINT) AS days_ago
    FROM calls""",
    """CREATE VIEW v_attributes AS
    SELECT call_id, member.key AS name, member.value FROM calls, json_each_text(calls.attributes::json) AS member""",
    """CREATE VIEW v_runs AS
    SELECT r.run_id, r.batch_job, to_char(to_timestamp(r.started_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((r.started_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS started_at,
      to_char(to_timestamp(r.ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((r.ended_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS ended_at, CAST(r.duration_ns AS DOUBLE PRECISION) / 1e9 AS duration_seconds,
      r.status, r.exit_code, r.error_type, r.items, r.host, r.pid, c.calls, c.errors, c.input_tokens, c.output_tokens,
      CAST(c.cost_nanousd AS DOUBLE PRECISION) / 1e9 AS cost_usd, CAST(c.cost_nanousd AS DOUBLE PRECISION) / 1e9 / nullif(r.items, 0) AS cost_usd_per_item,
      c.unpriced_calls, CASE WHEN r.started_at_ns < (SELECT coalesce(max(CAST(value AS BIGINT)), 0) FROM state WHERE name = 'calls_pruned_before_ns') THEN 1 ELSE 0 END AS calls_pruned, CAST(floor((extract(epoch FROM now()) - r.started_at_ns / 1000000000) / 86400) AS BIGINT) AS days_ago
    FROM runs r LEFT JOIN (
      SELECT run_id, count(*) AS calls, sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens, CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS BIGINT) AS cost_nanousd, sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
      FROM calls GROUP BY run_id
    ) c ON c.run_id = r.run_id AND r.started_at_ns >= (SELECT coalesce(max(CAST(value AS BIGINT)), 0) FROM state WHERE name = 'calls_pruned_before_ns')""",
    """CREATE VIEW v_cost_daily AS
    SELECT to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS calls,
      sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS DOUBLE PRECISION) / 1e9 AS cost_usd,
      sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls,
      CASE WHEN to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') = to_char(to_timestamp((SELECT coalesce(max(CAST(value AS BIGINT)), 0) FROM state WHERE name = 'calls_pruned_before_ns') / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') THEN 1 ELSE 0 END AS pruned
    FROM calls GROUP BY 1""",
    """CREATE VIEW v_cost_by_model AS
    SELECT provider, model, count(*) AS calls,
      sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS DOUBLE PRECISION) / 1e9 AS cost_usd,
      sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
    FROM calls WHERE model IS NOT NULL GROUP BY provider, model""",
    """CREATE VIEW v_cost_by_job AS
    SELECT batch_job, count(*) AS calls,
      sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      CAST(CASE WHEN sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) = 0 OR sum(cost_nanousd) > 0 THEN sum(cost_nanousd) END AS DOUBLE PRECISION) / 1e9 AS cost_usd,
      sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
    FROM calls GROUP BY batch_job""",
    """CREATE VIEW v_errors AS
    SELECT to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00"Z"') AS hour, provider, model, operation, count(*) AS calls,
      sum(CASE WHEN status <> 'success' THEN 1 ELSE 0 END) AS errors, sum(CASE WHEN status = 'timeout' THEN 1 ELSE 0 END) AS timeouts,
      sum(CASE WHEN http_status = 429 OR error_type IN ('429', 'rate_limit_exceeded', 'rate_limit_error', 'RateLimitError') THEN 1 ELSE 0 END) AS rate_limited, sum(CASE WHEN status IN ('cancelled', 'abandoned') THEN 1 ELSE 0 END) AS given_up,
      sum(CASE WHEN status = 'lost' THEN 1 ELSE 0 END) AS lost, CAST(coalesce(sum(retries), 0) AS BIGINT) AS retries,
      CAST(sum(CASE WHEN status <> 'success' THEN cost_nanousd END) AS DOUBLE PRECISION) / 1e9 AS wasted_usd
    FROM calls GROUP BY 1, provider, model, operation""",
    """CREATE VIEW v_cache AS
    SELECT c.provider, c.model, count(*) AS calls,
      CAST(coalesce(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.input_tokens END), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.cache_read_tokens END), 0) AS BIGINT) AS cache_read_tokens, CAST(coalesce(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.cache_write_tokens END), 0) AS BIGINT) AS cache_write_tokens,
      CAST(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.cache_read_tokens END) AS DOUBLE PRECISION)
        / nullif(sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN c.input_tokens END), 0) AS hit_ratio,
      0 - sum(CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN CAST(coalesce(c.cache_read_tokens, 0) AS DOUBLE PRECISION) * (p.cache_read_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_tokens, 0) AS DOUBLE PRECISION) * (p.cache_write_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_1h_tokens, 0) AS DOUBLE PRECISION) * (p.cache_write_1h_nanousd_per_mtok - p.cache_write_nanousd_per_mtok) END) / 1e15 AS saved_usd,
      sum(CASE WHEN p.model IS NULL AND coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) > 0 AND coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' THEN 1 ELSE 0 END) AS calls_without_rates,
      sum(CASE WHEN NOT (coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%') THEN 1 ELSE 0 END) AS calls_left_out
    FROM calls c LEFT JOIN prices p ON p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model) AND p.price_class = coalesce(c.price_class, '') AND p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
      AND coalesce(c.input_tokens, 0) > p.above_tokens AND (p.up_to_tokens IS NULL OR coalesce(c.input_tokens, 0) <= p.up_to_tokens)
    WHERE c.model IS NOT NULL GROUP BY c.provider, c.model""",
    """CREATE VIEW v_prices AS
    SELECT provider, model, price_class, to_char(to_timestamp(since_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS since, to_char(to_timestamp(until_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS until,
      above_tokens, up_to_tokens,
      CAST(input_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS input_usd_per_mtok, CAST(cache_read_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS cache_read_usd_per_mtok, CAST(cache_write_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS cache_write_usd_per_mtok, CAST(cache_write_1h_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS cache_write_1h_usd_per_mtok, CAST(output_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS output_usd_per_mtok, source
    FROM prices""",
    """CREATE VIEW v_rates AS
    SELECT c.call_id, CAST(input_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS input_usd_per_mtok, CAST(cache_read_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS cache_read_usd_per_mtok, CAST(cache_write_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS cache_write_usd_per_mtok, CAST(cache_write_1h_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS cache_write_1h_usd_per_mtok, CAST(output_nanousd_per_mtok AS DOUBLE PRECISION) / 1e9 AS output_usd_per_mtok,
      p.source FROM calls c JOIN prices p ON p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model) AND p.price_class = coalesce(c.price_class, '') AND p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
      AND coalesce(c.input_tokens, 0) > p.above_tokens AND (p.up_to_tokens IS NULL OR coalesce(c.input_tokens, 0) <= p.up_to_tokens)
    WHERE c.model IS NOT NULL""",
    """CREATE VIEW v_what_if AS
    SELECT c.call_id, to_char(to_timestamp(ended_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, CAST(floor((extract(epoch FROM now()) - c.ended_at_ns / 1000000000) / 86400) AS BIGINT) AS days_ago, c.batch_job, c.provider, c.model,
      coalesce(c.price_class, '') AS price_class, CAST(c.cost_nanousd AS DOUBLE PRECISION) / 1e9 AS cost_usd,
      p.provider AS on_provider, p.model AS on_model, p.price_class AS on_price_class,
      CASE WHEN p.provider = coalesce(c.provider, '') AND p.model = coalesce(c.priced_model, c.model) THEN 1 ELSE 0 END AS same_model,
      CASE WHEN coalesce(c.cache_read_tokens, 0) + coalesce(c.cache_write_tokens, 0) <= coalesce(c.input_tokens, 0) AND coalesce(c.cache_write_1h_tokens, 0) <= coalesce(c.cache_write_tokens, 0) AND coalesce(c.flags, '') NOT LIKE '%tokens%' AND coalesce(c.flags, '') NOT LIKE '%models%' AND coalesce(c.usage_status, '') <> 'partial' THEN
        (CAST(coalesce(c.input_tokens, 0) AS DOUBLE PRECISION) * (p.input_nanousd_per_mtok) + CAST(coalesce(c.cache_read_tokens, 0) AS DOUBLE PRECISION) * (p.cache_read_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_tokens, 0) AS DOUBLE PRECISION) * (p.cache_write_nanousd_per_mtok - p.input_nanousd_per_mtok)
        + CAST(coalesce(c.cache_write_1h_tokens, 0) AS DOUBLE PRECISION) * (p.cache_write_1h_nanousd_per_mtok - p.cache_write_nanousd_per_mtok)
        + CASE WHEN coalesce(c.output_tokens, 0) = 0 THEN 0
        ELSE CAST(c.output_tokens AS DOUBLE PRECISION) * (p.output_nanousd_per_mtok) END) / 1e15 END AS on_cost_usd
    FROM calls c JOIN prices p ON p.since_ns <= c.ended_at_ns AND (p.until_ns IS NULL OR p.until_ns > c.ended_at_ns)
      AND coalesce(c.input_tokens, 0) > p.above_tokens AND (p.up_to_tokens IS NULL OR coalesce(c.input_tokens, 0) <= p.up_to_tokens)
    WHERE c.model IS NOT NULL AND (c.input_tokens IS NOT NULL OR c.output_tokens IS NOT NULL)""",
    """CREATE VIEW v_unpriced AS
    SELECT provider, model, count(*) AS calls,
      CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
      CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
      sum(CASE WHEN usage_status = 'missing' OR (input_tokens IS NULL AND output_tokens IS NULL) THEN 1 ELSE 0 END) AS calls_without_usage,
      sum(CASE WHEN usage_status = 'partial' THEN 1 ELSE 0 END) AS calls_with_partial_usage,
      sum(CASE WHEN flags LIKE '%tokens%' OR flags LIKE '%models%' THEN 1 ELSE 0 END) AS calls_with_wrong_counts,
      sum(CASE WHEN price_class IS NOT NULL THEN 1 ELSE 0 END) AS calls_in_a_class,
      to_char(to_timestamp(min(ended_at_ns) / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((min(ended_at_ns) / 1000000 % 1000)::text, 3, '0') || 'Z' AS first_at, to_char(to_timestamp(max(ended_at_ns) / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((max(ended_at_ns) / 1000000 % 1000)::text, 3, '0') || 'Z' AS last_at
    FROM calls WHERE model IS NOT NULL AND cost_nanousd IS NULL AND folded = 1 GROUP BY provider, model""",
    """CREATE VIEW v_slo AS
    SELECT name AS slo, good, bad, CAST(good AS DOUBLE PRECISION) / nullif(good + bad, 0) AS sli_ratio,
      to_char(to_timestamp(counted_from_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((counted_from_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS counted_from
    FROM slos WHERE retired_at_ns IS NULL""",
    """CREATE VIEW v_budget AS
    SELECT name AS budget, period, period_name, to_char(to_timestamp(starts_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((starts_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS starts_at,
      to_char(to_timestamp(ends_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((ends_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS ends_at, CAST(budget_nanousd AS DOUBLE PRECISION) / 1e9 AS usd, CAST(spent_nanousd AS DOUBLE PRECISION) / 1e9 AS spent_usd,
      CAST(budget_nanousd - spent_nanousd AS DOUBLE PRECISION) / 1e9 AS remaining_usd, CAST(projected_nanousd AS DOUBLE PRECISION) / 1e9 AS projected_usd,
      unpriced_calls, to_char(to_timestamp(exhausted_at_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((exhausted_at_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS exhausted_at, state, to_char(to_timestamp(as_of_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((as_of_ns / 1000000 % 1000)::text, 3, '0') || 'Z' AS as_of
    FROM budgets""",
)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for statement in SQLITE:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("PRAGMA user_version = 1")
    else:
        for statement in POSTGRESQL:
            connection.exec_driver_sql(statement.replace("%", "%%"))  # a lone % would be a placeholder
