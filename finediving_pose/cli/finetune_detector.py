"""``fdpose finetune-detector``."""

from __future__ import annotations

from typing import Annotated

import typer

from finediving_pose.cli import _finetune as shared


def command(
    overrides: shared.OverridesArgument = None,
    preset: Annotated[str, typer.Option("--preset", help="s, m, rtmdet-tiny, tiny (for CPUs), or a YAML file.")] = "s",
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
    """Fine-tune RTMDet on the drawn athlete boxes, so that spectators are not detected at all.

    Example: fdpose finetune-detector --data labels/final --preset tiny epochs=30 image_size=416

    Several GPUs: torchrun --nproc_per_node 4 -m finediving_pose finetune-detector --out runs/detector/mine …
    """
    summary = shared.finetune(
        "detector",
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
    shared.answer(summary, json, ("best_recall", "AP50", "AP"))
