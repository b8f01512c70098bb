"""Settings come from four places in a fixed order, are checked whole, and every problem is told at once."""

from pathlib import Path
from typing import Any

import pytest

from warren.errors import InvalidSettings
from warren.settings import DEFAULT_URL, KEYS, Settings, load, origins, variables


def write(folder: Path, text: str) -> Path:
    path = folder / "warren.toml"
    path.write_text(text)
    return path


def problems(folder: Path, environ: dict[str, str] | None = None, **explicit: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as invalid:
        load(environ=environ or {}, folder=folder, **explicit)
    assert str(invalid.value) == "; ".join(invalid.value.problems)
    return invalid.value.problems


def only_problem(folder: Path, environ: dict[str, str] | None = None, **explicit: Any) -> str:
    (problem,) = problems(folder, environ, **explicit)
    return problem


# --- where they come from --------------------------------------------------------------------------------------------


def test_there_are_fewer_than_forty_keys_and_all_are_documented() -> None:
    assert len(KEYS) < 40
    assert not [key for key in KEYS if f"        {key}: " not in (Settings.__doc__ or "")]


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(environ={}, folder=tmp_path)
    assert settings == Settings()
    assert (settings.url, settings.namespace, settings.queues) == (DEFAULT_URL, "warren", ("default",))


def test_arguments_beat_variables_beat_the_file_beats_defaults(tmp_path: Path) -> None:
    write(tmp_path, 'namespace = "file"\nheartbeat = 1\nprocesses = 1')
    environ = {"WARREN_NAMESPACE": "variable", "WARREN_HEARTBEAT": "2"}
    settings = load(environ=environ, folder=tmp_path, namespace="argument")
    assert (settings.namespace, settings.heartbeat, settings.processes) == ("argument", 2, 1)
    assert settings.grace_period == Settings().grace_period


def test_an_argument_of_none_is_not_given(tmp_path: Path) -> None:
    assert load(environ={"WARREN_NAMESPACE": "a"}, folder=tmp_path, namespace=None).namespace == "a"


def test_variables_are_converted_to_their_types(tmp_path: Path) -> None:
    environ = {
        "WARREN_DECLARE": "false",
        "WARREN_PROCESSES": "3",
        "WARREN_GRACE_PERIOD": "2.5",
        "WARREN_QUEUES": "a, b,,c",
        "WARREN_HTTP_PORT": "0",
    }
    settings = load(environ=environ, folder=tmp_path)
    assert (settings.declare, settings.processes, settings.grace_period) == (False, 3, 2.5)
    assert (settings.queues, settings.http_port) == (("a", "b", "c"), 0)


def test_the_file_has_types_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, 'queues = ["a", "b"]\ndeclare = false\ngrace_period = 2')
    settings = load(environ={}, folder=tmp_path)
    assert (settings.queues, settings.declare, settings.grace_period) == (("a", "b"), False, 2.0)


def test_several_brokers_are_tried_in_turn(tmp_path: Path) -> None:
    settings = load(environ={}, folder=tmp_path, url="amqp://a, amqps://b ,")
    assert settings.urls == ("amqp://a", "amqps://b")


def test_a_variable_can_name_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('namespace = "other"')
    write(tmp_path, 'namespace = "here"')
    assert load(environ={"WARREN_CONFIG": str(other)}, folder=tmp_path).namespace == "other"


def test_the_origin_of_each_setting_can_be_told(tmp_path: Path) -> None:
    path = write(tmp_path, "heartbeat = 1\nprocesses = 1")
    assert origins(environ={"WARREN_HEARTBEAT": "2"}, folder=tmp_path) == {
        "heartbeat": "WARREN_HEARTBEAT",
        "processes": str(path),
    }


# --- what is not ours ------------------------------------------------------------------------------------------------

KUBERNETES = {
    "WARREN_SERVICE_HOST": "10.0.0.1",
    "WARREN_SERVICE_PORT": "5672",
    "WARREN_SERVICE_PORT_AMQP": "5672",
    "WARREN_PORT": "tcp://10.0.0.1:5672",
    "WARREN_PORT_5672_TCP": "tcp://10.0.0.1:5672",
    "WARREN_PORT_5672_TCP_PROTO": "tcp",
    "WARREN_PORT_5672_TCP_PORT": "5672",
    "WARREN_PORT_5672_TCP_ADDR": "10.0.0.1",
    "WARREN_CONSOLE_SERVICE_HOST": "10.0.0.2",
    "WARREN_CONSOLE_PORT_80_TCP": "tcp://10.0.0.2:80",
    "WARREN_HTTP_SERVICE_HOST": "10.0.0.3",
    "WARREN_HTTP_PORT": "tcp://10.0.0.3:80",
    "WARREN_HTTP_PORT_80_TCP_ADDR": "10.0.0.3",
}


def test_what_kubernetes_says_of_services_called_warren_is_no_setting(tmp_path: Path) -> None:
    assert load(environ=KUBERNETES, folder=tmp_path) == Settings()
    assert origins(environ=KUBERNETES, folder=tmp_path) == {}


def test_variables_of_the_test_suite_and_of_others_are_no_settings(tmp_path: Path) -> None:
    environ = {"WARREN_TEST_BROKER": "4.3", "WARREN_TEST_URL": "x", "PATH": "/bin", "WARRENTY": "1", "warren_url": "x"}
    assert load(environ=environ, folder=tmp_path) == Settings()


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_an_unknown_setting_comes_with_a_suggestion_and_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "heartbeats = 1")
    found = problems(tmp_path, {"WARREN_NAMESPCE": "a"}, colour="red")
    assert found == (
        f"unknown setting 'heartbeats' in {path}; did you mean 'heartbeat'?",
        "unknown setting 'namespce' in environment; did you mean 'namespace'?",
        "unknown setting 'colour' in arguments; `warren check` lists the settings there are",
    )


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, 'heartbeat = "often"\nprocesses = -1')
    environ = {"WARREN_LOG_LEVEL": "loud", "WARREN_PUBLISH_TIMEOUT": "0", "WARREN_COLOUR": "red"}
    found = problems(tmp_path, environ, url="http://h", namespace="a b", queues=["x", "y z"])
    for told in ("heartbeat", "processes", "log_level", "publish_timeout", "colour", "url", "namespace 'a b'", "'y z'"):
        assert len([problem for problem in found if told in problem]) == 1, told
    assert len(found) == 8


@pytest.mark.parametrize(
    ("explicit", "told"),
    [
        ({"heartbeat": "often"}, "setting 'heartbeat': Expected `int`, got `str`, got 'often'"),
        ({"declare": "perhaps"}, "setting 'declare'"),
        ({"start_method": "fork"}, "setting 'start_method' is 'fork'; take one of 'forkserver', 'spawn'"),
        ({"engine": "kombu"}, "setting 'engine' is 'kombu'"),
        ({"log_format": "xml"}, "setting 'log_format' is 'xml'"),
        ({"log_level": "INFO "}, "setting 'log_level'"),
        ({"connect_timeout": 0}, "setting 'connect_timeout' is 0"),
        ({"heartbeat": 0}, "setting 'heartbeat' is 0; take a number above 0"),
        ({"payload_limit": -1}, "setting 'payload_limit' is -1"),
        ({"publish_timeout": float("nan")}, "setting 'publish_timeout' is nan"),
        ({"publish_timeout": float("inf")}, "setting 'publish_timeout' is inf"),
        ({"grace_period": float("nan")}, "setting 'grace_period' is nan"),
        ({"grace_period": -1}, "setting 'grace_period' is -1.0; take 0 or more"),
        ({"max_jobs_per_process": -1}, "setting 'max_jobs_per_process' is -1; take 0 or more"),
        (
            {"max_memory_per_process": "512M"},
            "setting 'max_memory_per_process': '512M' is no size: take bytes, or a number with",
        ),
        ({"http_port": -2}, "setting 'http_port' is -2"),
        ({"http_port": 65536}, "setting 'http_port' is 65536"),
        ({"queues": ()}, "setting 'queues' is empty"),
        ({"queues": "a b"}, "queue 'a b' is not a usable name"),
        ({"queues": "a=0"}, "queue 'a=0' has the weight '0'; take a whole number from 1 to 1000"),
        ({"strict": "rather"}, "setting 'strict'"),
        ({"url": ""}, "setting 'url' has ''; take amqp://"),
        ({"url": "amqp://h,redis://h"}, "setting 'url' has 'redis://h'"),
        ({"namespace": ""}, "namespace '' is not a usable name"),
    ],
    ids=repr,
)
def test_an_impossible_setting_is_named_with_what_it_can_be(
    tmp_path: Path, explicit: dict[str, Any], told: str
) -> None:
    assert told in only_problem(tmp_path, **explicit)


def test_a_size_may_have_a_unit(tmp_path: Path) -> None:
    write(tmp_path, 'max_memory_per_process = "1GiB"')
    assert load(folder=tmp_path, environ={}).max_memory_per_process == 2**30
    environ = {"WARREN_MAX_MEMORY_PER_PROCESS": "512MiB"}
    assert load(folder=tmp_path, environ=environ).max_memory_per_process == 2**29


def test_a_password_is_not_repeated(tmp_path: Path) -> None:
    assert "secret" not in only_problem(tmp_path, url="http://me:secret@host/")


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    path = write(tmp_path, "namespace = \nheartbeat = 3")
    problem = only_problem(tmp_path)
    assert f"{str(path)!r} cannot be read" in problem
    assert "line 1" in problem


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "warren.toml").mkdir()
    assert "cannot be read" in only_problem(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert "cannot be read" in only_problem(tmp_path, {"WARREN_CONFIG": str(binary)})


def test_a_named_file_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "missing.toml"
    assert (
        only_problem(tmp_path, {"WARREN_CONFIG": str(path)})
        == f"WARREN_CONFIG names {str(path)!r}, which does not exist"
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().url = "x"  # type: ignore[misc]


def test_queues_are_written_with_their_weights_everywhere_alike(tmp_path: Path) -> None:
    write(tmp_path, 'queues = ["critical=6", "default"]')
    from_file = load(environ={}, folder=tmp_path)
    from_variable = load(environ={"WARREN_QUEUES": "critical=6, default"}, folder=tmp_path)
    as_argument = load(environ={}, folder=tmp_path, queues=["critical=6", "default"])
    assert from_file.queues == from_variable.queues == as_argument.queues == ("critical=6", "default")
    assert from_file.queue_names == ("critical", "default")


def test_strict_is_a_setting_like_any_other(tmp_path: Path) -> None:
    write(tmp_path, 'queues = ["critical", "default"]\nstrict = true')
    assert load(environ={}, folder=tmp_path).strict
    assert not load(environ={"WARREN_STRICT": "false"}, folder=tmp_path).strict
    told = only_problem(tmp_path, queues=["critical=6", "default"])
    assert told == (
        "queue 'critical=6' has a weight, and with 'strict' the order of the queues counts; leave out one of the two"
    )


def test_settings_go_to_another_process_by_its_variables(tmp_path: Path) -> None:
    (tmp_path / "warren.toml").write_text('namespace = "other"\nname = "other"\nstrict = true\n')
    settings = Settings(queues=("critical=6", "default=3"), processes="1..4", declare=False, grace_period=0.5)
    environ = variables(settings, {"PATH": "/bin", "WARREN_ENGINE": "aio_pika"})
    assert environ["PATH"] == "/bin"
    assert load(environ=environ, folder=tmp_path) == settings
