"""The door of score models: a class, a line and a preset; what was written before there
was one stays as it is."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.made_loader import MadeLoader, made_dives
from helpers.made_score_model import POSE_ONLY
from helpers.made_videos import small_settings
from torch import Tensor, nn

from finediving_pose.aqa import score_models as models
from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.data.sources import Parts
from finediving_pose.aqa.inference import predict_dives
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.score_model import (
    Encoded,
    PairScores,
    ScoreLabels,
    ScoreModel,
    build_model,
)
from finediving_pose.aqa.settings import AqaSettings, load_aqa
from finediving_pose.aqa.trained_model import load_model
from finediving_pose.aqa.training import train
from finediving_pose.config import read_yaml, validate_settings, write_settings
from finediving_pose.datasets.model_directory import write_model_card
from finediving_pose.errors import UsageError
from finediving_pose.files import sha256_json

HASHES = {
    "paper": "35655e049e430e4ad12bcea28f20e608cd7dffca778bae03bff6a1b6057e7deb",
    "tiny": "ffc8281840e2a0ab22066350eeb716abd3ff0803d865c15b50c8c3df17c6226f",
    "released": "f175c675587ad29ca1cb1ace6274aa5a2230037064a3605670ed057bdbd753d0",
}
"""Of the settings of version 0.1.0, which knew one model only."""


class LinearPose(ScoreModel):
    """A model as its author would write it: the mean pose, a linear layer, steps."""

    def __init__(self, settings: AqaSettings) -> None:
        super().__init__(settings)
        self.linear = nn.Linear(32, 1)
        self.seen: list[tuple[str, ...]] = []

    @classmethod
    def needs_exemplars(cls, settings: AqaSettings) -> bool:
        return False

    def encode(self, videos: Videos) -> Encoded:
        assert videos.pose is not None
        return Encoded.of_whole_dives(mean=videos.pose.mean(dim=2).flatten(1))

    def predict(
        self,
        queries: Encoded,
        labels: ScoreLabels,
        exemplars: Encoded | None = None,
        exemplar_labels: ScoreLabels | None = None,
    ) -> PairScores:
        assert exemplars is None
        score = 60 + self.linear(queries.tokens["mean"])[:, 0]
        return PairScores(score, score[:, None] - 60)

    def losses(self, videos: Videos, progress: float = 0.0) -> dict[str, Tensor]:
        self.seen.append(videos.names)
        labels = ScoreLabels(videos.score, videos.difficulty)
        errors = self.predict(self.encode(videos), labels).score - videos.score
        squared = errors.square().mean()
        size = self.linear.weight.square().sum()
        return {"loss": squared + 0.01 * size, "loss_size": size}


@pytest.fixture
def linear_pose(monkeypatch):
    """The settings of :class:`LinearPose`, which stands in the registry."""
    monkeypatch.setitem(models.SCORE_MODELS, "linear_pose", f"{__name__}:LinearPose")
    return small_settings(
        "model=linear_pose",
        *POSE_ONLY,
        "stages=1",
        "contrastive=off",
        "target=score",
        "batch_size=4",
        "epochs=4",
        "lr=0.1",
        "lr_schedule=cosine_run",
    )


def test_a_model_of_ones_own_is_trained_on_single_dives(linear_pose, tmp_path):
    loader = MadeLoader(linear_pose)
    dives = made_dives(12, numbers=("407c", "107b", "5253b"))
    parts = Parts(tuple(dives[:8]), tuple(dives[8:]), ())
    trained = train(tmp_path, linear_pose, parts, loader)
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["epoch", "loss", "loss_size"]
    assert "val_rho" in rows[0]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert trained.weights == []
    # Each dive once an epoch, not one beside another; then those that are judged.
    for dive in parts.train:
        assert loader.loaded[dive.name] == linear_pose.epochs

    write_model_card(tmp_path, "aqa", linear_pose.model_dump(mode="json"), ["Made/0"])
    model = load_model(tmp_path)
    assert isinstance(model, LinearPose)
    assert model.parameter_counts() == {"linear": 33}
    found = predict_dives(model, dives[8:], dives[:8], loader)
    assert torch.tensor(found.scores).isfinite().all()
    assert [each.exemplars for each in found.dives] == [()] * 4


def test_what_a_model_does_not_do_says_so(linear_pose):
    model = build_model(linear_pose)
    encoded = Encoded.of_whole_dives(mean=torch.zeros(2, 32))
    nothing = ScoreLabels(torch.zeros(2), torch.zeros(2))
    with pytest.raises(NotImplementedError, match="LinearPose learns by its losses"):
        model.fit(encoded, nothing)
    assert model.load_pretrained() == {}
    (group,) = model.parameter_groups()
    assert group["lr"] == linear_pose.lr


def test_an_unknown_model_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no score model 'hpmcor' .*mean hpmcore"):
        load_aqa("paper", ["model=hpmcor"])
    with pytest.raises(UsageError, match="options of hpmcore: unknown key depth"):
        build_model(small_settings("options.depth=5"))


@pytest.mark.parametrize("preset", HASHES)
def test_settings_without_another_model_are_written_as_before(preset, tmp_path):
    settings = load_aqa(preset)
    assert sha256_json(settings.model_dump(mode="json")) == HASHES[preset]
    write_settings(tmp_path / "config.yaml", settings)
    values = read_yaml(tmp_path / "config.yaml")
    assert not {"model", "options"} & set(values)
    again = validate_settings(AqaSettings, values, "config.yaml")
    assert again == settings
    assert isinstance(build_model(small_settings()), HPMCoRe)


def test_another_model_is_written_and_counts():
    ridge = load_aqa("pose_ridge").model_dump(mode="json")
    other = load_aqa("pose_ridge", ["options.penalty=2"]).model_dump(mode="json")
    assert ridge["model"] == "pose_ridge"
    assert ridge["options"] == {"penalty": 1.0}
    assert sha256_json(ridge) != sha256_json(other)


def test_encoded_dives_are_chosen_and_joined():
    whole = Encoded.of_whole_dives(a=torch.arange(6.0).reshape(3, 2))
    chosen = whole.select_rows([2, 0, 2])
    assert chosen.tokens["a"].tolist() == [[4, 5], [0, 1], [4, 5]]
    assert chosen.transitions.shape == (3, 0)
    joined = Encoded.joined([whole, chosen])
    assert joined.tokens["a"].shape == (6, 2)
    assert joined.logits.shape == (6, 0, 0)


def test_what_is_known_of_dives_without_looking_at_them():
    dives = [dive.record for dive in made_dives(2)]
    labels = ScoreLabels.of(dives)
    assert labels.score.tolist() == pytest.approx([dive.score for dive in dives])
    assert labels.targets("completeness").tolist() == pytest.approx(
        [dive.score / dive.difficulty for dive in dives]
    )


def test_the_names_of_the_models_need_no_torch():
    code = (
        "import sys; from finediving_pose.aqa.settings import load_aqa; "
        "load_aqa('pose_ridge'); sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
