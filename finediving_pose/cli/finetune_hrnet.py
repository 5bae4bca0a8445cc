"""``fdpose finetune-hrnet``."""

from __future__ import annotations

from typing import Annotated

import typer

from finediving_pose.cli import _finetune as shared


def command(
    overrides: shared.OverridesArgument = None,
    preset: Annotated[str, typer.Option("--preset", help="paper, w32, tiny, or a YAML file.")] = "paper",
    data: shared.DataOption = None,
    images: shared.ImagesOption = None,
    splits: shared.SplitsOption = None,
    val: shared.ValOption = None,
    out: shared.OutOption = None,
    init_from: shared.InitOption = None,
    resume: shared.ResumeOption = None,
    epochs: shared.EpochsOption = None,
    seed: shared.SeedOption = None,
    device: shared.DeviceOption = "auto",
    trust_checkpoint: shared.TrustOption = False,
    json: shared.JsonOption = False,
) -> None:
    """Fine-tune HRNet on labelled frames; the result is a model directory.

    Example: fdpose finetune-hrnet --data labels/final --preset tiny epochs=30 rotation=90

    Several GPUs: torchrun --nproc_per_node 4 -m finediving_pose finetune-hrnet --out runs/hrnet/mine …
    """
    summary = shared.finetune(
        "hrnet",
        preset,
        overrides,
        data,
        images,
        splits,
        val,
        out,
        init_from,
        resume,
        epochs,
        seed,
        device,
        trust_checkpoint,
    )
    shared.answer(summary, json, ("PCK", "PCK_limbs", "PCKh", "AP", "AP50"))
