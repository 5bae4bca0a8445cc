"""Features of frames, resampled to a few tokens for each stage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from finediving_pose.aqa.settings import StagePoolingHow


def pool(features: Tensor, transitions: Tensor, tokens: int, how: StagePoolingHow = "disjoint") -> Tensor:
    """Resample each stage to as many tokens, linearly and ends on ends: (V, frames, D) → (V, K, T, D).

    A single token is read in the middle of its stage.

    Args:
        features: (V, frames, D), of any modality.
        transitions: (V, K−1) int64, first frame of each stage but the first; see :func:`separated` for those that
            leave a stage empty.
        tokens: T.
        how: ``disjoint``: stage k is [t_{k−1}, t_k), t_0 = 0 and t_K = frames. ``overlapping``, as in the released
            code: it is [t_{k−1}, t_k], two neighbours share a frame.
    """
    weights = stage_weights(transitions, features.shape[1], tokens, how).to(features.dtype)
    return weights @ features[:, None]  # (V, K, T, frames) @ (V, 1, frames, D)


def stage_weights(transitions: Tensor, frames: int, tokens: int, how: StagePoolingHow = "disjoint") -> Tensor:
    """Return the share of each frame in each token, (V, K, T, frames) float32; a token's shares add up to 1.

    As a matrix product, because torch's own interpolation has no deterministic gradient on CUDA.
    """
    inner = separated(transitions, frames)  # (V, K−1)
    starts = F.pad(inner, (1, 0), value=0)  # (V, K)
    ends = F.pad(inner if how == "overlapping" else inner - 1, (0, 1), value=frames - 1)  # (V, K), inclusive
    steps = (
        torch.linspace(0, 1, tokens, device=inner.device) if tokens > 1 else torch.full((1,), 0.5, device=inner.device)
    )
    at = starts[..., None] + (ends - starts)[..., None] * steps  # (V, K, T)
    distance = (at[..., None] - torch.arange(frames, device=at.device)).abs()  # (V, K, T, frames)
    return F.relu(1 - distance)


def separated(transitions: Tensor, frames: int) -> Tensor:
    """Move (V, K−1) transitions just as far that they increase and each of the K stages has a frame.

    A transition that is not after the one before it moves behind it, and all stay within the clip; transitions that
    are in order stay as they are.
    """
    # t increases strictly where t_k − k does not decrease.
    order = torch.arange(1, transitions.shape[1] + 1, device=transitions.device)
    if len(order) == 0:
        return transitions
    slack = (transitions - order).cummax(dim=1).values.clamp(0, frames - len(order) - 1)
    return slack + order
