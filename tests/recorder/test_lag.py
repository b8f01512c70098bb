"""How far behind a recorder says that it is."""

from warren.recorder.lag import Lag


def test_nothing_is_behind_before_anything_happened_and_after_all_is_written() -> None:
    lag = Lag()
    assert lag.seconds(100.0) == 0
    lag.taken([90.0], 91.0)
    lag.written([90.0], 92.0, more=False)
    assert lag.seconds(500.0) == 0


def test_while_a_batch_cannot_be_written_the_lag_grows() -> None:
    lag = Lag()
    lag.taken([90.0, 95.0], 100.0)
    assert (lag.seconds(100.0), lag.seconds(160.0)) == (10.0, 70.0)


def test_a_message_after_a_quiet_hour_is_not_an_hour_late() -> None:
    lag = Lag()
    lag.taken([100.0], 100.0)
    lag.written([100.0], 101.0, more=False)
    lag.taken([3700.0], 3702.0)
    assert lag.seconds(3702.0) == 2.0


def test_it_is_told_by_what_was_written_last_while_more_waits() -> None:
    lag = Lag()
    lag.taken([100.0], 200.0)
    lag.written([100.0, 150.0], 201.0, more=True)
    lag.taken([151.0], 202.0)
    assert lag.seconds(202.0) == 52.0


def test_one_message_that_is_dated_in_milliseconds_does_not_freeze_it() -> None:
    lag = Lag()
    lag.taken([1_700_000_000_000.0, None, 0.0], 100.0)
    lag.written([1_700_000_000_000.0], 100.0, more=True)
    assert lag.seconds(130.0) == 30.0
