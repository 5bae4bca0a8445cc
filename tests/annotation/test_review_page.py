"""The review page in a real browser: what a reviewer does, and what is then on the
disk."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import made_labels
from helpers.made_review import RunningReview, make_project, running_review

from finediving_pose.annotation import review_log
from finediving_pose.annotation.label_store import LabelStore
from finediving_pose.annotation.label_swaps import swap_sides
from finediving_pose.skeleton import JOINTS

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
WAIT = 30_000  # ms; other tests may share the processor

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="no chromium, chromium-browser or google-chrome is installed",
    ),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright (extra `dev`) is not installed"
    )
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield running
        running.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(WAIT)
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path, count=5)
    return tmp_path


@pytest.fixture
def review(project: Path) -> Iterator[RunningReview]:
    with running_review(project) as running:
        yield running


class Reviewer:
    """Somebody at the page."""

    def __init__(
        self,
        context: Any,
        address: str,
        name: str | None = "carl",
        first: str = "Meet/1/00000.jpg",
    ) -> None:
        self.page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        if name is not None:
            self.page.get_by_role("button", name=name, exact=True).click()
        self.shows(first)

    def shows(self, image: str) -> None:
        """Wait until an image is shown and its dive has come."""
        self.page.wait_for_function(
            "image => document.getElementById('where').textContent === image"
            " && document.getElementById('canvas').dataset.shown === image"
            " && document.getElementById('strip').dataset.image === image",
            arg=image,
        )

    def text(self, name: str) -> str:
        return str(self.page.locator(f"#{name}").inner_text())

    def until(self, name: str, text: str) -> None:
        """Wait until an element says something."""
        self.page.wait_for_function(
            "([id, text]) => document.getElementById(id).innerText.includes(text)",
            arg=[name, text],
        )

    def kept(self) -> None:
        """Wait until no draft is under way."""
        self.until("kept", "all changes kept")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def place(self, joint: str) -> tuple[float, float]:
        """Choose a joint in the list and return where it is on the screen, as the page
        reports it."""
        self.page.locator("#joints button", has_text=joint).click()
        return self.coordinates()

    def coordinates(self) -> tuple[float, float]:
        """Where the chosen joint is, in px of the picture."""
        x, y = self.text("coordinates").split()[-2:]
        return float(x.rstrip(",")), float(y)

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture is on the screen while the whole of it is shown."""
        box = self.page.locator("#canvas").bounding_box()
        width, height = 455, 256
        scale = min((box["width"] - 24) / width, (box["height"] - 24) / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one pixel of the picture to another, while the whole of it is
        shown."""
        self.page.mouse.move(*self.on_screen(*start))
        self.page.mouse.down()
        self.page.mouse.move(
            *self.on_screen(*((a + b) / 2 for a, b in zip(start, end, strict=True)))
        )
        self.page.mouse.move(*self.on_screen(*end))
        self.page.mouse.up()


def revision(project: Path, number: int = 1, name: str = "00000") -> dict[str, Any]:
    path = project / f"labels/revisions/Meet__1/{name}.{number}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def points(label: dict[str, Any]) -> dict[str, list[float]]:
    return {
        shape["label"]: shape["points"][0]
        for shape in label["shapes"]
        if shape["shape_type"] == "point"
    }


def annotated(project: Path, name: str = "00000") -> dict[str, Any]:
    return dict(
        json.loads(
            (project / f"labels/anna/Meet__1/{name}.json").read_text(encoding="utf-8")
        )
    )


def decisions(project: Path) -> list[tuple[str, str, str]]:
    log = review_log.read_decisions(project / "labels/review.jsonl")
    return [(decision.who, decision.action, decision.image) for decision in log]


def drafts(project: Path) -> list[Path]:
    return (
        sorted((project / "labels/drafts").rglob("*.json"))
        if (project / "labels/drafts").exists()
        else []
    )


def test_drag_swap_and_save_a_correction(project, review, context):
    before = {path: path.read_bytes() for path in (project / "labels").rglob("*.json")}
    reviewer = Reviewer(context, review.address)
    reviewer.press("0")
    start = reviewer.place("head top")
    reviewer.drag(start, (start[0] + 40, start[1] + 12))
    moved = reviewer.coordinates()
    assert moved == pytest.approx((start[0] + 40, start[1] + 12), abs=1.0)
    reviewer.place("left knee")
    reviewer.press("x")
    reviewer.place("right wrist")
    reviewer.press("o")
    reviewer.kept()
    assert [path.name for path in drafts(project)] == ["00000.json"]
    reviewer.press("s")
    reviewer.shows("Meet/1/00001.jpg")
    label, original = revision(project), annotated(project)
    assert points(label)["9"] == pytest.approx(list(moved))
    assert points(label)["4"] == points(original)["1"]
    assert points(label)["1"] == points(original)["4"]
    assert points(label)["12"] == points(original)["12"]
    assert next(shape for shape in label["shapes"] if shape["label"] == "10")[
        "flags"
    ] == {"occluded": True}
    assert label["fdpose"]["by"] == "carl"
    assert list(label["fdpose"]["based_on"]) == ["anna/Meet__1/00000.json"]
    assert {path: path.read_bytes() for path in before} == before
    assert decisions(project) == [("carl", "correct", "Meet/1/00000.jpg")]
    assert drafts(project) == []
    assert reviewer.errors == []


def test_accept_goes_on_and_a_reload_shows_it(project, review, context):
    reviewer = Reviewer(context, review.address)
    reviewer.page.get_by_role("button", name="Accept").click()
    reviewer.shows("Meet/1/00001.jpg")
    reviewer.page.reload()
    reviewer.shows("Meet/1/00001.jpg")
    assert reviewer.text("reviewer") == "carl"  # a reload does not ask again
    assert "4 images, 4 to review" in reviewer.text("counts")
    reviewer.page.locator("#filter-state").select_option("reviewed")
    reviewer.page.locator(".row", has_text="00000").click()
    reviewer.shows("Meet/1/00000.jpg")
    assert "carl accepted" in reviewer.text("decisions")
    assert decisions(project) == [("carl", "accept", "Meet/1/00000.jpg")]


def test_send_back_wants_words(project, review, context):
    reviewer = Reviewer(context, review.address)
    reviewer.press("r")
    reviewer.until("message", "Say in the comment")
    words = '<b>left</b> & "right" ../../x 跳水 🤿'
    reviewer.page.keyboard.type(words)
    reviewer.press("Control+Enter")
    reviewer.shows("Meet/1/00001.jpg")
    decision = review_log.read_decisions(project / "labels/review.jsonl")[0]
    assert (decision.action, decision.comment) == ("return", words)
    reviewer.press("p")
    reviewer.shows("Meet/1/00000.jpg")
    assert words in reviewer.text("decisions")
    assert reviewer.page.locator("#decisions b").count() == 0
    assert "returned" in reviewer.text("state")


def test_a_draft_survives_a_reload_and_can_be_dropped(project, review, context):
    reviewer = Reviewer(context, review.address)
    x, y = reviewer.place("left ankle")
    reviewer.press("ArrowRight", "ArrowRight", "Shift+ArrowDown", "Alt+ArrowLeft")
    assert reviewer.coordinates() == pytest.approx((x + 1.75, y + 10), abs=0.011)
    reviewer.press("c")
    reviewer.page.keyboard.type("not sure")
    reviewer.page.reload()  # at once: what is under way is sent along
    reviewer.shows("Meet/1/00000.jpg")
    reviewer.until("message", "Your draft of")
    assert reviewer.place("left ankle") == pytest.approx((x + 1.75, y + 10), abs=0.011)
    assert reviewer.page.locator("#comment").input_value() == "not sure"
    reviewer.page.on("dialog", lambda dialog: dialog.accept())
    reviewer.page.get_by_role("button", name="Discard draft").click()
    reviewer.until("message", "Your draft was dropped")
    assert reviewer.place("left ankle") == pytest.approx((x, y), abs=0.011)
    reviewer.kept()
    assert drafts(project) == []
    reviewer.press("ArrowRight")
    reviewer.kept()
    assert len(drafts(project)) == 1
    reviewer.press("Control+z")  # nothing is left that could be lost
    reviewer.kept()
    assert drafts(project) == []
    assert decisions(project) == []


def test_a_draft_survives_a_server_that_dies(project, context):
    with running_review(project) as first:
        reviewer = Reviewer(context, first.address)
        port = first.port
        x, y = reviewer.place("left ankle")
        first.kill()
        reviewer.press("ArrowRight")
        reviewer.until("kept", "does not answer. Your work is kept in this browser")
        reviewer.press("s")
        reviewer.until("message", "Nothing was decided")
        assert reviewer.coordinates() == pytest.approx((x + 1, y), abs=0.011)
    with running_review(project, port=port) as second:
        reviewer.until("kept", "started anew: open the address it printed")
        assert drafts(project) == []
        again = Reviewer(context, second.address, name="carl")
        again.until("message", "Your draft of")
        assert again.place("left ankle") == pytest.approx((x + 1, y), abs=0.011)
        again.press("s")
        again.shows("Meet/1/00001.jpg")
        assert points(revision(project))["5"] == pytest.approx([x + 1, y], abs=0.011)


def test_the_second_of_two_reviewers_sees_the_firsts_decision(
    project, review, browser, context
):
    carl = Reviewer(context, review.address, "carl")
    other = browser.new_context(viewport={"width": 1280, "height": 800})
    other.set_default_timeout(WAIT)
    try:
        dora = Reviewer(other, review.address, "dora")
        dora.until("others", "carl looks at this image too")
        carl.until("others", "dora looks at this image too")
        carl.place("pelvis")
        carl.press("ArrowRight")
        dora.place("pelvis")
        dora.press("ArrowLeft")
        mine = dora.coordinates()
        carl.press("s")
        carl.shows("Meet/1/00001.jpg")
        dora.press("s")
        dora.until("banner", "carl corrected it")
        assert decisions(project) == [("carl", "correct", "Meet/1/00000.jpg")]
        dora.page.get_by_role("button", name="Show theirs, keep my draft").click()
        dora.until("message", "Your draft is kept")
        assert "revision 1 by carl" in dora.text("labels")
        assert dora.place("pelvis") == mine
        dora.press("s")
        dora.shows("Meet/1/00001.jpg")
        assert decisions(project)[1] == ("dora", "correct", "Meet/1/00000.jpg")
        assert points(revision(project, 2))["6"] == pytest.approx(list(mine))
        assert [*revision(project, 2)["fdpose"]["based_on"]] == [
            "revisions/Meet__1/00000.1.json"
        ]
        assert carl.errors == dora.errors == []
    finally:
        other.close()


def test_a_label_that_changes_underneath_is_shown_by_itself(project, review, context):
    images = make_images(project)
    reviewer = Reviewer(context, review.address)
    x, _ = reviewer.place("pelvis")
    changed = made_labels.label_of(images[0])
    changed.keypoints[6, 0] += 3
    made_labels.annotate(project, "anna", images[0], changed)
    reviewer.until("message", "The labels or decisions of this image changed")
    assert reviewer.place("pelvis")[0] == pytest.approx(x + 3, abs=0.011)
    reviewer.press("ArrowRight")
    changed.keypoints[6, 0] += 3
    made_labels.annotate(project, "anna", images[0], changed)
    reviewer.until("banner", "anna/Meet__1/00000.json changed")
    reviewer.page.get_by_role("button", name="Show theirs, drop mine").click()
    reviewer.until("message", "Theirs is shown")
    assert reviewer.place("pelvis")[0] == pytest.approx(x + 6, abs=0.011)


def make_images(project: Path) -> list[Any]:
    from finediving_pose.datasets.frame_manifest import read_frame_manifest

    return read_frame_manifest(project / "frames/manifest.csv")


def test_everything_by_keyboard(project, review, context):
    """No mouse: the name, joints, the box, undo, a missing joint, swaps, the queue and
    the help."""
    page = context.new_page()
    page.goto(review.address)
    page.wait_for_selector("#who[open]")
    page.keyboard.press("Enter")
    reviewer = Reviewer.__new__(Reviewer)
    reviewer.page = page
    reviewer.shows("Meet/1/00000.jpg")
    original = points(annotated(project))
    reviewer.press("?")
    page.wait_for_selector("#help[open]")
    reviewer.press("Escape")
    reviewer.press("Tab", "Tab", "Shift+Tab")
    assert reviewer.text("coordinates").startswith(JOINTS[0].replace("_", " "))
    reviewer.press("1", "3")
    assert reviewer.text("coordinates").startswith("left shoulder")
    reviewer.press("Delete")
    reviewer.until("coordinates", "missing")
    reviewer.press("Enter", "ArrowUp")
    shoulder = reviewer.coordinates()
    reviewer.press("Escape", "`", "ArrowRight", "ArrowRight", "Control+z")
    assert reviewer.coordinates() == pytest.approx(tuple(original["0"]), abs=0.011)
    reviewer.press("Control+y", "l", "b", "b", "Shift+ArrowLeft")
    reviewer.until("coordinates", "box")
    reviewer.press("Escape", "n")
    reviewer.shows("Meet/1/00001.jpg")
    reviewer.press("a")
    reviewer.shows("Meet/1/00002.jpg")
    reviewer.press("p", "p")
    reviewer.shows("Meet/1/00000.jpg")
    reviewer.press("s")
    reviewer.until("message", "the correction is saved")
    label = revision(project)
    assert points(label)["13"] == pytest.approx(list(shoulder))
    assert points(label)["0"] == original["5"]
    assert points(label)["5"] == pytest.approx(
        [original["0"][0] + 2, original["0"][1]], abs=0.011
    )
    assert points(label)["2"] == original["3"]
    assert points(label)["10"] == original["10"]
    box = next(shape for shape in label["shapes"] if shape["label"] == "athlete")[
        "points"
    ]
    was = next(
        shape for shape in annotated(project)["shapes"] if shape["label"] == "athlete"
    )["points"]
    assert box[0][0] == pytest.approx(was[0][0] - 10, abs=0.011)
    assert box[1] == pytest.approx(was[1], abs=0.011)
    assert sorted(decisions(project)) == [
        ("carl", "accept", "Meet/1/00001.jpg"),
        ("carl", "correct", "Meet/1/00000.jpg"),
    ]


def test_a_missing_joint_is_placed_by_a_click_and_the_box_by_its_handles(
    project, review, context
):
    reviewer = Reviewer(context, review.address)
    reviewer.press("0")
    reviewer.place("head top")
    reviewer.press("Delete")
    reviewer.until("coordinates", "missing: click to place")
    reviewer.page.mouse.click(*reviewer.on_screen(40, 30))
    assert reviewer.coordinates() == pytest.approx((40, 30), abs=0.6)
    x1, y1, x2, y2 = (
        value for corner in box_of(annotated(project)) for value in corner
    )
    reviewer.drag((x2 - 0.5, y2 - 0.5), (x2 + 30, y2 + 20))
    reviewer.press("s")
    reviewer.shows("Meet/1/00001.jpg")
    label = revision(project)
    assert points(label)["9"] == pytest.approx([40, 30], abs=0.6)
    assert [value for corner in box_of(label) for value in corner] == pytest.approx(
        [x1, y1, x2 + 30, y2 + 20], abs=1.2
    )


def box_of(label: dict[str, Any]) -> list[list[float]]:
    return list(
        next(shape for shape in label["shapes"] if shape["shape_type"] == "rectangle")[
            "points"
        ]
    )


def test_a_models_guess_must_be_confirmed(project, review, context):
    images = make_images(project)
    made_labels.annotate(
        project, "anna", images[1], made_labels.label_of(images[1], unconfirmed=True)
    )
    reviewer = Reviewer(context, review.address)
    reviewer.press("n")
    reviewer.shows("Meet/1/00001.jpg")
    reviewer.press("a")
    reviewer.until("message", "A model's guess: look at every joint")
    assert decisions(project) == []
    reviewer.press("u", "a")
    reviewer.shows("Meet/1/00002.jpg")
    assert revision(project, name="00001")["flags"] == {}
    assert decisions(project) == [("carl", "accept", "Meet/1/00001.jpg")]


def test_a_finding_offers_the_swap_that_mends_it(tmp_path, context):
    images = make_project(tmp_path, count=24)
    right = made_labels.label_of(images[12])
    made_labels.annotate(tmp_path, "anna", images[12], swap_sides(right))
    with running_review(tmp_path) as review:
        reviewer = Reviewer(context, review.address)
        reviewer.page.locator(".row", has_text="00012").click()
        reviewer.shows("Meet/1/00012.jpg")
        reviewer.until("findings", "left and right of the whole body")
        assert reviewer.page.locator("#strip .error, #strip .warning").count() >= 1
        reviewer.page.get_by_role("button", name="Swap all sides").click()
        reviewer.until("findings", "Nothing found")
        reviewer.press("s")
        reviewer.shows("Meet/1/00013.jpg")
        mended = points(revision(tmp_path, name="00012"))
        assert [mended[str(joint)] for joint in range(16)] == right.keypoints.tolist()


def test_a_long_queue_with_what_is_assigned_first(tmp_path, context):
    make_project(
        tmp_path, dives=(("Meet", "1"), ("Meet", "2"), ("Meet", "3")), count=40
    )
    queue = {
        "person": "carl",
        "label": [],
        "review": ["Meet/3/00007.jpg", "Meet/3/00008.jpg"],
        "review_shared": [],
    }
    (tmp_path / "labels/queues").mkdir()
    (tmp_path / "labels/queues/carl.json").write_text(json.dumps(queue))
    with running_review(tmp_path, "--reviewer", "carl") as review:
        reviewer = Reviewer(
            context, review.address, name=None, first="Meet/3/00007.jpg"
        )
        assert reviewer.text("counts") == "2 images, 2 to review"
        reviewer.press("a")
        reviewer.shows("Meet/3/00008.jpg")
        reviewer.press("a")
        reviewer.until("message", "Nothing else waits in this queue")
        reviewer.page.locator("#filter-mine").uncheck()
        reviewer.until("counts", "118 images, 118 to review")
        assert reviewer.page.locator(".row").count() < 60  # only the rows in sight
        reviewer.page.locator("#filter-dive").select_option("Meet/2")
        reviewer.until("counts", "40 images")
        reviewer.page.locator("#filter-annotator").select_option("ben")
        reviewer.until("counts", "1 images")
        reviewer.page.locator("#filter-dive").select_option("")
        reviewer.page.locator("#filter-annotator").select_option("")
        reviewer.page.locator("#rows").evaluate(
            "rows => { rows.scrollTop = rows.scrollHeight; }"
        )
        reviewer.page.locator(".row", has_text="Meet/3/00039").click()
        reviewer.shows("Meet/3/00039.jpg")
        reviewer.press("n")
        reviewer.until("message", "This is the last image of the queue")


def test_names_are_text_and_never_markup(tmp_path, context):
    odd = '<img src=x onerror=alert(1)> "q" 跳水 🤿'
    make_project(
        tmp_path, dives=((odd, "1"),), count=1, reviewers=("O'Neil & 安娜", "dora")
    )
    with running_review(tmp_path) as review:
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.goto(review.address)
        page.get_by_role("button", name="O'Neil & 安娜", exact=True).click()
        page.wait_for_selector("#canvas[data-shown]")
        assert page.locator("#rows img, #rows b, header b").count() == 0
        assert page.locator("#where").get_attribute("title").startswith(odd)
        assert page.locator("#reviewer").inner_text() == "O'Neil & 安娜"


def test_a_wrong_token_opens_a_page_that_says_so(review, context):
    page = context.new_page()
    answer = page.goto(f"http://127.0.0.1:{review.port}/?token=old")
    assert answer.status == 403
    assert "This address does not open the review" in page.locator("body").inner_text()


def test_another_page_can_neither_read_nor_write(review, project, context):
    """A page of another origin in the same browser, which has the cookie and even knows
    the token."""
    Reviewer(context, review.address)
    page = context.new_page()
    page.route(
        "http://evil.test/",
        lambda route: route.fulfill(body="<h1>evil</h1>", content_type="text/html"),
    )
    page.goto("http://evil.test/")
    tried = page.evaluate(
        """async ([address, token]) => {
          const post = {method: "POST", body: "{}", headers: {"X-Fdpose-Token": token}};
          const tries = [fetch(address + "/api/session"), fetch(address + "/api/draft", post),
            new Promise((good, bad) => Object.assign(new Image(), {onload: good, onerror: bad,
              src: address + "/api/picture?image=Meet/1/00000.jpg"}))];
          return (await Promise.allSettled(tries)).map((one) => one.status);
        }""",
        [f"http://127.0.0.1:{review.port}", review.address.split("token=")[1]],
    )
    assert tried == ["rejected"] * 3
    assert drafts(project) == []


@pytest.mark.parametrize("seconds", [0.02, 0.08])
def test_killed_while_somebody_works_it_leaves_whole_files(project, context, seconds):
    """kill -9 amid drafts and a save: what is there is whole, and the next start goes
    on with it."""
    images = make_images(project)
    with running_review(project) as review:
        reviewer = Reviewer(context, review.address)
        x, y = reviewer.place("pelvis")
        killer = threading.Timer(seconds, review.process.send_signal, [signal.SIGKILL])
        killer.start()
        reviewer.press(*["ArrowRight"] * 10, "s")
        killer.join()
        review.process.wait(30)
    store = LabelStore(project / "labels", project / "frames")
    for path in store.list_revisions(images[0].label_name):
        assert store.read(path, images[0]).frame is not None
    for path in drafts(project):
        assert json.loads(path.read_text())["label"]["joints"]
    saved = bool(decisions(project))
    with running_review(project, port=review.port) as again:
        first = "Meet/1/00001.jpg" if saved else "Meet/1/00000.jpg"
        after = Reviewer(context, again.address, first=first)
        if not saved:  # in the folder or in the browser, it is there
            assert after.place("pelvis") == pytest.approx((x + 10, y), abs=0.011)


def test_ctrl_c_ends_it_at_once(project, context):
    with running_review(project) as review:
        Reviewer(context, review.address)
        assert review.interrupt() == 130
