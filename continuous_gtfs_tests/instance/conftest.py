"""A station of its own for each test, on one PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs_tests.instance.station import Station, open_station


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("instance") / "postgres") as url:
        yield url


@pytest.fixture
def station(tmp_path: Path, postgres_url: str) -> Iterator[Station]:
    with open_station(tmp_path, postgres_url) as opened:
        yield opened
