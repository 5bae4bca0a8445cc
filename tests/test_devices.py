"""The device that is asked for is the one that is taken."""

from __future__ import annotations

import pytest
import torch

from finediving_pose.devices import choose_device
from finediving_pose.errors import EnvironmentUnfit, UsageError


@pytest.fixture
def gpus(monkeypatch):
    """Say how many GPUs torch sees."""

    def see(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return see


def test_auto_takes_a_gpu_if_there_is_one(gpus):
    gpus(0)
    assert choose_device() == "cpu"
    gpus(1)
    assert choose_device() == "cuda"


def test_what_is_asked_for_is_taken(gpus):
    gpus(2)
    assert [choose_device(name) for name in ("cpu", "cuda", "cuda:1")] == [
        "cpu",
        "cuda",
        "cuda:1",
    ]


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "", "0"])
def test_other_names_are_refused(gpus, name):
    gpus(2)
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_not_replaced(gpus):
    gpus(0)
    with pytest.raises(EnvironmentUnfit, match="sees no CUDA GPU"):
        choose_device("cuda")
    gpus(2)
    with pytest.raises(
        EnvironmentUnfit, match="--device cuda:2: there are 2 GPUs, numbered from 0"
    ):
        choose_device("cuda:2")
