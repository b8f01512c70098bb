"""Prometheus, its alerts and Grafana's dashboard: valid, tested, and about metrics that exist."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.deploy.files import DEPLOY, in_stage, load_yaml, mounts, not_here, services
from tests.docs.tables import DAEMON_METRIC_NAMES

from warren.metrics import METRIC_NAMES

PROMETHEUS = DEPLOY / "prometheus"
# Seen on live brokers: 4.0.5 and 4.3.6.
RABBITMQ_METRIC_NAMES = frozenset(
    {
        "rabbitmq_alarms_free_disk_space_watermark",
        "rabbitmq_alarms_memory_used_watermark",
        "rabbitmq_build_info",
        "rabbitmq_channels",
        "rabbitmq_connections",
        "rabbitmq_detailed_queue_consumers",
        "rabbitmq_detailed_queue_messages",
        "rabbitmq_detailed_queue_messages_ready",
        "rabbitmq_detailed_queue_messages_unacked",
        "rabbitmq_global_messages_dead_lettered_confirmed_total",
        "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
        "rabbitmq_global_messages_dead_lettered_expired_total",
        "rabbitmq_global_messages_dead_lettered_maxlen_total",
        "rabbitmq_global_messages_dead_lettered_rejected_total",
    }
)
KNOWN = METRIC_NAMES | DAEMON_METRIC_NAMES | RABBITMQ_METRIC_NAMES


def alerts() -> list[dict[str, Any]]:
    return [rule for group in load_yaml(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/warren.json").read_text())
    return found


def panel_queries() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def queries() -> list[tuple[str, str]]:
    variables = [
        (f"variable {variable['name']}", variable["definition"])
        for variable in dashboard()["templating"]["list"]
        if "definition" in variable
    ]
    return [*((rule["alert"], rule["expr"]) for rule in alerts()), *panel_queries(), *variables]


def base_name(name: str) -> str:
    """Return the metric a histogram's series belongs to, other names as they are."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in KNOWN else name


def unknown_metrics(query: str) -> set[str]:
    by_pattern = re.compile(r'__name__=~"([^"]*)"')
    patterns = by_pattern.findall(query)
    nothing = {pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in KNOWN)}
    named = re.findall(r"\b(?:warren|rabbitmq)_\w+", by_pattern.sub("", query))
    return nothing | {name for name in named if base_name(name) not in KNOWN}


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        not_here("promtool is not installed (Debian: apt-get install --no-install-recommends prometheus)")
    done = subprocess.run([promtool, *arguments], check=False, cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_where_it_fires_and_where_it_does_not() -> None:
    expectations = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in load_yaml(PROMETHEUS / "alerts_test.yml")["tests"]
        for case in test["alert_rule_test"]
    ]
    assert set(expectations) == set(itertools.product((rule["alert"] for rule in alerts()), (True, False)))


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]


@pytest.mark.parametrize(("where", "query"), queries(), ids=[f"{n} {where}" for n, (where, _) in enumerate(queries())])
def test_every_query_asks_for_metrics_that_exist(where: str, query: str) -> None:
    assert re.search(r"(warren|rabbitmq)_\w", query), where
    assert unknown_metrics(query) == set(), where


def test_a_misspelt_metric_would_be_found() -> None:
    assert unknown_metrics("rate(warren_job_done_total[5m]) + warren_job_wait_seconds_sum") == {"warren_job_done_total"}
    assert unknown_metrics('{__name__=~"rabbitmq_global_(a|b)_total"}') == {"rabbitmq_global_(a|b)_total"}


def test_dashboard_shows_what_warren_counts_and_how_rabbitmq_is() -> None:
    shown = {
        base_name(name) for _, query in panel_queries() for name in re.findall(r"\b(?:warren|rabbitmq)_\w+", query)
    }
    assert (METRIC_NAMES | DAEMON_METRIC_NAMES) - shown == set()
    assert {"rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_consumers"} <= shown


def test_dashboard_has_a_number_and_a_place_of_its_own_for_each_panel() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: dict[tuple[int, int], int] = {}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert taken.setdefault(cell, panel["id"]) == panel["id"], panel["title"]


def test_dashboard_uses_only_variables_it_has() -> None:
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]} | {"__rate_interval"}
    used = {name for _, query in queries() if "$" in query for name in re.findall(r"\$(\w+)", query)}
    assert used - {"labels", "value"} <= variables


def test_dashboard_finds_the_provisioned_data_source() -> None:
    sources = load_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    chosen = next(one for one in dashboard()["templating"]["list"] if one["type"] == "datasource")["current"]["value"]
    assert [source["uid"] for source in sources] == [chosen]
    assert sources[0]["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in dashboard()["panels"] if panel["type"] != "row"} == {
        "${datasource}"
    }


def test_grafana_reads_dashboards_from_where_they_are_mounted() -> None:
    provider = load_yaml(DEPLOY / "grafana/provisioning/dashboards/warren.yml")["providers"][0]
    targets = {target: source for name, source, target in mounts() if name == "grafana"}
    assert targets[provider["options"]["path"]] == "./deploy/grafana/dashboards"


def test_prometheus_scrapes_every_daemon_and_both_pages_of_rabbitmq() -> None:
    jobs = {job["job_name"]: job for job in load_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
    for name in ("worker", "recorder", "scheduler"):
        discovery = jobs[f"warren-{name}"]["dns_sd_configs"][0]
        assert (discovery["type"], str(discovery["port"])) == ("A", in_stage("base", "EXPOSE")[0])
        assert discovery["names"] == [name]
        assert name in services()
    assert jobs["rabbitmq-queues"]["metrics_path"] == "/metrics/detailed"
    assert jobs["rabbitmq-queues"]["params"]["family"] == ["queue_coarse_metrics", "queue_consumer_count"]
    for job in ("rabbitmq", "rabbitmq-queues"):
        assert jobs[job]["static_configs"] == [{"targets": ["rabbitmq:15692"]}]
