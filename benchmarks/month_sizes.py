"""How large the tables of a database are, how many of their rows are dead, and what autovacuum has done.

Not a benchmark of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, text

_TABLES = """
SELECT relname, pg_total_relation_size(relid), n_live_tup, n_dead_tup, autovacuum_count
FROM pg_stat_user_tables WHERE schemaname = 'public' ORDER BY 2 DESC
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: bytes with its indexes and what lies out of line, rows by the statistics, autovacuums so far."""

    name: str
    size: int
    live: int
    dead: int
    vacuums: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database: its bytes, and its tables, the largest first."""

    size: int
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)


def database_sizes(engine: Engine) -> Database:
    with engine.connect() as connection:
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        tables = tuple(Table(*row) for row in connection.execute(text(_TABLES)))
    return Database(int(size), tables)
