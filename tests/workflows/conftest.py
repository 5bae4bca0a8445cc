"""Fixtures that several tests of this room share."""

from __future__ import annotations

import pytest

from finediving_pose import manifest

EVERYTHING = "99.0.0"


@pytest.fixture
def installed(monkeypatch):
    """Pretend which packages are installed: what the test sets, everything else in a
    very new version."""
    versions: dict[str, str | None] = {}

    def found(names):
        answers = {name: versions.get(name, EVERYTHING) for name in names}
        return {
            name: version for name, version in answers.items() if version is not None
        }

    monkeypatch.setattr(manifest, "list_package_versions", found)
    return versions
