"""The stand-in vendor for the tests that run docker-compose.yml as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.child import has_answer
from continuous_gtfs.demo.ports import HOST, Ports
from continuous_gtfs_tests.end_to_end.deployment import wait_for

TOKENS = {"PIMS_PRODUCTION_TOKEN": "production-token", "PIMS_QA_TOKEN": "qa-token"}


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    """The base URL of a stand-in vendor with a realtime version every three seconds."""
    port = Ports.free().simulator
    command = commands.simulator(host=HOST, port=port, options=["--realtime-every", "3"])
    command[0] = str(Path(sys.executable).parent / command[0])
    with subprocess.Popen(command, env={**os.environ, **TOKENS}) as process:
        try:
            url = f"http://{HOST}:{port}"
            wait_for(lambda: has_answer(url), what="the stand-in vendor")
            yield url
        finally:
            process.terminate()
