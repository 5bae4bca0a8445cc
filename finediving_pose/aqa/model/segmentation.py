"""Procedure segmentation (eq. 6): at which frames a dive goes over into its next stage."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from finediving_pose.aqa.settings import SegmenterKind


class Segmenter(nn.Module):
    """The network P of eq. 6, one logit a frame for each transition.

    Shape: (V, T, D) → (V, T, K−1). The softmax, over time, is the loss's.

    Args:
        kind: ``bigru`` as in the paper; ``fc``, ``tcn`` and ``asformer`` are those of its Table VI.
        dim: D.
        transitions: K−1, at least 1: a dive of one stage has nothing to segment.
    """

    def __init__(self, kind: SegmenterKind, dim: int, transitions: int = 2) -> None:
        super().__init__()
        nets: dict[SegmenterKind, Callable[[int, int], nn.Module]] = {
            "bigru": BiGru,
            "fc": _frame_logits,
            "tcn": CausalTcn,
            "asformer": AsFormer,
        }
        self.net = nets[kind](dim, transitions)

    def forward(self, features: Tensor) -> Tensor:
        return self.net(features)


def _frame_logits(dim: int, out: int) -> nn.Linear:
    """A linear layer without bias: what is added to every frame changes no softmax over time."""
    return nn.Linear(dim, out, bias=False)


class BiGru(nn.Module):
    """A bidirectional GRU of one layer, dropout and a fully connected layer: (V, T, D) → (V, T, out)."""

    def __init__(self, dim: int, out: int, hidden: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = _frame_logits(2 * hidden, out)

    def forward(self, features: Tensor) -> Tensor:
        states, _ = self.gru(features)  # (V, T, 2 · hidden)
        return self.linear(self.dropout(states))


class CausalTcn(nn.Module):
    """The temporal convolutional network of Bai et al. (2018): (V, T, D) → (V, T, out).

    A frame sees itself and the 124 before it, none after it.
    """

    def __init__(self, dim: int, out: int, hidden: int = 64, levels: int = 5, dropout: float = 0.2) -> None:
        super().__init__()
        widths = [dim, *[hidden] * levels]
        self.blocks = nn.ModuleList(
            CausalBlock(widths[level], hidden, dilation=2**level, dropout=dropout) for level in range(levels)
        )
        self.linear = _frame_logits(hidden, out)

    def forward(self, features: Tensor) -> Tensor:
        x = features.transpose(1, 2)  # (V, D, T)
        for block in self.blocks:
            x = block(x)  # (V, hidden, T)
        return self.linear(x.transpose(1, 2))


class CausalBlock(nn.Module):
    """Two dilated causal convolutions with weight norm, ReLU and dropout, and a residual: (V, C, T) → (V, out, T)."""

    def __init__(self, channels: int, out: int, dilation: int, dropout: float, kernel: int = 3) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.first = weight_norm(nn.Conv1d(channels, out, kernel, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(out, out, kernel, dilation=dilation))
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Conv1d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in (self.first, self.second):
            y = self.dropout(F.relu(conv(F.pad(y, (self.past, 0)))))
        return F.relu(y + self.residual(x))


class AsFormer(nn.Module):
    """ASFormer (Yi et al. 2021), an encoder and decoders that refine its answer: (V, T, D) → (V, T, out).

    Each layer sees twice as far as the one before it. The answer is the last decoder's.
    """

    def __init__(
        self, dim: int, out: int, hidden: int = 64, layers: int = 6, decoders: int = 3, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout1d(dropout)
        self.encoder = Refinement(dim, out, hidden, layers, crossed=False)
        self.decoders = nn.ModuleList(Refinement(out, out, hidden, layers, crossed=True) for _ in range(decoders))

    def forward(self, features: Tensor) -> Tensor:
        x = self.dropout(features.transpose(1, 2))  # (V, D, T), whole channels dropped
        states, logits = self.encoder(x)  # (V, hidden, T), (V, out, T)
        for number, decoder in enumerate(self.decoders):
            # Shares of the clip, in units of an even share; the further on, the less the attention weighs.
            shares = logits.softmax(dim=2) * logits.shape[2]
            states, logits = decoder(shares, states, weight=math.exp(-3 * number))
        return logits.transpose(1, 2)


class Refinement(nn.Module):
    """The encoder or one decoder of ASFormer: (V, C, T) → states (V, hidden, T), logits (V, out, T)."""

    def __init__(self, channels: int, out: int, hidden: int, layers: int, crossed: bool) -> None:
        super().__init__()
        self.entry = nn.Conv1d(channels, hidden, 1)
        self.layers = nn.ModuleList(WindowLayer(hidden, 2**layer, crossed) for layer in range(layers))
        self.exit = nn.Conv1d(hidden, out, 1, bias=False)

    def forward(self, x: Tensor, guide: Tensor | None = None, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        x = self.entry(x)
        for layer in self.layers:
            x = layer(x, guide, weight)
        return x, self.exit(x)


class WindowLayer(nn.Module):
    """A dilated convolution and attention within a window, around a residual: (V, C, T) → (V, C, T).

    Args:
        dim: C.
        reach: Dilation of the convolution; attention goes as many frames to either side.
        crossed: Whether the queries and keys also read a guide, (V, C, T), the states of the stage before.
    """

    def __init__(self, dim: int, reach: int, crossed: bool) -> None:
        super().__init__()
        self.reach = reach
        self.conv = nn.Conv1d(dim, dim, 3, padding=reach, dilation=reach)
        self.norm = nn.InstanceNorm1d(dim)
        self.query = nn.Conv1d(dim * (1 + crossed), dim // 2, 1)
        self.key = nn.Conv1d(dim * (1 + crossed), dim // 2, 1, bias=False)  # the same for all keys changes no softmax
        self.value = nn.Conv1d(dim, dim // 2, 1)
        # No bias where it would only shift the last layer's answer in all frames.
        self.project = nn.Conv1d(dim // 2, dim, 1, bias=False)
        self.exit = nn.Conv1d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor, guide: Tensor | None, weight: float) -> Tensor:
        y = F.relu(self.conv(x))
        return x + self.exit(y + weight * self._attend(self.norm(y), guide))

    def _attend(self, x: Tensor, guide: Tensor | None) -> Tensor:
        asked = x if guide is None else torch.cat([x, guide], dim=1)  # (V, C or 2C, T)
        query, key, value = self.query(asked), self.key(asked), self.value(x)  # (V, C/2, T) each
        scores = query.transpose(1, 2) @ key / math.sqrt(query.shape[1])  # (V, T, T)
        frames = torch.arange(x.shape[2], device=x.device)
        too_far = (frames[:, None] - frames).abs() > self.reach
        attention = scores.masked_fill(too_far, -torch.inf).softmax(dim=2)
        return self.project(F.relu(value @ attention.transpose(1, 2)))
