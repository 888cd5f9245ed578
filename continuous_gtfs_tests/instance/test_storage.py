"""Pooled storage: few connections, none left behind, a database that restarts, tables that are looked for once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from dagster import DagsterInstance, RunsFilter
from dagster._core.storage.config import pg_config
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import Inspector
from sqlalchemy.dialects.postgresql.base import PGInspector

from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs.instance.storage import (
    ABOUT_THE_SCHEMA,
    TABLES_ARE_THERE,
    PooledPostgresStorage,
    database_name,
    learn_schema,
)

SETTINGS = """\
storage:
  custom:
    module: continuous_gtfs.instance.storage
    class: PooledPostgresStorage
    config:
      postgres_url: "{url}"
telemetry:
  enabled: false
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("storage") / "postgres")
    with server:
        yield server


@pytest.fixture
def home(tmp_path: Path, postgres: EmbeddedPostgres) -> Path:
    (tmp_path / "dagster.yaml").write_text(SETTINGS.format(url=postgres.url()))
    return tmp_path


def connections(url: str) -> int:
    """Sessions that others have on the database now."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


def sessions_so_far(url: str) -> int:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


def use_every_storage(instance: DagsterInstance) -> None:
    instance.get_runs(RunsFilter(), limit=1)
    instance.get_asset_keys()
    instance.all_instigator_state()


def test_many_calls_of_the_three_storages_share_one_connection(home: Path, postgres: EmbeddedPostgres) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        use_every_storage(instance)
        before = sessions_so_far(postgres.url())
        for _ in range(20):
            use_every_storage(instance)
        assert connections(postgres.url()) == 1
        # One more: the session that asked for the number before.
        assert sessions_so_far(postgres.url()) - before <= 2


def test_an_instance_that_is_disposed_of_leaves_no_connection(home: Path, postgres: EmbeddedPostgres) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        use_every_storage(instance)
        assert connections(postgres.url()) > 0
    assert connections(postgres.url()) == 0


def test_a_database_that_was_restarted_is_used_again_without_an_error(home: Path, postgres: EmbeddedPostgres) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        use_every_storage(instance)
        postgres.stop()
        postgres.start()
        use_every_storage(instance)
        assert instance.get_runs() == []


def test_a_process_that_was_connected_waits_for_a_database_that_is_down(
    postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    storage = PooledPostgresStorage(postgres.url())
    assert storage.run_storage.get_runs() == []
    # The next call needs a connection of its own.
    storage.pool.dispose()
    postgres.stop()
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(storage.run_storage.get_runs)
        postgres.start()
        assert call.result(60) == []
    storage.pool.dispose()
    assert "Retrying failed database connection" not in caplog.text, "dagster-postgres gives up after six of these"


@pytest.mark.parametrize(("query", "expected"), [("", "10"), ("&connect_timeout=3", "3")])
def test_a_silent_database_host_is_given_up_unless_the_url_says_otherwise(
    postgres: EmbeddedPostgres, query: str, expected: str
) -> None:
    storage = PooledPostgresStorage(postgres.url() + query)
    with storage.pool.connect() as connection:
        settings = connection.connection.driver_connection.info.dsn_parameters
    assert (settings["connect_timeout"], settings["keepalives_idle"]) == (expected, "30")
    storage.pool.dispose()


def test_tables_are_made_in_a_new_database(tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    connection = psycopg2.connect(postgres.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE another")
    connection.close()
    (tmp_path / "dagster.yaml").write_text(SETTINGS.format(url=postgres.url("another")))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        use_every_storage(instance)
        assert instance.get_runs() == []


def test_a_process_whose_parent_has_used_the_database_does_not_look_for_its_tables(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    PooledPostgresStorage(postgres.url())
    before = sessions_so_far(postgres.url())
    monkeypatch.setenv(TABLES_ARE_THERE, database_name(postgres.url()))
    PooledPostgresStorage(postgres.url())
    assert sessions_so_far(postgres.url()) - before == 1  # the one that asked
    monkeypatch.setenv(TABLES_ARE_THERE, database_name("postgresql://another"))
    PooledPostgresStorage(postgres.url())
    assert sessions_so_far(postgres.url()) - before > 2


def test_its_name_for_a_database_tells_no_password() -> None:
    assert "hunter2" not in database_name("postgresql://dagster:hunter2@db/dagster")


def test_it_takes_every_setting_of_the_stock_storage() -> None:
    assert set(pg_config()) < set(PooledPostgresStorage.config_type())
    assert issubclass(PooledPostgresStorage, DagsterPostgresStorage)


def test_the_web_server_may_still_set_its_own_limits(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        instance.optimize_for_webserver(statement_timeout=15000, pool_recycle=3600, max_overflow=20)
        use_every_storage(instance)
        assert instance.get_runs() == []


def test_what_the_tables_are_like_is_asked_once_and_a_no_is_asked_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        learn_schema(instance)
        asked = []
        monkeypatch.setattr(PGInspector, "get_columns", lambda *_, **__: asked.append("columns") or [])
        monkeypatch.setattr(Inspector, "get_columns", lambda *_, **__: asked.append("columns") or [])
        use_every_storage(instance)
        assert instance.run_storage.has_run_stats_index_cols()
        assert asked == []
        for _ in range(2):
            assert not instance.event_log_storage.has_asset_key_col("no_such_column")
        assert len(asked) == 2


def test_every_question_about_the_schema_is_one_of_this_dagsters(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        for name in ABOUT_THE_SCHEMA:
            assert any(hasattr(type(storage), name) for storage in storages), name
