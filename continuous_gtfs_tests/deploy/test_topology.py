"""docker-compose.yml runs: its services, started in its order by its commands, publish a feed and stop as it says."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from continuous_gtfs import names
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.deploy.conftest import TOKENS
from continuous_gtfs_tests.deploy.stack import Stack
from continuous_gtfs_tests.documents import operations_lines
from continuous_gtfs_tests.end_to_end.deployment import wait_for
from continuous_gtfs_tests.real_data import ROOT

pytestmark = pytest.mark.end_to_end

VERSION = "2026.11.1"
NEXT_VERSION = "2026.11.2"
PACKAGE = ("__init__", "feeds", "realtime", "schedule", "stations")
LAID_OUT = {
    "app/deploy/workspace.yaml",
    "app/dagster_home/dagster.yaml",
    *(f"app/agency/capital_transit/{name}.py" for name in PACKAGE),
}
SCHEDULE = names.schedule_publication("production")
VEHICLES = names.realtime_publication("production", "vehicle_positions")


@pytest.fixture(scope="module")
def stack(vendor: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    example = ROOT / "docs" / "examples" / "agency"
    settings = compose.read_env(example / ".env.example") | {
        "CONTINUOUS_GTFS_VERSION": VERSION,
        "COMPOSE_PROFILES": "database,local,readonly,metrics",
        "POSTGRES_PASSWORD": "letters4and2digits",
        "CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS": "127.0.0.1",
        "PIMS_PRODUCTION_URL": f"{vendor}/production",
        **TOKENS,
    }
    dockerfiles = (ROOT / "Dockerfile", example / "Dockerfile")
    stack = Stack(tmp_path_factory.mktemp("stack"), settings, dockerfiles)
    try:
        stack.up()
        yield stack
    finally:
        stack.kill()


def live(stack: Stack, name: str) -> Manifest | None:
    return Publisher(LocalStore(stack.volume("published"))).current(name)


def get(stack: Stack, service: str, port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{stack.address(service)}:{port}{path}", timeout=10) as answer:
        body: bytes = answer.read()
    return body


def ask(stack: Stack, service: str, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://{stack.address(service)}:3000/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
        error.close()
    told: dict[str, Any] = json.loads(body)
    return told


def test_feeds_are_published_served_and_name_the_image_that_made_them(stack: Stack) -> None:
    for name, ending in ((SCHEDULE, "zip"), (VEHICLES, "pb")):
        manifest = wait_for(lambda name=name: live(stack, name), what=f"{name} published")
        assert manifest.facts["pipeline_version"] == VERSION
        wait_for(lambda path=f"{name}.{ending}": (stack.volume("published") / path).exists(), what="the stable file")
    manifest = live(stack, SCHEDULE)
    assert manifest is not None
    told = stack.exec("daemon", "continuous-gtfs", "status")
    assert told.returncode == 0, told.stdout.decode()
    served = get(stack, "published", 8080, f"/{SCHEDULE}.zip")
    assert hashlib.sha256(served).hexdigest() == manifest.objects[0].sha256


def test_the_read_only_interface_shows_what_the_other_shows_and_changes_nothing(stack: Stack) -> None:
    look = "{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }"
    change = "mutation { reloadWorkspace { __typename } }"

    def locations(service: str) -> set[str]:
        nodes = ask(stack, service, look)["data"]["repositoriesOrError"]["nodes"]
        return {node["location"]["name"] for node in nodes}

    # Each web server loads a code location in its own time, and lists only what it has loaded.
    for service in ("webserver", "webserver-readonly"):
        wait_for(
            lambda service=service: locations(service) == {"schedule", "realtime"},
            what=f"both code locations in {service}",
        )
    assert "UnauthorizedError" in str(ask(stack, "webserver-readonly", change))
    assert "UnauthorizedError" not in str(ask(stack, "webserver", change))
    link = "/graphql?query=mutation%7BreloadWorkspace%7B__typename%7D%7D"
    assert b"UnauthorizedError" in get(stack, "webserver-readonly", 3000, link)
    assert b'"Workspace"' in get(stack, "webserver", 3000, link), "what the proxy refuses for"


def test_what_prometheus_reads_says_what_is_live_and_which_release_says_so(stack: Stack) -> None:
    def lines(metric: str) -> list[str]:
        text = get(stack, "metrics", 9464, "/metrics").decode()
        return [line for line in text.splitlines() if line.startswith(f"continuous_gtfs_{metric}{{")]

    def feeds() -> set[str]:
        live = [line for line in lines("published") if line.endswith(" 1.0")]
        return {feed for feed in ("schedule", "vehicle_positions") if any(f'feed="{feed}"' in line for line in live)}

    wait_for(lambda: feeds() == {"schedule", "vehicle_positions"}, what="the live feeds in the metrics")
    assert f'pipeline_version="{VERSION}"' in "".join(lines("build_info"))
    assert b"\ncontinuous_gtfs_database_up 1.0\n" in get(stack, "metrics", 9464, "/metrics")


def test_nothing_is_written_outside_volumes_and_temporary_folders(stack: Stack) -> None:
    """The root of each container is read-only."""
    assert stack.image_files() == LAID_OUT
    assert {path.name for path in stack.volume("logs").iterdir()} != set(), "the logs are kept in their volume"


def test_a_health_check_holds_while_the_database_is_gone_and_fails_with_its_process(stack: Stack) -> None:
    stack.stop(["postgres"])
    kept = {name: stack.check_health(name) for name in ("code-schedule", "code-realtime", "webserver", "published")}
    stack.start("postgres")
    assert {name: told.stdout for name, told in kept.items() if told.returncode != 0} == {}
    wait_for(lambda: stack.is_healthy("postgres"), what="the database")
    stack.stop(["webserver-readonly"])
    assert b"no answer" in stack.check_health("webserver-readonly").stdout
    before = live(stack, VEHICLES)
    assert before is not None

    def moved() -> bool:
        now = live(stack, VEHICLES)
        return now is not None and now.order > before.order

    wait_for(moved, what="publishing to go on with the database")


def test_everything_stops_in_order_within_its_grace_and_leaves_nothing(stack: Stack) -> None:
    assert stack.running["daemon"].poll() is None
    ended = stack.down()
    assert list(ended)[-1] == "postgres"
    assert list(ended).index("daemon") < list(ended).index("code-schedule")
    late = {name: how for name, how in ended.items() if how.after_s > stack.services[name].stop_grace_s}
    assert late == {}
    # 143 is what a shell makes of SIGTERM: ended by the signal that it was sent.
    assert {name: how.code for name, how in ended.items() if how.code not in (0, -15)} == {}
    assert {name: how.left_over for name, how in ended.items() if how.left_over} == {}
    assert Path(stack.volume("postgres") / "postmaster.pid").exists() is False


def test_a_new_release_goes_on_with_a_new_database_and_the_old_one_can_be_had_back(
    stack: Stack, tmp_path: Path
) -> None:
    """As docs/operations.md says; the release changes at the same time, to see that its name does."""
    backup, *lost_and_restored = operations_lines("Back up and restore the database")
    stop, drop, create, up, report, *restored = lost_and_restored
    newer = replace(
        stack, settings={**stack.settings, "CONTINUOUS_GTFS_VERSION": NEXT_VERSION, "COMPOSE_PROFILES": "database"}
    )
    try:
        newer.start("postgres")
        wait_for(lambda: newer.is_healthy("postgres"), what="the database")
        newer.type(backup, tmp_path)
        before = {name: live(newer, name) for name in (SCHEDULE, VEHICLES)}
        for line in (stop, drop, create, up):
            newer.type(line, tmp_path)
        told = newer.type(report, tmp_path)
        assert told.startswith("production: 1 schedule versions archived")
        after = wait_for(
            lambda: now if (now := live(newer, VEHICLES)) != before[VEHICLES] else None, what="new vehicles"
        )
        assert after.order > before[VEHICLES].order
        assert after.facts["pipeline_version"] == NEXT_VERSION
        assert live(newer, SCHEDULE) == before[SCHEDULE], "what is live is published no second time"
        for line in restored:
            if line != up:
                newer.type(line, tmp_path)
        runs = json.loads(newer.type("docker compose exec -T daemon continuous-gtfs runs --json", tmp_path))
        assert before[VEHICLES].facts["run_id"] in {run["run_id"] for run in runs}
        assert after.facts["run_id"] not in {run["run_id"] for run in runs}
    finally:
        newer.kill()


def test_the_lines_for_a_deployment_are_those_that_were_run() -> None:
    known = {"cp .env.example .env", "docker compose build", "docker compose up --detach"}
    known |= {"docker compose stop daemon", "docker compose exec -T daemon continuous-gtfs status"}
    assert set(operations_lines("Deploy")) == known | {"docker compose exec -T daemon continuous-gtfs version"}
