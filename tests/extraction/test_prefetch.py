"""A generator that runs ahead, within its budget, and ends with its consumer."""

from __future__ import annotations

import threading
import time

import pytest

from finediving_pose.extraction.prefetch import Prefetch


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def counting(made, count=100):
    for i in range(count):
        made.append(i)
        yield i


def test_gives_everything_in_order():
    with Prefetch(iter(range(50)), 5, lambda item: 1) as items:
        assert list(items) == list(range(50))


def test_runs_ahead_but_not_beyond_the_budget():
    made: list[int] = []
    with Prefetch(counting(made), 30, lambda item: 10) as items:
        stream = iter(items)
        wait_until(lambda: len(made) == 4)  # three wait, the fourth is in hand
        time.sleep(0.05)
        assert len(made) == 4
        assert next(stream) == 0
        wait_until(lambda: len(made) == 5)


def test_an_item_larger_than_the_budget_passes():
    with Prefetch(iter(range(3)), 1, lambda item: 1000) as items:
        assert list(items) == [0, 1, 2]


def test_errors_come_after_what_was_made_before():
    def failing():
        yield 1
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"), Prefetch(failing(), 10, lambda item: 1) as items:
        seen += items
    assert seen == [1]


def test_leaving_early_ends_the_thread():
    made: list[int] = []
    before = threading.active_count()
    with Prefetch(counting(made, 10**9), 5, lambda item: 1) as items:
        assert next(iter(items)) == 0
    assert threading.active_count() == before
    assert len(made) < 100
