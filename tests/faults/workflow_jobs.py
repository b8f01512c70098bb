"""Jobs of workflows that end as they are told, run by run; each execution is written down."""

import json
import os
import time
from pathlib import Path

from warren import context
from warren.context import Cancel, Fail, RetryLater
from warren.retry import Retry
from warren.task import task
from warren.workflow.graph import job_id


@task
def linger(log: str) -> str:
    """Begin, and end only when told to."""
    with Path(log).open("a") as file:
        file.write("began\n")
    time.sleep(600)
    return "ended by itself"


@task
def begin(log: str) -> str:
    """Begin, and be done."""
    with Path(log).open("a") as file:
        file.write("began\n")
    return log


@task(retry=Retry(attempts=1))
def work(workflow: str, node: str, outcomes: list[str], log: str, stumbles: bool) -> str:
    """End as the outcome of this run says; one that stumbles does so in its second attempt."""
    job = context.job()
    run = next(run for run in range(1, 100) if job_id(workflow, node, run) == job.id)
    if stumbles and job.attempt == 1:
        raise RetryLater(0.1)
    line = json.dumps({"workflow": workflow, "node": node, "run": run, "job": job.id}) + "\n"
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    match outcomes[run - 1] if run <= len(outcomes) else "done":
        case "dead":
            raise Fail("told to")
        case "cancelled":
            raise Cancel("told to")
    return node
