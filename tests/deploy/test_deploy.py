"""Compose, RabbitMQ, Kubernetes and systemd: valid, and in agreement with each other and with the code."""

import ast
import base64
import configparser
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from tests.deploy.files import (
    DEPLOY,
    ROOT,
    compose,
    dockerfile,
    environment_of,
    in_stage,
    mounts,
    not_here,
    seconds,
    services,
)

from warren.settings import KEYS
from warren.topology import Binding, Names, Queue, everything

PASSWORD = "warren-development"
OURS = ("worker", "recorder", "scheduler", "enqueue")
DAEMONS = ("worker", "recorder", "scheduler")
WITH_STORE = ("recorder", "scheduler")


# --- Compose


def test_compose_file_is_valid_by_the_official_schema() -> None:
    package = importlib.util.find_spec("check_jsonschema")
    if package is None or package.origin is None:
        not_here("the package check-jsonschema, which carries the schema of Compose, is not installed")
    schema = Path(package.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(compose(), json.loads(schema.read_text()))


def test_every_file_a_service_mounts_exists() -> None:
    sources = [source for _, source, _ in mounts() if source.startswith(".")]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_every_named_volume_is_declared_and_used() -> None:
    assert {source for _, source, _ in mounts() if not source.startswith(".")} == compose()["volumes"].keys()


def test_daemons_can_be_scaled() -> None:
    for name in DAEMONS:
        assert services()[name].keys().isdisjoint({"container_name", "hostname", "ports"}), name
    assert not [name for name, service in services().items() if "container_name" in service]


def test_docker_waits_longer_than_the_worker_drains() -> None:
    worker = services()["worker"]
    assert seconds(worker["stop_grace_period"]) > worker["environment"]["WARREN_GRACE_PERIOD"]


def test_ports_are_published_on_loopback_alone() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_rabbitmq_counts_as_healthy_when_it_runs_and_listens() -> None:
    kind, command = services()["rabbitmq"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert command == "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_port_connectivity"


def test_rabbitmq_keeps_its_data_over_a_restart() -> None:
    assert "hostname" in services()["rabbitmq"]
    assert ("rabbitmq", "rabbitmq", "/var/lib/rabbitmq") in set(mounts())


@pytest.mark.parametrize("name", OURS)
def test_warren_waits_for_a_healthy_broker(name: str) -> None:
    assert services()[name]["depends_on"]["rabbitmq"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", WITH_STORE)
def test_what_needs_the_store_waits_for_a_healthy_one(name: str) -> None:
    assert services()[name]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_the_store_is_the_database_of_the_service_and_keeps_its_data_over_a_restart() -> None:
    url, postgres = urlsplit(services()["recorder"]["environment"]["WARREN_STORE"]), services()["postgres"]
    made = {name: postgres["environment"][f"POSTGRES_{name}"] for name in ("USER", "PASSWORD", "DB")}
    assert made == {"USER": url.username, "PASSWORD": url.password, "DB": url.path.removeprefix("/")}
    assert url.password == PASSWORD
    assert url.hostname in services()
    assert ("postgres", "postgres", "/var/lib/postgresql/data") in set(mounts())
    check = postgres["healthcheck"]["test"][1]
    assert f"-U {url.username} -d {made['DB']}" in check


def test_the_image_has_the_libraries_of_that_store() -> None:
    assert any("[postgres]" in line for line in in_stage("build", "RUN"))


def test_producer_runs_once() -> None:
    enqueue = services()["enqueue"]
    assert enqueue["restart"] == "no"
    assert enqueue["profiles"]
    assert "healthcheck" in enqueue


@pytest.mark.parametrize("name", OURS)
def test_warren_is_built_from_a_stage_that_exists_and_holds_the_examples(name: str) -> None:
    build = services()[name]["build"]
    assert (ROOT / build["dockerfile"]).is_file()
    assert build["target"] in {found.stage for found in dockerfile()}
    assert "examples /app/examples" in in_stage(build["target"], "COPY")
    assert environment_of("base")["PYTHONPATH"] == "/app"


def test_worker_and_producer_name_a_task_that_exists() -> None:
    module, function = services()["enqueue"]["command"][1].split(":")
    assert services()["worker"]["command"][1] == module
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert path.is_file()
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert function in {node.name for node in functions}


# --- RabbitMQ


def definitions() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "rabbitmq/definitions.json").read_text())
    return found


def names(namespace: str = "warren") -> list[str]:
    """Return every broker name of a namespace with one queue, and a producer's reply queue."""
    plan = everything(Names(namespace), ("images",))
    return [*(item.name for item in plan if not isinstance(item, Binding)), Names(namespace).reply("x")]


def test_password_hash_is_that_of_the_documented_password() -> None:
    (user,) = definitions()["users"]
    assert user["hashing_algorithm"] == "rabbit_password_hashing_sha256"
    salted = base64.b64decode(user["password_hash"])
    salt, digest = salted[:4], salted[4:]
    assert hashlib.sha256(salt + PASSWORD.encode()).digest() == digest
    assert PASSWORD in (DEPLOY / "README.md").read_text()


@pytest.mark.parametrize("name", OURS)
def test_warren_logs_in_as_the_user_and_to_the_vhost_of_the_definitions(name: str) -> None:
    url = urlsplit(services()[name]["environment"]["WARREN_URL"])
    (permission,) = definitions()["permissions"]
    assert (url.username, url.path.removeprefix("/")) == (permission["user"], permission["vhost"])
    assert url.password == PASSWORD
    assert url.hostname in services()
    assert definitions()["vhosts"] == [{"name": permission["vhost"]}]


@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_user_may_do_everything_in_the_namespace_and_nothing_outside(right: str) -> None:
    pattern = re.compile(definitions()["permissions"][0][right])
    assert [name for name in names() if not pattern.search(name)] == []
    assert not [name for name in (*names("other"), "amq.default", "x.warren.jobs") if pattern.search(name)]


def test_consumer_timeout_is_for_work_queues_alone() -> None:
    (policy,) = definitions()["policies"]
    assert policy["definition"] == {"consumer-timeout": 24 * 3600 * 1000}
    queues = [item.name for item in everything(Names(), ("images",)) if isinstance(item, Queue)]
    assert [queue for queue in queues if re.search(policy["pattern"], queue)] == [Names().queue("images")]


def test_rabbitmq_loads_the_definitions_from_where_they_are_mounted() -> None:
    settings = re.findall(r"^load_definitions = (\S+)$", (DEPLOY / "rabbitmq/rabbitmq.conf").read_text(), re.MULTILINE)
    assert ("rabbitmq", "./deploy/rabbitmq/definitions.json", *settings) in set(mounts())


def test_rabbitmq_has_the_plugins_that_operating_needs() -> None:
    plugins = re.fullmatch(r"\[([\w,]+)\]\.\n", (DEPLOY / "rabbitmq/enabled_plugins").read_text())
    assert plugins
    assert set(plugins[1].split(",")) == {"rabbitmq_management", "rabbitmq_prometheus"}


# --- Settings, wherever they are named


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "docker-compose.yml",
        DEPLOY / "Dockerfile",
        *sorted((DEPLOY / "kubernetes").glob("[rsw]*er.yaml")),
        *sorted((DEPLOY / "systemd").glob("*.service")),
        DEPLOY / "README.md",
    ],
    ids=lambda path: path.name,
)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = {name.lower() for name in re.findall(r"\bWARREN_([A-Z][A-Z_]*)\b", path.read_text())}
    assert named
    assert named - set(KEYS) == set()


# --- Kubernetes


def kubernetes(kind: str) -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / f"kubernetes/{kind}.yaml").read_text())
    return {document["kind"]: document for document in documents}


def pod(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = kubernetes(kind)["Deployment"]["spec"]["template"]["spec"]
    return found


def container(kind: str) -> dict[str, Any]:
    (found,) = pod(kind)["containers"]
    assert isinstance(found, dict)
    return found


def test_kubernetes_waits_longer_than_the_worker_drains() -> None:
    values = {variable["name"]: variable.get("value") for variable in container("worker")["env"]}
    assert pod("worker")["terminationGracePeriodSeconds"] > float(values["WARREN_GRACE_PERIOD"])


@pytest.mark.parametrize("kind", DAEMONS)
def test_kubernetes_restarts_by_livez_and_waits_by_readyz(kind: str) -> None:
    probes = {name: container(kind)[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert [probe["path"] for probe in probes.values()] == ["/livez", "/livez", "/readyz"]
    assert {probe["port"] for probe in probes.values()} == {port["name"] for port in container(kind)["ports"]}
    assert str(container(kind)["ports"][0]["containerPort"]) == in_stage("base", "EXPOSE")[0]


@pytest.mark.parametrize("kind", DAEMONS)
def test_pod_is_not_root_and_writes_only_to_tmp(kind: str) -> None:
    user, group = in_stage("base", "USER")[0].split(":")
    outer, inner = pod(kind)["securityContext"], container(kind)["securityContext"]
    assert outer["runAsNonRoot"]
    assert (outer["runAsUser"], outer["runAsGroup"]) == (int(user), int(group))
    assert inner["readOnlyRootFilesystem"]
    assert not inner["allowPrivilegeEscalation"]
    assert inner["capabilities"] == {"drop": ["ALL"]}
    (mount,) = container(kind)["volumeMounts"]
    assert mount["mountPath"] == "/tmp"
    assert [volume for volume in pod(kind)["volumes"] if volume["name"] == mount["name"] and "emptyDir" in volume]


@pytest.mark.parametrize("kind", DAEMONS)
def test_pod_keeps_the_entry_point_and_takes_the_broker_from_a_secret(kind: str) -> None:
    assert "command" not in container(kind)
    assert container(kind)["args"][0] == kind
    (url,) = [variable for variable in container(kind)["env"] if variable["name"] == "WARREN_URL"]
    assert "secretKeyRef" in url["valueFrom"]


@pytest.mark.parametrize("kind", DAEMONS)
def test_disruption_budget_is_about_the_pods_of_the_deployment(kind: str) -> None:
    deployment, budget = kubernetes(kind)["Deployment"], kubernetes(kind)["PodDisruptionBudget"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["maxUnavailable"] < deployment["spec"]["replicas"]


@pytest.mark.parametrize("kind", WITH_STORE)
def test_pod_takes_the_store_from_the_secret_and_another_stands_by(kind: str) -> None:
    (url,) = [variable for variable in container(kind)["env"] if variable["name"] == "WARREN_STORE"]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "warren", "key": "store"}
    assert kubernetes(kind)["Deployment"]["spec"]["replicas"] > 1


# --- systemd

UNIT = DEPLOY / "systemd/warren-worker@.service"


def test_systemd_drains_the_parent_and_lets_one_process_run_out_of_memory_alone() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment] # systemd's names keep their capitals
    unit.read(UNIT)
    service = unit["Service"]
    assert (service["KillMode"], service["KillSignal"], service["OOMPolicy"]) == ("mixed", "SIGTERM", "continue")
    grace = re.search(r"WARREN_GRACE_PERIOD=(\d+)", service["Environment"])
    assert grace
    assert int(service["TimeoutStopSec"]) > int(grace[1])


@pytest.mark.parametrize("name", ["warren-worker@.service", "warren-recorder.service", "warren-scheduler.service"])
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / name.replace("@.", "@images.")
    # It looks whether the program is there, and on this machine it is not.
    unit.write_text((UNIT.parent / name).read_text().replace("/opt/warren/bin/warren", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", unit], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Unknown" not in done.stderr
    assert "ignoring" not in done.stderr
