"""The Dagster UI of the running platform, in a real browser, and its GraphQL."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from continuous_gtfs import names
from continuous_gtfs_tests.documents import OPERATIONS
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end

# In a smaller window the graph is drawn so small that long names are cut.
BROWSER_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=2600,1400",
]
GROUPS = ("pims_production", "schedule_production", "realtime_production")


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
        assert upstream[f"schedule/{environment}/feed_diff"] == {f"schedule/{environment}/transformed_feed"}
        assert upstream[f"schedule/{environment}/published_feed"] == {
            f"schedule/{environment}/transformed_feed",
            f"schedule/{environment}/feed_diff",
        }
        for feed in ("vehicle_positions", "trip_updates"):
            assert upstream[f"realtime/{environment}/published_{feed}"] == {
                f"pims/{environment}/vehicle_positions",
                f"pims/{environment}/trip_updates",
                f"schedule/{environment}/published_feed",
            }


def test_freshness_is_evaluated_for_vendor_feeds_and_published_feeds(deployment: Deployment) -> None:
    deployment.wait_for_newer(names.realtime_publication("production", "vehicle_positions"), None)

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

    assert wait_for(fresh, what="freshness of the production vehicle positions")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium and chromedriver here: install Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*BROWSER_OPTIONS, f"--user-data-dir={tmp_path}"):
        options.add_argument(option)
    with webdriver.Chrome(options=options, service=Service(driver)) as chrome:
        yield chrome


def test_the_asset_graph_in_a_browser_shows_the_assets_of_both_locations(
    deployment: Deployment, browser: webdriver.Chrome
) -> None:
    expanded = quote(",".join(f"global@global:{group}" for group in GROUPS))
    browser.get(f"{deployment.platform.url('webserver')}/asset-groups?expanded={expanded}")

    def words_on_page() -> set[str]:
        return set(str(browser.execute_script("return document.body.innerText")).split())

    wanted = {"transformed_feed", "published_feed", "published_vehicle_positions", "vehicle_positions", *GROUPS}
    wait_for(lambda: wanted <= words_on_page(), what=f"{sorted(wanted)} in the asset graph")
    assert "published_trip_updates" in words_on_page()


def test_what_the_operations_page_says_to_click_is_there(deployment: Deployment, browser: webdriver.Chrome) -> None:
    """An operator accepts a version or rolls back by the dialogue of a job, and empties a cursor on a sensor's page."""
    url = deployment.platform.url("webserver")
    page = OPERATIONS.read_text()

    def shows(*words: str) -> bool:
        text = str(browser.execute_script("return document.body.innerText"))
        return all(word in text for word in words)

    deployment.wait_for_newer(names.schedule_publication("production"), None)
    for job, label, told in (
        ("schedule_production", "Materialize all…", "choose the partition → *Tags* →"),
        ("rollback_schedule_production", "Materialize…", "choose the partition → launch."),
    ):
        assert f"*Jobs* → `{job}` → *{label}* → {told}" in page
        browser.get(f"{url}/locations/schedule/jobs/{job}")
        button = f'//button[contains(., "{label}") and not(@disabled)]'
        wait_for(lambda path=button: browser.find_elements(By.XPATH, path), what=f"{label} on the page of {job}")
        # Until the job's partitions have been read there is no dialogue.
        wait_for(lambda: shows("partition"), what=f"the partitions of {job}")
        browser.find_element(By.XPATH, button).click()
        wait_for(lambda: shows("Partition selection", "Tags", "Launch"), what=f"the dialogue of {job}")
    assert "*Cursor* → *Edit*" in page
    browser.get(f"{url}/locations/schedule/sensors/schedule_production_sensor")
    wait_for(lambda: shows("Cursor", "Edit"), what="the cursor on the sensor's page")


def test_the_page_of_published_vehicle_positions_shows_their_map_and_their_ages(
    deployment: Deployment, browser: webdriver.Chrome
) -> None:
    deployment.wait_for_newer(names.realtime_publication("production", "vehicle_positions"), None)
    browser.get(f"{deployment.platform.url('webserver')}/assets/realtime/production/published_vehicle_positions")

    def pictures() -> dict[str, list[int]]:
        """By what each says it shows, its own width and its height on the page."""
        found: dict[str, list[int]] = browser.execute_script(
            "return Object.fromEntries([...document.images].filter(i => i.src.startsWith('data:image/svg'))"
            ".map(i => [i.alt, [i.naturalWidth, i.height]]))"
        )
        return found

    found = wait_for(lambda: shown if len(shown := pictures()) >= 2 else None, what="two pictures on the asset's page")
    assert set(found) == {"Map of the vehicles", "Age at publication"}
    for title, (width, height) in found.items():
        assert width == 480, title
        assert height > 100, title
