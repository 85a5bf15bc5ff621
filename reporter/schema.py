"""The schema, said once: every table, its columns, and the statements both halves derive from it.

The recording half creates a SQLite file and inserts rows from this text alone; the reporting half derives its SQLAlchemy
tables from the same declaration (`reporter.tables`); migrations are written by hand, and a test proves that all three
agree on SQLite and on Postgres.  Standard library only, and cheap to import: a job pays for it at every start.

Units: `*_at_ns` is a moment and `*_ns` a length, both integer nanoseconds (moments in UTC since 1970); `*_nanousd` is money
in integer nano-dollars; absent is NULL.
"""

from reporter.revision import HEAD

TEXT, INTEGER, BLOB = "text", "integer", "blob"

_CALL_FACTS = (
    # name, type, nullable
    ("call_id", TEXT, False),  # UUIDv7; the idempotency key
    ("ended_at_ns", INTEGER, False),  # event time
    ("started_at_ns", INTEGER, True),
    ("duration_ns", INTEGER, True),  # monotonic; NULL for a lost call
    ("ttft_ns", INTEGER, True),
    ("batch_job", TEXT, True),
    ("run_id", TEXT, True),
    ("operation", TEXT, False),
    ("provider", TEXT, True),
    ("model", TEXT, True),  # NULL: an API call, not an LLM call
    ("response_model", TEXT, True),
    ("status", TEXT, False),
    ("error_type", TEXT, True),
    ("http_status", INTEGER, True),
    ("retries", INTEGER, True),
    ("stream", INTEGER, True),  # 0 or 1
    ("input_tokens", INTEGER, True),
    ("cache_read_tokens", INTEGER, True),
    ("cache_write_tokens", INTEGER, True),
    ("cache_write_1h_tokens", INTEGER, True),
    ("output_tokens", INTEGER, True),
    ("reasoning_tokens", INTEGER, True),
    ("usage_status", TEXT, True),
    ("price_class", TEXT, True),
    ("cost_nanousd", INTEGER, True),
    ("cost_source", TEXT, True),
    ("finish_reason", TEXT, True),
    ("trace_id", TEXT, True),
    ("attributes", TEXT, True),  # JSON text
    ("flags", TEXT, True),  # comma-separated: columns mended on the way in; "models": it asked several
)

TABLES = {
    # name: (columns, primary key, unique constraints)
    # New calls lie together at one end of the key, where they are written and the fold finds them; folding moves them to the
    # other end.  One b-tree does for the row, its uniqueness and what is new: a second one would cost the job a third more.
    # A call can be at both ends from when its end arrives after all (it had been declared lost) until the next fold.
    # priced_model: by which name the model was priced, where nobody sells it by the one asked for.
    "calls": (
        (*_CALL_FACTS, ("folded", INTEGER, False), ("priced_model", TEXT, True)),
        ("folded", "call_id"),
        (),
    ),
    "starts": (
        (
            ("call_id", TEXT, False),
            ("started_at_ns", INTEGER, False),
            ("deadline_at_ns", INTEGER, True),
            ("batch_job", TEXT, True),
            ("run_id", TEXT, True),
            ("operation", TEXT, False),
            ("provider", TEXT, True),
            ("model", TEXT, True),
            ("host", TEXT, True),
            ("pid", INTEGER, True),
        ),
        ("call_id",),
        (),
    ),
    "runs": (
        (
            ("run_id", TEXT, False),
            ("batch_job", TEXT, False),
            ("started_at_ns", INTEGER, False),
            ("ended_at_ns", INTEGER, True),
            ("duration_ns", INTEGER, True),  # monotonic
            ("status", TEXT, False),
            ("exit_code", INTEGER, True),
            ("error_type", TEXT, True),
            ("items", INTEGER, True),
            ("host", TEXT, True),
            ("pid", INTEGER, True),
            ("scheduled_for_ns", INTEGER, True),
            ("output_tail", TEXT, True),
            ("attributes", TEXT, True),
            ("folded_status", TEXT, True),  # the status this run was last counted under
        ),
        ("run_id",),
        (),
    ),
    # What the recorder could not do: dropped facts, its own exceptions, spool overflow.
    "troubles": (
        (
            ("trouble_id", TEXT, False),
            ("at_ns", INTEGER, False),
            ("host", TEXT, True),
            ("pid", INTEGER, True),
            ("trouble", TEXT, False),  # "dropped", "recorder_error", "bad_line"
            ("occurrences", INTEGER, False),
            ("detail", TEXT, True),
        ),
        ("trouble_id",),
        (),
    ),
    # ── tallies: written by the fold alone ──
    "series": (
        (
            ("series_id", INTEGER, False),
            ("batch_job", TEXT, False),  # '' where the call has none, so that UNIQUE holds
            ("operation", TEXT, False),
            ("provider", TEXT, False),
            ("model", TEXT, False),
        ),
        ("series_id",),
        (("batch_job", "operation", "provider", "model"),),
    ),
    "tallies": (
        (
            ("resolution", INTEGER, False),  # minutes in a bucket: 60, 1440
            ("bucket", INTEGER, False),  # the bucket's first minute, counted from 1970
            ("series_id", INTEGER, False),
            ("calls", INTEGER, False),
            ("errors", INTEGER, False),  # status other than success
            ("lost", INTEGER, False),
            ("unpriced", INTEGER, False),  # LLM calls whose cost is NULL
            ("input_tokens", INTEGER, False),
            ("cache_read_tokens", INTEGER, False),
            ("cache_write_tokens", INTEGER, False),
            ("output_tokens", INTEGER, False),
            ("reasoning_tokens", INTEGER, False),
            ("cost_nanousd", INTEGER, False),
            ("durations", BLOB, True),  # sketch of duration_ns
            ("ttfts", BLOB, True),  # sketch of ttft_ns
            ("speeds", BLOB, True),  # sketch of output tokens per million seconds
        ),
        ("resolution", "bucket", "series_id"),
        (),
    ),
    # The minutes of each hour, packed (`reporter.minutes`): what windows cut their left edges from.
    "tally_minutes": (
        (("bucket", INTEGER, False), ("series_id", INTEGER, False), ("minutes", BLOB, False)),
        ("bucket", "series_id"),
        (),
    ),
    # Cumulative since the database was born; what counters and histograms are pushed from.  Never pruned.
    "totals": (
        (
            ("series_id", INTEGER, False),
            ("status", TEXT, False),  # the label: success, timeout, error_429, …
            ("calls", INTEGER, False),
            ("unpriced", INTEGER, False),
            ("input_tokens", INTEGER, False),
            ("cache_read_tokens", INTEGER, False),
            ("cache_write_tokens", INTEGER, False),
            ("output_tokens", INTEGER, False),
            ("reasoning_tokens", INTEGER, False),
            ("cost_nanousd", INTEGER, False),
            ("duration_sum_ns", INTEGER, False),
            ("ttft_sum_ns", INTEGER, False),
            ("speed_sum", INTEGER, False),  # output tokens per million seconds
            ("duration_counts", TEXT, False),  # JSON: calls in each histogram bucket, +Inf last, not cumulative
            ("ttft_counts", TEXT, False),
            ("speed_counts", TEXT, False),
        ),
        ("series_id", "status"),
        (),
    ),
    "slos": (
        (
            ("slo_id", INTEGER, False),
            ("name", TEXT, False),
            ("fingerprint", TEXT, False),  # of all that decides which calls are good, bad or left out
            ("counted_from_ns", INTEGER, True),  # raw rows before this were gone when it was counted; NULL: it has all
            ("good", INTEGER, False),  # cumulative, carried on when the SLO changes
            ("bad", INTEGER, False),
            ("retired_at_ns", INTEGER, True),
        ),
        ("slo_id",),
        (),
    ),
    "slo_tallies": (
        (
            ("resolution", INTEGER, False),
            ("bucket", INTEGER, False),
            ("slo_id", INTEGER, False),
            ("good", INTEGER, False),
            ("bad", INTEGER, False),
        ),
        ("resolution", "bucket", "slo_id"),
        (),
    ),
    "slo_minutes": (
        (("bucket", INTEGER, False), ("slo_id", INTEGER, False), ("minutes", BLOB, False)),
        ("bucket", "slo_id"),
        (),
    ),
    "job_totals": (
        (("batch_job", TEXT, False), ("status", TEXT, False), ("runs", INTEGER, False)),
        ("batch_job", "status"),
        (),
    ),
    # Jobs whose runs are compared with what is expected of them, how far, and what was counted since the beginning.
    "jobs": (
        (
            ("batch_job", TEXT, False),
            ("schedule", TEXT, True),  # in words; NULL: none
            ("declared_at_ns", INTEGER, False),  # when a reporter first saw it in its configuration
            ("since_ns", INTEGER, False),  # due times are those after this: it was declared, or its schedule changed
            ("retired_at_ns", INTEGER, True),  # it is in the configuration no more
            ("judged_until_ns", INTEGER, False),  # due times up to here are judged
            ("next_due_at_ns", INTEGER, True),  # the first that is not; NULL: not known
            ("grace_over_at_ns", INTEGER, True),  # when it can be
            ("missed_runs", INTEGER, False),
            ("late_runs", INTEGER, False),
            (
                "overruns",
                INTEGER,
                False,
            ),  # that ended by themselves; those that were stopped have a status that says so
            ("overlapping_runs", INTEGER, False),
            ("too_fast_runs", INTEGER, False),
        ),
        ("batch_job",),
        (),
    ),
    # What those counts are of, each once; pruned as runs are.
    "job_events": (
        (
            ("batch_job", TEXT, False),
            ("kind", TEXT, False),  # missed, skipped, late, overrun, overlap, too_fast
            ("subject", TEXT, False),  # the run's id; of a missed or skipped one, the due time in ns
            ("at_ns", INTEGER, False),  # from when on it is so
            ("due_at_ns", INTEGER, True),  # of a missed one; until_ns: runs from there on are of the next due time
            ("until_ns", INTEGER, True),
            ("made_up_at_ns", INTEGER, True),  # when its run started after all
        ),
        ("batch_job", "kind", "subject"),
        (),
    ),
    # What a token costs, for each model that was called: what `v_what_if` and `v_cache` are made of.
    "prices": (
        (
            ("provider", TEXT, False),  # as calls name it; '' where they name none
            ("model", TEXT, False),
            ("price_class", TEXT, False),  # '' is standard
            ("since_ns", INTEGER, False),
            ("until_ns", INTEGER, True),  # NULL: still
            ("above_tokens", INTEGER, False),  # of input; -1: any
            ("up_to_tokens", INTEGER, True),  # NULL: any
            ("input_nanousd_per_mtok", INTEGER, False),
            ("cache_read_nanousd_per_mtok", INTEGER, False),
            ("cache_write_nanousd_per_mtok", INTEGER, False),
            ("cache_write_1h_nanousd_per_mtok", INTEGER, False),
            ("output_nanousd_per_mtok", INTEGER, True),  # NULL: no price of output
            ("source", TEXT, False),
        ),
        ("provider", "model", "price_class", "since_ns", "above_tokens"),
        (),
    ),
    # Calls that came after a push had told of the minute they ended in: what was told then is not what is known now.
    "late_calls": ((("call_id", TEXT, False), ("folded_at_ns", INTEGER, False)), ("call_id",), ()),
    # Spans of time that SLOs leave out, as `reporter exclude` was told; others stand in reporter.yaml.
    "exclusions": (
        (
            ("name", TEXT, False),
            ("from_ns", INTEGER, False),
            ("to_ns", INTEGER, False),
            ("slos", TEXT, False),  # JSON: patterns of their names
            ("reason", TEXT, False),
            ("added_at_ns", INTEGER, False),
        ),
        ("name",),
        (),
    ),
    # Cost budgets as of the latest report of now; what `v_budget` shows.
    "budgets": (
        (
            ("name", TEXT, False),
            ("period", TEXT, False),  # 30d, month
            ("period_name", TEXT, True),  # 2026-10; NULL: the period rolls
            ("starts_at_ns", INTEGER, False),
            ("ends_at_ns", INTEGER, False),
            ("budget_nanousd", INTEGER, False),
            ("spent_nanousd", INTEGER, True),  # NULL: not one call has a price, or tallies were pruned
            ("projected_nanousd", INTEGER, True),
            ("unpriced_calls", INTEGER, True),
            ("exhausted_at_ns", INTEGER, True),  # when the money was or will be gone; NULL: not in the period
            ("state", TEXT, False),
            ("as_of_ns", INTEGER, False),
        ),
        ("name",),
        (),
    ),
    # The reporter's own memory: counters of itself, how far it folded, what it pruned.
    "state": ((("name", TEXT, False), ("value", TEXT, False)), ("name",), ()),
    "leases": (
        (("name", TEXT, False), ("holder", TEXT, False), ("expires_at_ns", INTEGER, False)),
        ("name",),
        (),
    ),
    "pushes": (
        (
            ("group_key", TEXT, False),
            ("sequence", INTEGER, False),
            ("sent", BLOB, False),  # zlib'd JSON: every counter sample that may have left, and its value
            ("acknowledged_at_ns", INTEGER, True),
        ),
        ("group_key",),
        (),
    ),
}
"""Every table: its columns as (name, type, nullable), its primary key, its unique constraints."""

INDEXES = {
    # name: (table, columns, the rows it covers)
    "runs_started": ("runs", ("batch_job", "started_at_ns"), None),
    "job_events_at": ("job_events", ("at_ns",), None),
    "runs_unfolded": ("runs", ("run_id",), "folded_status IS NULL OR folded_status <> status"),
}
"""Indexes beyond keys: table, columns, condition."""

_TYPES = {
    "sqlite": {TEXT: "TEXT", INTEGER: "INTEGER", BLOB: "BLOB"},
    "postgresql": {TEXT: "TEXT", INTEGER: "BIGINT", BLOB: "BYTEA"},
}
_CLUSTERED = (
    "calls",
    "tallies",
    "tally_minutes",
    "slo_tallies",
    "slo_minutes",
    "starts",
    "totals",
    "jobs",
    "job_events",
)  # WITHOUT ROWID: one b-tree, read by range of the key


def type_name(dialect: str, kind: str) -> str:
    """What `kind` of column is called on "sqlite" or "postgresql"."""
    return _TYPES[dialect][kind]


def columns(table: str) -> tuple[str, ...]:
    """The names of `table`'s columns, in order."""
    return tuple(name for name, _, _ in TABLES[table][0])


CALL_COLUMNS = tuple(name for name, _, _ in _CALL_FACTS)
"""What a recorder says of a finished call, in order; `folded` (0: new, 1: counted) is the database's own."""
START_COLUMNS = columns("starts")
RUN_COLUMNS = columns("runs")[:-1]
TROUBLE_COLUMNS = columns("troubles")


def create_statements(dialect: str) -> list[str]:
    """The DDL of an empty database at HEAD, for "sqlite" or "postgresql", views and version stamp included."""
    from reporter.views import VIEWS

    statements = []
    for table, (declared, primary_key, uniques) in TABLES.items():
        lines = [_column(dialect, table, primary_key, *column) for column in declared]
        if not is_rowid(table, primary_key):
            lines.append(f"PRIMARY KEY ({', '.join(primary_key)})")
        lines += [f"UNIQUE ({', '.join(unique)})" for unique in uniques]
        tail = " WITHOUT ROWID" if dialect == "sqlite" and table in _CLUSTERED else ""
        statements.append(f"CREATE TABLE {table} (\n  " + ",\n  ".join(lines) + f"\n){tail}")
    for index, (table, names, condition) in INDEXES.items():
        where = f" WHERE {condition}" if condition else ""
        statements.append(f"CREATE INDEX {index} ON {table} ({', '.join(names)}){where}")
    statements += [f"CREATE VIEW {view} AS\n{select[dialect]}" for view, select in VIEWS.items()]
    statements.append(
        "CREATE TABLE alembic_version (\n  version_num VARCHAR(32) NOT NULL,\n"
        "  CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
    )
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')")
    return statements


def is_rowid(table: str, primary_key: tuple[str, ...]) -> bool:
    """Whether the key is numbered by the database itself."""
    return primary_key in (("series_id",), ("slo_id",)) and table in ("series", "slos")


def _column(dialect: str, table: str, primary_key: tuple[str, ...], name: str, kind: str, nullable: bool) -> str:
    if is_rowid(table, primary_key) and name == primary_key[0]:
        return (
            f"{name} INTEGER PRIMARY KEY"
            if dialect == "sqlite"
            else (f"{name} BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
        )
    collate = ' COLLATE "C"' if dialect == "postgresql" and name == "call_id" else ""
    default = " DEFAULT 0" if name == "folded" else ""
    return f"{name} {_TYPES[dialect][kind]}{collate}{'' if nullable else ' NOT NULL'}{default}"
