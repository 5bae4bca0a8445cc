"""What the two visual encoders share: a net, perhaps pretrained, run over a few videos at a time."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from finediving_pose.aqa.weights import Loaded, load_pretrained
from finediving_pose.console import UsageError

Encoding = Callable[[Tensor], Tensor]


class VideoEncoder(nn.Module):
    """The frame of an encoder: `net` is what a weight file fills, everything else starts random.

    Memory is bounded by `videos_at_once` wherever no gradient is asked for, and with `checkpointing` in training
    too, for the price of a second forward pass; batch norms then take their statistics of as many videos. Training
    without checkpointing keeps every map until the backward pass, so it runs all videos at once.
    """

    def __init__(self, net: nn.Module, frames: int, videos_at_once: int, checkpointing: bool) -> None:
        super().__init__()
        self.net = net
        self.frames = frames
        self.videos_at_once = videos_at_once
        self.checkpointing = checkpointing
        self._frozen_norms: tuple[str, ...] = ()

    def load(self, path: Path, freeze_norms: bool = True) -> Loaded:
        """Fill the net from a file of published weights.

        Args:
            path: See :func:`~finediving_pose.aqa.weights.load_pretrained`, also for what it raises.
            freeze_norms: Keep the running statistics of the filled batch norms, in training too; their scale and shift
                go on learning.

        Raises:
            UsageError: If nobody published weights of this net.
        """
        layout = getattr(self.net, "layout", None)
        if layout is None:
            raise UsageError(f"{path}: there are no published weights of the tiny net; set its weights to `random`")
        loaded = load_pretrained(self.net, path, layout)
        if freeze_norms:
            self._freeze_norms(loaded.filled)
        return loaded

    def _freeze_norms(self, filled: Container[str]) -> None:
        norms = (name for name, module in self.net.named_modules() if isinstance(module, _BatchNorm))
        self._frozen_norms = tuple(name for name in norms if f"{name}.running_mean" in filled)
        self.train(self.training)

    def train(self, mode: bool = True) -> VideoEncoder:
        super().train(mode)
        for name in self._frozen_norms:
            self.net.get_submodule(name).eval()
        return self

    def few_at_a_time(self, encode: Encoding, videos: Tensor) -> Tensor:
        """Run `encode`, which uses the net, over the videos in portions: (V, 3, frames, H, W) → (V, …).

        Raises:
            UsageError: If the videos have another number of frames or of channels.
        """
        if videos.ndim != 5 or videos.shape[1:3] != (3, self.frames):
            raise UsageError(
                f"videos of shape {tuple(videos.shape)}, expected (V, 3, {self.frames}, H, W): "
                "give `frames` the number that the pictures were sampled to"
            )
        if torch.is_grad_enabled() and not self.checkpointing:
            return encode(videos)
        portions = videos.split(self.videos_at_once)
        if torch.is_grad_enabled():
            return torch.cat([self._checkpointed(encode, portion) for portion in portions])
        return torch.cat([encode(portion) for portion in portions])

    def _checkpointed(self, encode: Encoding, videos: Tensor) -> Tensor:
        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _statistics_kept(self.net)

        return checkpoint(encode, videos, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(net: nn.Module) -> Iterator[None]:
    """Run the net a second time on the same input without counting it again in the running statistics."""
    momenta = {module: module.momentum for module in net.modules() if isinstance(module, _BatchNorm)}
    for norm in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
