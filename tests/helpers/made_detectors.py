"""Detectors that find something without a training."""

from __future__ import annotations

from typing import Any

import torch

from finediving_pose.config import validate_settings
from finediving_pose.openmmlab.settings import DetectorSettings


def decided_net(threshold: float) -> tuple[DetectorSettings, Any]:
    """The narrowest RTMDet as MMDetection builds it, random, nothing fused, its head
    such that scores differ widely."""
    from finediving_pose.openmmlab import compat

    compat.require_packages("mmdet")
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    from finediving_pose.openmmlab.detector_config import configure_detector

    settings = validate_settings(
        DetectorSettings, {"image_size": 96, "variant": "nano"}, "test"
    )
    config = ConfigDict(configure_detector(settings))
    config.test_cfg.score_thr = threshold
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope("mmdet"):
        net = MODELS.build(config).eval()
    with torch.no_grad():
        for layer in net.bbox_head.rtm_cls:
            layer.weight.mul_(400)
            layer.bias.zero_()
        for layer in net.bbox_head.rtm_reg:
            layer.weight.mul_(100)
            layer.bias.fill_(2)
    return settings, net
