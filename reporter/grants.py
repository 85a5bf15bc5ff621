"""Who may do what on Postgres, as SQL: four roles, each with the least that its work needs.

recorder   a job's: appends facts, says how a run ended, and reads nothing but ids and statuses
reporter   reads all, folds, prunes, pushes; can't change the schema
asker      reads the views, in transactions that only read
migrator   owns tables and views; the only one that changes them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TABLES, TROUBLE_COLUMNS
from reporter.views import VIEWS

_VERSION_TABLE = "alembic_version"
_APPENDED = {"calls": CALL_COLUMNS, "starts": START_COLUMNS, "runs": RUN_COLUMNS, "troubles": TROUBLE_COLUMNS}
_RECOGNISED = {"calls": ("folded", "call_id", "status"), "runs": ("run_id", "status")}
"""By what a recorder sees that a fact is known already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the four are called, and the schema with the tables."""

    recorder: str = "reporter_job"
    reporter: str = "reporter_reporter"
    asker: str = "reporter_asker"
    migrator: str = "reporter_migrator"
    schema: str = "public"


DEFAULT = Roles()


def statements(roles: Roles = DEFAULT) -> Iterator[str]:
    """The SQL, to be run by a superuser after the first `reporter db upgrade`, and by the migrator after later ones.

    Twice is once: roles that are there stay, and have afterwards what is granted here and no more.
    """
    schema = _quoted(roles.schema)
    for role, settings in (
        (roles.migrator, ""),
        (roles.reporter, ""),
        (roles.recorder, ""),
        (roles.asker, "default_transaction_read_only = on"),
    ):
        yield _role(role, settings)
    # Until 14, everybody may create tables in the schema `public`, and a function there that others take for another.
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM {_everybody(roles)}"
    yield f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {_quoted(roles.migrator)}"
    for kind, names in (("TABLE", (*TABLES, _VERSION_TABLE)), ("VIEW", tuple(VIEWS))):
        for name in names:
            yield f"ALTER {kind} {schema}.{name} OWNER TO {_quoted(roles.migrator)}"
    yield f"REVOKE ALL ON {_named(schema, [*TABLES, _VERSION_TABLE, *VIEWS])} FROM {_everybody(roles)}"
    for role in (roles.reporter, roles.recorder, roles.asker):
        yield f"GRANT USAGE ON SCHEMA {schema} TO {_quoted(role)}"
    reporter, recorder, asker = _quoted(roles.reporter), _quoted(roles.recorder), _quoted(roles.asker)
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_named(schema, TABLES)} TO {reporter}"
    yield f"GRANT SELECT ON {_named(schema, [_VERSION_TABLE, *VIEWS])} TO {reporter}"
    for table, columns in _APPENDED.items():
        yield f"GRANT INSERT ({', '.join(columns)}) ON {schema}.{table} TO {recorder}"
    for table, columns in _RECOGNISED.items():
        yield f"GRANT SELECT ({', '.join(columns)}) ON {schema}.{table} TO {recorder}"
    ends = ", ".join(name for name in RUN_COLUMNS if name != "run_id")
    yield f"GRANT UPDATE ({ends}) ON {schema}.runs TO {recorder}"
    yield f"GRANT SELECT ON {_named(schema, VIEWS)} TO {asker}"


def _everybody(roles: Roles) -> str:
    """All but the migrator."""
    return ", ".join(["PUBLIC", *map(_quoted, (roles.reporter, roles.recorder, roles.asker))])


def _role(name: str, settings: str) -> str:
    """Only if it is not there: to change one takes a right that the migrator should not have."""
    literal = "'" + name.replace("'", "''") + "'"
    change = f" ALTER ROLE {_quoted(name)} SET {settings};" if settings else ""
    body = f"CREATE ROLE {_quoted(name)} LOGIN;{change}"
    return (
        f"DO $role$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal}) THEN {body} END IF; END $role$"
    )


def _named(schema: str, names: Iterable[str]) -> str:
    return ", ".join(f"{schema}.{name}" for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
