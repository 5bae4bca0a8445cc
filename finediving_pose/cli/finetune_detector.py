"""``fdpose finetune-detector``."""

from finediving_pose.cli._finetune import make_finetune_command

command = make_finetune_command(
    "detector",
    preset="s",
    presets="s, m, rtmdet-tiny, few-labels, tiny (for CPUs)",
    shown=("best_recall", "AP50", "AP"),
    next_command="fdpose extract --videos PATH --detector {model}",
    text="""Fine-tune RTMDet on the drawn athlete boxes, so that spectators are not detected at all.

    Example: fdpose finetune-detector --data labels/final --preset tiny epochs=30 image_size=416

    Several GPUs: torchrun --nproc_per_node 4 -m finediving_pose finetune-detector --out runs/detector/mine …
    """,
)
