"""Extract, transform, load: orders and customers of a shop, cleaned side by side, joined and reported.

The rates that the report would like to have come from a partner, who may be away.
"""

import csv
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from warren.retry import Retry
from warren.task import task


@dataclass(frozen=True, slots=True)
class Order:
    """A row of orders.csv that can be used."""

    customer: int
    amount: float


@dataclass(frozen=True, slots=True)
class Raw:
    """What was read, as text."""

    orders: list[list[str]]
    customers: list[list[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """What the shop wants to see; in dollars as well, if the rate is known."""

    euros: dict[str, float]
    dollars: dict[str, float] | None


@task
def extract(folder: str) -> Raw:
    """Read both files."""
    note(folder, "extract")
    return Raw(*(list(csv.reader((Path(folder) / name).open())) for name in ("orders.csv", "customers.csv")))


@task
def clean_orders(raw: Raw) -> list[Order]:
    """Keep the orders that have a customer and an amount."""
    return [Order(int(customer), float(amount)) for customer, amount in raw.orders if customer and amount]


@task
def clean_customers(raw: Raw) -> dict[int, str]:
    """Return names by number, without blanks around them."""
    return {int(number): name.strip() for number, name in raw.customers}


@task
def join(orders: list[Order], customers: dict[int, str]) -> dict[str, float]:
    """Return what each customer has ordered, in euros."""
    totals: dict[str, float] = defaultdict(float)
    for order in orders:
        totals[customers[order.customer]] += order.amount
    return {name: round(total, 2) for name, total in sorted(totals.items())}


@task(retry=Retry(attempts=2, wait=0.2))
def exchange_rates(folder: str) -> dict[str, float]:
    """Ask a partner, who is away while there is no rates.json."""
    note(folder, "exchange_rates")
    try:
        found: dict[str, float] = json.loads((Path(folder) / "rates.json").read_text())
    except FileNotFoundError as error:
        raise ConnectionError("the partner's service does not answer") from error
    return found


@task
def report(totals: dict[str, float], rates: dict[str, float] | None) -> Report:
    """Put together what is known."""
    dollars = None if rates is None else {name: round(euros * rates["USD"], 2) for name, euros in totals.items()}
    return Report(totals, dollars)


@task
def publish_rates(folder: str, rates: dict[str, float]) -> int:
    """Show the rates to others; how many those are."""
    note(folder, "publish_rates")
    return len(rates)


@task
def load(folder: str, report: Report) -> Report:
    """Write the report where the shop looks, at once and whole, and return it."""
    path = Path(folder) / "report.json"
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"euros": report.euros, "dollars": report.dollars}, indent=2))
    unfinished.replace(path)
    return report


def note(folder: str, what: str) -> None:
    """Write down that this ran, so that the demonstration can count how often it did."""
    line = os.open(Path(folder) / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(line, f"{what}\n".encode())
    finally:
        os.close(line)
