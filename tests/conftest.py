"""Fixtures: databases of both kinds, each fresh, and real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Postgres, Server, start_pushgateway


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster, shared by all tests, which leave it running."""
    server = Postgres()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A cluster for tests that stop it, or change how it works, and put that right again."""
    server = Postgres()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A fresh database at head."""
    return postgres.fresh()


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
