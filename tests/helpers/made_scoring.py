"""Score models of random weights with their exemplar banks, on drawn dives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import torch
from safetensors.torch import save_file

from finediving_pose.aqa.data.dataset import VideoLoader
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.sources import make_loader
from finediving_pose.aqa.data.video_frames import FrameReader, Geometry
from finediving_pose.aqa.exemplar_bank import write_bank
from finediving_pose.aqa.score_model import ScoreModel, build_model
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.datasets.model_directory import WEIGHTS_NAME, write_model_card
from helpers.made_frames import made_dive, picture
from helpers.made_videos import small_settings


def scoring_dives(root: Path) -> list[AqaDive]:
    """Three to learn from, the last without a skeleton, and one to score; the diver
    falls somewhere else in each."""
    made = [
        made_dive(root, str(n), frames=40 + n, start=1000 * n, skeleton=n != 3)
        for n in range(1, 5)
    ]
    for place, dive in enumerate(made):
        assert dive.source is not None
        for number, path in enumerate(sorted(dive.source.source.iterdir())):
            image = picture(int(path.stem))
            image[number : number + 8, 16 * place + 4 : 16 * place + 12] = 255
            cv2.imwrite(str(path), image)
    return made


def reader(settings: AqaSettings) -> VideoLoader:
    """Read what the settings say."""
    frames = FrameReader(Geometry(settings.geometry, settings.size), settings.frames)
    return make_loader(settings, frames if settings.reads_images else None)


def random_model(
    folder: Path, settings: AqaSettings | None = None, seed: int = 0
) -> ScoreModel:
    """A model directory of random weights, without a bank."""
    settings = settings or small_settings("target=score")
    torch.manual_seed(seed)
    model = build_model(settings).eval()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / WEIGHTS_NAME)
    write_model_card(
        folder, "aqa", settings.model_dump(mode="json"), ["Made/1", "Made/2", "Made/3"]
    )
    return model


def model_with_bank(folder: Path, dives: list[AqaDive], *overrides: str) -> ScoreModel:
    """A model directory of random weights whose bank holds these dives."""
    settings = small_settings("target=score", *overrides)
    model = random_model(folder, settings)
    if not settings.reads_images:
        dives = [replace(dive, source=None) for dive in dives]
    write_bank(folder, model, dives, reader(settings))
    return model
