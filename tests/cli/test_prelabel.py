"""``fdpose prelabel`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.tiny_models import fdpose


def test_prelabel_says_what_it_would_do_and_what_it_lacks(project: Path) -> None:
    answer = fdpose("prelabel", "--dry-run", "--json")
    assert answer.code == 0
    assert sorted(json.loads(answer.out)["written"]) == ["anna", "ben"]
    assert fdpose("prelabel", "--skeletons", project / "none").code == 2
    assert fdpose("prelabel", "--annotator", "nobody").code == 2
