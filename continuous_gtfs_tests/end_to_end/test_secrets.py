"""A secret's value is nowhere but in the requests: not in what is stored, logged, published, shown or sent."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Mapping
from gzip import compress
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for
from continuous_gtfs_tests.end_to_end.quick_agency.realtime import FAILS_SETTING
from continuous_gtfs_tests.end_to_end.searching import (
    command_lines,
    database,
    files,
    places_with,
    user_interface,
    written_forms,
)

pytestmark = pytest.mark.end_to_end

PLANTED = "planted-Tök/en+=? that is long"
TOKENS = {"production": "PIMS_PRODUCTION_TOKEN", "qa": "PIMS_QA_TOKEN"}


def hand_the_tokens_back(deployment: Deployment) -> dict[tuple[str, str], str]:
    """Has the vendor fail, feed by feed, in ways that repeat the token; gives the outcome that each must come to."""
    token = {edition: deployment.platform.environment[name] for edition, name in TOKENS.items()}
    elsewhere = f"http://{token['qa']}.example/{token['qa']}?t={quote(token['qa'])}"
    for edition, feed, kind, params in (
        ("qa", "trip_updates", "redirect", {"location": elsewhere}),
        ("qa", "vehicle_positions", "echo", {"status": 401}),
        ("qa", "schedule", "echo", {"status": 503}),
        ("production", "trip_updates", "hang", {}),
        ("production", "schedule", "echo", {"status": 200}),
    ):
        deployment.set_fault(edition, feed, kind, **params)
    return {
        ("qa", "trip_updates"): "redirect_refused",
        ("qa", "vehicle_positions"): "unauthorized",
        ("qa", "schedule"): "server_error",
        ("production", "trip_updates"): "timeout",
        ("production", "schedule"): "html_instead_of_feed",
    }


def wait_for_failure(deployment: Deployment, edition: str, feed: str, outcome: str) -> None:
    """Until the feed has come to this outcome and its check has failed."""
    wait_for(
        lambda: deployment.outcomes(edition, feed).get(f"could_not_tell:{outcome}", 0) > 0,
        what=f"the outcome {outcome} of {edition}/{feed}",
    )
    key = keys.pims_key(edition, feed)
    wait_for(
        lambda: deployment.latest_check(key, names.VENDOR_ANSWERS_CHECK) is False,
        what=f"the failing check of {edition}/{feed}",
    )


@pytest.fixture(scope="module")
def after_failures(deployment: Deployment) -> dict[str, bytes]:
    """All that is kept, shown and sent after the vendor handed the tokens back and a step raised."""
    platform = deployment.platform
    deployment.wait_for_newer(names.realtime_publication("production", "vehicle_positions"), None)
    fails = Path(platform.environment[FAILS_SETTING])
    try:
        outcomes = hand_the_tokens_back(deployment)
        fails.touch()
        for (edition, feed), outcome in outcomes.items():
            wait_for_failure(deployment, edition, feed, outcome)
        wait_for(
            lambda: all(word in json.dumps(deployment.alerts.bodies) for word in ("vendor_answers", "told to fail")),
            what="alerts of a failing check and of the failed step",
        )
        return {
            **database(platform.environment["CONTINUOUS_GTFS_POSTGRES_URL"]),
            **user_interface(deployment),
            **files(platform.state),
            **command_lines(),
            "alerts": json.dumps(deployment.alerts.bodies).encode(),
            "status": said_by_a_command("status"),
            "metrics": said_by_a_command("metrics", "--textfile", str(platform.state / "all.prom"))
            + (platform.state / "all.prom").read_bytes(),
        }
    finally:
        fails.unlink(missing_ok=True)
        deployment.clear_faults()


def said_by_a_command(*arguments: str) -> bytes:
    command = [Path(sys.executable).with_name("continuous-gtfs"), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout + done.stderr


def test_no_secret_is_in_anything_that_is_kept_shown_or_sent(
    deployment: Deployment, after_failures: Mapping[str, bytes]
) -> None:
    assert b"vendor_answers" in after_failures["database"], "the dump has nothing of what happened"
    assert b"told to fail" in b"".join(text for place, text in after_failures.items() if "interface" in place)
    assert b"vendor_answers" in after_failures["status"]
    assert b"continuous_gtfs_database_up" in after_failures["metrics"]
    for part in (".log", ".manifest.json", "/cmdline", "archive/", "published/"):
        assert any(part in place for place in after_failures), f"nothing was found of {part}"
    assert {"PIMS_QA_TOKEN@latest", "ALERT_HOOK@latest"} <= set(deployment.secrets.reads)
    for name in TOKENS.values():
        assert places_with(deployment.platform.environment[name], after_failures) == set(), name
    assert places_with("hook/very-secret", after_failures) == set()


def test_the_search_sees_what_is_planted_in_each_kind_of_place(
    deployment: Deployment, after_failures: Mapping[str, bytes], tmp_path: Path
) -> None:
    url = deployment.platform.environment["CONTINUOUS_GTFS_POSTGRES_URL"]
    text = f"before {PLANTED} after".encode()
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE planted (words text, fields jsonb, bytes bytea)")
            cursor.execute(
                "INSERT INTO planted VALUES (%s, %s, %s), (NULL, NULL, %s)",
                (f"see {quote(PLANTED)}", json.dumps({"t": b64encode(text).decode()}), text, zlib.compress(text)),
            )
        found = places_with(PLANTED, database(url))
        with connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE planted")
    finally:
        connection.close()
    assert "database" in found
    assert len(found) == 3
    with zipfile.ZipFile(tmp_path / "feed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("stops.txt", text)
    pq.write_table(pa.table({"body": [text]}), tmp_path / "hour.parquet")
    (tmp_path / "run.log").write_bytes(text)
    (tmp_path / "report.html.gz").write_bytes(compress(text))
    assert places_with(PLANTED, files(tmp_path)) == {"feed.zip", "hour.parquet", "run.log", "report.html.gz"}
    command = [sys.executable, "-c", "print(flush=True); input()", PLANTED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # The system tells a command line a moment after it has started the program.
        assert process.stdout.readline() == b"\n"
        assert places_with(PLANTED, command_lines()) == {f"/proc/{process.pid}/cmdline"}
        process.communicate(b"\n")


@pytest.mark.parametrize("form", sorted(written_forms(PLANTED)))
def test_each_written_form_is_found(form: str) -> None:
    assert places_with(PLANTED, {"a place": b"x" + written_forms(PLANTED)[form] + b"y"}) == {"a place"}


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
