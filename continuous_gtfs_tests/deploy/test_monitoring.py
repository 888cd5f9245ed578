"""deploy/prometheus and deploy/grafana ask for metrics that there are, in expressions that Prometheus understands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import Expr, VectorSelector

from continuous_gtfs.metrics.catalogue import ALL, Metric
from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.real_data import ROOT

PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
BY_SAMPLE: dict[str, Metric] = {name: metric for metric in ALL for name in metric.sample_names}
GENERATED = {"le"}


def selectors(expression: str) -> Iterator[VectorSelector]:
    """Every series that an expression asks for; Grafana's own variables have a value meanwhile."""
    text = expression.replace("$__rate_interval", "1m")
    found: list[VectorSelector] = []

    def visit(one: Expr) -> bool:
        if isinstance(one, VectorSelector):
            found.append(one)
        return True

    promql_parser.walk(promql_parser.parse(text), visit)
    yield from found


def expressions() -> list[str]:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [*(rule["expr"] for rule in RULES), *asked]


@pytest.mark.parametrize("expression", expressions())
def test_each_expression_asks_for_metrics_and_labels_that_there_are(expression: str) -> None:
    found = list(selectors(expression))
    assert found
    for selector in found:
        metric = BY_SAMPLE[selector.name or ""]
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= set(metric.labels) | GENERATED, selector.name
    for words in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        known = {label for selector in found for label in BY_SAMPLE[selector.name or ""].labels} | GENERATED
        assert set(words.replace(" ", "").split(",")) <= known


def test_the_check_sees_an_expression_that_is_none_and_a_metric_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        list(selectors("sum by (feed"))
    (selector,) = selectors("rate(continuous_gtfs_runs[5m])")
    assert selector.name not in BY_SAMPLE, "a counter is asked for with _total"


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {selector.name for panel in PANELS for one in panel["targets"] for selector in selectors(one["expr"])}
    missing = [metric.name for metric in ALL if not shown & set(metric.sample_names)]
    # The limit from which a feed is called stale divides its age.
    assert missing == []


def test_each_expression_of_the_operations_page_asks_for_metrics_that_there_are() -> None:
    body = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in body.splitlines() if line.startswith("| ") and "`" in line]
    asked = [text for row in rows for text in re.findall(r"`([^`]*continuous_gtfs_[^`]*)`", row)]
    assert len(asked) > 5
    assert {selector.name for text in asked for selector in selectors(text)} <= set(BY_SAMPLE)


def test_what_must_wake_somebody_has_a_rule() -> None:
    asked = {selector.name: rule["alert"] for rule in RULES for selector in selectors(rule["expr"])}
    wanted = {"stale_after_seconds", "fetch_failures_in_row", "runs_total", "daemon_heartbeat_timestamp_seconds"}
    wanted |= {"database_up", "store_up", "check_failures_total", "ticks_total"}
    assert {f"continuous_gtfs_{name}" for name in wanted} <= set(asked)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_says_how_bad_it_is_and_where_it_is_written_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "error")
    page = (ROOT / "docs" / "operations.md").read_text()
    assert f"\n## {rule['annotations']['do']}\n" in page
    (of, *_) = [BY_SAMPLE[selector.name or ""] for selector in selectors(rule["expr"])]
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert named <= set(of.labels)


def test_prometheus_scrapes_the_port_of_the_service_and_reads_the_rules() -> None:
    told = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    (scraped,) = told["scrape_configs"]
    assert [(PROMETHEUS / name).is_file() for name in told["rule_files"]] == [True]
    (target,) = scraped["static_configs"][0]["targets"]
    env = compose.read_env(ROOT / ".env.example") | {"POSTGRES_PASSWORD": "x"}
    (port,) = compose.services(env)["metrics"].raw["ports"]
    assert port == f"{target}:9464"


def test_the_dashboard_is_one_of_grafana() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert DASHBOARD["schemaVersion"] >= 39
    places = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, f"{panel['title']} lies over another"
        assert at["x"] + at["w"] <= 24
        places |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)) > 0


def test_the_dashboard_is_narrowed_down_by_agency_environment_and_feed() -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "agency", "environment", "feed"]
    for name in ("agency", "environment", "feed"):
        assert variables[name]["query"]["query"] == f"label_values(continuous_gtfs_published, {name})"
        assert name in BY_SAMPLE["continuous_gtfs_published"].labels
    for panel in PANELS:
        for target in panel["targets"]:
            for selector in selectors(target["expr"]):
                narrowed = {matcher.name for matcher in selector.matchers.matchers if "$" in matcher.value}
                assert narrowed == set(BY_SAMPLE[selector.name or ""].labels) & {"agency", "environment", "feed"}


def test_grafana_is_told_of_the_data_source_that_the_dashboard_can_use() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/continuous_gtfs.yaml").read_text())["providers"][0]
    assert source["type"] == DASHBOARD["templating"]["list"][0]["query"] == "prometheus"
    assert provider["type"] == "file"
