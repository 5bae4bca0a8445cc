"""The pages of the site that are made from the code, and the links that lead out of docs/."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("mkdocs")

TOOL = Path(__file__).resolve().parents[2] / "tools" / "site_hooks.py"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["site_hooks"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(hooks: ModuleType) -> dict[str, str]:
    return dict(hooks.made_pages())


def test_every_command_has_a_page_with_all_its_options(
    hooks: ModuleType, pages: dict[str, str]
) -> None:
    group = hooks.app_as_command()
    for name in hooks.COMMANDS:
        page = pages[f"reference/commands/{name}.md"]
        assert page.startswith(f"# fdpose {name}\n")
        for parameter in group.commands[name].params:
            if parameter.param_type_name == "option":
                assert f"<code>{parameter.opts[0]}</code>" in page, (
                    name,
                    parameter.opts,
                )


def test_the_page_of_a_group_has_its_commands(pages: dict[str, str]) -> None:
    page = pages["reference/commands/review.md"]
    for name in ("list", "accept", "return", "log"):
        assert f"\n## fdpose review {name}\n" in page


def test_a_page_shows_examples_defaults_and_angle_brackets(
    pages: dict[str, str],
) -> None:
    page = pages["reference/commands/extract.md"]
    assert "```shell\nfdpose extract --videos videos --overlay\n" in page
    assert "*Default:* <code>10</code>." in pages["reference/commands/frames.md"]
    assert "&lt;match&gt;/&lt;dive&gt;" in page
    assert "Example:" not in page


def test_every_public_module_stands_on_one_page_of_the_api(hooks: ModuleType) -> None:
    listed = [name for _, _, modules in hooks.api_pages() for name in modules]
    assert len(listed) == len(set(listed))
    assert "finediving_pose.records" in listed
    assert "finediving_pose.workflows.project" in listed
    assert not [name for name in listed if ".cli." in name]


def test_links_lead_to_the_pages_that_show_the_files(hooks: ModuleType) -> None:
    text = "[a](../../annotations/README.md#names) [b](../../pyproject.toml) [c](label.md) [d](https://x.org) `[e](f)`"
    expected = "[a](handbook.md#names) b [c](label.md) [d](https://x.org) `[e](f)`"
    assert hooks.link_within_site(text, "how-to/extract.md") == expected


def test_the_handbook_finds_its_images_and_its_pages(hooks: ModuleType) -> None:
    text = "![a](images/joints.png) [b](../docs/how-to/label.md)"
    expected = "![a](../annotations/images/joints.png) [b](label.md)"
    assert hooks.link_within_site(text, "how-to/handbook.md") == expected


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_outside_the_docs_lead_somewhere(page: str) -> None:
    root = TOOL.parents[1]
    text = (root / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text)
    assert targets
    for target in targets:
        assert "://" in target or (root / target).exists(), target
