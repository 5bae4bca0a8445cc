"""Pose networks by name.

A new network is a class that derives from :class:`.pose_network.PoseNetwork`, as
:class:`.hrnet.Hrnet` does, and a line in :data:`POSE_NETWORKS`. From then on
``fdpose finetune-hrnet backbone=NAME`` trains it, its model directories load in every
command that takes ``--model``, and its name may stand in a preset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from finediving_pose.config import find_nearest_name, validate_settings
from finediving_pose.errors import UsageError
from finediving_pose.openmmlab.hrnet import Hrnet
from finediving_pose.openmmlab.pose_network import PoseNetwork
from finediving_pose.openmmlab.settings import PoseSettings

POSE_NETWORKS: dict[str, type[PoseNetwork]] = {
    "hrnet": Hrnet,
}
"""The setting `backbone` chooses among them: no two may have a backbone of one name.
Settings that name none are HRNet's."""


def list_backbones(network: type[PoseNetwork]) -> tuple[str, ...]:
    """Return the backbones that a network's settings offer."""
    return get_args(network.settings_class.model_fields["backbone"].annotation)


def find_network(backbone: str) -> type[PoseNetwork]:
    """Return the network that has a backbone of that name.

    Raises:
        UsageError: If none has.
    """
    known: list[str] = []
    for network in POSE_NETWORKS.values():
        backbones = list_backbones(network)
        if backbone in backbones:
            return network
        known += backbones
    raise UsageError(
        f"backbone={backbone}: no pose network has it{find_nearest_name(str(backbone), known)}"
    )


def make_network(settings: PoseSettings) -> PoseNetwork:
    """Return the network that settings are for, ready to be configured."""
    return find_network(settings.backbone)(settings)


def validate_pose_settings(
    values: Mapping[str, Any], origin: str, overrides: Iterable[str] = ()
) -> PoseSettings:
    """Check values against the settings class of the network that they name.

    Args:
        values: Settings by name, as a preset, a ``config.yaml`` or a model card has
            them.
        origin: Where they come from, for the message.
        overrides: ``key=value`` texts among them.

    Raises:
        UsageError: If no network has such a backbone, a key is unknown or a value is
            unusable; with one line for each.
    """
    network: type[PoseNetwork] = Hrnet
    if "backbone" in values:
        network = find_network(values["backbone"])
    return validate_settings(network.settings_class, values, origin, overrides)
