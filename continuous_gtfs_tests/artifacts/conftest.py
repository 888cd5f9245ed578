"""Where the artifact tests keep their stores."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from continuous_gtfs_tests.artifacts.cloud import CloudServer, cloud_server
from continuous_gtfs_tests.artifacts.cloud_proxy import CloudProxy, cloud_proxy


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A folder in memory where the system has one: hundreds of synced writes must not wait for a busy disk."""
    memory = Path("/dev/shm")
    is_usable = memory.is_dir() and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(dir=memory if is_usable else None, prefix="artifacts-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def _cloud_server() -> Iterator[CloudServer]:
    with cloud_server() as server:
        yield server


@pytest.fixture
def cloud(_cloud_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """A running Cloud Storage server, to which the client library goes."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _cloud_server.url)
    return _cloud_server


@pytest.fixture
def proxy(_cloud_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudProxy]:
    """What the client library goes to in the place of that server, and what passes its requests on."""
    with cloud_proxy(_cloud_server) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
        yield running
