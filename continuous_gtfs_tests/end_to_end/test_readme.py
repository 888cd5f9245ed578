"""The README's commands for developers and operators, as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from continuous_gtfs import names
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.defs import keys
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.ports import Ports
from continuous_gtfs.demo.process_tree import end_trees
from continuous_gtfs.demo.processes import Platform
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def command_with(words: str) -> str:
    """The README's one shell line that holds ``words``."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    (line,) = [line for block in blocks for line in block.splitlines() if words in line]
    return line


def runnable(line: str, *, state: Path) -> str:
    """The line with this environment's programs and this state folder in the places of the README's."""
    return line.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace(
        ".demo/", f"{shlex.quote(str(state))}/"
    )


def test_an_archived_schedule_version_is_run_again_as_the_readme_says_and_gives_the_same_bytes(
    deployment: Deployment,
) -> None:
    name = names.schedule_publication("production")
    before = deployment.wait_for_newer(name, None)
    version_id = before.facts["inputs"]["schedule"]["version_id"]
    deployment.new_schedule("production")
    live = deployment.wait_for_newer(name, before)
    state = deployment.platform.state
    listing = subprocess.run(
        ["bash", "-c", runnable(command_with("ls .demo/archive"), state=state)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{version_id}.json" in listing.stdout.split()
    command = runnable(command_with("asset materialize"), state=state).replace("VERSION", version_id)
    finished = subprocess.run(
        ["bash", "-c", command], env={**os.environ}, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    rerun = deployment.materializations(keys.transformed_feed_key("production"))[-1]
    assert rerun.partition == version_id
    assert rerun.metadata["feed_digest"].value == before.objects[0].sha256
    still = deployment.manifest(name)
    assert still is not None
    assert still.order >= live.order, "an older version never replaces a newer one"


def test_the_authors_commands_run_without_a_deployment(tmp_path: Path) -> None:
    """As the README has them, in a folder with a feed; what the steps change makes the two feeds differ."""
    today = datetime.now(UTC).date()
    files = small_feed_files(first_date=today - timedelta(days=30), last_date=today + timedelta(days=300))
    (tmp_path / "feed.zip").write_bytes(feed_zip(files))
    commands = ("gtfs schedule", "gtfs validate", "gtfs diff", "gtfs digest")
    ran = [
        subprocess.run(
            ["bash", "-c", runnable(command_with(words), state=tmp_path)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for words in commands
    ]
    assert [one.returncode for one in ran] == [0, 0, 1, 0], [one.stderr for one in ran]
    assert {path.name for path in tmp_path.iterdir()} == {"feed.zip", "out.zip", "report.json", "validation.html"}
    assert "update_feed_info" in ran[0].stdout
    assert len({line.split()[0] for line in ran[3].stdout.splitlines()}) == 2


def test_dagster_dev_runs_from_the_root_beside_the_services(tmp_path: Path) -> None:
    with Platform(tmp_path, names=commands.SERVICES, realtime_every_s=5.0) as platform:
        port = Ports.free().webserver
        line = runnable(command_with("dagster dev"), state=tmp_path)
        environment = {k: v for k, v in os.environ.items() if k not in platform.environment}
        with (tmp_path / "logs" / "dagster-dev.log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"{line} --port {port}"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(lambda: locations(port) == {"schedule", "realtime"}, what="both locations loaded")
            publisher = Publisher(LocalStore(tmp_path / "published"))
            for name in (names.schedule_publication("qa"), names.realtime_publication("qa", "trip_updates")):
                assert wait_for(lambda n=name: publisher.current(n), what=f"{name} published")
        finally:
            end_trees({process.pid: signal.SIGINT}, grace_s=15)
            process.wait(timeout=10)


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
