"""The page of two annotators, and both labels drawn over a picture."""

from __future__ import annotations

import numpy as np

from finediving_pose.reporting.agreement_page import (
    ShownPair,
    Table,
    build_agreement_page,
)

GREY = np.full((256, 455, 3), 90, np.uint8)
BOX = np.array([100.0, 50.0, 200.0, 150.0])


def points(shift=0.0):
    return np.random.default_rng(0).uniform((110, 60), (190, 140), (16, 2)) + shift


def test_names_cannot_become_html():
    evil = "<script>alert('x')</script>\udcff"
    shown = ShownPair(evil, GREY, (points(), points(3)), (BOX, BOX))
    tables = [
        Table("All", ["", evil], [(evil, 0.5)], evil),
        Table("More", ["a"], [[None]]),
    ]
    html = build_agreement_page(
        (evil, "ben"), tables, {"ankle": np.array([0.1, 0.2])}, [shown], [evil]
    ).render()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html.encode("utf-8")
    assert html.count("data:image/jpeg") == 1
    assert html.count("data:image/png") == 1


def test_without_pictures_there_is_no_section_of_them():
    page = build_agreement_page(
        ("a", "b"), [Table("All", ["", ""], [])], {"ankle": np.array([np.nan])}, [], []
    )
    assert [section.title for section in page.sections] == ["All"]
