"""The schema as SQLAlchemy tables, derived from `reporter.schema`; what migrations are compared with."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from reporter import schema

_TYPES: dict[str, TypeEngine[object]] = {
    schema.TEXT: Text(),
    schema.INTEGER: BigInteger().with_variant(Integer(), "sqlite"),
    schema.BLOB: LargeBinary().with_variant(LargeBinary(), "sqlite"),
}


def metadata(dialect: str) -> MetaData:
    """All tables and indexes as they are on "sqlite" or "postgresql"."""
    found = MetaData()
    for name, (declared, primary_key, uniques) in schema.TABLES.items():
        Table(
            name,
            found,
            *(
                Column(
                    column,
                    *(
                        [Identity()]
                        if dialect == "postgresql" and schema.is_rowid(name, primary_key) and column in primary_key
                        else []
                    ),
                    type_=_TYPES[kind],
                    nullable=nullable,
                    primary_key=column in primary_key,
                    autoincrement=False,
                )
                for column, kind, nullable in declared
            ),
            *(UniqueConstraint(*unique) for unique in uniques),
        )
    for index, (table, columns, condition, only) in schema.INDEXES.items():
        if only in (None, dialect):
            where = {f"{dialect}_where": text(condition)} if condition else {}
            Index(index, *(found.tables[table].c[column] for column in columns), **where)
    return found
