"""The private broker: it starts anywhere, survives kill -9 with its data, touches nothing foreign, leaves nothing."""

import fcntl
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import psutil
import pytest
from tests.support import eventually, eventually_on_disk

from warren.console import private_container, private_suite
from warren.console.private_broker import (
    BrokerDidNotStart,
    NoBrokerAvailable,
    PrivateBroker,
    Server,
    Source,
    ensure_installed,
    private_broker,
    version_root,
)
from warren.console.private_container import Container
from warren.console.private_guard import processes_of
from warren.console.private_identity import identity_of
from warren.console.private_install import Image, Probes

needs_broker = pytest.mark.broker

Make = Callable[[Path | None], PrivateBroker]


@pytest.fixture
def make(broker_source: Source, tmp_path: Path) -> Iterator[Make]:
    """Makes brokers that are closed after the test."""
    made: list[PrivateBroker] = []

    def new(folder: Path | None = None) -> PrivateBroker:
        made.append(PrivateBroker(broker_source, folder))
        return made[-1]

    yield new
    for broker in made:
        broker.close()


@pytest.fixture(scope="module")
def shared(broker_source: Source) -> Iterator[PrivateBroker]:
    """One that the tests leave as it is: a start takes seconds."""
    broker = PrivateBroker(broker_source)
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def folder(broker_source: Source, tmp_path: Path) -> Iterator[Path]:
    """A folder that a broker of this session's version can see."""
    root = broker_source.root if isinstance(broker_source, Server) else None
    if root is None:
        yield tmp_path / "kept"
        return
    inside = root / "var/tmp/warren-rabbitmq" / tmp_path.name
    yield inside
    subprocess.run(["rm", "-rf", inside], check=True)


def root_of(source: Source) -> Path | None:
    return source.root if isinstance(source, Server) else None


def is_open(url: str) -> bool:
    port = urlsplit(url).port
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def put(broker: PrivateBroker, queue: str, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_publish("", queue, body)


def take(broker: PrivateBroker, queue: str) -> bytes | None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        _, _, body = connection.channel().basic_get(queue, auto_ack=True)
        return body


@needs_broker
def test_it_starts_and_answers_on_every_port_and_leaves_nothing(broker_source: Source) -> None:
    with private_broker(root=root_of(broker_source)) as broker:
        put(broker, "hello", b"hello")
        assert take(broker, "hello") == b"hello"
        assert "hello" in broker.ctl("list_queues", "name")
        assert is_open(broker.management_url)
        assert is_open(broker.prometheus_url)
        urls = (broker.url, broker.management_url, broker.prometheus_url)
        assert processes_of(broker.folder)
    assert processes_of(broker.folder) == []
    assert not any(is_open(url) for url in urls)
    assert not broker.folder.exists()


@needs_broker
def test_two_live_side_by_side_and_do_not_know_each_other(shared: PrivateBroker, make: Make) -> None:
    one, other = shared, make(None)
    other.start()
    put(one, "mine", b"mine")
    assert "mine" in one.ctl("list_queues", "name")
    assert "mine" not in other.ctl("list_queues", "name")
    assert one.url != other.url


@needs_broker
def test_data_and_ports_survive_a_kill_and_an_end_and_a_foreign_process_in_the_pid_file_is_left_alone(
    make: Make, folder: Path
) -> None:
    first = make(folder)
    first.start()
    url = first.url
    put(first, "kept", b"first")
    put(first, "kept", b"second")
    eventually_on_disk(first.folder, "kept")
    first.kill()
    assert first.pid is None
    first.start()
    assert take(first, "kept") == b"first"
    assert first.url == url
    first.close()
    assert folder.exists()

    with subprocess.Popen(["sleep", "600"]) as foreign:
        (folder / "pid").write_text(str(foreign.pid))
        second = make(folder)
        assert second.pid is None
        second.kill()
        second.start()
        assert take(second, "kept") == b"second"
        second.restart()
        assert foreign.poll() is None
        foreign.kill()


@needs_broker
def test_a_running_broker_is_not_started_twice(broker_source: Source, shared: PrivateBroker) -> None:
    first, second = shared, PrivateBroker(broker_source, shared.folder)
    assert second.pid == first.pid
    assert second.url == first.url
    with pytest.raises(BrokerDidNotStart, match="already running"):
        second.start()
    assert is_open(first.management_url)


@needs_broker
def test_a_paused_broker_answers_again_after_it_is_resumed(shared: PrivateBroker) -> None:
    broker = shared
    assert broker.pid
    broker.pause()
    eventually(lambda: psutil.Process(broker.pid).status() == psutil.STATUS_STOPPED, message="the VM is stopped")
    broker.resume()
    put(broker, "hello", b"hello")


@needs_broker
def test_nothing_is_left_when_the_process_that_started_it_is_killed(broker_source: Source) -> None:
    script = """
import pathlib, sys
from warren.console.private_broker import private_broker
with private_broker(root=pathlib.Path(sys.argv[1]) if sys.argv[1:] else None) as broker:
    print(broker.folder, flush=True)
    input()
"""
    root = root_of(broker_source)
    command = [sys.executable, "-c", script, *([str(root)] if root else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        folder = Path(owner.stdout.readline().strip())
        assert processes_of(folder)
        owner.send_signal(signal.SIGKILL)
    eventually(lambda: not processes_of(folder), message="every process of the broker has ended")
    eventually(lambda: not folder.exists(), message="its folder is gone")


@needs_broker
def test_a_broker_that_cannot_start_shows_the_end_of_its_log(make: Make, folder: Path) -> None:
    broker = make(folder)
    (folder / "advanced.config").write_text("this is no configuration")
    with pytest.raises(BrokerDidNotStart, match=r"did not start; its log ends with\n[\s\S]*advanced.config"):
        broker.start()
    assert processes_of(folder) == []


def probes(**found: Callable[..., object]) -> Probes:
    """A machine on which nothing is found, except what is said."""
    nothing: dict[str, Callable[..., object]] = {
        "find_server": lambda: None,
        "find_apt": lambda: None,
        "install": lambda _before, _say: pytest.fail("nothing may be installed"),
        "docker_answers": lambda: False,
    }
    return Probes(**{**nothing, **found})  # type: ignore[arg-type]


def test_a_server_on_the_machine_is_used_as_it_is() -> None:
    said: list[str] = []
    source = ensure_installed(said.append, probes(find_server=lambda: Path("/opt/rabbitmq/sbin")))
    assert source == Server(Path("/opt/rabbitmq/sbin"))
    assert said == []


def test_the_package_is_installed_where_apt_can_be_run() -> None:
    installed: list[tuple[str, ...]] = []
    machine = probes(
        find_server=lambda: Path("/usr/lib/rabbitmq/bin") if installed else None,
        find_apt=lambda: ("sudo", "-n"),
        install=lambda before, _say: installed.append(before),
    )
    assert ensure_installed(print, machine) == Server(Path("/usr/lib/rabbitmq/bin"))
    assert installed == [("sudo", "-n")]


def test_only_one_process_at_a_time_looks_and_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    others: list[bool] = []

    def another_comes(*_: object) -> Path:
        with (tmp_path / "warren/install.lock").open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        others.append(True)
        return Path("/opt/rabbitmq/sbin")

    ensure_installed(print, probes(find_server=another_comes))
    ensure_installed(print, probes(find_apt=tuple, install=another_comes, docker_answers=lambda: True))
    assert len(others) == 2


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(NoBrokerAvailable, match=r"install\.lock cannot be written .*XDG_CACHE_HOME"):
        ensure_installed(print, probes())


def test_docker_is_the_last_resort() -> None:
    said: list[str] = []
    assert ensure_installed(said.append, probes(docker_answers=lambda: True)) == Image("rabbitmq:4-management")
    assert "Docker" in said[0]


def test_with_no_server_no_apt_and_no_docker_one_message_says_what_to_do() -> None:
    with pytest.raises(NoBrokerAvailable, match=r"apt-get install rabbitmq-server.*Docker.*WARREN_URL"):
        ensure_installed(print, probes())


def test_a_container_is_reachable_from_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, int(command[1] == "inspect"), "", "")

    monkeypatch.setattr(private_container, "run", run)
    identity = identity_of(tmp_path)
    Container(Image(), tmp_path, identity).start()
    create = next(command for command in commands if command[1] == "create")
    published = [create[at + 1] for at, word in enumerate(create) if word == "--publish"]
    assert f"127.0.0.1:{identity.ports.amqp}:5672" in published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert commands[-1][1] == "start"


def test_a_half_finished_system_folder_is_thrown_away_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished = tmp_path / "rabbitmq-4.3.unfinished"
    (unfinished / "usr").mkdir(parents=True)
    (unfinished / "usr/half").touch()

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        if command[0] == "debootstrap":
            target = Path(command[4])
            (target / "usr/lib/rabbitmq/lib/rabbitmq_server-4.3.6").mkdir(parents=True)
            (target / "etc").mkdir()
        return subprocess.CompletedProcess(command, 0, "http://mirror.example/debian\n", "")

    monkeypatch.setattr(private_suite, "run", run)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    root = version_root("4.3", print, cache=tmp_path)
    assert root == tmp_path / "rabbitmq-4.3"
    assert not (root / "usr/half").exists()
    assert not unfinished.exists()
    assert (root / "etc/hosts").exists()


def test_an_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(NoBrokerAvailable, match=r"3\.10, 4\.3"):
        version_root("2.8", print)
