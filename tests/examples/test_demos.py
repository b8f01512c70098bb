"""Every example's demonstration, run small on the session's broker: real daemons, and its own verdict on what came of it."""

from collections.abc import Callable

import pytest
from examples.etl import demo as etl
from examples.housekeeping import demo as housekeeping
from examples.pi import demo as pi
from examples.squares import demo as squares
from examples.stage.daemons import guarded
from examples.thumbnails import demo as thumbnails
from tests.support import Broker

pytestmark = pytest.mark.broker


@pytest.fixture
def run(broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a demonstration on the session's broker; what it printed."""
    monkeypatch.setenv("WARREN_URL", broker.url)
    monkeypatch.setenv("WARREN_MANAGEMENT_URL", broker.management_url)

    def ran(demo: Callable[[], int]) -> str:
        code = guarded(demo)
        printed = capsys.readouterr().out
        assert code == 0, printed
        assert "FAILED" not in printed
        return printed

    return ran


def test_thumbnails_are_made_and_what_is_no_picture_holds_nothing_up(run: Callable[..., str]) -> None:
    printed = run(lambda: thumbnails.main(40))
    assert "ok: every picture has a thumbnail of its shape" in printed
    assert "dead:       broken.jpg is no picture" in printed


def test_the_digits_of_pi_are_those_of_another_formula(run: Callable[..., str]) -> None:
    assert "pi = 3.243f6a8885a308d313198a2e03707344" in run(lambda: pi.main(400))


def test_the_house_is_kept_by_the_clock_while_the_leading_scheduler_is_killed(run: Callable[..., str]) -> None:
    printed = run(lambda: housekeeping.main(1))
    assert "ok: two backups of one day are one archive" in printed
    assert "ok: no moment fired twice" in printed


def test_a_workflow_does_without_a_branch_that_failed_or_is_retried_with_it(run: Callable[..., str]) -> None:
    printed = run(etl.main)
    assert "ok: what needs the rates alone was skipped" in printed
    assert "ok: what was done ran once in each workflow" in printed


def test_squares_are_summed_in_a_tree(run: Callable[..., str]) -> None:
    printed = run(lambda: squares.main(20_000))
    assert "ok: the sum of the squares is right" in printed
    assert "ok: the producer's memory stayed flat" in printed
