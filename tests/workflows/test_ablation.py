"""Tables run row by row: each configuration once, whatever fails, and what the seeds
and intervals can tell apart."""

from __future__ import annotations

import json
import logging
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.made_meets import made_meet, write_meet

from finediving_pose.aqa.data.sources import Sources
from finediving_pose.aqa.paper_tables import read_table
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.files import write_json
from finediving_pose.workflows.ablation import (
    TRAINED,
    TableRequest,
    plan_table,
    run_table,
)
from finediving_pose.workflows.aqa_training import SUMMARY_NAME

FLOORS = {"mean of the dive number": {"rho": 0.5882, "rl2_squared": 1.335, "mae": 7.0}}


class Trainer:
    """Stands in for a training: notes what it was asked for, and writes figures that
    follow from the settings."""

    def __init__(self, **rho: float) -> None:
        self.asked: list[tuple[Path, AqaSettings]] = []
        self.rho = rho
        self.refuses: dict[str, BaseException] = {}

    def __call__(self, run: Path, settings: AqaSettings) -> None:
        self.asked.append((run, settings))
        if settings.segmenter in self.refuses:
            raise self.refuses[settings.segmenter]
        rho = self.rho.get(settings.segmenter, 0.9) + settings.seed / 1000
        write_json(run / "model.json", {})
        test = {
            "figures": {
                "rho": rho,
                "rl2_squared": 0.3,
                "aiou_flight_0.5": 90.0,
                "aiou_flight_0.75": None,
            },
            "intervals": {"rho": [rho - 0.01, rho + 0.01], "rl2_squared": None},
            "dives": 12,
            "floors": FLOORS,
            "notes": ["chosen on the test dives"],
        }
        summary = {
            "seed": settings.seed,
            "epochs": settings.epochs - 1,
            "best_epoch": 1,
            "test": test,
        }
        write_json(run / SUMMARY_NAME, summary)


@pytest.fixture
def sources(tmp_path):
    return Sources(write_meet(tmp_path / "annotations", made_meet(8)))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "ablations" / "VI"


SEGMENTERS = read_table("VI")


def run(sources, out, trainer, table="VI", preset="tiny", **request):
    return run_table(
        TableRequest(read_table(table), preset, **request), sources, out, train=trainer
    )


def test_every_row_is_trained_with_every_seed(sources, out):
    trainer = Trainer(fc=0.7)
    result = run(sources, out, trainer, seeds=(0, 2), overrides=("epochs=3",))
    asked = [
        (settings.segmenter, settings.seed, settings.epochs, settings.dim)
        for _, settings in trainer.asked
    ]
    assert asked == [
        (name, seed, 3, 64)
        for name in ("fc", "tcn", "asformer", "bigru")
        for seed in (0, 2)
    ]
    assert result.failed == ()
    fc = result.rows[0]
    assert fc.get_mean("rho") == pytest.approx(0.701)
    assert fc.get_deviation("rho") == pytest.approx(statistics.stdev([0.7, 0.702]))
    assert fc.get_interval("rho") == pytest.approx((0.691, 0.711))
    assert fc.get_mean("aiou_flight_0.75") is None


def test_the_same_configuration_is_trained_once_for_all_tables(sources, out):
    first = Trainer()
    run(sources, out, first)
    second = Trainer()
    run(sources, out.parent / "VII", second, table="VII")
    full = first.asked[-1][0]
    assert full == out.parent / TRAINED / full.parent.name / "seed_0"
    assert [settings.tokens for _, settings in second.asked] == [3, 8, 10]
    third = Trainer()
    table = run(sources, out.parent / "VII", third, table="VII", seeds=(0, 1))
    assert [settings.seed for _, settings in third.asked] == [1, 1, 1, 1]
    assert [len(row.seeds) for row in table.rows] == [2, 2, 2, 2]
    assert table.reference is not None
    assert table.reference.seeds[0].run == full


def test_workers_and_the_places_of_folders_do_not_tell_configurations_apart(
    sources, out, tmp_path
):
    run(sources, out, Trainer())
    (tmp_path / "annotations").rename(tmp_path / "labels")
    moved = Sources(tmp_path / "labels", frames=None, skeletons=None)
    again = Trainer()
    run(moved, out, again, overrides=("workers=0",))
    assert again.asked == []


def test_other_labels_skeletons_frames_or_settings_do(sources, out, tmp_path):
    def folders(
        sources: Sources, *overrides: str, table: str = "VI"
    ) -> list[Path | None]:
        return [
            each.folder
            for each in plan_table(
                TableRequest(read_table(table), "tiny", overrides), sources, out
            )
        ]

    before = folders(sources)
    assert folders(sources) == before
    assert not set(folders(sources, "lr=0.01")) & set(before)
    assert not set(
        folders(Sources(sources.annotations, frames=tmp_path / "frames"))
    ) & set(before)
    blind = "branch_dynamic=false", "branch_static=false"
    assert folders(
        Sources(sources.annotations, frames=tmp_path / "frames"), *blind
    ) == folders(sources, *blind)
    skeleton = tmp_path / "Pose" / "A" / "pred_comp_1.npz"
    skeleton.parent.mkdir(parents=True)
    skeleton.write_bytes(b"1")
    with_skeletons = Sources(sources.annotations, skeletons=tmp_path)
    one = folders(with_skeletons)
    assert not set(one) & set(before)
    skeleton.write_bytes(b"2")
    assert not set(folders(with_skeletons)) & set(one)
    assert folders(with_skeletons, "branch_pose=false") == folders(
        sources, "branch_pose=false"
    )
    write_meet(sources.annotations, made_meet(9))
    assert not set(folders(sources)) & set(before)


@pytest.mark.parametrize(
    "error", [UsageError("no frames"), ZeroDivisionError("by zero")]
)
def test_a_row_that_fails_is_listed_and_stops_no_other(sources, out, error, caplog):
    trainer = Trainer()
    trainer.refuses["tcn"] = error
    result = run(sources, out, trainer)
    assert len(trainer.asked) == 4
    (failed,) = result.failed
    assert (failed.row.name, failed.seeds) == ("tcn", ())
    assert str(error) in failed.reason
    assert str(error) in caplog.text
    table = (out / "table.md").read_text(encoding="utf-8")
    assert f"TCN failed: seed 0: {failed.reason.removeprefix('seed 0: ')}" in table
    assert "failed" in next(
        line for line in table.splitlines() if line.startswith("| TCN")
    )
    assert json.loads((out / "manifest.json").read_text())["warnings"] == [
        f"tcn: {failed.reason}"
    ]
    trainer.refuses.clear()
    trainer.asked.clear()
    assert run(sources, out, trainer).failed == ()
    assert [settings.segmenter for _, settings in trainer.asked] == ["tcn"]


def test_what_fails_for_two_rows_is_tried_once(sources, out, monkeypatch):
    trainer = Trainer()
    trainer.refuses["fc"] = UsageError("no")
    rows = tuple(replace(SEGMENTERS.row("fc"), name=name) for name in ("a", "b"))
    result = run_table(
        TableRequest(replace(SEGMENTERS, rows=rows, reference="a"), "tiny"),
        sources,
        out,
        train=trainer,
    )
    assert len(trainer.asked) == 1
    assert len(result.failed) == 2


def test_a_run_that_leaves_no_metrics_has_failed(sources, out):
    result = run(sources, out, lambda run, settings: None, rows=("fc",))
    assert "holds no finished run" in result.rows[0].reason


def test_what_no_row_could_do_without_stops_the_table(sources, out):
    trainer = Trainer()
    trainer.refuses["fc"] = EnvironmentUnfit("no GPU")
    with pytest.raises(EnvironmentUnfit, match="no GPU"):
        run(sources, out, trainer)
    assert len(trainer.asked) == 1
    assert json.loads((out / "manifest.json").read_text())["status"].startswith(
        "failed"
    )


def test_an_interrupted_table_says_how_it_goes_on_and_keeps_its_rows(
    sources, out, caplog
):
    trainer = Trainer()
    trainer.refuses["tcn"] = KeyboardInterrupt()
    with caplog.at_level(logging.WARNING, "fdpose"), pytest.raises(KeyboardInterrupt):
        run(sources, out, trainer)
    assert "the same command goes on from here" in caplog.text
    assert [
        row["name"] for row in json.loads((out / "table.json").read_text())["rows"]
    ] == ["fc"]
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"


def test_rows_whose_settings_do_not_go_together_are_listed(sources, out):
    trainer = Trainer()
    result = run(
        sources,
        out,
        trainer,
        table="III",
        overrides=("features=f.npz", "branch_static=false"),
    )
    assert [settings.branch_pose for _, settings in trainer.asked] == [False, True]
    assert [row.row.name for row in result.failed] == ["sve", "hse", "dve+sve", "full"]
    assert "stand in for the dynamic branch" in result.failed[0].reason
    assert (
        "DVE + SVE + HSE was not trained: nothing is compared with it."
        in result.as_dict()["notes"]
    )


def test_an_override_that_no_row_can_use_is_refused(sources, out):
    with pytest.raises(
        UsageError, match=r"unknown key epoch \(did you mean epochs\?\)"
    ):
        run(sources, out, Trainer(), overrides=("epoch=3",))
    assert not out.exists()


def test_rows_are_chosen_by_name(sources, out):
    trainer = Trainer()
    run(sources, out, trainer, rows=("bigru", "fc"))
    assert [settings.segmenter for _, settings in trainer.asked] == ["fc", "bigru"]
    with pytest.raises(
        UsageError, match=r"--rows tsa: TSA \(2022\) is a method of others"
    ):
        run(sources, out, trainer, table="I", rows=("tsa",))


def test_others_methods_stand_in_the_table_with_a_dash(sources, out):
    result = run(sources, out, Trainer(), table="I")
    assert [row.row.name for row in result.rows if row.seeds] == [
        "core",
        "mcore",
        "ours",
    ]
    table = (out / "table.md").read_text(encoding="utf-8")
    (tsa,) = (line for line in table.splitlines() if line.startswith("| TSA"))
    cells = [cell.strip() for cell in tsa.strip("|").split("|")]
    assert cells == [
        "TSA (2022)",
        "–",
        "0.9203",
        "–",
        "0.3420",
        "–",
        "82.51",
        "–",
        "34.31",
    ]


def test_the_table_says_what_it_rests_on(sources, out):
    trainer = Trainer(fc=0.7)
    result = run(sources, out, trainer, seeds=(0, 1), overrides=("epochs=3",))
    text = (out / "table.md").read_text(encoding="utf-8")
    assert text.startswith("# Table VI")
    assert "| 0.7005 ± 0.0007   |" in text  # far below the full model
    assert "| 0.9005 ± 0.0007 ~ |" in text  # as the full model
    assert (
        "12 test dives, 2 epochs, seeds 0, 1 (mean ± standard deviation over seeds)"
        in text
    )
    assert "preset tiny epochs=3." in text
    assert "Labels alone, mean of the dive number: ρ 0.5882, R-ℓ2 ×100 1.3350" in text
    assert text.count("chosen on the test dives") == 1
    rows = text.splitlines()[2:8]
    assert len({len(row) for row in rows}) == 1
    content = json.loads((out / "table.json").read_text())
    assert content == result.as_dict() | {"rows": content["rows"]}
    fc, bigru = content["rows"][0], content["rows"][-1]
    assert (fc["within_noise"]["rho"], bigru["within_noise"]["rho"]) == (False, None)
    assert fc["settings"] == ["stages=3", "segmenter=fc"]
    assert fc["published"]["aiou_flight_0.75"] == 71.51
    assert fc["mean"]["aiou_flight_0.75"] is None
    assert [seed["figures"]["rho"] for seed in fc["seeds"]] == [0.7, 0.701]
