from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from finediving_pose.reporting.page import Page


def page_with_all() -> Page:
    page = Page("A <title>", notice="SYNTHETIC: nothing here was filmed")
    section = page.add_section("Figures & more")
    section.add_text("1 < 2")
    section.add_table(
        ["name", "value"],
        [["<b>", 0.12345], ["many", 12345], ["none", None], ["not a number", np.nan]],
    )
    section.add_image(np.full((20, 30, 3), 90, np.uint8), 'a "grey" image')
    section.add_plot(b"\x89PNG", "a drawing", width=400)
    return page


def test_nothing_on_the_page_is_taken_as_html():
    html = page_with_all().render()
    assert "<title>A &lt;title&gt;</title>" in html
    assert "<p>1 &lt; 2</p>" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert 'alt="a &#34;grey&#34; image"' in html


def test_numbers_have_three_digits_and_what_is_missing_a_dash():
    cells = re.findall(r'<td class="number">(.*?)</td>', page_with_all().render())
    assert cells == ["0.123", "12,345", "–", "–"]


def test_the_notice_and_every_section_can_be_found():
    html = page_with_all().render()
    assert '<div class="notice" role="note">SYNTHETIC' in html
    assert '<a href="#s1">Figures &amp; more</a>' in html
    assert '<section id="s1">' in html
    assert 'class="notice"' not in Page("plain").render()


def test_pictures_are_inside_the_file():
    import cv2

    data = re.search(r"data:image/jpeg;base64,([^\"]+)", page_with_all().render())
    assert data
    picture = cv2.imdecode(
        np.frombuffer(base64.b64decode(data[1]), np.uint8), cv2.IMREAD_COLOR
    )
    assert picture.shape == (20, 30, 3)
    assert not re.search(
        r"""(?:src|href)=["']?(?:https?:|//)""", page_with_all().render()
    )


def test_written_as_one_file(tmp_path):
    page_with_all().write(tmp_path / "reports" / "page.html")
    assert (
        (tmp_path / "reports" / "page.html")
        .read_text(encoding="utf-8")
        .startswith("<!DOCTYPE html>")
    )


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="cannot be written as JPEG"):
        Page("x").add_section("y").add_image(
            np.zeros((4, 4, 7), np.uint8), "seven colours"
        )


def test_text_that_is_a_number_with_sign_or_point_is_set_to_the_right():
    page = Page("t")
    page.add_section("s").add_table(["a"] * 5, [["+1.20", "−3", "3.2", "3", "1.2.3"]])
    assert [cell["number"] for cell in page.sections[0].blocks[0]["rows"][0]] == [
        True,
        True,
        True,
        False,
        False,
    ]
