"""The README's commands for developers and operators, and where the operations page begins, as they stand there."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from continuous_gtfs import names
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.defs import keys
from continuous_gtfs.demo.ports import Ports
from continuous_gtfs.demo.process_tree import end_trees
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.demo.test_run import free_base
from continuous_gtfs_tests.documents import operations_block, readme_block
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for
from continuous_gtfs_tests.real_data import ROOT
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

pytestmark = pytest.mark.end_to_end


def runnable(block: str, *, state: Path) -> str:
    """The block with this environment's programs and this state folder in the places of the README's."""
    return block.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace(
        ".demo/", f"{shlex.quote(str(state))}/"
    )


def shell(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the block in a shell that ends at the first line that fails."""
    return subprocess.run(["bash", "-ec", block], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_an_archived_schedule_version_is_run_again_as_the_readme_says_and_gives_the_same_bytes(
    deployment: Deployment,
) -> None:
    name = names.schedule_publication("production")
    before = deployment.wait_for_newer(name, None)
    version_id = before.facts["inputs"]["schedule"]["version_id"]
    deployment.new_schedule("production")
    live = deployment.wait_for_newer(name, before)
    block = runnable(readme_block("asset materialize"), state=deployment.platform.state)
    finished = shell(block.replace("VERSION", version_id), ROOT)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert f"{version_id}.json" in finished.stdout.split()
    rerun = deployment.materializations(keys.transformed_feed_key("production"))[-1]
    assert rerun.partition == version_id
    assert rerun.metadata["feed_digest"].value == before.objects[0].sha256
    still = deployment.manifest(name)
    assert still is not None
    assert still.order >= live.order, "an older version never replaces a newer one"


def test_what_runs_did_is_told_as_the_readme_says(deployment: Deployment) -> None:
    manifest = deployment.wait_for_newer(names.realtime_publication("production", "trip_updates"), None)
    told = shell(runnable(readme_block("continuous-gtfs runs"), state=deployment.platform.state), ROOT)
    assert told.returncode == 0, told.stderr
    assert manifest.facts["run_id"][:8] in told.stdout


def test_the_operations_page_is_begun_on_the_demo_as_it_says(deployment: Deployment) -> None:
    deployment.wait_for_newer(names.schedule_publication("production"), None)
    here = f"{Path(sys.executable).parent}"
    block = runnable(operations_block("export PATH"), state=deployment.platform.state).replace("$PWD/.venv/bin", here)
    told = shell(block, ROOT)
    # 1 where another test has made something fail.
    assert told.returncode in (0, 1), told.stderr
    assert "schedule/production/gtfs: fresh" in told.stdout


def test_the_authors_commands_run_without_a_deployment(tmp_path: Path) -> None:
    """As the README has them, in a folder with feeds; what the steps change makes the two feeds differ."""
    today = datetime.now(UTC).date()
    files = small_feed_files(first_date=today - timedelta(days=30), last_date=today + timedelta(days=300))
    given = {
        "feed.zip": feed_zip(files),
        "vp.pb": feed_message(vehicle("v1", "S1")).SerializeToString(),
        "tu.pb": feed_message(trip_update("T1", "S1", "E01-T1")).SerializeToString(),
    }
    for name, data in given.items():
        (tmp_path / name).write_bytes(data)
    lines = runnable(readme_block("gtfs schedule"), state=tmp_path).splitlines()
    ran = [shell(line, tmp_path) for line in lines]
    assert [one.returncode for one in ran] == [0, 0, 1, 0, 0, 1], [one.stderr for one in ran]
    made = {"out.zip", "report.json", "validation.html", "out"}
    assert {path.name for path in tmp_path.iterdir()} == made | set(given)
    assert "update_feed_info" in ran[0].stdout
    assert len({line.split()[0] for line in ran[3].stdout.splitlines()}) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"trip_updates.pb", "vehicle_positions.json"}


@contextmanager
def in_a_terminal(line: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the foreground of a newcomer's terminal, ended by Ctrl-C.

    The settings of the platform that these tests share must not be in it: this one has a vendor and tokens of its own.
    """
    newcomers = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=ROOT,
            env=newcomers,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_trees({process.pid: signal.SIGINT}, grace_s=15)
        process.wait(timeout=10)


def test_dagster_dev_runs_from_the_root_beside_the_services(tmp_path: Path) -> None:
    base, port = free_base(), Ports.free().webserver
    beside = f" --state {tmp_path} --port-base {base} --realtime-every 5"
    services = runnable(readme_block("continuous-gtfs services"), state=tmp_path).strip() + beside
    dev = runnable(readme_block("dagster dev"), state=tmp_path).strip() + f" --port {port}"
    log = tmp_path / "services.log"
    with in_a_terminal(services, log) as process:
        told = "In another shell"
        wait_for(lambda: told in log.read_text() or process.poll() is not None, what="the services")
        assert process.poll() is None, log.read_text()
        with in_a_terminal(dev, tmp_path / "dagster-dev.log"):
            wait_for(lambda: locations(port) == {"schedule", "realtime"}, what="both locations loaded")
            publisher = Publisher(LocalStore(tmp_path / "published"))
            for name in (names.schedule_publication("qa"), names.realtime_publication("qa", "trip_updates")):
                assert wait_for(lambda n=name: publisher.current(n), what=f"{name} published", timeout_s=240)


def locations(port: int) -> set[str]:
    """Names of the code locations that a webserver has loaded; none while it does not answer."""
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            nodes = json.loads(response.read())["data"]["repositoriesOrError"].get("nodes", [])
    except OSError:
        return set()
    return {node["location"]["name"] for node in nodes}
