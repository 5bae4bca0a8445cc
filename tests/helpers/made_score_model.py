"""A score model that has seen nothing, as a training would have left it, and its meet,
in a second."""

from __future__ import annotations

import json
from pathlib import Path

from finediving_pose.aqa.data.sources import Parts, Sources, divide_dives, prepare_data
from finediving_pose.aqa.exemplar_bank import write_bank
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.datasets.model_directory import WEIGHTS_NAME, write_model_card
from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.files import write_json
from finediving_pose.training_files import write_weights
from finediving_pose.workflows.aqa_training import SOURCE_NAME
from helpers.made_frames import extracted
from helpers.made_loader import made_model
from helpers.made_meets import made_dive, made_meet, write_meet
from helpers.made_videos import small_settings

POSE_ONLY = (
    "branch_dynamic=false",
    "branch_static=false",
    "exemplars=3",
    "workers=0",
    "val_fraction=0.2",
)


def write_data(root: Path, dives: int = 40) -> Sources:
    """Write annotations of a small meet, and skeletons of all its dives but the last."""
    meet = made_meet(dives)
    for dive in meet[:-1]:
        record = dive.dive
        assert record.start_frame is not None
        assert record.end_frame is not None
        sequence = extracted(range(record.start_frame, record.end_frame + 1))
        write_pose(pose_path(root / "skeletons", record.match, record.dive), sequence)
    return Sources(write_meet(root / "annotations", meet), None, root / "skeletons")


def write_model(
    folder: Path, sources: Sources, *overrides: str, bank: bool = True
) -> tuple[AqaSettings, Parts]:
    """Write a model directory without a training."""
    settings = small_settings(*POSE_ONLY, *overrides)
    prepared = prepare_data(settings, sources)
    parts = divide_dives(prepared.gathered, settings)
    model = made_model(settings)
    folder.mkdir(parents=True)
    write_weights(folder / WEIGHTS_NAME, model)
    names = {
        name: [dive.name for dive in dives] for name, dives in parts._asdict().items()
    }
    write_json(
        folder / SOURCE_NAME,
        {"kind": "aqa", "sources": sources.as_dict(), "parts": names, "left_out": []},
    )
    write_model_card(folder, "aqa", settings.model_dump(mode="json"), names["train"])
    if bank:
        write_bank(folder, model, parts.train, prepared.loader)
    return settings, parts


def write_other_dives(
    folder: Path, count: int = 6, trained: Path | None = None
) -> Path:
    """A table of dives that the model knows nothing of, and some that it was trained
    on."""
    dives = [
        made_dive(place, match="Elsewhere", dive=str(place), video="a.mp4").dive
        for place in range(count)
    ]
    if trained:
        names = json.loads((trained / "model.json").read_text())["trained_on"]
        dives += [
            made_dive(
                0, match=name.split("/")[0], dive=name.split("/")[1], video="a.mp4"
            ).dive
            for name in names[:2]
        ]
    folder.mkdir()
    write_dives(folder / "dives.csv", dives)
    return folder / "dives.csv"
