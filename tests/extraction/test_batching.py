"""Full batches, results by key, and one item's error that stays its own."""

from __future__ import annotations

import pytest

from finediving_pose import console
from finediving_pose.errors import EnvironmentUnfit
from finediving_pose.extraction.batching import Batcher


def doubling(
    sizes: list[int], poison: int | None = None, error: Exception | None = None
):
    def run(items: list[int]) -> list[int]:
        sizes.append(len(items))
        if poison in items:
            raise error or ValueError("poison")
        return [2 * item for item in items]

    return run


def test_batches_are_full_until_the_last():
    sizes: list[int] = []
    batcher = Batcher(doubling(sizes), 4)
    answers = [answer for i in range(10) for answer in batcher.add(f"k{i}", i)]
    assert sizes == [4, 4]
    assert [answer.key for answer in answers] == [f"k{i}" for i in range(8)]
    answers += batcher.flush()
    assert sizes == [4, 4, 2]
    assert [answer.value for answer in answers] == [2 * i for i in range(10)]
    assert batcher.flush() == []


def test_an_item_that_fails_fails_alone():
    sizes: list[int] = []
    batcher = Batcher(doubling(sizes, poison=5), 8)
    answers = [answer for i in range(8) for answer in batcher.add(i, i)]
    assert [answer.key for answer in answers] == list(range(8))
    assert [answer.value for answer in answers] == [0, 2, 4, 6, 8, None, 12, 14]
    assert [str(answer.error) for answer in answers if answer.error] == ["poison"]
    assert sizes == [8, 4, 4, 2, 1, 1, 2]


def test_an_unfit_environment_is_no_items_fault():
    batcher = Batcher(doubling([], poison=1, error=EnvironmentUnfit("no weights")), 2)
    batcher.add("a", 0)
    with pytest.raises(EnvironmentUnfit, match="no weights"):
        batcher.add("b", 1)


def test_too_few_results_are_noticed():
    batcher = Batcher(lambda items: items[:-1], 3)
    batcher.add("a", 1)
    batcher.add("b", 2)
    with pytest.raises(RuntimeError, match="2 results for a batch of 3"):
        batcher.add("c", 3)


def test_time_is_shared_out():
    batcher = Batcher(doubling([]), 2)
    batcher.add("a", 1)
    first, second = batcher.add("b", 2)
    assert first.seconds == second.seconds >= 0


class SmallMemory:
    """Doubles numbers, at most `room` at once."""

    def __init__(self, room, error):
        self.room, self.error, self.sizes = room, error, []

    def __call__(self, items):
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise self.error
        return [2 * item for item in items]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_out_of_memory_halves_the_batch_for_good_and_says_so(
    error, caplog, monkeypatch
):
    monkeypatch.setattr(console.log, "propagate", True)
    run = SmallMemory(2, error)
    batcher = Batcher(run, 8)
    answers = [
        answer for key in range(16) for answer in batcher.add(key, key)
    ] + batcher.flush()
    assert {answer.key: answer.value for answer in answers} == {
        key: 2 * key for key in range(16)
    }
    assert run.sizes[:4] == [8, 4, 2, 2]
    assert run.sizes.count(8) == 1
    assert set(run.sizes[-4:]) == {2}
    assert "out of memory with a batch of 8: going on with batches of 4" in caplog.text


def test_another_error_leaves_the_size_as_it_is():
    run = SmallMemory(2, ValueError("odd"))
    batcher = Batcher(run, 4)
    for key in range(8):
        batcher.add(key, key)
    assert run.sizes.count(4) == 2


class Device:
    """Doubles numbers, later: notes when batches are begun and when they are asked for."""

    def __init__(self, error=None):
        self.error, self.log = error, []

    def __call__(self, items):
        self.log.append(("begun", list(items)))

        def result():
            self.log.append(("asked", list(items)))
            if self.error and len(items) > 1 and 5 in items:
                raise self.error
            return [2 * item for item in items]

        return result


def test_the_next_batch_is_begun_before_the_results_of_the_one_before_are_asked_for():
    device = Device()
    batcher = Batcher(device, 2)
    answers = [batcher.add(key, key) for key in range(5)]
    assert [[answer.key for answer in each] for each in answers] == [
        [],
        [],
        [],
        [0, 1],
        [],
    ]
    assert [(answer.key, answer.value) for answer in batcher.flush()] == [
        (2, 4),
        (3, 6),
        (4, 8),
    ]
    assert [what for what, _ in device.log] == [
        "begun",
        "begun",
        "asked",
        "begun",
        "asked",
        "asked",
    ]
    assert batcher.flush() == []


@pytest.mark.parametrize(
    "error", [ValueError("odd"), RuntimeError("CUDA out of memory")]
)
def test_a_batch_that_fails_on_the_device_is_halved_too(error, caplog, monkeypatch):
    monkeypatch.setattr(console.log, "propagate", True)
    batcher = Batcher(Device(error), 4)
    answers = [
        answer for key in range(12) for answer in batcher.add(key, key)
    ] + batcher.flush()
    assert [(answer.key, answer.value) for answer in answers] == [
        (key, 2 * key) for key in range(12)
    ]
    assert all(answer.error is None for answer in answers)
    assert ("going on with batches of" in caplog.text) == isinstance(
        error, RuntimeError
    )


def test_a_failed_batch_lets_its_memory_go_before_its_halves_are_run():
    class Tensor:
        alive = 0

        def __init__(self):
            Tensor.alive += 1

        def __del__(self):
            Tensor.alive -= 1

    def run(items):
        assert Tensor.alive == 0
        activations = Tensor()
        if len(items) > 1:
            raise MemoryError
        return items if activations else []

    batcher = Batcher(run, 4)
    assert [answer.value for key in range(4) for answer in batcher.add(key, key)] == [
        0,
        1,
        2,
        3,
    ]
