"""All of the examination in order; what can't be looked at because something before it failed is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from sqlalchemy import text

from reporter import cycle, migrate
from reporter.config.model import Config
from reporter.doctor.contents import examine_contents
from reporter.doctor.finding import Finding, fail, ok
from reporter.doctor.gateway import examine_gateway
from reporter.doctor.machine import (
    examine_config,
    examine_prices,
    examine_python,
    examine_retention,
    examine_secrets,
    examine_sqlite,
)
from reporter.doctor.places import examine_files, examine_spool
from reporter.errors import ConfigError, ReporterError
from reporter.revision import HEAD
from reporter.sinks.postgresql import without_secrets
from reporter.store import open_store


def examine(read_config: Callable[[], Config], defaults: Callable[[], Config]) -> Iterator[Finding]:
    """Every finding; without a configuration that can be meant, by the `defaults`, for which no gateway is asked."""
    yield from examine_python()
    try:
        config = read_config()
    except ConfigError as error:
        yield fail("config", str(error), "correct it; what follows is without it")
        try:
            config = defaults()
        except ConfigError:
            return
        yield from _examine_with(config, meant=False)
        return
    yield from examine_config(config)
    yield from _examine_with(config, meant=True)


def _examine_with(config: Config, *, meant: bool) -> Iterator[Finding]:
    for finding in _found(config, meant=meant):
        yield replace(finding, told=_redacted(finding.told, config), remedy=_redacted(finding.remedy, config))


def _found(config: Config, *, meant: bool) -> Iterator[Finding]:
    if config.database.startswith("sqlite"):
        yield from examine_sqlite()
        yield from examine_files(config.database)
    yield from examine_spool(config.database)
    findings, sent = _of_database(config)
    yield from findings
    if not meant:
        return
    yield from examine_retention(config)
    yield from examine_prices(config, time.time_ns())
    secrets = list(examine_secrets(config))
    yield from secrets
    if all(finding.state != "fail" for finding in secrets):
        yield from examine_gateway(cycle.gateway_of(config), config, sent)


def _of_database(config: Config) -> tuple[list[Finding], Mapping[str, int]]:
    """Findings, and what was pushed from there: the number of the latest snapshot by group."""
    try:
        store = open_store(config.database, must_exist=True, check_version=False)
        with store.read() as connection:
            found = [ok("database", f"{store.url}: reachable")]
            differences = migrate.compare(connection)
            if differences:
                return [*found, fail("schema", "; ".join(differences), "reporter db upgrade")], {}
            found += [ok("schema", f"at {HEAD}, as this program expects it"), *examine_contents(connection, config)]
            pushed = connection.execute(text("SELECT group_key, sequence FROM pushes")).all()
            return found, {row.group_key: row.sequence for row in pushed}
    except ReporterError as error:
        told, _, remedy = str(error).partition("; ")
        return [fail("database", told, remedy or "check the database URL, and the rights of its user")], {}


def _redacted(told: str, config: Config) -> str:
    """Without any secret of the configuration, whoever said it; a driver or a gateway may quote what it was given."""
    told = without_secrets(told, config.database)
    gateway = config.pushgateway
    for read in (gateway.read_password, gateway.read_bearer_token):
        try:
            secret = read()
        except ConfigError:
            continue
        if secret:
            told = told.replace(secret, "***")
    return told
