"""Score models by name: the one place where a new one is entered.

A score model is a class derived from
:class:`~finediving_pose.aqa.score_model.ScoreModel`, a line in :data:`SCORE_MODELS` and
a preset that says ``model: <name>``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

SCORE_MODELS = {
    "hpmcore": "finediving_pose.aqa.model.hpmcore:HPMCoRe",
    "pose_ridge": "finediving_pose.aqa.model.pose_ridge:PoseRidge",
}
"""Where the class of each score model is; names only, because torch takes seconds."""


def find_model_class(name: str) -> Any:
    """Return the class of a score model, a name of :data:`SCORE_MODELS`.

    It is a subclass of :class:`~finediving_pose.aqa.score_model.ScoreModel`, which
    cannot be named here: it is built on the settings, and they ask for this function.
    """
    module, _, class_name = SCORE_MODELS[name].partition(":")
    return getattr(import_module(module), class_name)
