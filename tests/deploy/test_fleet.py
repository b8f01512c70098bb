"""What makes a fleet larger and smaller names things that exist: the Deployment, its queue, its secret, our metrics."""

import re
from typing import Any

import pytest
import yaml
from tests.deploy.files import DEPLOY, ROOT, load_yaml

from warren.metrics import METRIC_NAMES
from warren.topology import Names

MANIFESTS = ("scale-by-queue.yaml", "scale-by-slots.yaml")


def documents(name: str) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
    return {document["kind"]: document for document in found}


def container() -> dict[str, Any]:
    (found,) = documents("worker.yaml")["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment() -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in container()["env"]}


def scaler(name: str) -> dict[str, Any]:
    found = documents(name)
    return found.get("ScaledObject") or found["HorizontalPodAutoscaler"]


def trigger() -> dict[str, Any]:
    (found,) = scaler("scale-by-queue.yaml")["spec"]["triggers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", MANIFESTS)
def test_what_is_scaled_is_the_deployment(name: str) -> None:
    deployment, found = documents("worker.yaml")["Deployment"], scaler(name)
    assert found["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert found["metadata"]["labels"] == deployment["metadata"]["labels"]


def test_keda_asks_for_the_queue_that_the_worker_serves() -> None:
    arguments = container()["args"]
    served = arguments[arguments.index("--queue") + 1]
    assert trigger()["metadata"]["queueName"] == Names(environment()["WARREN_NAMESPACE"]).queue(served)


def test_keda_counts_only_jobs_that_are_ready() -> None:
    found = trigger()["metadata"]
    assert (found["protocol"], found["mode"]) == ("amqp", "QueueLength")


def test_keda_logs_in_with_the_secret_of_the_worker() -> None:
    authentication = documents("scale-by-queue.yaml")["TriggerAuthentication"]
    assert trigger()["authenticationRef"]["name"] == authentication["metadata"]["name"]
    (reference,) = authentication["spec"]["secretTargetRef"]
    (url,) = [variable for variable in container()["env"] if variable["name"] == "WARREN_URL"]
    assert {key: reference[key] for key in ("name", "key")} == url["valueFrom"]["secretKeyRef"]
    assert reference["parameter"] == "host"


def test_the_length_is_that_of_the_arithmetic_beside_it() -> None:
    text = (DEPLOY / "kubernetes/scale-by-queue.yaml").read_text()
    said = re.search(r"= (\d+) x (\d+) / ([\d.]+)\.$", text, re.MULTILINE)
    assert said
    processes, clear, job = said.groups()
    assert processes == environment()["WARREN_PROCESSES"]
    assert float(trigger()["metadata"]["value"]) == int(processes) * int(clear) / float(job)
    page = (ROOT / "docs/how-to/production.md").read_text()
    assert f"{processes} \N{MULTIPLICATION SIGN} {clear} s / {job} s = {trigger()['metadata']['value']}" in page


def test_the_autoscaler_uses_the_metric_that_the_adapter_makes_of_ours() -> None:
    (rule,) = load_yaml(DEPLOY / "prometheus/adapter.yml")["rules"]
    (metric,) = scaler("scale-by-slots.yaml")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    used = set(re.findall(r"warren_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
    assert used <= METRIC_NAMES
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_fleet_shrinks_slowly_and_never_to_nothing(name: str) -> None:
    spec = scaler(name)["spec"]
    assert spec.get("minReplicaCount", spec.get("minReplicas")) >= 1
    behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    grace = documents("worker.yaml")["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    (policy,) = behavior["scaleDown"]["policies"]
    assert policy["value"] == 1
    assert policy["periodSeconds"] > grace
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 60


@pytest.mark.parametrize(
    "path", ["kubernetes/scale-by-queue.yaml", "kubernetes/scale-by-slots.yaml", "prometheus/adapter.yml"]
)
def test_each_file_is_in_the_overview(path: str) -> None:
    assert f"`{path}`" in (DEPLOY / "README.md").read_text()
