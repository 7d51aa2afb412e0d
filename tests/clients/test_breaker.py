"""A system that is down is left alone, but for one trial now and then."""

from __future__ import annotations

from portal.clients.breaker import Breakers


class Watch:
    """A clock that is told how late it is."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breakers_after(failures: int) -> tuple[Breakers, Watch]:
    """Return breakers that open after three failures and wait five seconds."""
    watch = Watch()
    breakers = Breakers(3, 5.0, watch)
    for _ in range(failures):
        breakers.failed("eom")
    return breakers, watch


def test_a_system_that_nothing_is_known_of_is_called() -> None:
    breakers, _ = breakers_after(0)
    assert breakers.state("eom") == "closed"
    assert breakers.not_closed() == {}


def test_failures_in_a_row_open_the_circuit_of_their_system_alone() -> None:
    breakers, _ = breakers_after(2)
    breakers.failed("pos")
    assert breakers.state("eom") == "closed"
    breakers.failed("eom")
    assert (breakers.state("eom"), breakers.state("pos")) == ("open", "closed")
    assert breakers.not_closed() == {"eom": False}


def test_a_call_that_passes_begins_the_count_anew() -> None:
    breakers, _ = breakers_after(2)
    breakers.passed("eom")
    breakers.failed("eom")
    breakers.failed("eom")
    assert breakers.state("eom") == "closed"


def test_a_trial_is_due_after_the_pause_and_the_next_one_after_another() -> None:
    breakers, watch = breakers_after(3)
    watch.now += 4.9
    assert breakers.not_closed() == {"eom": False}
    watch.now += 0.1
    assert (breakers.state("eom"), breakers.not_closed()) == ("half-open", {"eom": True})
    breakers.begin_trial("eom")
    assert (breakers.state("eom"), breakers.not_closed()) == ("open", {"eom": False})


def test_a_trial_that_passes_closes_the_circuit() -> None:
    breakers, watch = breakers_after(3)
    watch.now += 5
    breakers.begin_trial("eom")
    breakers.passed("eom")
    assert breakers.state("eom") == "closed"


def test_a_trial_that_fails_keeps_the_circuit_open_for_another_pause() -> None:
    breakers, watch = breakers_after(3)
    watch.now += 5
    breakers.begin_trial("eom")
    watch.now += 3
    breakers.failed("eom")
    watch.now += 4
    assert breakers.not_closed() == {"eom": False}
    watch.now += 1
    assert breakers.not_closed() == {"eom": True}


def test_a_trial_whose_outcome_is_never_told_does_not_keep_the_system_shut() -> None:
    breakers, watch = breakers_after(3)
    watch.now += 5
    breakers.begin_trial("eom")
    watch.now += 5
    assert breakers.not_closed() == {"eom": True}


def test_a_trial_of_a_circuit_that_closed_meanwhile_is_an_ordinary_call() -> None:
    breakers, _ = breakers_after(3)
    breakers.passed("eom")
    breakers.begin_trial("eom")
    assert breakers.state("eom") == "closed"
