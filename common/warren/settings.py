"""All settings: one frozen typed object, made at the edge, checked whole, passed down.

The same names in code, in `WARREN_*` variables, in `warren.toml` and as flags; each of these beats the one after it.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from warren import quantities
from warren import shares as queue_shares
from warren.errors import InvalidName, InvalidSettings
from warren.topology import check_name

DEFAULT_URL = "amqp://guest:guest@127.0.0.1:5672/"
CONFIG_FILE = "warren.toml"
_PREFIX = "WARREN_"
_MAX_PORT = 65535
# Kubernetes gives every pod variables about each service: for one named "warren" they look like settings.
_NOT_OURS = re.compile(r"WARREN_(CONFIG|TEST_.*|(.*_)?SERVICE_(HOST|PORT.*)|(.*_)?PORT(_.*)?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
"""And for one named "warren-http" WARREN_HTTP_PORT holds an address."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting of producers, workers and the command line; durations are in seconds, sizes in bytes.

    Args:
        url: the broker, or several separated by commas, tried in turn.
        management_url: RabbitMQ's HTTP API, for listing queues; derived from `url` (port 15672) when empty.
        namespace: prefix of every exchange and queue; several installations can share a vhost.
        declare: whether daemons and producers declare what they need, or an administrator has (`warren topology apply`).
        connect_timeout: for one attempt to reach one broker.
        publish_timeout: until a publish is confirmed or a typed error; a leader change in a cluster takes some seconds.
        heartbeat: of the connection; a dead peer is noticed after about two.
        payload_limit: of a job's message, on both sides.
        engine: client library for producers and workers, `pika` or `aio_pika`; empty for the faster, pika.
        queues: what a worker serves, each with its weight: `critical=6`, or a name alone for 1.
        strict: whether the order of its queues counts, and not their weights: no job is taken while a queue before its own has any.
        processes: of a worker's pool, `N` or, to grow with the work that waits, `MIN..MAX`; 0 for one per CPU.
        coroutines: how many `async def` jobs each of them runs at a time.
        max_jobs_per_process: after which a process of the pool is replaced, when another is ready; 0 for never.
        max_memory_per_process: bytes, or as `512MiB`: above it a process is killed, near it replaced between two jobs; 0 for no limit.
        read_ahead: how many jobs a worker may hold beyond its processes while it expects to start them within 20 ms; 0 for none.
        grace_period: how long a stopping worker lets jobs finish.
        start_method: of pool processes, `forkserver` or `spawn`.
        name: of this worker in logs, results and dead letters; host and process id when empty.
        http_host: where a daemon serves /metrics, /livez and /readyz.
        http_port: its port; 0 for a free one, -1 for none.
        store: the database of history, schedules and workflows: `sqlite:///FILE`, or `postgresql://user:password@host/name`.
        history_age: seconds for which a job that has ended stays in it; 0 for ever.
        history_jobs: how many jobs that have ended stay in it; 0 for all.
        log_level: debug, info, warning or error.
        log_format: json, console, or auto for console on a terminal.
    """

    url: str = DEFAULT_URL
    management_url: str = ""
    namespace: str = "warren"
    declare: bool = True
    connect_timeout: float = 5.0
    publish_timeout: float = 10.0
    heartbeat: int = 30
    payload_limit: int = 256 * 1024
    engine: str = ""
    queues: tuple[str, ...] = ("default",)
    strict: bool = False
    processes: int | str = 0
    coroutines: int = 10
    max_jobs_per_process: int = 0
    max_memory_per_process: int = 0
    read_ahead: int = 192
    grace_period: float = 30.0
    start_method: str = "forkserver"
    name: str = ""
    http_host: str = "0.0.0.0"  # noqa: S104 - a container's port must be reachable by Prometheus
    http_port: int = 9464
    store: str = "sqlite:///warren.db"
    history_age: float = 7 * 86_400.0
    history_jobs: int = 1_000_000
    log_level: str = "info"
    log_format: str = "auto"

    @property
    def urls(self) -> tuple[str, ...]:
        """The brokers to try, in turn."""
        return tuple(url.strip() for url in self.url.split(",") if url.strip())

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The queues that a worker serves, without their weights."""
        return queue_shares.names(self.queues)

    @property
    def shares(self) -> tuple[queue_shares.Share, ...]:
        """The same with their weights."""
        return queue_shares.shares(self.queues)


KEYS = Settings.__struct_fields__


def load(*, environ: Mapping[str, str] | None = None, folder: Path | None = None, **explicit: Any) -> Settings:
    """Return the settings in force: explicit ones, then `WARREN_*`, then the file, then the defaults.

    Args:
        environ: instead of the process's environment.
        folder: where `warren.toml` is looked for, the current one by default; `WARREN_CONFIG` names another file.
        explicit: by name; None means not given.

    Raises:
        InvalidSettings: with every problem found.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, Any] = {}
    for place, found in (
        (_config_path(environ, folder), _from_file(environ, folder, problems)),
        ("environment", _from_environment(environ)),
        ("arguments", {key: value for key, value in explicit.items() if value is not None}),
    ):
        values |= _known(found, str(place), problems)
    settings = _converted(values, problems)
    if problems:
        raise InvalidSettings(tuple(problems))
    return settings


def origins(*, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return where each setting that is not the default comes from."""
    environ = os.environ if environ is None else environ
    path = _config_path(environ, folder)
    from_file = dict.fromkeys(_from_file(environ, folder, []), str(path))
    return from_file | {key: f"{_PREFIX}{key.upper()}" for key in _from_environment(environ)}


def variables(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which `load` gives these settings, whatever a configuration file says; the rest of it is as it was."""
    environ = os.environ if environ is None else environ
    foreign = {name: value for name, value in environ.items() if name not in {_PREFIX + key.upper() for key in KEYS}}
    return foreign | {_PREFIX + key.upper(): _written(getattr(settings, key)) for key in KEYS}


def _written(value: object) -> str:
    """A setting as text, which is read as the same again."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _config_path(environ: Mapping[str, str], folder: Path | None) -> Path:
    named = environ.get("WARREN_CONFIG")
    return Path(named) if named else (folder or Path()) / CONFIG_FILE


def _from_file(environ: Mapping[str, str], folder: Path | None, problems: list[str]) -> dict[str, Any]:
    path = _config_path(environ, folder)
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        if "WARREN_CONFIG" in environ:
            problems.append(f"WARREN_CONFIG names {str(path)!r}, which does not exist")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{str(path)!r} cannot be read: {error}")
    return {}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for variable, value in environ.items():
        key = variable.removeprefix(_PREFIX).lower()
        ours = not _KUBERNETES_ADDRESS.match(value) if key in KEYS else not _NOT_OURS.fullmatch(variable)
        if variable.startswith(_PREFIX) and ours:
            found[key] = value
    return found


def _known(found: Mapping[str, Any], place: str, problems: list[str]) -> dict[str, Any]:
    for key in found:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`warren check` lists the settings there are"
            problems.append(f"unknown setting {key!r} in {place}; {hint}")
    return {key: value for key, value in found.items() if key in KEYS}


def _converted(values: dict[str, Any], problems: list[str]) -> Settings:
    queues = values.get("queues")
    if isinstance(queues, str):
        values["queues"] = [name.strip() for name in queues.split(",") if name.strip()]
    good: dict[str, Any] = {}
    for key, value in values.items():
        try:
            # One at a time, so that every problem is told and not only the first.
            good[key] = getattr(msgspec.convert({key: _read(key, value)}, Settings, strict=False), key)
        except msgspec.ValidationError as error:
            problems.append(f"setting {key!r}: {error}".replace(f" - at `$.{key}`", f", got {value!r}"))
        except ValueError as error:
            problems.append(f"setting {key!r}: {error}")
    settings = Settings(**good)
    problems.extend(_impossible(settings))
    return settings


def _read(key: str, value: Any) -> Any:
    """Return what a setting's text means, where it has a form of its own."""
    reader = _READERS.get(key)
    return reader(value) if reader is not None and isinstance(value, str) else value


_READERS: dict[str, Callable[[str], object]] = {
    "max_memory_per_process": quantities.size,
    "processes": quantities.processes,
}


def _no_bounds(processes: int | str) -> list[str]:
    try:
        quantities.bounds(processes)
    except ValueError as error:
        return [f"setting 'processes': {error}"]
    return []


_ABOVE_0 = ("connect_timeout", "publish_timeout", "heartbeat", "payload_limit", "coroutines")
_FROM_0 = (
    *("max_jobs_per_process", "max_memory_per_process", "read_ahead", "grace_period"),
    *("history_age", "history_jobs"),
)
_STORES = re.compile(r"(sqlite|postgresql)(\+psycopg)?://.*")


def _out_of_range(settings: Settings) -> list[str]:
    numbers = {key: getattr(settings, key) for key in (*_ABOVE_0, *_FROM_0)}
    return [
        *(
            f"setting {key!r} is {numbers[key]}; take a number above 0"
            for key in _ABOVE_0
            if not 0 < numbers[key] < math.inf
        ),
        *(f"setting {key!r} is {numbers[key]}; take 0 or more" for key in _FROM_0 if not 0 <= numbers[key] < math.inf),
    ]


def _impossible(settings: Settings) -> list[str]:
    choices = {
        "start_method": ("forkserver", "spawn"),
        "engine": ("", "pika", "aio_pika"),
        "log_level": ("debug", "info", "warning", "error"),
        "log_format": ("auto", "json", "console"),
    }
    found = [
        f"setting {key!r} is {getattr(settings, key)!r}; take one of {', '.join(repr(c) for c in allowed)}"
        for key, allowed in choices.items()
        if getattr(settings, key) not in allowed
    ]
    found += _out_of_range(settings)
    found += _no_bounds(settings.processes)
    if not -1 <= settings.http_port <= _MAX_PORT:
        found.append(f"setting 'http_port' is {settings.http_port}; take a port, 0 for a free one or -1 for none")
    found += queue_shares.problems(settings.queues, strict=settings.strict)
    schemes = ("amqp://", "amqps://", "memory://")
    found += [
        f"setting 'url' has {url.split('@')[-1]!r}; take amqp://user:password@host:5672/vhost"
        for url in settings.urls or ("",)
        if not url.startswith(schemes)
    ]
    if not _STORES.fullmatch(settings.store):
        said = settings.store.split("@")[-1]
        found.append(f"setting 'store' is {said!r}; take sqlite:///FILE or postgresql://user:password@host/name")
    try:
        check_name(settings.namespace, "namespace")
    except InvalidName as error:
        found.append(str(error))
    return found
