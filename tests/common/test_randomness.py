"""No bytes are given out twice, whoever asks."""

import os
from concurrent.futures import ThreadPoolExecutor

from warren.randomness import ten_bytes


def test_bytes_are_ten_and_never_the_same() -> None:
    given = [ten_bytes() for _ in range(2_000)]
    assert {len(each) for each in given} == {10}
    assert len(set(given)) == 2_000


def test_threads_share_none() -> None:
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: ten_bytes(), range(5_000)))
    assert len(set(given)) == 5_000


def test_a_forked_process_has_none_of_its_parents() -> None:
    ten_bytes()  # more are in store now
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, b"".join(ten_bytes() for _ in range(300)))
        os._exit(0)
    ours = {ten_bytes() for _ in range(300)}
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        theirs = pipe.read()
    os.wait()
    assert len(theirs) == 3_000
    assert not ours & {theirs[start : start + 10] for start in range(0, 3_000, 10)}
