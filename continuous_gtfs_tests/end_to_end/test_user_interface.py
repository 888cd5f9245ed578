"""The Dagster UI of the running platform, in a real browser, and its GraphQL."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from continuous_gtfs.defs import names
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end

CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1000",
    "--virtual-time-budget=20000",
]


def graphql(deployment: Deployment, query: str) -> Any:
    request = urllib.request.Request(
        f"{deployment.platform.url('webserver')}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())["data"]


def test_lineage_runs_from_the_vendor_to_what_is_published(deployment: Deployment) -> None:
    nodes = graphql(deployment, "{ assetNodes { assetKey { path } dependencyKeys { path } } }")["assetNodes"]
    upstream = {
        "/".join(node["assetKey"]["path"]): {"/".join(key["path"]) for key in node["dependencyKeys"]} for node in nodes
    }
    for environment in ("production", "qa"):
        assert upstream[f"schedule/{environment}/transformed_feed"] == {f"pims/{environment}/schedule"}
        assert upstream[f"schedule/{environment}/published_feed"] == {f"schedule/{environment}/transformed_feed"}
        for feed in ("vehicle_positions", "trip_updates"):
            assert upstream[f"realtime/{environment}/published_{feed}"] == {
                f"pims/{environment}/vehicle_positions",
                f"pims/{environment}/trip_updates",
                f"schedule/{environment}/published_feed",
            }


def test_freshness_is_evaluated_for_vendor_feeds_and_published_feeds(deployment: Deployment) -> None:
    deployment.wait_for_newer(names.realtime_publication("production", "vehicle_positions"), None, timeout_s=90)

    def fresh() -> bool:
        answer = graphql(deployment, "{ assetNodes { assetKey { path } freshnessStatusInfo { freshnessStatus } } }")[
            "assetNodes"
        ]
        states = {
            "/".join(node["assetKey"]["path"]): (node["freshnessStatusInfo"] or {}).get("freshnessStatus")
            for node in answer
        }
        return (
            states["pims/production/vehicle_positions"]
            == states["realtime/production/published_vehicle_positions"]
            == "HEALTHY"
        )

    wait_for(fresh, what="freshness of the production vehicle positions", timeout_s=90)


def test_the_asset_graph_in_a_browser_shows_the_assets_of_both_locations(
    deployment: Deployment, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine: install Debian's chromium to run the browser test")
    page = subprocess.run(
        [
            *(chromium, *CHROMIUM_OPTIONS, f"--user-data-dir={tmp_path}", "--dump-dom"),
            f"{deployment.platform.url('webserver')}/asset-groups?expanded=*",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for word in ("published_feed", "published_vehicle_positions", "pims_production"):
        assert word in page.stdout, f"{word} is not on the page: {page.stderr[-1000:]}"
