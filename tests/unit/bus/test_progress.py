from __future__ import annotations

from shared.bus.port import Message
from shared.bus.progress import Progress

P = ("metrics", 0)
Q = ("metrics", 1)


def batch(*offsets: int) -> list[Message]:
    return [Message(*P, offset, None, None, 0) for offset in offsets]


def reading(*, start: int = 0, end: int = 0) -> Progress:
    it = Progress(stalled_after=60)
    it.assigned({P})
    it.measured({P: end}, {P: start})
    return it


def test_lag_counts_from_where_the_group_began_until_it_has_handled_something() -> None:
    it = reading(start=100, end=130)
    assert it.lag() == 30
    it.begun()
    it.finished(batch(*range(100, 120)), handled=True)
    assert it.lag() == 10


def test_a_message_is_handled_once_its_batch_is_and_not_before() -> None:
    it = reading(end=5)
    it.begun()
    assert not it.handled(P, 2)
    it.finished(batch(0, 1, 2), handled=True)
    assert it.handled(P, 2)
    assert not it.handled(P, 3)
    assert not it.handled(Q, 0)


def test_what_the_broker_cut_off_before_it_was_read_was_never_handled() -> None:
    it = reading(end=9)
    for offsets in ((0, 1), (5, 6)):
        it.begun()
        it.finished(batch(*offsets), handled=True)
    assert [offset for offset in range(7) if it.handled(P, offset)] == [0, 1, 5, 6]
    it.forgotten(P)
    it.begun()
    it.finished(batch(0, 1, 2, 3), handled=True)
    assert it.handled(P, 3)


def test_a_batch_that_was_not_handled_is_still_lag() -> None:
    it = reading(end=5)
    it.begun()
    it.finished(batch(0, 1, 2), handled=False)
    assert it.lag() == 5


def test_where_it_begins_must_be_known_first() -> None:
    it = Progress(60)
    it.assigned({P})
    it.measured({P: 1000}, {})
    assert it.lag() == 0
    it.measured({P: 1000}, {P: 990})
    assert it.lag() == 10


def test_partitions_given_away_do_not_count() -> None:
    it = reading(end=5)
    it.assigned({Q})
    assert it.lag() == 0


def test_it_stands_still_when_messages_wait_and_nobody_works() -> None:
    it = reading(end=5)
    assert not it.stalled(0)
    assert not it.stalled(59)
    assert it.stalled(60)


def test_a_handler_at_work_is_no_stall_and_begins_the_wait_anew() -> None:
    it = reading(end=5)
    assert not it.stalled(0)
    it.begun()
    assert not it.stalled(1000)
    it.finished(batch(0, 1), handled=True)
    assert not it.stalled(1001)
    assert not it.stalled(1060)
    assert it.stalled(1061)


def test_two_handlers_may_be_at_work() -> None:
    it = reading(end=5)
    it.begun()
    it.begun()
    it.finished(batch(0), handled=True)
    assert not it.stalled(0)
    assert not it.stalled(1000)


def test_nothing_to_read_is_no_stall() -> None:
    it = reading(end=1)
    assert not it.stalled(0)
    it.begun()
    it.finished(batch(0), handled=True)
    assert not it.stalled(10_000)


def test_a_broker_that_is_away_is_an_excuse() -> None:
    it = reading(end=5)
    it.stalled(0)
    it.excused()
    assert not it.stalled(100)
    assert it.stalled(160)


def test_lag_and_the_oldest_message_at_work_are_known_by_topic() -> None:
    it = Progress(60)
    it.assigned({P, Q})
    it.measured({P: 5, Q: 7}, {P: 0, Q: 0})
    it.begun([Message(*P, 0, None, None, 2000), Message(*P, 1, None, None, 1500), Message(*Q, 0, None, None, 1000)])
    assert it.lag_of_topics() == {"metrics": 12}
    assert it.oldest_of_topics() == {"metrics": 1000}
    it.finished([Message(*Q, 0, None, None, 1000)], handled=True)
    assert it.lag_of_topics() == {"metrics": 11}
    assert it.oldest_of_topics() == {"metrics": 2000}


def handled(count: int) -> Progress:
    it = reading(end=count)
    it.begun()
    it.finished(batch(*range(count)), handled=True)
    return it


def test_commits_that_stand_still_are_noticed_although_everything_was_handled() -> None:
    it = handled(5)
    it.committed({P: 2}, now=0)
    it.committed({P: 2}, now=59)
    assert it.uncommitted(59) == 0
    assert it.uncommitted(60) == 3 and not it.stalled(60)


def test_commits_are_waited_for_also_while_a_handler_is_at_work() -> None:
    it = handled(5)
    it.committed({P: 2}, now=0)
    it.begun()
    assert it.uncommitted(60) == 3


def test_commits_that_move_or_have_arrived_are_no_trouble() -> None:
    moving = handled(5)
    for now, offset in enumerate([1, 2, 3, 4]):
        moving.committed({P: offset}, now * 50.0)
        assert moving.uncommitted(now * 50.0) == 0
    done = handled(5)
    done.committed({P: 2}, now=0)
    done.committed({P: 5}, now=10)
    assert done.uncommitted(1000) == 0


def test_what_is_to_be_committed_is_another_members_business_after_a_rebalance() -> None:
    it = handled(5)
    it.committed({P: 2}, now=0)
    it.assigned({P})
    assert it.uncommitted(1000) == 0


def test_a_partition_made_anew_begins_with_nothing_read() -> None:
    it = handled(5)
    assert it.reached(P) == 5
    it.forgotten(P)
    it.measured({P: 2}, {P: 0})
    assert it.lag() == 2 and not it.handled(P, 1) and it.reached(P) == 0
