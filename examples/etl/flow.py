"""The graph: a diamond, a branch that may fail, and what shall come of it then."""

from examples.etl.tasks import (
    Report,
    clean_customers,
    clean_orders,
    exchange_rates,
    extract,
    join,
    load,
    publish_rates,
    report,
)

from warren.workflow import Workflow


def nightly(folder: str, *, needs_rates: bool) -> Workflow[Report]:
    """Return the workflow.

              ┌─▶ clean_orders ────┐
    extract ──┤                    ├─▶ join ─▶ report ─▶ load
              └─▶ clean_customers ─┘             ▲
    exchange_rates ──────────────────────────────┤
                                                 └ or_skip ─▶ publish_rates

    Args:
        folder: with the files.
        needs_rates: whether everything fails without the rates; else the report is made without them.
    """
    flow = Workflow("books" if needs_rates else "nightly")
    raw = flow.add(extract, folder)
    totals = flow.add(join, flow.add(clean_orders, raw.out).out, flow.add(clean_customers, raw.out).out)
    rates = flow.add(exchange_rates, folder)
    made = flow.add(report, totals.out, rates.out if needs_rates else rates.or_none)
    flow.add(publish_rates, folder, rates.or_skip)
    return flow.returns(flow.add(load, folder, made.out))
