"""Dagster's PostgreSQL storage on a few connections that stay open, named in dagster.yaml.

dagster-postgres opens a connection for each call: some 150 of them a run, each with its own process in the database
and its own password check. Here the three storages of one process share one pool.
They also ask the database again and again, many times a run, which columns its tables have. Here a yes is remembered.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from dagster import DagsterInstance, Field, IntSource
from dagster._core.storage.config import pg_config
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DisconnectionError

from continuous_gtfs.instance.schedule_storage import ScheduleStorage

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider

POOL_SIZE = 4
# A long poll and the threads of the user interface may all ask at once; what is over POOL_SIZE is closed after use.
MAX_OVERFLOW = 40
# Firewalls forget idle connections after some minutes more.
RECYCLE_S = 300
# Asking whether a connection still stands costs a millisecond; no database restarts within this.
TRUSTED_S = 0.05
_USED_AT = "continuous_gtfs_used_at"
# Of each attempt to connect; dagster-postgres makes six, so that an outage of a minute is waited for. What fails for
# it instead is not only the call: the thread of a code server that looks after its runs would end, and never again say
# that one of them has died.
PATIENCE_S = 12.0
TRIES_EVERY_S = 0.25
# A database host that is gone without a word is noticed in a minute and a half; by the system's own settings it takes
# two hours, in which every process waits. Whatever the URL says of these goes first.
SILENCE_IS_DEATH = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 90_000,
}
ABOUT_THE_SCHEMA = (
    "has_run_stats_index_cols",
    "has_bulk_actions_selector_cols",
    "has_backfill_id_column",
    "has_bulk_action_job_name_column",
    "has_backfill_tags_table",
    "has_built_index",
    "has_secondary_index",
    "_has_asset_key_col_on_connection",
    "has_asset_key_index_cols",
    "can_read_asset_status_cache",
    "has_instigators_table",
    "_has_instigators_table",
    "_has_asset_daemon_asset_evaluations_table",
    "has_secondary_index_table",
)
"""The storages' methods that only answer whether a column, table or index is there."""
_known: set[tuple[str, ...]] = set()
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
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        looks_for_tables = should_autocreate_tables and os.environ.get(TABLES_ARE_THERE) != database_name(postgres_url)
        super().__init__(postgres_url, looks_for_tables, inst_data, token_provider)
        self.pool = _engine(postgres_url, pool_size, token_provider)
        self._event_log_storage = _EventLogStorage(postgres_url, should_autocreate_tables=False)
        self._schedule_storage = ScheduleStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            _use(storage, self.pool)
            _remember_the_schema(storage, database_name(postgres_url))

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
            token_provider=get_token_provider_from_config(config_value),
        )


class _EventLogStorage(PostgresEventLogStorage):
    """Closes the pool of all three storages when the instance is disposed of, which asks this one and no other."""

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


@functools.cache
def _engine(postgres_url: str, pool_size: int, token_provider: PgTokenProvider | None) -> Engine:
    """One for all instances of a process, which come and go with each tick: it knows the statements it has made."""
    engine = create_pg_engine(
        postgres_url,
        token_provider,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=MAX_OVERFLOW,
        pool_recycle=RECYCLE_S,
    )
    _find_out_closed_connections(engine)
    _wait_for_the_database(engine)
    return engine


def learn_schema(instance: DagsterInstance) -> None:
    """Ask about the tables once, so that processes forked from this one know."""
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        for name in ABOUT_THE_SCHEMA:
            ask = getattr(storage, name, None)
            if ask is not None and not inspect.signature(ask).parameters:
                ask()


def _remember_the_schema(storage: object, database: str) -> None:
    for name in ABOUT_THE_SCHEMA:
        ask = getattr(storage, name, None)
        if ask is not None:
            setattr(storage, name, _remembering(ask, (database, type(storage).__name__, name)))


def _remembering(ask: Callable[..., bool], key: tuple[str, ...]) -> Callable[..., bool]:
    @functools.wraps(ask)
    def answer(*arguments: Any) -> bool:
        question = key + tuple(argument for argument in arguments if isinstance(argument, str))
        if question in _known:
            return True
        found = ask(*arguments)
        # A no may become a yes by a migration.
        if found:
            _known.add(question)
        return found

    return answer


def _find_out_closed_connections(engine: Engine) -> None:
    """Before a connection that was idle is used, ask whether it still stands: a restart fails no run."""

    def look(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get(_USED_AT, 0.0) < TRUSTED_S:
            return
        try:
            alive = engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            alive = False
        if not alive:
            raise DisconnectionError

    def note(_: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    event.listen(engine, "checkout", look)
    event.listen(engine, "checkin", note)


def _wait_for_the_database(engine: Engine) -> None:
    """A process that has been connected before waits for a database that restarts; one that has not says so at once.

    The settings of the first may be trusted, and a command that a person has typed should not be silent for a minute.
    """
    has_connected = False

    def connect(dialect: Any, _: Any, arguments: Sequence[Any], settings: Mapping[str, Any]) -> Any:
        nonlocal has_connected
        give_up = time.monotonic() + (PATIENCE_S if has_connected else 0.0)
        while True:
            try:
                connection = dialect.connect(*arguments, **{**SILENCE_IS_DEATH, **settings})
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() >= give_up:
                    raise
                time.sleep(TRIES_EVERY_S)
            else:
                has_connected = True
                return connection

    event.listen(engine, "do_connect", connect)


def _use(storage: object, engine: Engine) -> None:
    """Put the pool where the storage keeps its own engine, which has opened nothing yet."""
    if not isinstance(getattr(storage, "_engine", None), Engine):
        raise TypeError(f"{type(storage).__name__} of this dagster-postgres keeps no _engine: use the pinned version")
    storage._engine = engine  # type: ignore[attr-defined]
