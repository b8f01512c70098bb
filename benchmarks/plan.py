"""How much of everything is measured: `RECORD` for figures that are kept, `SMOKE` to see that it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Amounts.

    Args:
        runs: of everything, interleaved; what is measured `once` is in the last one.
        side_by_side: cases at a time; more than one where nobody reads the figures.
        turns: of enqueuing that each system has in a run.
        singles: jobs enqueued one by one, in a turn.
        batched: jobs enqueued in batches, in a turn.
        backlog: jobs waiting when a drain begins.
        drain_seconds: a drain is watched so long, or until nearly all have run.
        warm: jobs run before a drain is watched, so that every process has begun.
        rate: jobs a second when the latency is measured.
        paced: jobs at that rate.
        round_trips: jobs whose result is waited for.
        spins: jobs of 20 ms.
        naps: coroutines that wait 100 ms.
        items: of a fan-out.
        waiting: delayed jobs while the memory is measured.
        depths: of the queue, while the cost is measured.
        rest: share of a CPU; brokers that use less have digested what they were given.
        windows: looks at each depth, each of as many jobs as the smallest depth has once the worker has its pace.
    """

    runs: int = 3
    side_by_side: int = 1
    turns: int = 20
    singles: int = 100
    batched: int = 5_000
    backlog: int = 15_000
    drain_seconds: float = 3.0
    warm: int = 300
    rate: float = 200.0
    paced: int = 800
    round_trips: int = 300
    spins: int = 250
    naps: int = 4_000
    items: int = 1_000_000
    waiting: int = 100_000
    depths: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    rest: float = 0.06
    windows: int = 40


RECORD = Plan()
SMOKE = Plan(
    runs=1,
    side_by_side=4,
    turns=2,
    singles=20,
    batched=100,
    backlog=1_000,
    drain_seconds=0.5,
    warm=10,
    paced=40,
    round_trips=10,
    spins=20,
    naps=40,
    items=2_000,
    waiting=500,
    depths=(200, 400),
    rest=20.0,
    windows=1,
)
