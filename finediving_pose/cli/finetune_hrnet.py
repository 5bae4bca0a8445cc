"""``fdpose finetune-hrnet``."""

from finediving_pose.cli._finetune import make_finetune_command

command = make_finetune_command(
    "hrnet",
    preset="paper",
    presets="paper, w32, few-labels, tiny (for CPUs)",
    shown=("PCK", "PCK_limbs", "PCKh", "AP", "AP50"),
    next_command="fdpose prelabel, or fdpose extract --videos PATH --model {model}",
    text="""Fine-tune HRNet on labelled frames; the result is a model directory.

    Example: fdpose finetune-hrnet --data labels/final --preset tiny epochs=30 rotation=90

    Several GPUs: torchrun --nproc_per_node 4 -m finediving_pose finetune-hrnet --out runs/hrnet/mine …
    """,
)
