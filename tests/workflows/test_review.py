"""What `fdpose review` does before its page is served."""

from __future__ import annotations

import asyncio
import threading
import webbrowser
from dataclasses import replace

import httpx
import numpy as np
import pytest
from helpers import made_labels
from helpers.made_review import make_project

from finediving_pose.annotation import review_server
from finediving_pose.errors import UsageError
from finediving_pose.workflows.merging import merge_labels
from finediving_pose.workflows.project import SETTINGS_NAME, find_project, init_project
from finediving_pose.workflows.review import accept_images, serve_review_page
from finediving_pose.workflows.status import collect_status


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("browser", [True, False])
def test_a_browser_is_opened_where_there_is_a_screen(
    tmp_path, monkeypatch, screen, browser
):
    make_project(tmp_path, count=1)
    opened, done, announced = [], threading.Event(), []

    def remember(address):
        opened.append(address)
        done.set()

    monkeypatch.setattr(webbrowser, "open", remember)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0") if screen else monkeypatch.delenv(
        "DISPLAY", raising=False
    )
    wanted = screen and browser
    monkeypatch.setattr(
        review_server, "serve", lambda app, listener: done.wait(10) if wanted else None
    )
    serve_review_page(None, 0, browser, announced.append, tmp_path)
    assert opened == (announced if wanted else [])
    assert announced[0].startswith("http://127.0.0.1:")


def test_the_address_is_served_to_its_token_alone(tmp_path, monkeypatch):
    """What is printed works at once; each start has a token of its own."""
    make_project(tmp_path, count=1)
    announced, answers = [], []

    def answer(app, listener):
        async def ask():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                answers.append((await client.get(announced[-1])).status_code)
                answers.append((await client.get(announced[0])).status_code)

        asyncio.run(ask())

    monkeypatch.setattr(review_server, "serve", answer)
    for _ in range(2):
        serve_review_page("carl", 0, False, announced.append, tmp_path)
    assert answers == [200, 200, 200, 403]


def test_nobody_to_review(tmp_path):
    make_project(tmp_path, count=1)
    path = tmp_path / SETTINGS_NAME
    path.write_text("name: x\n")
    with pytest.raises(
        UsageError,
        match=r"who reviews\? --reviewer NAME, or name the people in .*fdpose.yaml",
    ):
        serve_review_page(None, 0, False, print, tmp_path)


def test_the_shell_does_not_accept_what_cannot_be_right(tmp_path):
    init_project(tmp_path, ["anna", "ben"])
    (image,) = made_labels.make_frames(tmp_path, count=1)
    whole = made_labels.label_of(image)
    points, visibility = whole.keypoints.copy(), whole.visibility.copy()
    points[2], visibility[2] = np.nan, 0
    made_labels.annotate(
        tmp_path, "anna", image, replace(whole, keypoints=points, visibility=visibility)
    )
    decisions, refused = accept_images([image.image], "ben", start=tmp_path)
    assert decisions == []
    assert "right_hip is not labelled" in refused[image.image]
    assert "--with-faults" in refused[image.image]
    decisions, refused = accept_images(
        [image.image.removesuffix(".jpg")],
        "ben",
        label="anna",
        faults=True,
        start=tmp_path,
    )
    assert (len(decisions), refused) == (1, {})
    merged = merge_labels(start=tmp_path)
    assert set(merged.refused) == {image.image}
    steps = [step.command for step in collect_status(find_project(tmp_path)).steps]
    assert steps == ["fdpose review"]  # not merge again, which would leave it out again
