"""docker-compose.yml: the processes of the demo, locked up, and each given only what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from continuous_gtfs import __version__
from continuous_gtfs.demo import commands
from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.real_data import ROOT

EXAMPLE = compose.read_env(ROOT / ".env.example")
SETTINGS = EXAMPLE | {"POSTGRES_PASSWORD": "secret", "PIMS_PRODUCTION_TOKEN": "token-1", "PIMS_QA_TOKEN": "token-2"}
SERVICES = compose.services(SETTINGS)
READONLY = "webserver-readonly"
WORKSPACE = "/app/deploy/workspace.yaml"
OWN_IMAGE = [name for name, service in SERVICES.items() if "build" in service.raw]


def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(compose.FILE.read_text())
    return loaded


def test_it_is_a_compose_file() -> None:
    checker = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    told = subprocess.run([*checker, str(compose.FILE)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_the_services_are_the_processes_of_the_demo_but_for_the_stand_in_vendor() -> None:
    assert set(SERVICES) == {*commands.ALL, READONLY, commands.METRICS} - {commands.SIMULATOR}


def test_they_run_the_commands_of_the_demo() -> None:
    webserver = commands.webserver(host="0.0.0.0", port=3000, workspace=WORKSPACE)
    expected = {
        commands.MIGRATE: commands.migrate(),
        commands.CODE_SCHEDULE: commands.code_server("schedule", host="0.0.0.0", port=4000),
        commands.CODE_REALTIME: commands.code_server("realtime", host="0.0.0.0", port=4000),
        commands.WEBSERVER: webserver,
        READONLY: [webserver[0], "--read-only", *webserver[1:]],
        commands.DAEMON: commands.daemon(workspace=WORKSPACE),
        commands.PUBLISHED: commands.published("/data/published", host="0.0.0.0", port=8080),
        commands.METRICS: commands.metrics(host="0.0.0.0", port=9464),
    }
    assert {name: SERVICES[name].command for name in expected} == expected


def test_what_stays_has_a_health_check_and_restarts() -> None:
    for name, service in SERVICES.items():
        assert (service.health is None) == (name in commands.TASKS), name
        assert service.raw["restart"] == ("on-failure" if name in commands.TASKS else "unless-stopped"), name


def test_a_health_check_asks_its_own_process_only() -> None:
    """A check that asked more would have everything restarted for a fault of the vendor or the database."""
    asked = {name: service.health for name, service in SERVICES.items() if name in OWN_IMAGE and service.health}
    for name, check in asked.items():
        assert check[:3] == ["python", "-m", "continuous_gtfs.container_health"], name
        assert check[3:] in (["process", SERVICES[name].command[0]],) or check[4] in SERVICES[name].command, name


def test_each_waits_for_what_it_needs_to_be_healthy_or_done() -> None:
    for name, service in SERVICES.items():
        for needed, condition in service.needs.items():
            done = "service_completed_successfully" if needed in commands.TASKS else "service_healthy"
            assert condition == done, name
    for name in set(SERVICES) - {commands.POSTGRES, commands.MIGRATE, commands.PUBLISHED}:
        assert commands.MIGRATE in SERVICES[name].needs, f"{name} would race for the tables"


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_locked_up_and_bounded(name: str) -> None:
    service = SERVICES[name].raw
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
    assert SERVICES[name].tmpfs[0] == "/tmp"


@pytest.mark.parametrize("name", OWN_IMAGE)
def test_our_image_runs_as_nobody_in_particular_with_a_process_that_reaps(name: str) -> None:
    service = SERVICES[name].raw
    assert service["user"] == "10001:10001"
    assert service["init"] is True
    assert "cap_add" not in service


def test_the_tag_of_the_image_is_the_version_of_the_pipeline() -> None:
    assert EXAMPLE["CONTINUOUS_GTFS_VERSION"] == __version__
    for name in OWN_IMAGE:
        service = SERVICES[name].raw
        assert service["image"] == f"continuous-gtfs:{__version__}", name
        assert service["build"]["args"] == {"CONTINUOUS_GTFS_PIPELINE_VERSION": __version__}, name
    code = [SERVICES[name].environment for name in (commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.DAEMON)]
    assert {each["DAGSTER_CURRENT_IMAGE"] for each in code} == {f"continuous-gtfs:{__version__}"}


def test_nothing_starts_without_a_version() -> None:
    with pytest.raises(compose.UnsetError, match="CONTINUOUS_GTFS_VERSION"):
        compose.services(SETTINGS | {"CONTINUOUS_GTFS_VERSION": ""})


def test_a_managed_database_takes_the_place_of_the_container() -> None:
    managed = compose.services(SETTINGS | {"CONTINUOUS_GTFS_POSTGRES_URL": "postgresql://us:er@db.example.org/d"})
    asked = {each.environment["CONTINUOUS_GTFS_POSTGRES_URL"] for name, each in managed.items() if each.needs}
    assert asked == {"postgresql://us:er@db.example.org/d"}
    own = SERVICES[commands.MIGRATE].environment["CONTINUOUS_GTFS_POSTGRES_URL"]
    assert own == "postgresql://dagster:secret@postgres:5432/dagster"
    assert SERVICES[commands.MIGRATE].raw["depends_on"][commands.POSTGRES]["required"] is False


def test_the_vendor_s_tokens_reach_the_code_and_nothing_else() -> None:
    holders = {name for name, service in SERVICES.items() if "token-1" in str(service.raw) + str(service.environment)}
    assert holders == {commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.DAEMON}


def test_the_public_server_gets_no_setting_can_write_nothing_and_reaches_no_other() -> None:
    published = SERVICES[commands.PUBLISHED]
    assert published.environment == {"HOME": "/tmp"}
    assert published.raw["volumes"] == ["published:/data/published:ro"]
    networks = {name: set(service.raw["networks"]) for name, service in SERVICES.items()}
    assert [name for name, joined in networks.items() if joined & networks[commands.PUBLISHED]] == [commands.PUBLISHED]


def test_what_prometheus_reads_can_change_no_feed_and_knows_whose_feeds_they_are() -> None:
    metrics = SERVICES[commands.METRICS]
    assert metrics.raw["volumes"] == ["archive:/data/archive:ro", "published:/data/published:ro"]
    assert metrics.environment["CONTINUOUS_GTFS_AGENCY"] == EXAMPLE["CONTINUOUS_GTFS_AGENCY"]


def test_the_database_is_reached_from_the_containers_only_and_reaches_nothing() -> None:
    postgres = SERVICES[commands.POSTGRES].raw
    assert postgres["networks"] == ["inside"]
    assert raw()["networks"]["inside"] == {"internal": True}
    assert "ports" not in postgres


def test_no_port_is_open_beyond_the_machine_unless_the_operator_says_so() -> None:
    ports = [port for service in SERVICES.values() for port in service.raw.get("ports", [])]
    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    opened = compose.services(
        SETTINGS | {f"CONTINUOUS_GTFS_{name}_BIND": "0.0.0.0" for name in ("PUBLISHED", "READONLY", "METRICS")}
    )
    still_closed = [name for name, service in opened.items() if "127.0.0.1:" in str(service.raw.get("ports"))]
    assert still_closed == [commands.WEBSERVER], "what can change things has no login"


def test_buckets_take_the_place_of_the_volumes() -> None:
    cloud = compose.services(
        SETTINGS | {"CONTINUOUS_GTFS_ARCHIVE": "gs://raw", "CONTINUOUS_GTFS_PUBLISHED": "gs://out"}
    )
    for name in (commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.DAEMON, commands.WEBSERVER):
        told = cloud[name].environment
        assert (told["CONTINUOUS_GTFS_ARCHIVE"], told["CONTINUOUS_GTFS_PUBLISHED"]) == ("gs://raw", "gs://out")
    assert SERVICES[commands.DAEMON].environment["CONTINUOUS_GTFS_ARCHIVE"] == "/data/archive"
    assert {name: service.profiles for name, service in SERVICES.items() if service.profiles} == {
        commands.POSTGRES: ["database"],
        commands.PUBLISHED: ["local"],
        READONLY: ["readonly"],
        commands.METRICS: ["metrics"],
    }
    assert EXAMPLE["COMPOSE_PROFILES"] == "database,local"


def test_every_process_of_dagster_has_what_its_settings_name() -> None:
    files = [(ROOT / name).read_text() for name in ("dagster.yaml", "deploy/workspace.yaml")]
    lines = [line.split("#")[0] for text in files for line in text.splitlines()]
    named = {match[1] for line in lines if (match := re.search(r"env: (\w+)", line))}
    assert "CONTINUOUS_GTFS_POSTGRES_URL" in named
    for name in set(OWN_IMAGE) - {commands.PUBLISHED, commands.MIGRATE}:
        assert sorted(named - set(SERVICES[name].environment)) == [], name
