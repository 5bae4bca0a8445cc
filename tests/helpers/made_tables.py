"""Tables of features from which a score can be read, and settings under which they
train in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.aqa.data.sources import Prepared, Sources, prepare_data
from finediving_pose.aqa.settings import AqaSettings, load_aqa

NUMBERS = ("107b", "407c", "5253b")
SMALL = (
    "frames=16",
    "target=score",
    "clip=0",
    "branch_static=false",
    "branch_pose=false",
    "dim=16",
    "decoder_layers=1",
    "tokens=3",
    "workers=0",
)


def write_table(path: Path, dives: int = 24, vectors: int = 1, **columns: Any) -> Path:
    """Write a table whose dives' first feature tells their score; `columns` replace
    some, None leaves one out."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(dives, vectors, 6)).astype(np.float32)
    made = {
        "features": features,
        "score": 60 + 10 * features[:, :, 0].mean(axis=1),
        "dive_number": np.array(NUMBERS)[np.arange(dives) % len(NUMBERS)],
        "difficulty": np.array([3.0, 3.2, 2.8])[np.arange(dives) % len(NUMBERS)],
        "frames": np.full(dives, 100),
        "transitions": np.tile([30, 60], (dives, 1)),
    }
    np.savez(
        path,
        **{
            name: value for name, value in (made | columns).items() if value is not None
        },
    )
    return path


def table_settings(table: Path, *overrides: str) -> AqaSettings:
    """Narrow nets that read a table of features."""
    return load_aqa(
        "tiny",
        [f"features={table}", *SMALL, "epochs=3", "val_fraction=0.3", *overrides],
    )


def prepared_table(table: Path, *overrides: str) -> Prepared:
    """The dives of a table, ready to train on."""
    return prepare_data(table_settings(table, *overrides), Sources(table))
