"""Dagster's PostgreSQL storage on a few connections that stay open, named in dagster.yaml.

dagster-postgres opens a connection for each call: some 150 of them a run, each with its own process in the database
and its own password check. Here the three storages of one process share one pool.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Self, cast

from dagster import Field, IntSource
from dagster._core.storage.config import pg_config
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

POOL_SIZE = 4
# A long poll and the threads of the user interface may all ask at once; what is over POOL_SIZE is closed after use.
MAX_OVERFLOW = 40
# Firewalls forget idle connections after some minutes more.
RECYCLE_S = 300
TABLES_ARE_THERE = "CONTINUOUS_GTFS_TABLES_ARE_THERE"
"""Names, in a process whose parent has used it, the database in which the tables are not looked for again."""


def database_name(postgres_url: str) -> str:
    """A name for a database that tells nothing of its password."""
    return hashlib.sha256(postgres_url.encode()).hexdigest()


class PooledPostgresStorage(DagsterPostgresStorage):
    """``DagsterPostgresStorage`` with its settings, and ``pool_size``: connections kept open by one process."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        pool_size: int = POOL_SIZE,
    ) -> None:
        looks_for_tables = should_autocreate_tables and os.environ.get(TABLES_ARE_THERE) != database_name(postgres_url)
        super().__init__(postgres_url, looks_for_tables, inst_data)
        self.pool = create_engine(
            postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=MAX_OVERFLOW,
            pool_recycle=RECYCLE_S,
            # A connection that the database has closed meanwhile is found out before it is used, not by a failed run.
            pool_pre_ping=True,
        )
        self._event_log_storage = _EventLogStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            _use(storage, self.pool)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        stock = cast(Mapping[str, Any], pg_config())
        return {**stock, "pool_size": Field(IntSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            pool_size=config_value.get("pool_size", POOL_SIZE),
        )


class _EventLogStorage(PostgresEventLogStorage):
    """Closes the pool of all three storages when the instance is disposed of, which asks this one and no other."""

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


def _use(storage: object, engine: Engine) -> None:
    """Put the pool where the storage keeps its own engine, which has opened nothing yet."""
    if not isinstance(getattr(storage, "_engine", None), Engine):
        raise TypeError(f"{type(storage).__name__} of this dagster-postgres keeps no _engine: use the pinned version")
    storage._engine = engine  # type: ignore[attr-defined]
