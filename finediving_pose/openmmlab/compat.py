"""Stand-ins for what today's torch, numpy and pip lack for the last MMDetection and
MMPose, put in place before either is imported.

Every part steps aside where the real thing imports. :func:`install_stand_ins` is called by each
module of this room that imports an mm* package, and costs nothing the second time.

* ``mmcv._ext``, the compiled ops that mmcv-lite does not have: ``nms`` works, any
  other op says what it needs.
* ``mmpose.visualization.simcc_vis``, which imports torchvision for a drawing that we
  never ask for. Nothing is put in torchvision's own place: others, such as
  pytorch-lightning, look whether it is there.
* ``xtcocotools``, which would need a compiler: pycocotools under its name. MMPose's own
  CocoMetric does not run on it (its COCOeval takes sigmas); ours sets pycocotools'
  ``kpt_oks_sigmas`` instead.
* Checkpoints: torch reads them with ``weights_only`` and the few classes that
  MMEngine's files hold. MMEngine would otherwise fall back to running whatever code a
  file brings.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGES: dict[str, str] = {
    "onedl-mmengine": "0.10.12",
    "mmcv-lite": "2.1.0",
    "mmdet": "3.3.0",
    "mmpose": "1.3.2",
}
"""The packages installed without their declared dependencies, and the versions this
bridge was made for."""

INSTALL_HINT = "pip install 'fdpose[pose]' && pip install --no-deps " + " ".join(
    f"{name}=={version}" for name, version in PACKAGES.items()
)

TRUST_HINT = (
    "If you trust where the file comes from, load it once with --trust-checkpoint."
)

_FOREIGN = re.compile(
    r"(?:GLOBAL|unrecognized function|but got) (\S.*?)(?: was not| whose|$)",
    re.MULTILINE,
)
"""How torch names what a file holds beside weights."""

stand_ins: dict[str, str] = {}
"""For each part whether the real thing is used or what stands in for it; empty until
the first :func:`install_stand_ins`."""


def install_stand_ins() -> None:
    """Put the missing parts in place, once a process.

    Raises:
        EnvironmentUnfit: If torch or an mm* package is not installed; the message has
            the line that installs it.
    """
    if stand_ins:
        return
    for module, package in (
        ("torch", "torch"),
        ("mmengine", "onedl-mmengine"),
        ("mmcv", "mmcv-lite"),
    ):
        if importlib.util.find_spec(module) is None:
            raise EnvironmentUnfit(
                f"{package} is not installed, and this command needs it. "
                f"Install: {INSTALL_HINT}"
            )
    # These packages will not be mended, and their users cannot mend them.
    for module in ("mmengine", "mmcv", "mmdet", "mmpose"):
        warnings.filterwarnings("ignore", category=FutureWarning, module=rf"{module}\b")
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")
    stand_ins["torchvision"] = _bridge_torchvision()
    stand_ins["xtcocotools"] = _bridge_xtcocotools()
    stand_ins["mmcv._ext"] = _bridge_mmcv_ext()
    stand_ins["checkpoints"] = _bridge_checkpoints()


def list_stand_ins() -> dict[str, str]:
    """Return for each part whether the real thing is used or what stands in for it;
    installs the bridge."""
    install_stand_ins()
    return dict(stand_ins)


def require_packages(*packages: str) -> None:
    """Install the bridge and make sure that mm* packages import.

    Raises:
        EnvironmentUnfit: Naming the package, what its import said, and the line that
            installs it.
    """
    install_stand_ins()
    for package in packages:
        try:
            importlib.import_module(package)
        except Exception as error:
            raise EnvironmentUnfit(
                f"{package} does not import ({type(error).__name__}: {error}). "
                f"Install: {INSTALL_HINT}"
            ) from error


def suppress_boxes(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0
) -> Tensor:
    """Greedy non-maximum suppression, as ``mmcv.ops.nms`` defines it.

    Args:
        boxes: (N, 4) px.
        scores: (N,).
        iou_threshold: A box goes when its IoU with a better kept one is above this.
        offset: 1 where a box's last pixel belongs to it (width = x2 − x1 + 1), else 0.

    Returns:
        (M,) int64 indices of the boxes kept, best first.
    """
    import torch

    real = _torchvision_nms()
    if real is not None:
        shifted = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
        return real(shifted, scores, iou_threshold)
    import cv2
    import numpy as np

    corners = boxes.detach().cpu().double().numpy()
    sizes = corners[:, 2:] - corners[:, :2] + offset
    rectangles = np.concatenate((corners[:, :2], sizes), axis=1)
    # OpenCV wants scores above a threshold that must not be negative: give it ranks, N
    # for the best down to 1.
    order = torch.argsort(scores.detach().cpu(), descending=True, stable=True).numpy()
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order), 0, -1)
    kept = cv2.dnn.NMSBoxes(
        rectangles.tolist(), ranks.tolist(), 0.0, float(iou_threshold)
    )
    indices = np.asarray(kept, dtype=np.int64).reshape(-1)
    return torch.as_tensor(indices, device=boxes.device)


def load_checkpoint(path: Path | str, trust: bool = False) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU without running code from it.

    Args:
        path: A ``.safetensors`` file, or one of torch's.
        trust: Allow classes and functions outside torch's and MMEngine's own, which can
            run code.

    Returns:
        The mapping the file holds; of a ``.safetensors`` file ``{"state_dict": …}``.

    Raises:
        DataError: If the file is no checkpoint.
        UsageError: If there is no such file, or it holds more than weights and `trust`
            is not given.
    """
    import torch

    if str(path).endswith(".safetensors"):
        from safetensors.torch import load_file

        try:
            return {"state_dict": load_file(path)}
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except Exception as error:
            raise DataError(
                f"{path}: not a readable safetensors file: {error}"
            ) from error
    try:
        with _safe_globals():
            content = torch.load(path, map_location="cpu", weights_only=not trust)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except Exception as error:
        # torch raises UnpicklingError for broken and for foreign files alike; only
        # its text says which.
        if foreign := _FOREIGN.search(str(error)):
            raise UsageError(
                f"{path}: holds more than weights: {foreign[1]}. {TRUST_HINT}"
            ) from error
        raise DataError(
            f"{path}: not a checkpoint that torch can read ({_reason(error)})"
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected a mapping of weights, found a {type(content).__name__}"
        )
    return content


def _reason(error: Exception) -> str:
    """The line of torch's message that says something about the file."""
    text = str(error).strip()
    about_the_file = text.partition("WeightsUnpickler error:")[2].strip()
    lines = about_the_file or text or type(error).__name__
    return lines.splitlines()[0]


def _bridge_torchvision() -> str:
    if _imports("torchvision.transforms"):
        return "torchvision"
    # A failed import leaves parts behind, which others would take for the real thing.
    for name in list(sys.modules):
        if name.split(".")[0] == "torchvision":
            del sys.modules[name]
    visualizer = "mmpose.visualization.simcc_vis"
    _add_module(
        visualizer, SimCCVisualizer=_make_refusal(f"{visualizer}.SimCCVisualizer")
    )
    return f"absent; {visualizer}, which needs it, refuses"


def _bridge_xtcocotools() -> str:
    if _imports("xtcocotools.coco"):
        return "xtcocotools"
    parts = {}
    for part in ("coco", "cocoeval", "mask"):
        parts[part] = importlib.import_module(f"pycocotools.{part}")
        sys.modules[f"xtcocotools.{part}"] = parts[part]
    _add_module("xtcocotools", **parts)
    return "pycocotools under its name"


def _bridge_mmcv_ext() -> str:
    if _imports("mmcv._ext"):
        return "mmcv (compiled)"
    ext = _add_module("mmcv._ext", nms=suppress_boxes)

    def find_op(name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # Python's own questions, such as `__file__`
            raise AttributeError(name)
        return _make_refusal(f"mmcv.ops.{name}")

    ext.__getattr__ = find_op  # type: ignore[method-assign]
    library = "torchvision" if _torchvision_nms() else "OpenCV"
    return f"nms by {library}, other ops refuse"


def _bridge_checkpoints() -> str:
    from mmengine.runner import checkpoint

    def load(
        file: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> Any:
        import torch

        with _safe_globals():
            return torch.load(file, map_location=map_location, weights_only=True)

    if not hasattr(checkpoint, "_safe_torch_load"):
        return "upstream MMEngine's loader"
    checkpoint._safe_torch_load = load
    return "weights_only with MMEngine's classes allowed"


@contextmanager
def _safe_globals() -> Iterator[None]:
    import torch
    from mmengine.runner import checkpoint

    allowed = _list_numpy_globals()
    if hasattr(checkpoint, "get_torch_safe_globals"):
        allowed += checkpoint.get_torch_safe_globals()
    with torch.serialization.safe_globals(allowed):
        yield


def _list_numpy_globals() -> list[Any]:
    """Return what numpy arrays and scalars are pickled with: every number's dtype, and
    numpy 1's names for numpy 2's parts."""
    import numpy as np

    multiarray = importlib.import_module("numpy._core.multiarray")
    allowed: list[Any] = []
    for name in ("_reconstruct", "scalar"):
        allowed.append((getattr(multiarray, name), f"numpy.core.multiarray.{name}"))
    numbers = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"
    allowed += {type(np.dtype(code)) for code in numbers}
    return allowed


def _torchvision_nms() -> Callable[..., Tensor] | None:
    try:
        return importlib.import_module("torchvision.ops").nms
    except Exception:  # noqa: BLE001 - a torchvision that does not fit its torch raises RuntimeError
        return None


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _add_module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


def _make_refusal(op: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotImplementedError(
            f"{op} needs the compiled package and is not available here. "
            "RTMDet and YOLOX run without it; Faster R-CNN and others with RoIAlign "
            "need mmcv 2.1.0 with its compiled ops, or a torchvision that fits this "
            "torch."
        )

    return refuse
