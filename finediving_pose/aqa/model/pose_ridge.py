"""PoseRidge, a baseline that reads the skeleton alone: ridge regression on the mean pose.

It tells whether skeletons carry score information at all, in minutes on a CPU, and is
the smallest score model there is.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.score_model import (
    Encoded,
    PairScores,
    ScoreLabels,
    ScoreModel,
    score_of,
)
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.config import Settings
from finediving_pose.errors import UsageError
from finediving_pose.skeleton import NUM_JOINTS


class PoseRidgeOptions(Settings):
    """The options of PoseRidge.

    Attributes:
        penalty: λ of min_w mean((Xw − y)²) + λ |w|², X standardised.
    """

    penalty: Annotated[float, Field(gt=0)] = 1.0


class PoseRidge(ScoreModel):
    """Score = bias + w · x, x being mean and standard deviation over time of every
    joint coordinate.

    Attributes:
        centre, scale: (D,) mean and deviation of x over the training dives.
        weights: (D,) w, of the standardised x, in units of the target.
        bias: () the mean target.
    """

    Options = PoseRidgeOptions
    options: PoseRidgeOptions
    learns_at_once = True

    centre: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, settings: AqaSettings) -> None:
        super().__init__(settings)
        visual = settings.branch_dynamic or settings.branch_static
        if visual or not settings.branch_pose or settings.stage_count > 1:
            raise UsageError(
                "model=pose_ridge reads the skeleton of a whole dive: expected "
                "branch_pose=true branch_dynamic=false branch_static=false stages=1, "
                "as --preset pose_ridge sets them"
            )
        dim = 2 * settings.pose_channels * NUM_JOINTS
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("weights", torch.zeros(dim))
        self.register_buffer("bias", torch.zeros(()))

    @classmethod
    def needs_exemplars(cls, settings: AqaSettings) -> bool:
        return False

    def encode(self, videos: Videos) -> Encoded:
        """Return mean and standard deviation of each coordinate over the frames in
        which its joint is known; 0, the pelvis, where it never is: (V, D)."""
        assert videos.pose is not None
        assert videos.pose_mask is not None
        known = videos.pose_mask[:, None].float()  # (V, 1, frames, 16)
        frames = known.sum(dim=2).clamp(min=1)  # (V, 1, 16)
        mean = (videos.pose * known).sum(dim=2) / frames  # (V, C, 16)
        offsets = (videos.pose - mean[:, :, None]) * known
        deviation = (offsets.square().sum(dim=2) / frames).sqrt()  # (V, C, 16)
        return Encoded.of_whole_dives(pose=torch.cat([mean, deviation], 1).flatten(1))

    def fit(self, encoded: Encoded, labels: ScoreLabels) -> None:
        """Solve (XᵀX / N + λI) w = Xᵀ(y − bias) / N over the N training dives.

        Args:
            encoded: N dives.
            labels: Of the same dives.
        """
        # In float64: the normal equations square the condition of X.
        features = encoded.tokens["pose"].double()  # (N, D)
        targets = labels.targets(self.settings.target).double()  # (N,)
        centre = features.mean(dim=0)
        # A coordinate that never moves, such as the pelvis', stays 0 when divided by 1.
        scale = features.std(dim=0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        x = (features - centre) / scale
        bias = targets.mean()
        count, dim = x.shape
        penalty = self.options.penalty * torch.eye(dim, dtype=x.dtype)
        weights = torch.linalg.solve(
            x.T @ x / count + penalty, x.T @ (targets - bias) / count
        )
        self.centre.copy_(centre)
        self.scale.copy_(scale)
        self.weights.copy_(weights)
        self.bias.copy_(bias)

    def predict(
        self,
        queries: Encoded,
        labels: ScoreLabels,
        exemplars: Encoded | None = None,
        exemplar_labels: ScoreLabels | None = None,
    ) -> PairScores:
        """Score dives alone; the one stage's part is what they are above the bias."""
        target = self.settings.target
        x = (queries.tokens["pose"] - self.centre) / self.scale  # (B, D)
        above = x @ self.weights  # (B,)
        score = score_of(self.bias + above, labels.difficulty, target)
        part = score_of(above, labels.difficulty, target)
        return PairScores(score, part[:, None])

    def parameter_counts(self) -> dict[str, int]:
        """Count the fitted numbers, which no gradient moves."""
        return {"regression": self.weights.numel() + 1}
