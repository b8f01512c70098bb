"""When a failed attempt is tried again, and how long to wait: tenacity's strategies, asked without waiting.

The decision is pure and is taken in the process that has the exception; the waiting is the broker's.
"""

import random
from dataclasses import dataclass
from typing import Any, cast

from tenacity import Future, RetryCallState, Retrying, stop_after_delay, wait_fixed, wait_random_exponential
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from warren.delay import MAX_DELAY_SECONDS
from warren.errors import InvalidTask

_DEFAULT_WAIT = wait_random_exponential(multiplier=2, min=1, max=300)
_CRASH_WAIT_MAX_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy: by default 5 attempts, exponential backoff with full jitter from 1 s to 5 min.

    Args:
        attempts: tries in all, the first included; 1 means never again.
        wait: seconds between tries, or a tenacity wait strategy.
        stop: seconds since the job was first ready, or a tenacity stop strategy; besides `attempts`.
        retry: a tenacity retry strategy that says which exceptions are transient.
        permanent: exception types that are never retried.
    """

    attempts: int = 5
    wait: wait_base | float | None = None
    stop: stop_base | float | None = None
    retry: retry_base | None = None
    permanent: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidTask(f"attempts={self.attempts}: a job is tried at least once; take 1 to never retry")
        for name in ("wait", "stop", "retry"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and name != "retry"
            if value is not None and not number and not callable(value):
                raise InvalidTask(
                    f"{name}={value!r}: take {'seconds or ' if name != 'retry' else ''}a tenacity strategy"
                )
        if isinstance(self.wait, int | float) and self.wait < 0:
            raise InvalidTask(f"wait={self.wait}: cannot wait less than 0 seconds")

    def decide(self, failures: int, error: BaseException, elapsed: float) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        Args:
            failures: failed tries so far, this one included.
            error: what this one raised.
            elapsed: seconds since the job was first ready to run.
        """
        state = _state(failures, error, elapsed)
        if failures >= self.attempts or isinstance(error, self.permanent):
            return None
        if self.retry is not None and not self.retry(state):
            return None
        stop = stop_after_delay(self.stop) if isinstance(self.stop, int | float) else self.stop
        if stop is not None and stop(state):
            return None
        return min(max(0.0, float(self._wait(state))), MAX_DELAY_SECONDS)

    def _wait(self, state: RetryCallState) -> float:
        if self.wait is None:
            return _DEFAULT_WAIT(state)
        return wait_fixed(self.wait)(state) if isinstance(self.wait, int | float) else self.wait(state)


def crash_delay(crashes: int, jitter: random.Random) -> float:
    """Return the seconds before a job that killed its process is tried again: exponential, with half of it jitter."""
    top = min(_CRASH_WAIT_MAX_SECONDS, 2.0 ** min(crashes - 1, 10))
    return top / 2 + jitter.uniform(0, top / 2)


def _state(failures: int, error: BaseException, elapsed: float) -> RetryCallState:
    """Tell tenacity's strategies what they want to know, as if it had made the calls itself."""
    state = RetryCallState(retry_object=cast("Any", _NEVER_USED), fn=None, args=(), kwargs={})
    state.attempt_number = failures
    state.outcome = Future.construct(failures, error, has_exception=True)
    state.outcome_timestamp = state.start_time + elapsed
    return state


_NEVER_USED = Retrying()
