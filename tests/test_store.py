"""How a database is opened."""

from __future__ import annotations

from reporter.store import open_store


def test_a_postgres_whose_machine_is_gone_is_noticed_within_a_minute_unless_the_url_says_otherwise(
    postgres_url: str,
) -> None:
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    told = []
    for url in (postgres_url, f"{postgres_url}&keepalives_idle=7"):
        with open_store(url).read() as connection:
            found = connection.connection.driver_connection.info.get_parameters()
        told.append([found[name] for name in names])

    assert told == [["30", "10", "3", "60000"], ["7", "10", "3", "60000"]]
