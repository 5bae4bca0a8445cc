"""Make the models that come with the package out of those that few_labels.py and
few_boxes.py pretrained.

    python tools/few_labels.py --sample SAMPLE --lsp LSP --out runs/few --variants
    synth-alone --train-on first python tools/few_boxes.py  --sample SAMPLE --lsp LSP
    --out runs/few --variants generated-alone --train-on first python
    tools/ship_synthetic.py runs/few

Their weights are written in half precision to finediving_pose/synthetic_models/, with
the card and the manifest of the training. A model that was trained on anything but
generated frames is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from finediving_pose import console, errors
from finediving_pose.datasets.model_directory import (
    PACKAGED,
    WEIGHTS_NAME,
    ModelDirectory,
    ModelKind,
    read_model_directory,
    write_model_card,
)
from finediving_pose.errors import UsageError
from finediving_pose.files import atomic_folder, write_json
from finediving_pose.manifest import MANIFEST_NAME

SOURCES: dict[ModelKind, str] = {"pose": "synth_seed0", "detector": "boxes"}
GENERATED = ("easy_Synthetic", "hard_Synthetic")
MOST_BYTES = 15_000_000
KEPT = (
    "seed",
    "seconds",
    "device",
    "packages",
    "git_commit",
    "config_sha256",
    "model_sha256",
)
PLACES = ("--sample", "--lsp", "--out")


def main() -> int:
    """Parse the command line and ship; 2 where a model must not be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of both tools")
    parser.add_argument("--to", type=Path, default=PACKAGED)
    options = parser.parse_args()
    console.setup_logging()
    try:
        for kind, name in SOURCES.items():
            shipped = ship(
                read_model_directory(options.run / "pretraining" / name, kind),
                options.to / kind,
            )
            print(
                f"{shipped.path}: {shipped.weights.stat().st_size / 1e6:.1f} MB, sha256 {shipped.weights_sha256}"
            )
    except errors.FdposeError as error:
        console.log.error("%s", error)
        return error.exit_code
    return errors.EXIT_DONE


def ship(model: ModelDirectory, target: Path) -> ModelDirectory:
    """Write a model in half precision, with where it comes from.

    Raises:
        UsageError: If it knows frames that were not generated, or is too large for a
            package.
    """
    real = [name for name in model.trained_on if not name.startswith(GENERATED)]
    if real or not model.trained_on:
        raise UsageError(
            f"{model.path}: is not of generated frames alone: {', '.join(real[:3]) or 'of none'}"
        )
    tensors = {
        name: _halved(tensor) for name, tensor in load_file(model.weights).items()
    }
    with atomic_folder(target) as folder:
        save_file(tensors, folder / WEIGHTS_NAME)
        size = (folder / WEIGHTS_NAME).stat().st_size
        if size > MOST_BYTES:
            raise UsageError(
                f"{model.path}: {size / 1e6:.1f} MB in half precision, expected at most 15"
            )
        write_model_card(
            folder, model.kind, model.settings | {"init_from": "none"}, model.trained_on
        )
        manifest = json.loads((model.path / MANIFEST_NAME).read_text(encoding="utf-8"))
        origin = {
            "synthetic": "trained on generated divers only",
            "tool": "tools/ship_synthetic.py",
        }
        origin["command"] = " ".join(hide_folders(manifest["command"]))
        write_json(
            folder / MANIFEST_NAME, origin | {name: manifest[name] for name in KEPT}
        )
    return read_model_directory(target, model.kind)


def hide_folders(command: list[str]) -> list[str]:
    """Return a command line with a word in the place of each folder, which is
    somebody's own."""
    words = [f"tools/{Path(command[0]).name}", *command[1:]]
    return [
        before[2:].upper() if before in PLACES else word
        for before, word in zip(["", *words], words, strict=False)
    ]


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half() if tensor.is_floating_point() else tensor
    if not half.isfinite().all():
        raise UsageError("a weight is too large for half precision")
    return half


if __name__ == "__main__":
    sys.exit(main())
