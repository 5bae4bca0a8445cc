"""Procedure segmentation (eq. 6 and 7): at which frames a dive goes over into its next
stage.

Three steps: a :class:`Segmenter` gives each frame a logit for each transition,
:func:`choose_transitions` chooses frames by them, and :func:`pool_stages` resamples the
features of each stage so cut to a few tokens, (V, frames, D) → (V, K, T, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from finediving_pose.aqa.settings import (
    SegmenterKind,
    StagePoolingHow,
    TransitionChoice,
)


class Segmenter(nn.Module):
    """The network P of eq. 6, one logit a frame for each transition.

    Shape: (V, T, D) → (V, T, K−1). The softmax, over time, is the loss's.

    Args:
        kind: ``bigru`` as in the paper; ``fc``, ``tcn`` and ``asformer`` are those of
            its Table VI.
        dim: D.
        transitions: K−1, at least 1: a dive of one stage has nothing to segment.
    """

    def __init__(self, kind: SegmenterKind, dim: int, transitions: int = 2) -> None:
        super().__init__()
        networks: dict[SegmenterKind, Callable[[int, int], nn.Module]] = {
            "bigru": BiGru,
            "fc": _make_frame_logits,
            "tcn": CausalTcn,
            "asformer": AsFormer,
        }
        self.net = networks[kind](dim, transitions)

    def forward(self, features: Tensor) -> Tensor:
        return self.net(features)


def _make_frame_logits(dim: int, out: int) -> nn.Linear:
    # No bias: what is added to every frame changes no softmax over time.
    return nn.Linear(dim, out, bias=False)


class BiGru(nn.Module):
    """A bidirectional GRU of one layer, dropout and a fully connected layer: (V, T, D)
    → (V, T, out)."""

    def __init__(
        self, dim: int, out: int, hidden: int = 256, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = _make_frame_logits(2 * hidden, out)

    def forward(self, features: Tensor) -> Tensor:
        states, _ = self.gru(features)  # (V, T, 2 · hidden)
        return self.linear(self.dropout(states))


class CausalTcn(nn.Module):
    """The temporal convolutional network of Bai et al. (2018): (V, T, D) → (V, T, out).

    A frame sees itself and the 124 before it, none after it.
    """

    def __init__(
        self,
        dim: int,
        out: int,
        hidden: int = 64,
        levels: int = 5,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        widths = [dim, *[hidden] * levels]
        self.blocks = nn.ModuleList(
            CausalBlock(widths[level], hidden, dilation=2**level, dropout=dropout)
            for level in range(levels)
        )
        self.linear = _make_frame_logits(hidden, out)

    def forward(self, features: Tensor) -> Tensor:
        x = features.transpose(1, 2)  # (V, D, T)
        for block in self.blocks:
            x = block(x)  # (V, hidden, T)
        return self.linear(x.transpose(1, 2))


class CausalBlock(nn.Module):
    """Two dilated causal convolutions with weight norm, ReLU and dropout, and a
    residual: (V, C, T) → (V, out, T)."""

    def __init__(
        self, channels: int, out: int, dilation: int, dropout: float, kernel: int = 3
    ) -> None:
        super().__init__()
        # Zeros before the first frame only, so that no frame sees a later one.
        self.past = (kernel - 1) * dilation
        self.first = weight_norm(nn.Conv1d(channels, out, kernel, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(out, out, kernel, dilation=dilation))
        self.dropout = nn.Dropout(dropout)
        self.residual: nn.Module = nn.Identity()
        if channels != out:
            self.residual = nn.Conv1d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in (self.first, self.second):
            y = self.dropout(F.relu(conv(F.pad(y, (self.past, 0)))))
        return F.relu(y + self.residual(x))


class AsFormer(nn.Module):
    """ASFormer (Yi et al. 2021), an encoder and decoders that refine its answer: (V, T,
    D) → (V, T, out).

    Each layer sees twice as far as the one before it. The answer is the last decoder's.
    """

    def __init__(
        self,
        dim: int,
        out: int,
        hidden: int = 64,
        layers: int = 6,
        decoders: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout1d(dropout)
        self.encoder = Refinement(dim, out, hidden, layers, crossed=False)
        self.decoders = nn.ModuleList(
            Refinement(out, out, hidden, layers, crossed=True) for _ in range(decoders)
        )

    def forward(self, features: Tensor) -> Tensor:
        # Whole channels are dropped: single frames would be filled from their
        # neighbours.
        x = self.dropout(features.transpose(1, 2))  # (V, D, T)
        states, logits = self.encoder(x)  # (V, hidden, T), (V, out, T)
        for number, decoder in enumerate(self.decoders):
            # Shares of the clip, in units of an even share; the further on, the less
            # the attention weighs.
            shares = logits.softmax(dim=2) * logits.shape[2]
            states, logits = decoder(shares, states, weight=math.exp(-3 * number))
        return logits.transpose(1, 2)


class Refinement(nn.Module):
    """The encoder or one decoder of ASFormer: (V, C, T) → states (V, hidden, T), logits
    (V, out, T)."""

    def __init__(
        self, channels: int, out: int, hidden: int, layers: int, crossed: bool
    ) -> None:
        super().__init__()
        self.entry = nn.Conv1d(channels, hidden, 1)
        self.layers = nn.ModuleList(
            WindowLayer(hidden, 2**layer, crossed) for layer in range(layers)
        )
        self.exit = nn.Conv1d(hidden, out, 1, bias=False)

    def forward(
        self, x: Tensor, guide: Tensor | None = None, weight: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        x = self.entry(x)
        for layer in self.layers:
            x = layer(x, guide, weight)
        return x, self.exit(x)


class WindowLayer(nn.Module):
    """A dilated convolution and attention within a window, around a residual: (V, C, T)
    → (V, C, T).

    Args:
        dim: C.
        reach: Dilation of the convolution; attention goes as many frames to either
            side.
        crossed: Whether the queries and keys also read a guide, (V, C, T), the states
            of the stage before.
    """

    def __init__(self, dim: int, reach: int, crossed: bool) -> None:
        super().__init__()
        self.reach = reach
        self.conv = nn.Conv1d(dim, dim, 3, padding=reach, dilation=reach)
        self.norm = nn.InstanceNorm1d(dim)
        asked = 2 * dim if crossed else dim
        self.query = nn.Conv1d(asked, dim // 2, 1)
        # No bias: what all keys share changes no softmax.
        self.key = nn.Conv1d(asked, dim // 2, 1, bias=False)
        self.value = nn.Conv1d(dim, dim // 2, 1)
        # No bias where it would only shift the last layer's answer in all frames.
        self.project = nn.Conv1d(dim // 2, dim, 1, bias=False)
        self.exit = nn.Conv1d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor, guide: Tensor | None, weight: float) -> Tensor:
        y = F.relu(self.conv(x))
        return x + self.exit(y + weight * self.attend(self.norm(y), guide))

    def attend(self, x: Tensor, guide: Tensor | None) -> Tensor:
        """Attend among frames at most `reach` apart: (V, C, T) → (V, C, T).

        Args:
            x: The layer's own states, normed.
            guide: Those of the stage before; None in the encoder.
        """
        asked = x if guide is None else torch.cat([x, guide], dim=1)  # (V, C or 2C, T)
        query, key = self.query(asked), self.key(asked)  # (V, C/2, T)
        value = self.value(x)  # (V, C/2, T)
        scores = query.transpose(1, 2) @ key / math.sqrt(query.shape[1])  # (V, T, T)
        frames = torch.arange(x.shape[2], device=x.device)
        too_far = (frames[:, None] - frames).abs() > self.reach
        attention = scores.masked_fill(too_far, -torch.inf).softmax(dim=2)
        return self.project(F.relu(value @ attention.transpose(1, 2)))


def choose_transitions(logits: Tensor, how: TransitionChoice = "increasing") -> Tensor:
    """Return the first frame of each stage but the first: (V, T, K−1) logits → (V, K−1)
    int64 frames.

    With P_k the softmax of column k over time, ``increasing`` takes the frames 0 < t_1
    < … < t_{K−1} whose product Π P_k(t_k) is highest, exactly, over the whole clip.
    ``window`` is the released code's: t_k is the best frame of the k-th of K−1 equal
    parts of the clip, which cannot find a transition that lies in another part.

    Args:
        logits: Of the segmenter.
        how: ``increasing`` or ``window``.
    """
    videos, _, transitions = logits.shape
    if transitions == 0:
        return torch.zeros(videos, 0, dtype=torch.int64, device=logits.device)
    # The softmax over time only adds a constant to a column, so the best logits are the
    # best probabilities.
    gains = logits.detach().float().transpose(1, 2)  # (V, K−1, T)
    if how == "window":
        return _choose_in_windows(gains)
    return _choose_increasing(gains)


def _choose_increasing(gains: Tensor) -> Tensor:
    """Dynamic programming: the best way that ends in frame t comes from the best way
    that ended before t."""
    first, *later = gains.unbind(dim=1)
    # No flight begins with the clip: frame 0 is the take-off's.
    best = F.pad(first[:, 1:], (1, 0), value=-torch.inf)  # (V, T)
    origins = []
    for gain in later:
        so_far, place = best.cummax(dim=1)  # up to and with each frame
        # Moved on by one frame, for the transition before must lie before.
        origins.append(F.pad(place[:, :-1], (1, 0)))
        best = gain + F.pad(so_far[:, :-1], (1, 0), value=-torch.inf)
    # Back from the best end.
    chosen = [best.argmax(dim=1, keepdim=True)]  # (V, 1), the last transition
    for origin in reversed(origins):
        chosen.insert(0, origin.gather(1, chosen[0]))
    return torch.cat(chosen, dim=1)


def _choose_in_windows(gains: Tensor) -> Tensor:
    count, frames = gains.shape[1:]
    best = []
    for k in range(count):
        start, end = frames * k // count, frames * (k + 1) // count
        best.append(gains[:, k, start:end].argmax(dim=1) + start)
    return torch.stack(best, dim=1)


def pool_stages(
    features: Tensor,
    transitions: Tensor,
    tokens: int,
    how: StagePoolingHow = "disjoint",
) -> Tensor:
    """Resample each stage to as many tokens, linearly and ends on ends: (V, frames, D)
    → (V, K, T, D).

    A single token is read in the middle of its stage.

    Args:
        features: (V, frames, D), of any modality.
        transitions: (V, K−1) int64, first frame of each stage but the first; see
            :func:`separated` for those that leave a stage empty.
        tokens: T.
        how: ``disjoint``: stage k is [t_{k−1}, t_k), t_0 = 0 and t_K = frames.
            ``overlapping``, as in the released code: it is [t_{k−1}, t_k], two
            neighbours share a frame.
    """
    weights = stage_weights(transitions, features.shape[1], tokens, how).to(
        features.dtype
    )
    return weights @ features[:, None]  # (V, K, T, frames) @ (V, 1, frames, D)


def stage_weights(
    transitions: Tensor, frames: int, tokens: int, how: StagePoolingHow = "disjoint"
) -> Tensor:
    """Return the share of each frame in each token, (V, K, T, frames) float32; a
    token's shares add up to 1.

    As a matrix product, because torch's own interpolation has no deterministic gradient
    on CUDA.

    Args:
        transitions: (V, K−1) int64.
        frames: Of a video.
        tokens: T.
        how: See :func:`pool_stages`.
    """
    inner = separate_transitions(transitions, frames)  # (V, K−1)
    starts = F.pad(inner, (1, 0), value=0)  # (V, K)
    last_of_stage = inner if how == "overlapping" else inner - 1
    ends = F.pad(last_of_stage, (0, 1), value=frames - 1)  # (V, K), inclusive
    # One token is read in the middle, several from end to end.
    steps = torch.full((1,), 0.5, device=inner.device)
    if tokens > 1:
        steps = torch.linspace(0, 1, tokens, device=inner.device)
    at = starts[..., None] + (ends - starts)[..., None] * steps  # (V, K, T)
    numbers = torch.arange(frames, device=at.device)
    distance = (at[..., None] - numbers).abs()  # (V, K, T, frames)
    # Linear interpolation: the two frames beside a place share it by nearness.
    return F.relu(1 - distance)


def separate_transitions(transitions: Tensor, frames: int) -> Tensor:
    """Move (V, K−1) transitions just as far that they increase and each of the K stages
    has a frame.

    A transition that is not after the one before it moves behind it, and all stay
    within the clip; transitions that are in order stay as they are.

    Args:
        transitions: (V, K−1) int64.
        frames: Of a video.
    """
    order = torch.arange(1, transitions.shape[1] + 1, device=transitions.device)
    if len(order) == 0:
        return transitions
    # t increases strictly where t_k − k does not decrease.
    slack = (transitions - order).cummax(dim=1).values
    # The first stage needs a frame before t_1, the last one a frame from t_{K−1} on.
    slack = slack.clamp(0, frames - len(order) - 1)
    return slack + order
