"""Generators that run ahead, within their budget, in their order, and end with their
consumer."""

from __future__ import annotations

import threading
import time

import pytest

from finediving_pose.extraction.prefetch import Prefetch


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def counting(made, count=100):
    for i in range(count):
        made.append(i)
        yield i


def test_gives_everything_in_order():
    with Prefetch([iter(range(50))], 5, lambda item: 1) as items:
        assert list(items) == list(range(50))


def test_runs_ahead_but_not_beyond_the_budget():
    made: list[int] = []
    with Prefetch([counting(made)], 30, lambda item: 10) as items:
        stream = iter(items)
        wait_until(lambda: len(made) == 4)  # three wait, the fourth is in hand
        time.sleep(0.05)
        assert len(made) == 4
        assert next(stream) == 0
        wait_until(lambda: len(made) == 5)


def test_an_item_larger_than_the_budget_passes():
    with Prefetch([range(3)], 1, lambda item: 1000) as items:
        assert list(items) == [0, 1, 2]


def test_errors_come_after_what_was_made_before():
    def failing():
        yield 1
        raise OSError("gone")

    seen = []
    with (
        pytest.raises(OSError, match="gone"),
        Prefetch([failing()], 10, lambda item: 1) as items,
    ):
        seen += items
    assert seen == [1]


def test_leaving_early_ends_the_thread():
    made: list[int] = []
    before = set(threading.enumerate())
    with Prefetch([counting(made, 10**9)], 5, lambda item: 1) as items:
        assert next(iter(items)) == 0
    assert set(threading.enumerate()) <= before
    assert len(made) < 100


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_streams_keep_their_order_however_long_each_takes(threads):
    def slow(stream):
        for i in range(3):
            time.sleep(0.001 * ((7 * stream) % 5))
            yield stream, i

    with Prefetch(
        (slow(stream) for stream in range(20)), 4, lambda item: 1, threads
    ) as items:
        assert list(items) == [(stream, i) for stream in range(20) for i in range(3)]


def test_as_many_streams_run_at_once_as_there_are_threads():
    together = threading.Barrier(3, timeout=60)

    def meeting(stream):
        together.wait()
        yield stream

    with Prefetch(map(meeting, range(6)), 100, lambda item: 1, 3) as items:
        assert list(items) == list(range(6))


def test_later_streams_leave_half_the_budget_to_the_one_whose_turn_it_is():
    made: list[int] = []
    first_may = threading.Event()

    def first():
        first_may.wait(60)
        yield from range(-8, 0)

    with Prefetch([first(), counting(made)], 80, lambda item: 10, 2) as items:
        wait_until(lambda: len(made) == 5)  # four wait, the fifth is in hand
        time.sleep(0.05)
        assert len(made) == 5
        first_may.set()
        assert list(items) == [*range(-8, 0), *range(100)]


def test_an_error_of_the_second_stream_comes_after_the_first_stream():
    def failing():
        raise OSError("gone")
        yield

    def slow():
        time.sleep(0.05)
        yield 1

    seen = []
    with (
        pytest.raises(OSError, match="gone"),
        Prefetch([slow(), failing()], 10, lambda item: 1, 2) as items,
    ):
        seen += items
    assert seen == [1]


def test_an_error_of_what_gives_the_streams_is_raised():
    def streams():
        yield [1, 2]
        raise OSError("no more")

    seen = []
    with (
        pytest.raises(OSError, match="no more"),
        Prefetch(streams(), 10, lambda item: 1, 2) as items,
    ):
        seen.extend(items)
    assert seen == [1, 2]


def test_it_says_whether_the_next_item_is_there():
    go_on = threading.Event()

    def streams():
        yield []
        go_on.wait(60)
        yield [7]

    with Prefetch(streams(), 10, lambda item: 1) as items:
        assert not items.ready
        go_on.set()
        wait_until(lambda: items.ready)
        assert next(items) == 7
        assert not items.ready
        assert next(items, None) is None


def test_the_time_of_waiting_is_counted():
    def slow():
        time.sleep(0.5)
        yield 1

    start = time.perf_counter()
    with Prefetch([slow()], 10, lambda item: 1) as items:
        assert list(items) == [1]
    assert 0.1 < items.waited < time.perf_counter() - start
