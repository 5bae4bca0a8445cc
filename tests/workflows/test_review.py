"""What `fdpose review` does before its page is served."""

from __future__ import annotations

import asyncio
import threading
import webbrowser

import httpx
import pytest
from made_review import make_project

from finediving_pose.annotation import review_server
from finediving_pose.console import UsageError
from finediving_pose.workflows.project import SETTINGS_NAME
from finediving_pose.workflows.review import review_page


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("browser", [True, False])
def test_a_browser_is_opened_where_there_is_a_screen(tmp_path, monkeypatch, screen, browser):
    make_project(tmp_path, count=1)
    opened, done, announced = [], threading.Event(), []

    def remember(address):
        opened.append(address)
        done.set()

    monkeypatch.setattr(webbrowser, "open", remember)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0") if screen else monkeypatch.delenv("DISPLAY", raising=False)
    wanted = screen and browser
    monkeypatch.setattr(review_server, "serve", lambda app, listener: done.wait(10) if wanted else None)
    review_page(None, 0, browser, announced.append, tmp_path)
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
        review_page("carl", 0, False, announced.append, tmp_path)
    assert answers == [200, 200, 200, 403]


def test_nobody_to_review(tmp_path):
    make_project(tmp_path, count=1)
    path = tmp_path / SETTINGS_NAME
    path.write_text("name: x\n")
    with pytest.raises(UsageError, match=r"who reviews\? --reviewer NAME, or name the people in .*fdpose.yaml"):
        review_page(None, 0, False, print, tmp_path)
