"""Which version of the schema this program works with."""

HEAD = "0001"
"""The migration `reporter.schema` stands for; a SQLite file made by the recorder is stamped with it."""

USER_VERSION = 1
"""SQLite's `user_version` for HEAD: one integer the recorder can read without a query on any table."""
