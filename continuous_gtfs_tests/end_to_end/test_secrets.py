"""A token's value is nowhere but in the requests: not in the database, the logs, the archive or the user interface."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request

import pytest

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs.demo.postgres import binaries
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end


def test_no_token_is_left_in_the_database_the_logs_or_the_state_folder(deployment: Deployment) -> None:
    environment = deployment.platform.environment
    tokens = [environment["PIMS_PRODUCTION_TOKEN"], environment["PIMS_QA_TOKEN"]]
    key = keys.pims_key("qa", "trip_updates")
    # A failure has been told about too: words about what went wrong are where a value would slip out.
    deployment.wait_for_newer(names.realtime_publication("qa", "trip_updates"), None)
    deployment.set_fault("qa", "trip_updates", "redirect")
    wait_for(lambda: deployment.latest_check(key, names.VENDOR_ANSWERS_CHECK) is False, what="the failing check")
    dump = subprocess.run(
        [
            binaries() / "pg_dump",
            environment["CONTINUOUS_GTFS_POSTGRES_URL"],
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "vendor_answers" in dump, "the dump has nothing of what happened"
    for token in tokens:
        assert token not in dump
    state = deployment.platform.state
    kept = [p for p in state.rglob("*") if p.is_file() and p != state / "env" and "postgres" not in p.parts]
    assert any(p.suffix == ".log" for p in kept)
    for path in kept:
        content = path.read_bytes()
        for token in tokens:
            assert token.encode() not in content, f"a token is in {path}"


def test_the_static_server_hands_out_feeds_and_nothing_hidden(deployment: Deployment) -> None:
    name = names.realtime_publication("production", "vehicle_positions")
    deployment.wait_for_newer(name, None)
    with urllib.request.urlopen(f"{deployment.platform.url('published')}/{name}.pb", timeout=10) as response:
        assert response.headers["Content-Type"] == "application/x-protobuf"
        assert response.headers["Cache-Control"] == "public, max-age=1"
        assert len(response.read()) > 100
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{deployment.platform.url('published')}/.metadata/", timeout=10)
    assert refused.value.code == 404
    refused.value.close()
