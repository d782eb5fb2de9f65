from __future__ import annotations

from services.supervise.restarts import CALM, MOST, Restarts


def test_a_death_that_comes_alone_is_undone_at_once() -> None:
    restarts = Restarts()
    assert [restarts.pause(CALM + 1) for _ in range(3)] == [0, 0, 0]


def test_deaths_in_a_row_are_undone_ever_more_slowly_up_to_a_bound() -> None:
    restarts = Restarts()
    pauses = [restarts.pause(1.0) for _ in range(12)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0 < pauses[1] and pauses[-1] == MOST


def test_who_dies_while_starting_is_given_a_moment_even_the_first_time() -> None:
    assert Restarts().pause(0.0) > 0


def test_a_calm_time_is_forgiving() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.pause(1.0)
    assert restarts.pause(CALM) == 0
