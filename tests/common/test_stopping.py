"""When a worker stops, and when it hurries."""

from warren.stopping import Stopping


def test_asked_once_it_stops_and_asked_again_it_hurries() -> None:
    stopping = Stopping()
    stopping.ask("SIGTERM")
    assert (stopping.asked.is_set(), stopping.hurry.is_set(), stopping.how) == (True, False, "SIGTERM")
    stopping.ask("SIGINT")
    assert (stopping.hurry.is_set(), stopping.how) == (True, "SIGINT")


def test_what_is_asked_gently_never_hurries_nor_makes_the_first_signal_do_so() -> None:
    stopping = Stopping()
    assert stopping.ask_gently("drain")
    assert not stopping.ask_gently("drain")
    stopping.ask("SIGTERM")
    assert not stopping.hurry.is_set()
    assert not stopping.ask_gently("drain")
    assert not stopping.hurry.is_set()
    stopping.ask("SIGTERM")
    assert stopping.hurry.is_set()
