"""Fixtures: databases of both kinds, each fresh, and real servers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from reporter import migrate
from tests.servers import Postgres, Server, start_pushgateway

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster with a migrated template database."""
    import psycopg

    server = Postgres()
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_reporter")
        migrate.upgrade(server.url("template_reporter"))
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A fresh database at head."""
    import psycopg

    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_reporter")
    return postgres.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh database at head, once of each kind."""
    monkeypatch.delenv("REPORTER_DATABASE_URL", raising=False)
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(tmp_path / "spool"))
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[Server]:
    """A Pushgateway of our own, memory only."""
    server = start_pushgateway(tmp_path)
    yield server
    server.kill()
