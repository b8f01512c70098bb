"""The word count's parts; `make demo` runs it as a whole."""

from collections import Counter
from pathlib import Path

import pytest
from examples.stage.leftovers import messages_left, remove
from examples.wordcount.demo import count_serially, differences, standard_library
from examples.wordcount.tasks import Hiccup, count_words, count_words_with_faults, hiccups
from tests.support import Broker, Management

from warren.context import JobContext, enter, leave
from warren.producer import Producer
from warren.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("import warren\nWarren = warren\n")
    (tmp_path / "b.py").write_bytes(b"caf\xc3\xa9 \xff\xfe import\n")
    (tmp_path / "empty.py").write_text("")
    return tmp_path


def context(attempt: int) -> JobContext:
    return JobContext("id", "task", "default", attempt, attempt - 1, "", None, lambda done, total: None)


def test_words_are_counted_without_regard_to_case(folder: Path) -> None:
    assert count_words(str(folder / "a.py")) == {"import": 1, "warren": 3}


def test_a_file_that_is_no_text_is_counted_as_far_as_it_is(folder: Path) -> None:
    assert count_words(str(folder / "b.py")) == {"café": 1, "import": 1}
    assert count_words(str(folder / "empty.py")) == {}


def test_a_serial_run_merges_all_files(folder: Path) -> None:
    words, _ = count_serially(sorted(map(str, folder.iterdir())))
    assert words == {"import": 2, "warren": 3, "café": 1}


def test_one_file_in_fifty_hiccups_and_always_the_same() -> None:
    paths = [f"folder/{number}.py" for number in range(5000)]
    chosen = [path for path in paths if hiccups(path)]
    assert 60 < len(chosen) < 140
    assert chosen == [path for path in paths if hiccups(path)]


def test_an_injected_failure_is_gone_at_the_second_attempt(tmp_path: Path) -> None:
    path = next(path for number in range(1000) if hiccups(str(path := tmp_path / f"{number}.py")))
    path.write_text("word")
    token = enter(context(attempt=1))
    with pytest.raises(Hiccup):
        count_words_with_faults(str(path))
    leave(token)
    token = enter(context(attempt=2))
    assert count_words_with_faults(str(path), killer=str(path)) == {"word": 1}
    leave(token)


def test_the_standard_library_is_found_without_what_is_installed_beside_it() -> None:
    found = standard_library()
    assert {"json", "asyncio"} <= {path.parent.name for path in found}
    assert not [path for path in found if {"site-packages", "dist-packages"} & set(path.parts)]


def test_different_counts_are_named() -> None:
    assert differences(Counter(a=1, b=2), Counter(a=1, b=3, c=1)) == "b: 3 instead of 2, c: 1 instead of 0"


def test_what_is_left_in_a_queue_is_found_and_removed(broker: Broker, namespace: str) -> None:
    settings = Settings(url=broker.url, namespace=namespace)
    with Producer(settings) as producer:
        producer.enqueue(count_words.options(delay=3600), "waits for an hour")
        producer.enqueue(count_words, "nobody runs it")
    left = messages_left(settings)
    assert left.pop(f"{namespace}.queue.default") == 1
    assert [(".delay." in queue, count) for queue, count in left.items()] == [(True, 1)]
    remove(settings)
    management = Management(broker)
    assert management.names("queues", f"{namespace}.") == management.names("exchanges", f"{namespace}.") == []
    management.close()
