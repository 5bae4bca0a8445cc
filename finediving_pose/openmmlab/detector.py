"""Loading of detectors, and MMDetection's models as detectors: images of any number of
frames and clips in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.config import find_nearest_name, validate_settings
from finediving_pose.console import log
from finediving_pose.datasets.model_directory import (
    SYNTHETIC,
    is_model_directory,
    model_path,
    read_model_directory,
)
from finediving_pose.devices import choose_device
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.files import sha256_file
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab import compat, weights
from finediving_pose.openmmlab.settings import DetectorSettings
from finediving_pose.records import Detections

compat.require_packages("mmdet")

import torch  # noqa: E402
from mmdet.registry import MODELS, TRANSFORMS  # noqa: E402
from mmengine.config import Config, ConfigDict  # noqa: E402
from mmengine.dataset import Compose, pseudo_collate  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

from finediving_pose.openmmlab import detector_parts  # noqa: E402, F401 - registers our parts
from finediving_pose.openmmlab.athlete_detector import AthleteDetector  # noqa: E402
from finediving_pose.openmmlab.detector_config import configure_detector  # noqa: E402
from finediving_pose.openmmlab.device_batches import DTYPES  # noqa: E402

PEOPLE = {"athlete", "person", "diver"}
"""Class names that count as people in a foreign detector."""

FOREIGN_THRESHOLD = 0.05
"""Score below which a foreign detector's boxes are dropped unless another is given."""


class MMDetector:
    """Any model of MMDetection as a detector of people; fulfils
    :class:`finediving_pose.network_interfaces.Detector`.

    Args:
        net: The model, its weights loaded.
        pipeline: Its test steps, without those that load files or labels.
        identity: Names weights and settings, in JSON types.
        options: How it runs, its device chosen.
        people: Ids of the classes to keep; None = all.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        pipeline: list[dict[str, Any]],
        identity: dict[str, Any],
        options: NetworkOptions,
        people: tuple[int, ...] | None = None,
    ) -> None:
        self.score_threshold = FOREIGN_THRESHOLD
        if options.score_threshold is not None:
            self.score_threshold = options.score_threshold
        self.identity = identity | {
            "score_threshold": self.score_threshold,
            "precision": options.precision,
        }
        self.device = torch.device(options.device)
        self.dtype = DTYPES[options.precision]
        self.net = net.to(self.device).eval()
        self.people = people
        with _scope():
            self._prepare = Compose([TRANSFORMS.build(step) for step in pipeline])

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Return the people in each (H, W, 3) uint8 BGR image, best first; an image may
        have none."""
        if not images:
            return []
        prepared = [
            self._prepare(_make_sample(i, image)) for i, image in enumerate(images)
        ]
        mixed = self.dtype is not torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=mixed):
            net: Any = self.net
            samples = net.test_step(pseudo_collate(prepared))
        return [self._select_people(sample) for sample in samples]

    def _select_people(self, sample: Any) -> Detections:
        found = sample.pred_instances
        height, width = sample.ori_shape
        # MMDetection keeps boxes inside the padded square, which is more than the
        # image.
        limits = found.bboxes.new_tensor([width, height, width, height])
        boxes = found.bboxes.clamp(min=0).minimum(limits)
        keep = found.scores >= self.score_threshold
        keep &= (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        if self.people is not None:
            people = torch.tensor(self.people, device=found.labels.device)
            keep &= torch.isin(found.labels, people)
        boxes, scores = boxes[keep], found.scores[keep]
        order = scores.argsort(descending=True, stable=True)
        return Detections(
            boxes=boxes[order].float().cpu().numpy().reshape(-1, 4),
            scores=scores[order].float().cpu().numpy(),
        )


def load_detector(
    spec: str, options: NetworkOptions = NetworkOptions()
) -> AthleteDetector | MMDetector:
    """Load a detector.

    Args:
        spec: A model directory; ``synthetic``, the packaged one;
            ``CONFIG.py,CHECKPOINT``; or the name of a model-zoo config such as
            ``rtmdet_m_8xb32-300e_coco``, whose weights MMEngine's cache keeps.
        options: How it is loaded and runs. Without a score threshold a model directory
            has its own, any other detector `FOREIGN_THRESHOLD`.

    Raises:
        UsageError, DataError: If there is no such detector, or its files do not fit.
        EnvironmentUnfit: If the device is absent, weights must be fetched and cannot
            be, or the detector needs compiled ops.
    """
    options = replace(options, device=choose_device(options.device))
    path = model_path(spec, "detector")
    if is_model_directory(path):
        return _load_own(path, options)
    if options.compile:
        log.warning(
            "--detector %s: is not compiled, as a model directory would be; "
            "the pose network is",
            spec,
        )
    config_name, comma, checkpoint = spec.partition(",")
    if comma:
        config_path = Path(config_name)
        if not config_path.is_file():
            raise UsageError(f"--detector {spec}: no config file {config_path}")
        located = weights.locate_weights(checkpoint, "detector")
    else:
        config_path, url = _find_in_zoo(spec)
        located = weights.locate_weights(url, "detector")
    if located is None:
        raise UsageError(
            f"--detector {spec}: a detector without weights finds nothing; "
            "name a checkpoint"
        )
    return _load_foreign(config_path, located, options)


def _load_own(path: Path, options: NetworkOptions) -> AthleteDetector:
    directory = read_model_directory(path, "detector")
    settings = validate_settings(
        DetectorSettings, directory.settings, f"{path}/model.json"
    )
    with _scope():
        net = MODELS.build(ConfigDict(configure_detector(settings)))
    report = weights.fill_network(net, directory.weights)
    if report.missing or report.mismatched:
        raise UsageError(
            "the weights do not fill the network: " + "\n".join(report.lines())
        )
    identity = {
        "kind": "detector",
        "weights_sha256": directory.weights_sha256,
        "settings": settings.model_dump(mode="json"),
    }
    return AthleteDetector(net, settings, identity, options)


def _load_foreign(
    config_path: Path, checkpoint: Path, options: NetworkOptions
) -> MMDetector:
    config = Config.fromfile(str(config_path))
    _remove_downloads(config.model)
    pipeline = []
    for step in config.test_dataloader.dataset.pipeline:
        if not str(step["type"]).startswith(("LoadImage", "LoadAnnotations")):
            pipeline.append(dict(step))
    try:
        with _scope():
            net = MODELS.build(config.model)
        _use_torchvision(net)
        # Some ops are missed only when they run.
        MMDetector(net, pipeline, {}, NetworkOptions("cpu"))(
            [np.zeros((64, 64, 3), np.uint8)]
        )
    except NotImplementedError as error:
        raise EnvironmentUnfit(f"{config_path.stem}: {error}") from error
    report = weights.fill_network(net, checkpoint, options.trust)
    if report.missing or report.mismatched:
        raise UsageError(
            f"{config_path.stem}: the checkpoint does not fill the network: "
            + "\n".join(report.lines())
        )
    # A checkpoint says what it was trained on; old ones under another name, and some
    # only by their config.
    meta = compat.load_checkpoint(checkpoint, options.trust).get("meta", {})
    classes = (meta.get("dataset_meta") or {}).get("classes")
    classes = classes or meta.get("CLASSES") or _list_classes(config)
    people = tuple(i for i, name in enumerate(classes) if str(name).lower() in PEOPLE)
    if not people:
        shown = ", ".join(map(str, classes[:8]))
        raise UsageError(
            f"{config_path.stem}: none of its classes is a person ({shown} …)"
        )
    identity = {
        "kind": "detector",
        "weights_sha256": sha256_file(checkpoint),
        "settings": config_path.stem,
    }
    return MMDetector(net, pipeline, identity, options, people)


def _use_torchvision(net: torch.nn.Module) -> None:
    """Let RoIAlign run on torchvision where that is real: MMCV's default is its
    compiled op."""
    from mmcv.ops import RoIAlign

    if compat.list_stand_ins()["torchvision"] != "torchvision":
        return
    for module in net.modules():
        if isinstance(module, RoIAlign):
            module.use_torchvision = True


def _scope() -> Any:
    """Look names up among MMDetection's parts, whatever was used before in this
    process."""
    return DefaultScope.overwrite_default_scope("mmdet")


def _find_in_zoo(name: str) -> tuple[Path, str]:
    import mmdet
    import yaml

    root = Path(mmdet.__file__).parent / ".mim" / "configs"
    configs = {path.stem: path for path in root.rglob("*.py")}
    if name not in configs:
        running = [stem for stem in configs if stem.startswith(("rtmdet", "yolox"))]
        raise UsageError(
            f"--detector {name}: no model directory, not {SYNTHETIC!r}, "
            "no CONFIG.py,CHECKPOINT, no model-zoo config"
            + find_nearest_name(name, [SYNTHETIC, *running])
        )
    folder = configs[name].parent
    for path in [folder / "metafile.yml", *folder.glob("*.yml")]:
        if not path.is_file():
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for model in content.get("Models", []):
            if model.get("Name") == name and model.get("Weights"):
                return configs[name], model["Weights"]
    raise UsageError(
        f"--detector {name}: the model zoo lists no weights for it; "
        "give CONFIG.py,CHECKPOINT"
    )


def _remove_downloads(model: Any) -> None:
    """Take out initial weights that a build would fetch only for the checkpoint to
    replace them."""
    if not isinstance(model, dict):
        return
    start = model.get("init_cfg")
    if isinstance(start, dict) and start.get("type") == "Pretrained":
        model["init_cfg"] = None
    for value in model.values():
        _remove_downloads(value)


def _list_classes(config: Any) -> tuple[str, ...]:
    classes = (config.test_dataloader.dataset.get("metainfo") or {}).get("classes")
    if classes:
        return tuple(classes)
    from mmdet.datasets import CocoDataset

    return tuple(CocoDataset.METAINFO["classes"])


def _make_sample(index: int, image: NDArray[np.uint8]) -> dict[str, Any]:
    height, width = image.shape[:2]
    return {
        "img": image,
        "img_id": index,
        "img_path": "",
        "img_shape": (height, width),
        "ori_shape": (height, width),
    }
