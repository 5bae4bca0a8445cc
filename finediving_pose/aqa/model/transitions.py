"""Where the stages of a dive begin, chosen from the segmenter's logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from finediving_pose.aqa.settings import TransitionChoice


def choose(logits: Tensor, how: TransitionChoice = "increasing") -> Tensor:
    """Return the first frame of each stage but the first: (V, T, K−1) logits → (V, K−1) int64 frames.

    With P_k the softmax of column k over time, ``increasing`` takes the frames 0 < t_1 < … < t_{K−1} whose product
    Π P_k(t_k) is highest, exactly, over the whole clip. ``window`` is the released code's: t_k is the best frame of
    the k-th of K−1 equal parts of the clip, which cannot find a transition that lies in another part.
    """
    videos, _, transitions = logits.shape
    if transitions == 0:
        return torch.zeros(videos, 0, dtype=torch.int64, device=logits.device)
    # The softmax over time only adds a constant to a column, so the best logits are the best probabilities.
    gains = logits.detach().float().transpose(1, 2)  # (V, K−1, T)
    return _best_increasing(gains) if how == "increasing" else _best_in_windows(gains)


def _best_increasing(gains: Tensor) -> Tensor:
    """Dynamic programming: the best way that ends in frame t comes from the best way that ended before t."""
    first, *later = gains.unbind(dim=1)
    best = F.pad(first[:, 1:], (1, 0), value=-torch.inf)  # (V, T); no flight begins with the clip
    origins = []
    for gain in later:
        so_far, place = best.cummax(dim=1)
        origins.append(F.pad(place[:, :-1], (1, 0)))
        best = gain + F.pad(so_far[:, :-1], (1, 0), value=-torch.inf)
    chosen = [best.argmax(dim=1, keepdim=True)]  # (V, 1), the last transition
    for origin in reversed(origins):
        chosen.insert(0, origin.gather(1, chosen[0]))
    return torch.cat(chosen, dim=1)


def _best_in_windows(gains: Tensor) -> Tensor:
    count, frames = gains.shape[1:]
    bounds = [frames * k // count for k in range(count + 1)]
    best = [gains[:, k, bounds[k] : bounds[k + 1]].argmax(dim=1) + bounds[k] for k in range(count)]
    return torch.stack(best, dim=1)
