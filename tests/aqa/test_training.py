"""The training loop: what follows from the seed alone, which epoch is kept, and what a
stop in the middle changes."""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.made_tables import prepared_table, write_table
from safetensors.torch import load_file

from finediving_pose.aqa import training
from finediving_pose.aqa.data.sources import Parts, divide_dives
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.training import Trained, judge, learning_rate_factor, train
from finediving_pose.datasets.model_directory import WEIGHTS_NAME
from finediving_pose.errors import DataError
from finediving_pose.training_files import add_epoch_row


@pytest.fixture
def table(tmp_path) -> Path:
    return write_table(tmp_path / "table.npz")


class Stopped(Exception):
    """Stands for whatever ends a run from outside."""


def run(
    folder: Path,
    table: Path,
    *overrides: str,
    resume: bool = False,
    parts: Parts | None = None,
    **options: Any,
) -> Trained:
    """Train on a table, on a CPU."""
    prepared = prepared_table(table, *overrides)
    folder.mkdir(exist_ok=True)
    own = parts or divide_dives(prepared.gathered, prepared.settings)
    return train(
        folder, prepared.settings, own, prepared.loader, resume=resume, **options
    )


def curve(folder: Path, *without: str) -> list[dict[str, str]]:
    """Read metrics.csv, without what depends on the clock."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [
            {
                name: value
                for name, value in row.items()
                if name not in ("seconds", *without)
            }
            for row in csv.DictReader(file)
        ]


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS_NAME).read_bytes()


def stop_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Let a function of `training`, or a method of its module, fail when it is called
    for the n-th time, from 1."""
    owner = training.AqaModule if hasattr(training.AqaModule, name) else training
    original = getattr(owner, name)
    calls = []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise Stopped
        return original(*arguments)

    monkeypatch.setattr(owner, name, failing)


def judged_as(monkeypatch: pytest.MonkeyPatch, *rho: float) -> None:
    """Give the epochs these ρ."""
    found = iter(rho)
    monkeypatch.setattr(training, "judge", lambda *_: {"rho": next(found)})


def test_the_same_seed_gives_the_same_curve_and_the_same_bytes(tmp_path, table):
    first, second = (run(tmp_path / name, table) for name in ("first", "second"))
    assert curve(tmp_path / "first") == curve(tmp_path / "second")
    assert weights(tmp_path / "first") == weights(tmp_path / "second")
    assert replace(first, seconds=0) == replace(second, seconds=0)
    run(tmp_path / "other", table, "seed=1")
    assert curve(tmp_path / "other")[0]["loss"] != curve(tmp_path / "first")[0]["loss"]


def test_processes_that_read_change_no_number(tmp_path, table):
    run(tmp_path / "none", table)
    run(tmp_path / "two", table, "workers=2")
    assert curve(tmp_path / "two") == curve(tmp_path / "none")
    assert weights(tmp_path / "two") == weights(tmp_path / "none")


def test_it_learns(tmp_path):
    table = write_table(tmp_path / "table.npz", dives=60)
    trained = run(
        tmp_path / "run",
        table,
        "epochs=8",
        "lr=1e-2",
        "val_fraction=0.2",
        "stages=1",
        "regressor=direct",
    )
    losses = [float(row["loss"]) for row in curve(tmp_path / "run")]
    assert losses[-1] < losses[0] / 2
    assert trained.figures["rho"] > 0.8


def test_the_curves_have_a_line_an_epoch(tmp_path, table):
    trained = run(tmp_path / "run", table, "loss_ce=2", "loss_contrastive=3")
    rows = curve(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    row = {name: float(value) for name, value in rows[1].items()}
    assert row["loss"] == pytest.approx(
        row["loss_aqa"] + 2 * row["loss_ce"] + 3 * row["loss_contrastive"], rel=1e-5
    )
    assert row["lr"] == pytest.approx(1e-3 * 0.75)
    assert {
        "val_rho",
        "val_rl2_squared",
        "val_aiou_flight_0.5",
        "val_aiou_flight_0.75",
    } <= row.keys()
    assert trained.epochs == 3
    assert not trained.stopped_early
    assert trained.figures["rho"] == pytest.approx(
        float(rows[trained.best_epoch - 1]["val_rho"])
    )
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(
    ("method", "call", "overrides"),
    [
        ("training_step", 4, ()),
        ("on_save_checkpoint", 2, ()),
        ("on_train_epoch_start", 3, ("workers=2",)),
        ("training_step", 6, ("workers=2", "accumulate=2")),
        ("add_epoch_row", 2, ("regressor=direct",)),
    ],
)
def test_a_run_that_was_stopped_ends_with_the_same_numbers(
    tmp_path, table, monkeypatch, method, call, overrides
):
    whole = run(tmp_path / "whole", table, *overrides)
    with monkeypatch.context() as patched:
        stop_at(patched, method, call)
        with pytest.raises(Stopped):
            run(tmp_path / "parts", table, *overrides)
    assert (tmp_path / "parts" / "last.ckpt").exists()
    again = run(tmp_path / "parts", table, *overrides, resume=True)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert replace(again, seconds=0) == replace(whole, seconds=0)


def test_a_run_that_stopped_within_its_first_epoch_starts_again(
    tmp_path, table, monkeypatch
):
    with monkeypatch.context() as patched:
        stop_at(patched, "training_step", 2)
        with pytest.raises(Stopped):
            run(tmp_path / "parts", table)
    run(tmp_path / "parts", table, resume=True)
    run(tmp_path / "whole", table)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_what_is_over_is_not_continued(tmp_path, table, monkeypatch):
    judged_as(monkeypatch, 0.5, 0.4, 0.3, 0.9, 0.9)
    first = run(tmp_path / "run", table, "epochs=5", "patience=2")
    before = weights(tmp_path / "run")
    again = run(tmp_path / "run", table, "epochs=5", "patience=2", resume=True)
    assert (first.epochs, first.best_epoch, first.stopped_early) == (3, 1, True)
    assert again == first
    assert weights(tmp_path / "run") == before


def test_the_whole_run_is_not_continued_either(tmp_path, table):
    first = run(tmp_path / "run", table)
    assert run(tmp_path / "run", table, resume=True) == first


@pytest.mark.parametrize(
    ("rho", "best"),
    [
        ((0.1, 0.7, 0.3), 2),
        ((0.4, 0.4, 0.4), 1),
        ((math.nan, -0.2, -0.5), 2),
        ((math.nan,) * 3, 3),
    ],
)
def test_the_epoch_with_the_highest_rho_is_kept_the_earlier_of_two(
    tmp_path, table, monkeypatch, rho, best
):
    judged_as(monkeypatch, *rho)
    assert run(tmp_path / "run", table).best_epoch == best


def test_the_kept_weights_are_those_of_the_chosen_epoch(tmp_path, table):
    prepared = prepared_table(table, "epochs=4", "lr=1e-2")
    parts = divide_dives(prepared.gathered, prepared.settings)
    trained = run(tmp_path / "run", table, "epochs=4", "lr=1e-2")
    model = HPMCoRe(prepared.settings)
    model.load_state_dict(load_file(tmp_path / "run" / WEIGHTS_NAME))
    assert judge(
        model, parts.val, parts.train, prepared.loader, "cpu"
    ) == pytest.approx(trained.figures)


def test_the_last_epoch_where_that_is_asked_for_or_nothing_can_choose(
    tmp_path, table, monkeypatch
):
    judged_as(monkeypatch, 0.9, 0.1, 0.1)
    assert run(tmp_path / "last", table, "select=last").best_epoch == 3
    trained = run(tmp_path / "none", table, "val_fraction=0")
    assert (trained.best_epoch, trained.figures) == (3, {})
    assert "val_rho" not in curve(tmp_path / "none")[0]


def test_patience_does_not_end_a_run_whose_last_epoch_is_kept(tmp_path, table):
    assert run(tmp_path / "last", table, "select=last", "patience=1").epochs == 3
    assert run(tmp_path / "none", table, "val_fraction=0", "patience=1").epochs == 3


def test_the_best_on_the_test_dives_says_so(tmp_path, table, monkeypatch):
    judged: list[int] = []
    monkeypatch.setattr(
        training,
        "judge",
        lambda _, dives, *__: (judged.append(len(dives)), {"rho": 0.5})[1],
    )
    prepared = prepared_table(table)
    parts = divide_dives(prepared.gathered, prepared.settings)
    run(tmp_path / "run", table, "select=test-best")
    assert set(judged) == {len(parts.test)}
    row = curve(tmp_path / "run")[0]
    assert "test_rho" in row
    assert "val_rho" not in row


def test_a_loss_that_is_not_finite_stops_the_run_and_says_what_to_try(tmp_path, table):
    with pytest.raises(
        DataError,
        match=r"epoch 1, batch \d+: the loss is not finite; .*a smaller lr, clip=1 or precision=fp32",
    ):
        run(tmp_path / "run", table, "lr=1e30", "epochs=1")


def test_a_plain_head_starts_from_the_mean_of_the_targets(tmp_path):
    score = np.linspace(30, 90, 24)
    score[5] = 0.0  # a failed dive has a score
    table = write_table(tmp_path / "table.npz", score=score)
    for target, difficulty in (
        ("score", 1.0),
        ("completeness", np.array([3.0, 3.2, 2.8])[np.arange(24) % 3]),
    ):
        run(
            tmp_path / target,
            table,
            "regressor=direct",
            f"target={target}",
            "val_fraction=0",
            "test_fraction=0",
        )
        origin = load_file(tmp_path / target / WEIGHTS_NAME)["origin"]
        assert origin.item() == pytest.approx((score / difficulty).mean())


def test_weight_files_are_loaded_before_a_checkpoint_is_restored(
    tmp_path, table, monkeypatch
):
    loaded = []
    monkeypatch.setattr(
        HPMCoRe,
        "load_pretrained",
        lambda self: loaded.append(self) or {"dynamic": None},
    )
    first = run(tmp_path / "run", table, "epochs=1")
    again = run(tmp_path / "run", table, "epochs=1", resume=True)
    assert len(loaded) == 2
    assert first.weights == again.weights == ["the dynamic network starts random"]


def test_the_model_is_told_how_far_the_run_is(tmp_path, table, monkeypatch):
    told = []
    original = HPMCoRe.forward
    monkeypatch.setattr(
        HPMCoRe,
        "forward",
        lambda self, videos, progress: (
            told.append(progress),
            original(self, videos, progress),
        )[1],
    )
    run(tmp_path / "run", table, "epochs=4")
    assert sorted(set(told)) == [0.0, 0.25, 0.5, 0.75]


def test_the_learning_rates_of_the_run():
    assert [
        learning_rate_factor("cosine_run", epoch, 4) for epoch in range(4)
    ] == pytest.approx([1, 0.85355339, 0.5, 0.14644661])
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for epoch in range(50):
        assert learning_rate_factor("cosine_20", epoch, 50) == pytest.approx(
            torchs.get_last_lr()[0], abs=1e-6
        )
        optimizer.step()
        torchs.step()


def test_lines_of_epochs_that_were_lost_are_replaced(tmp_path):
    path = tmp_path / "metrics.csv"
    for epoch, loss in ((0, 5.0), (1, 4.0), (2, 3.0), (1, 2.0)):
        add_epoch_row(path, {"epoch": epoch, "loss": loss})
    add_epoch_row(path, {"epoch": 2, "loss": 1.0, "val_rho": 0.5})
    assert (
        path.read_text(encoding="utf-8")
        == "epoch,loss,val_rho\n0,5.0,\n1,2.0,\n2,1.0,0.5\n"
    )


def test_lightning_keeps_quiet(tmp_path, table, capfd, caplog, recwarn):
    with caplog.at_level(logging.INFO):
        run(tmp_path / "run", table, "epochs=2")
    assert [record.name for record in caplog.records] == ["fdpose"] * 2
    assert "epoch 2 of 2: loss" in caplog.text
    found = capfd.readouterr()
    assert (found.out, found.err) == ("", "")
    assert [
        str(warning.message)
        for warning in recwarn
        if "lightning" in str(warning.filename)
    ] == []


@pytest.mark.parametrize("content", [b"", b"half a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(tmp_path, table, content):
    folder = tmp_path / "run"
    folder.mkdir()
    if content is None:
        torch.save({"epoch": 1}, folder / "last.ckpt")
    else:
        (folder / "last.ckpt").write_bytes(content)
    with pytest.raises(DataError, match=r"last\.ckpt: .*delete it to train"):
        run(folder, table, resume=True)
