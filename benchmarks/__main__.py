"""`python -m benchmarks`: measures on this machine, now, and prints a table; figures are ratios or times, never assertions."""

import json
import sys
from pathlib import Path

from benchmarks import lateness, startup, throughput
from benchmarks.measuring import Figure, machine, running_broker
from rich.console import Console
from rich.table import Table

OUT = Path("benchmarks/results.json")


def main() -> None:
    """Run every benchmark on one private broker (or the one at WARREN_URL)."""
    figures: list[Figure] = []
    with running_broker() as url:
        for benchmark in (startup, throughput, lateness):
            print(f"{benchmark.__name__} ...", file=sys.stderr, flush=True)
            figures += benchmark.measure(url)
    table = Table("what", "median", "spread", "unit", title=machine())
    for figure in figures:
        table.add_row(figure.what, f"{figure.median:,.3g}", f"{figure.low:,.3g} to {figure.high:,.3g}", figure.unit)
    Console().print(table)
    OUT.write_text(json.dumps({"machine": machine(), "figures": [figure.as_dict() for figure in figures]}, indent=1))
    print(f"kept in {OUT}")


if __name__ == "__main__":
    main()
