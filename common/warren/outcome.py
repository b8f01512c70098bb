"""What an attempt came to: frozen values, made where the work was done, acted upon in one place (the worker's settle)."""

import msgspec


class Failure(msgspec.Struct, frozen=True):
    """What was raised, as text: exceptions never leave the process that raised them."""

    type: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The task returned; `result` is its value as JSON."""

    result: bytes


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """To be run again after `delay` seconds; `counted` is False when the task itself asked for it (RetryLater)."""

    delay: float
    failure: Failure
    counted: bool = True


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Will not be retried: the policy is exhausted, or calls this failure permanent."""

    failure: Failure
    reason: str = "failed"


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """Somebody, perhaps the task itself, decided that it need not be done."""

    reason: str


class Expired(msgspec.Struct, frozen=True, tag="expired"):
    """Its time was over before it started."""


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """It could not even be tried: `reason` is one of undecodable, unknown_task, invalid_arguments, too_large."""

    reason: str
    detail: str


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """Its process died under it: by a signal, or by exiting.

    Attributes:
        max_rss: the process's peak memory in bytes, 0 if unknown.
        killed_for: why we killed it ourselves, if we did.
        output: the last it has printed.
        stack: of its Python threads at a fatal signal, or when we were about to kill it.
        oom: whether the kernel's out-of-memory killer did it; None if that cannot be known.
    """

    signal: int | None
    exit_code: int | None
    max_rss: int = 0
    killed_for: str = ""
    output: str = ""
    stack: str = ""
    oom: bool | None = None

    def __str__(self) -> str:
        how = signal_name(self.signal) if self.signal is not None else f"exit code {self.exit_code}"
        reason = "killed by the kernel's out-of-memory killer" if self.oom else self.killed_for
        why = f" ({reason})" if reason else ""
        memory = f", peak memory {self.max_rss >> 20} MiB" if self.max_rss else ""
        return f"its process was ended by {how}{why}{memory}"


Outcome = Done | Retry | Failed | Cancelled | Expired | Rejected | Crashed


def label(outcome: Outcome) -> str:
    """Return the outcome's name, as in metrics, events and results."""
    return str(outcome.__struct_config__.tag)


def printable(text: str) -> str:
    """Return text that can be written as UTF-8: undecodable file names bring lone surrogates into error messages."""
    return text.encode("utf-8", "replace").decode()


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9; the number for one this platform does not know."""
    import signal  # noqa: PLC0415 - only when something died

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
