"""The exemplar bank of a score model: its training dives, encoded, so that it scores
without the training set.

::

    <model directory>/exemplars/
      exemplars.json        format, hash of the weights, and of each dive its record and what tells it apart
      features.safetensors  all that comparing needs of the dives (float32)
      pictures.npz          some frames of each stage as JPEG, the joints in them, and the grey values of fingerprints
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.dive_fingerprints import (
    COMPARED,
    GRID,
    SHOWN,
    Fingerprint,
    FingerprintedPreview,
    preview_dive,
)
from finediving_pose.console import log, progress
from finediving_pose.datasets.array_files import read_arrays
from finediving_pose.datasets.model_directory import WEIGHTS_NAME, read_model_directory
from finediving_pose.errors import DataError
from finediving_pose.files import (
    atomic_folder,
    parse_json,
    read_text,
    sha256_file,
    write_json,
)
from finediving_pose.records import Dive
from finediving_pose.skeleton import NUM_JOINTS

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dataset import VideoLoader
    from finediving_pose.aqa.inference import InferenceOptions
    from finediving_pose.aqa.score_model import Encoded, ScoreModel

BANK_NAME = "exemplars"
LIST_NAME = "exemplars.json"
FEATURES_NAME = "features.safetensors"
PREVIEWS_NAME = "pictures.npz"
FORMAT = 1


@dataclass(frozen=True)
class Bank:
    """The training dives of a model.

    Attributes:
        dives: N records.
        encoded: What the model made of them, on the CPU.
        previews: Some frames of each, with its skeleton and fingerprint.
    """

    dives: tuple[Dive, ...]
    encoded: Encoded
    previews: tuple[FingerprintedPreview, ...]

    def compare_fingerprints(
        self, fingerprint: Fingerprint
    ) -> dict[int, dict[str, bool]]:
        """Return of each dive, by position, whether its images, skeleton and features
        are those of a fingerprint; see :meth:`Fingerprint.compare_with`."""
        compared = {}
        for place, preview in enumerate(self.previews):
            compared[place] = fingerprint.compare_with(preview.fingerprint)
        return compared


def write_bank(
    folder: Path,
    model: ScoreModel,
    dives: Sequence[AqaDive],
    loader: VideoLoader,
    options: InferenceOptions | None = None,
) -> Path:
    """Encode the training dives and write them beside the weights.

    Args:
        folder: The model directory; the weights are in it.
        model: The same weights, on the device of the options.
        dives: One or more.
        loader: Reads them.
        options: How the model is run; None = on the CPU, in this process.

    Returns:
        The folder of the bank.

    Raises:
        DataError: If there are no weights, or a dive cannot be read.
    """
    from finediving_pose.aqa.inference import PLAIN, encode

    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise DataError(
            f"{folder}: has no {WEIGHTS_NAME}, which an exemplar bank belongs to"
        )
    titled = replace(options or PLAIN, title="Encode exemplars")
    encoded = encode(model, dives, loader, titled)
    previews = _preview_dives(model, dives, encoded, loader)
    target = folder / BANK_NAME
    with atomic_folder(target) as temporary:
        _write_features(temporary / FEATURES_NAME, encoded)
        _write_previews(temporary / PREVIEWS_NAME, previews)
        listed = _list_dives(sha256_file(weights), dives, previews)
        write_json(temporary / LIST_NAME, listed, indent=None)
    return target


def read_bank(folder: Path) -> Bank:
    """Read the exemplar bank of a model directory.

    Raises:
        UsageError: If the folder is no model directory of a score model.
        DataError: If it has no bank, the bank is damaged, or belongs to other weights.
    """
    directory = read_model_directory(folder, "aqa")
    root = folder / BANK_NAME
    if not root.is_dir():
        raise DataError(
            f"{folder}: has no exemplar bank ({BANK_NAME}/), which train-aqa writes when it has finished; "
            f"fdpose train-aqa --resume {folder} finishes a run"
        )
    listed = _read_list(root / LIST_NAME)
    if listed["weights_sha256"] != directory.weights_sha256:
        raise DataError(
            f"{root}: belongs to other weights than {directory.weights}; copy the whole model directory"
        )
    dives: list[Dive] = []
    hashes: list[tuple[str, str]] = []
    try:
        for each in listed["dives"]:
            dives.append(_make_record(each["dive"]))
            hashes.append((str(each["skeleton"]), str(each["features"])))
    except (KeyError, TypeError, ValueError) as error:
        raise _make_damage_error(root / LIST_NAME, error) from None
    encoded = _read_features(root / FEATURES_NAME, len(dives))
    stages = encoded.transitions.shape[1] + 1
    previews = _read_previews(root / PREVIEWS_NAME, hashes, stages)
    return Bank(tuple(dives), encoded, previews)


def _preview_dives(
    model: ScoreModel, dives: Sequence[AqaDive], encoded: Encoded, loader: VideoLoader
) -> list[FingerprintedPreview]:
    frames = model.settings.frames

    def preview(dive: AqaDive, transitions: list[int]) -> FingerprintedPreview:
        features = None
        if model.settings.features:
            own = loader.load(dive).features
            features = None if own is None else own.numpy()
        try:
            return preview_dive(dive, transitions, frames, features)
        except DataError as error:
            # It was encoded all the same: its frames came from the cache.
            log.warning("%s; the exemplar bank has no images of this dive", error)
            without_images = AqaDive(dive.record, None, dive.skeleton)
            return preview_dive(without_images, transitions, frames)

    previews = []
    with (
        progress("Images of exemplars", len(dives)) as ticker,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for each in pool.map(preview, dives, encoded.transitions.tolist()):
            previews.append(each)
            ticker.advance()
    return previews


def _list_dives(
    weights_sha256: str,
    dives: Sequence[AqaDive],
    previews: Sequence[FingerprintedPreview],
) -> dict[str, Any]:
    listed = []
    for dive, preview in zip(dives, previews, strict=True):
        listed.append(
            {
                "dive": asdict(dive.record),
                "skeleton": preview.fingerprint.skeleton,
                "features": preview.fingerprint.features,
            }
        )
    return {"format": FORMAT, "weights_sha256": weights_sha256, "dives": listed}


def _read_list(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path))
        if content["format"] != FORMAT:
            raise DataError(
                f"{path}: found format {content['format']!r}, this fdpose reads format {FORMAT}"
            )
        return {
            "weights_sha256": content["weights_sha256"],
            "dives": list(content["dives"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _make_damage_error(path, error) from None


def _make_record(values: dict[str, Any]) -> Dive:
    known = {field.name: values[field.name] for field in fields(Dive)}
    for name in ("awards", "transitions"):  # JSON has lists only
        if known[name] is not None:
            known[name] = tuple(known[name])
    return Dive(**known)


def _write_features(path: Path, encoded: Encoded) -> None:
    from safetensors.torch import save

    tensors = {}
    for name, tensor in encoded.tokens.items():
        tensors[f"tokens.{name}"] = tensor
    for name, tensor in encoded.vectors.items():
        tensors[f"vectors.{name}"] = tensor
    tensors |= {"logits": encoded.logits, "transitions": encoded.transitions}
    path.write_bytes(
        save({name: tensor.contiguous() for name, tensor in tensors.items()})
    )


def _read_features(path: Path, dives: int) -> Encoded:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from finediving_pose.aqa.score_model import Encoded

    tokens, vectors = {}, {}
    try:
        tensors = load_file(path)
        for name, tensor in tensors.items():
            if name.startswith("tokens."):
                tokens[name.removeprefix("tokens.")] = tensor
            elif name.startswith("vectors."):
                vectors[name.removeprefix("vectors.")] = tensor
        encoded = Encoded(tokens, vectors, tensors["logits"], tensors["transitions"])
    except (OSError, SafetensorError, KeyError) as error:
        raise _make_damage_error(path, error) from None
    counts = {len(tensor) for tensor in tensors.values()}
    if counts != {dives}:
        raise DataError(
            f"{path}: holds {sorted(counts)} dives, {LIST_NAME} beside it {dives}; copy the folder again"
        )
    return encoded


def _write_previews(path: Path, previews: Sequence[FingerprintedPreview]) -> None:
    jpegs: list[bytes] = []
    grey: list[NDArray[np.uint8]] = []
    for preview in previews:
        jpegs += preview.images
        images = preview.fingerprint.images
        grey.append(np.zeros((COMPARED, *GRID), np.uint8) if images is None else images)
    np.savez(
        path,
        jpeg=np.frombuffer(b"".join(jpegs), np.uint8),
        ends=np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64),
        numbers=np.stack([preview.numbers for preview in previews]),
        poses=np.stack([preview.poses for preview in previews]),
        grey=np.stack(grey),
        looked_at=np.array(
            [preview.fingerprint.images is not None for preview in previews]
        ),
    )


def _read_previews(
    path: Path, hashes: Sequence[tuple[str, str]], stages: int
) -> tuple[FingerprintedPreview, ...]:
    count = len(hashes)
    shown = stages * SHOWN
    shapes = {
        "ends": (count * shown,),
        "numbers": (count, stages, SHOWN),
        "poses": (count, stages, SHOWN, NUM_JOINTS, 2),
        "grey": (count, COMPARED, *GRID),
        "looked_at": (count,),
    }
    wanted = ("jpeg", *shapes)
    try:
        arrays = read_arrays(path, wanted)
    except DataError as error:
        raise _make_damage_error(path, error) from None
    lacking = set(wanted) - arrays.keys()
    if lacking:
        raise _make_damage_error(path, KeyError(", ".join(sorted(lacking))))
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise DataError(
                f"{path}: '{name}' has shape {arrays[name].shape}, expected {shape}; copy the folder again"
            )
    # All files stand one behind the other, and `ends` says where each is over.
    content_bytes = arrays["jpeg"].tobytes()
    edges = [0, *arrays["ends"].tolist()]
    jpegs = [content_bytes[start:end] for start, end in pairwise(edges)]
    previews = []
    for place, (skeleton, features) in enumerate(hashes):
        grey = arrays["grey"][place] if arrays["looked_at"][place] else None
        previews.append(
            FingerprintedPreview(
                numbers=arrays["numbers"][place],
                images=tuple(jpegs[place * shown : (place + 1) * shown]),
                poses=arrays["poses"][place],
                fingerprint=Fingerprint(grey, skeleton, features),
            )
        )
    return tuple(previews)


def _make_damage_error(path: Path, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    return DataError(
        f"{path}: not readable as an exemplar bank ({reason}); copy the model directory again"
    )
