"""Computes thousands of digits of pi: a map over positions, all processors busy, and a reduce that puts the digits together in order.

    python -m examples.pi.demo [DIGITS]

The parts are enqueued as they come, a worker computes them, and a scheduler has neighbours joined in a tree; only the end of it
comes back here. Exit code 0 only if the digits equal those of another formula, computed here, and no queue holds anything
afterwards. Needs the extra `store`.
"""

import sys
import tempfile
import time
from pathlib import Path

import msgspec
from examples.pi.tasks import DIGITS, digits, join
from examples.stage.broker import broker
from examples.stage.daemons import daemons, guarded
from examples.stage.leftovers import messages_left
from examples.stage.telling import console, progress, verdict

from warren.producer import Producer

HEX_DIGITS, PROCESSES = 8000, 2
_CHUNKS, _FAN_IN = 50, 100
_SECONDS = 600.0


def main(number: int = HEX_DIGITS) -> int:
    """Run the demonstration and return its exit code."""
    positions = range(0, number, DIGITS)
    chunk = max(1, len(positions) // _CHUNKS)
    with tempfile.TemporaryDirectory(prefix="warren-pi-") as name, broker("default") as common:
        settings = msgspec.structs.replace(common, store=f"sqlite:///{Path(name) / 'warren.db'}")
        worker = ("worker", "examples.pi.tasks", "--processes", str(PROCESSES))
        with daemons(settings, worker, ("scheduler",), logs=Path(name)), Producer(settings) as producer:
            console.print(
                f"{len(positions)} parts of {DIGITS} digits, in chunks of {chunk}, over {PROCESSES} processes"
            )
            started = time.monotonic()
            handle = producer.map_reduce(digits, positions, reduce=join, chunk=chunk, fan_in=_FAN_IN)
            with progress("computing pi", "parts", len(positions)) as show:
                computed = handle.result(_SECONDS, on_progress=lambda done, _: show(min(done, len(positions))))
            seconds = time.monotonic() - started
        left = messages_left(settings)
    return _summary(computed, seconds, number, left)


def expected(number: int) -> str:
    """Return as many hexadecimal digits of pi's fraction, by Machin's formula in whole numbers."""
    one = 1 << (4 * number + 64)
    pi = 16 * _arctan(5, one) - 4 * _arctan(239, one)
    return f"{(pi - 3 * one) >> 64:0{number}x}"


def _arctan(inverse: int, one: int) -> int:
    """The arctangent of 1/inverse, in units of 1/one."""
    total, term, k, sign = 0, one // inverse, 1, 1
    while term:
        total += sign * (term // k)
        term //= inverse * inverse
        k, sign = k + 2, -sign
    return total


def _summary(computed: str, seconds: float, number: int, left: dict[str, int]) -> int:
    """Print what happened and return the exit code."""
    wanted = expected(len(computed))
    console.print(f"pi = 3.{computed[:48]}… (in hexadecimal)")
    console.print(f"{len(computed)} digits in {seconds:.1f} s, {len(computed) / seconds:.0f} digits/s")
    wrong = next((place for place, pair in enumerate(zip(computed, wanted, strict=True)) if len(set(pair)) > 1), -1)
    return verdict(
        (
            ("as many digits as were asked for", len(computed) >= number, f"{len(computed)} of {number}"),
            ("they are those of Machin's formula", wrong < 0, f"digit {wrong} is another"),
            ("nothing left in any queue", not left, str(left)),
        )
    )


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(*map(int, sys.argv[1:2]))))
