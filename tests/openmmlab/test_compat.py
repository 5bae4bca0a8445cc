"""What stands in for compiled ops, torchvision and unsafe checkpoints does what the
real thing would."""

from __future__ import annotations

import importlib.util
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from finediving_pose import errors
from finediving_pose.openmmlab import compat


def reference_nms(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int
) -> list[int]:
    """Greedy suppression as MMCV's kernel words it: widths are x2 − x1 + offset; equal
    scores keep their order."""
    area = (boxes[:, 2] - boxes[:, 0] + offset) * (boxes[:, 3] - boxes[:, 1] + offset)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        better = boxes[kept].reshape(-1, 4)
        width = np.clip(
            np.minimum(better[:, 2], boxes[i, 2])
            - np.maximum(better[:, 0], boxes[i, 0])
            + offset,
            0,
            None,
        )
        height = np.clip(
            np.minimum(better[:, 3], boxes[i, 3])
            - np.maximum(better[:, 1], boxes[i, 1])
            + offset,
            0,
            None,
        )
        overlap = width * height
        if not (overlap > threshold * (area[kept] + area[i] - overlap)).any():
            kept.append(int(i))
    return kept


def random_boxes(seed: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (count, 2))
    return np.concatenate(
        (corners, corners + random.uniform(1, 40, (count, 2))), axis=1
    ), random.random(count)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_nms_equals_the_reference(offset, threshold):
    for seed in range(5):
        boxes, scores = random_boxes(seed)
        kept = compat.suppress_boxes(
            torch.from_numpy(boxes), torch.from_numpy(scores), threshold, offset
        )
        assert kept.dtype == torch.int64
        assert kept.tolist() == reference_nms(boxes, scores, threshold, offset)
        assert 1 < len(kept) <= len(boxes) - (threshold < 0.8)


def test_nms_offset_decides_between_boxes_that_share_a_last_pixel():
    boxes = torch.tensor(
        [[0.0, 0, 9, 9], [0, 5, 9, 14]]
    )  # overlap 36 of 126 or, with last pixels, 50 of 150
    scores = torch.tensor([0.9, 0.8])
    assert compat.suppress_boxes(boxes, scores, 0.3, offset=0).tolist() == [0, 1]
    assert compat.suppress_boxes(boxes, scores, 0.3, offset=1).tolist() == [0]


def test_nms_keeps_the_first_of_equal_scores_and_takes_negative_ones():
    boxes, _ = random_boxes(7, 60)
    equal = np.full(60, -0.5)
    assert compat.suppress_boxes(
        torch.from_numpy(boxes), torch.from_numpy(equal), 0.5
    ).tolist() == reference_nms(boxes, equal, 0.5, 0)


def test_nms_of_nothing_is_nothing():
    kept = compat.suppress_boxes(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_mmcv_nms_and_batched_nms_work_through_it():
    compat.require_packages("mmcv")
    from mmcv.ops import batched_nms, nms

    boxes, scores = random_boxes(3)
    expected = reference_nms(
        boxes.astype(np.float32), scores.astype(np.float32), 0.5, 0
    )
    detections, kept = nms(
        torch.tensor(boxes).float(), torch.tensor(scores).float(), 0.5
    )
    assert kept.tolist() == expected
    np.testing.assert_allclose(detections[:, 4], scores[expected], rtol=1e-6)

    labels = (
        torch.arange(len(boxes)) % 2
    )  # boxes of different classes do not suppress each other
    _, kept = batched_nms(
        torch.tensor(boxes).float(),
        torch.tensor(scores).float(),
        labels,
        {"type": "nms", "iou_threshold": 0.5},
    )
    each = [np.flatnonzero(labels.numpy() == label) for label in (0, 1)]
    parts = [part[reference_nms(boxes[part], scores[part], 0.5, 0)] for part in each]
    assert sorted(kept.tolist()) == sorted(np.concatenate(parts).tolist())


def test_status_tells_of_its_four_parts():
    status = compat.list_stand_ins()
    assert set(status) == {"torchvision", "xtcocotools", "mmcv._ext", "checkpoints"}
    assert all(status.values())


def test_no_torchvision_is_pretended_to_others():
    """pytorch-lightning asks whether it is there, and imports its parts if so."""
    compat.require_packages("mmpose")
    if compat.list_stand_ins()["torchvision"] == "torchvision":
        pytest.skip("torchvision is installed here")
    assert importlib.util.find_spec("torchvision") is None
    from mmpose.visualization import local_visualizer

    with pytest.raises(
        NotImplementedError, match="SimCCVisualizer needs the compiled package"
    ):
        local_visualizer.SimCCVisualizer()


def test_another_compiled_op_says_what_it_needs():
    compat.require_packages("mmcv")
    if compat.list_stand_ins()["mmcv._ext"] == "mmcv (compiled)":
        pytest.skip("mmcv has its compiled ops here")
    from mmcv.ops import RoIAlign

    with pytest.raises(
        NotImplementedError, match=r"roi_align.*needs the compiled package.*RTMDet"
    ):
        RoIAlign(7)(torch.zeros(1, 3, 16, 16), torch.tensor([[0.0, 0, 0, 8, 8]]))


def test_a_missing_package_names_the_line_that_installs_it(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(compat, "stand_ins", {})
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "mmcv" else found(name, *more),
    )
    with pytest.raises(
        errors.EnvironmentUnfit,
        match=r"mmcv-lite is not installed.*pip install .*mmcv-lite==2\.1\.0",
    ):
        compat.install_stand_ins()


def test_a_package_that_does_not_import_names_the_line_too():
    with pytest.raises(
        errors.EnvironmentUnfit,
        match=r"mmnothing does not import \(ModuleNotFoundError.*Install: pip",
    ):
        compat.require_packages("mmnothing")


class Malicious:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    path, mark = tmp_path / "bad.pth", tmp_path / "mark"
    torch.save({"state_dict": {"weight": torch.ones(2)}, "meta": Malicious(mark)}, path)
    with pytest.raises(
        errors.UsageError,
        match=r"bad\.pth: holds more than weights: posix\.mkdir\. .*--trust-checkpoint",
    ):
        compat.load_checkpoint(path)
    assert not mark.exists()
    compat.load_checkpoint(path, trust=True)
    assert mark.exists()  # the file was what it was meant to be


def test_mmengine_itself_no_longer_falls_back_to_running_code(tmp_path):
    compat.require_packages("mmengine")
    from mmengine.runner.checkpoint import _load_checkpoint

    path, mark = tmp_path / "bad.pth", tmp_path / "mark"
    torch.save({"state_dict": {}, "meta": Malicious(mark)}, path)
    with pytest.raises(pickle.UnpicklingError):
        _load_checkpoint(str(path), map_location="cpu")
    assert not mark.exists()


def mmengine_checkpoint() -> dict:
    """What MMEngine's Runner saves beside the weights: histories, numpy scalars and
    arrays, colours of a data set."""
    compat.require_packages("mmengine")
    from mmengine.logging import HistoryBuffer

    buffer = HistoryBuffer([0.5, 0.25], [1, 1])
    return {
        "meta": {
            "epoch": 2,
            "dataset_meta": {
                "colors": np.array([[255, 0, 0]], np.uint8),
                "sigmas": np.ones(16, "f4"),
            },
        },
        "state_dict": OrderedDict(weight=torch.arange(3.0)),
        "message_hub": {
            "log_scalars": OrderedDict(loss=buffer),
            "runtime_info": OrderedDict(
                best=np.float64(0.25), flag=np.bool_(True), count=np.int32(3)
            ),
        },
    }


def test_a_checkpoint_of_mmengine_loads(tmp_path):
    torch.save(mmengine_checkpoint(), tmp_path / "epoch_2.pth")
    content = compat.load_checkpoint(tmp_path / "epoch_2.pth")
    assert content["state_dict"]["weight"].tolist() == [0, 1, 2]
    assert content["message_hub"]["log_scalars"]["loss"].mean() == 0.375
    assert content["message_hub"]["runtime_info"]["count"] == 3
    assert content["meta"]["dataset_meta"]["colors"].tolist() == [[255, 0, 0]]


def test_one_that_was_written_with_numpy_1_loads(tmp_path):
    """All of the model zoo's were; numpy 2 gave the same functions another module."""
    torch.save(mmengine_checkpoint(), tmp_path / "new.pth")
    with (
        zipfile.ZipFile(tmp_path / "new.pth") as new,
        zipfile.ZipFile(tmp_path / "old.pth", "w") as old,
    ):
        for item in new.infolist():
            content = new.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"numpy._core.multiarray\n" in content
                content = content.replace(
                    b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"
                )
            old.writestr(item, content)
    content = compat.load_checkpoint(tmp_path / "old.pth")
    assert content["message_hub"]["runtime_info"]["best"] == 0.25


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a checkpoint at all", "not a checkpoint"),
        (None, "no such file"),
        (b"", "not a checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "x.pth"
    if content is not None:
        path.write_bytes(content)
    error = errors.UsageError if content is None else errors.DataError
    with pytest.raises(error, match=rf"x\.pth: {message}"):
        compat.load_checkpoint(path)


def test_a_checkpoint_of_something_else_than_a_mapping(tmp_path):
    torch.save(torch.ones(3), tmp_path / "x.pth")
    with pytest.raises(
        errors.DataError, match="expected a mapping of weights, found a Tensor"
    ):
        compat.load_checkpoint(tmp_path / "x.pth")


def test_safetensors_need_no_trust(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / "x.safetensors")
    assert compat.load_checkpoint(tmp_path / "x.safetensors")["state_dict"][
        "weight"
    ].tolist() == [1, 1]
    (tmp_path / "y.safetensors").write_bytes(b"short")
    with pytest.raises(
        errors.DataError, match=r"y\.safetensors: not a readable safetensors file"
    ):
        compat.load_checkpoint(tmp_path / "y.safetensors")
