"""Review of a project's labels: on a page in the browser, or image by image from the
shell."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from finediving_pose import console
from finediving_pose.annotation import review_log
from finediving_pose.annotation.assignment import Queue, read_queues
from finediving_pose.annotation.label_store import check_person, parse_annotator
from finediving_pose.annotation.review_log import Decision
from finediving_pose.annotation.review_state import TO_REVIEW, Kind, ReviewDesk, State
from finediving_pose.config import find_nearest_name
from finediving_pose.errors import FdposeError, UsageError
from finediving_pose.skeleton import JOINTS
from finediving_pose.workflows.project import SETTINGS_NAME, Project, find_project

KINDS: tuple[Kind, ...] = get_args(Kind)
MISSING = ("missing-joint", "missing-box")
WAITING = "waiting"
"""The word for every state of :data:`TO_REVIEW`."""


def serve_review_page(
    reviewer: str | None,
    port: int,
    browser: bool,
    announce: Callable[[str], None],
    start: Path | None = None,
) -> None:
    """Serve the review page until Ctrl+C.

    Args:
        reviewer: The only reviewer who may decide on this page; None: the project's
            only reviewer, else the page asks.
        port: 0 for any that is free.
        browser: Whether to open it, where this computer has a screen.
        announce: Gets the address once it answers.
        start: Where to look for the project; None: the current folder.

    Raises:
        UsageError: If there is no project, no reviewer, or the port is taken.
        DataError: If the project has no images yet.
        KeyboardInterrupt: When it was ended.
    """
    from finediving_pose.annotation import review_server
    from finediving_pose.annotation.review_guard import new_token

    project = find_project(start)
    reviewers = project.reviewers
    if reviewer is not None:
        reviewers = (_check_reviewer(project, reviewer),)
    if not reviewers:
        raise UsageError(
            "who reviews? --reviewer NAME, or name the people in "
            f"{project.root / SETTINGS_NAME}"
        )
    listener = review_server.listen(port)
    with listener:
        console.log.info("looking at %d images …", len(project.images))
        setup = review_server.ReviewSetup(
            desk=project.desk,
            reviewers=reviewers,
            assigned=lambda name: list_assigned_images(project, name),
            title=project.settings.name or project.root.name,
            project=hashlib.sha256(str(project.root).encode()).hexdigest()[:16],
            token=new_token(),
        )
        app = review_server.make_app(setup)
        actual_port = listener.getsockname()[1]
        address = f"http://{review_server.HOST}:{actual_port}/?token={setup.token}"
        announce(address)
        if browser and _has_screen():
            _open_browser(address)
        review_server.serve(app, listener)


def list_assigned_images(project: Project, reviewer: str) -> frozenset[str]:
    """Return the images that were handed to a reviewer; empty where nothing was handed
    out.

    Args:
        project: Its queues are read.
        reviewer: The reviewer's name.
    """
    queue = read_queues(project.queues).get(reviewer, Queue())
    return frozenset((*queue.review, *queue.review_shared))


def list_images(
    state: str | None = None, reviewer: str | None = None, start: Path | None = None
) -> dict[str, tuple[State, bool]]:
    """List the state of images.

    Args:
        state: One of :data:`KINDS`, or :data:`WAITING`; None: all.
        reviewer: Only what is assigned to this reviewer; None: all.
        start: Where to look for the project; None: the current folder.

    Returns:
        The state of each image, in the manifest's order, and whether it is assigned to
        `reviewer`.

    Raises:
        UsageError: If there is no such state or person.
    """
    wanted: tuple[str, ...] = KINDS
    if state == WAITING:
        wanted = TO_REVIEW
    elif state is not None:
        if state not in KINDS:
            known = find_nearest_name(state, (*KINDS, WAITING))
            raise UsageError(f"--state {state}{known}")
        wanted = (state,)
    project = find_project(start)
    assigned: frozenset[str] = frozenset()
    if reviewer is not None:
        assigned = list_assigned_images(project, _check_reviewer(project, reviewer))
    found = {}
    for image, of_image in project.desk.read_states().items():
        if of_image.kind not in wanted:
            continue
        if reviewer is None or image in assigned:
            found[image] = (of_image, image in assigned)
    return found


def accept_images(
    images: Sequence[str],
    reviewer: str | None = None,
    comment: str = "",
    label: str | None = None,
    confirm: bool = False,
    faults: bool = False,
    start: Path | None = None,
) -> tuple[list[Decision], dict[str, str]]:
    """Accept the newest label of each image as it is, unseen: the page would show what
    is wrong with it.

    Args:
        images: As the manifest names them.
        reviewer: Who decides; None: the project's only reviewer.
        comment: For the log.
        label: Which label, an annotator's name or a file below ``labels/``; needed
            where two annotators have labelled the image. For one image.
        confirm: Clears the mark of a model's guess.
        faults: Whether to accept a label that lacks a joint or the box, or has another
            fault that cannot be right.
        start: Where to look for the project; None: the current folder.

    Returns:
        The decisions, and why an image could not be accepted.

    Raises:
        UsageError: If nobody or the wrong person decides, an image is none of the
            project's, or `label` is given for several images.
    """
    project = find_project(start)
    who = _check_reviewer(project, reviewer)
    if label is not None and len(images) != 1:
        raise UsageError(f"--label is one image's, found {len(images)} images")
    names = [_parse_image(project, image) for image in images]
    for name in names:
        project.desk.frame(name)  # a name that is wrong stops all of them
    decisions, refused = [], {}
    for name in names:
        try:
            chosen = _name_label(project, name, label)
            if chosen is None:
                chosen = _find_only_label(project.desk, name)
            if not faults:
                _refuse_faults(project.desk, name, chosen)
            decision = project.desk.accept(who, name, chosen, comment, confirm=confirm)
            decisions.append(decision)
        except FdposeError as error:
            refused[name] = str(error)
    return decisions, refused


def return_image(
    image: str,
    comment: str,
    reviewer: str | None = None,
    label: str | None = None,
    start: Path | None = None,
) -> Decision:
    """Give a label back to its annotator.

    Args:
        image: As the manifest names it.
        comment: What the annotator is to change.
        reviewer: Who decides; None: the project's only reviewer.
        label: Which label, an annotator's name or a file below ``labels/``.
        start: Where to look for the project; None: the current folder.

    Returns:
        The decision.

    Raises:
        UsageError: Without a comment, or where there is nothing to give back.
    """
    project = find_project(start)
    who = _check_reviewer(project, reviewer)
    name = _parse_image(project, image)
    return project.desk.give_back(who, name, comment, _name_label(project, name, label))


def read_log(image: str | None = None, start: Path | None = None) -> list[Decision]:
    """Read the decisions of a project.

    Args:
        image: Only those on this image; None: all.
        start: Where to look for the project; None: the current folder.

    Returns:
        The decisions, oldest first.
    """
    project = find_project(start)
    decisions = review_log.read_decisions(project.review_log)
    if image is None:
        return decisions
    name = project.desk.frame(_parse_image(project, image)).image
    return [decision for decision in decisions if decision.image == name]


def _check_reviewer(project: Project, name: str | None) -> str:
    if name is None:
        if len(project.reviewers) == 1:
            return project.reviewers[0]
        known = find_nearest_name("", project.reviewers)
        raise UsageError(f"who reviews? --reviewer NAME{known}")
    if project.reviewers and name not in project.reviewers:
        known = find_nearest_name(name, project.reviewers)
        raise UsageError(
            f"{name!r} is no reviewer of this project{known}; {SETTINGS_NAME} lists them"
        )
    return check_person(name)


def _parse_image(project: Project, text: str) -> str:
    """Return an image's name; a path to it, as the shell completes it, names it as
    well."""
    if text in project.desk.images:
        return text
    if f"{text}.jpg" in project.desk.images:
        return f"{text}.jpg"
    path = Path(os.path.abspath(text))
    if path.is_relative_to(project.frames):
        return path.relative_to(project.frames).as_posix()
    return text


def _name_label(project: Project, image: str, label: str | None) -> str | None:
    """Return a label's file below ``labels/``; an annotator's name alone names theirs."""
    if label is None or "/" in label or image not in project.desk.images:
        return label
    return f"{label}/{project.desk.frame(image).label_name}"


def _find_only_label(desk: ReviewDesk, image: str) -> str:
    """Return the newest label of an image.

    Raises:
        UsageError: If there is none, or two annotators' stand side by side.
    """
    item = desk.read_item(image)
    if item.newest is None:
        reason = item.state.reason or item.state.kind
        raise UsageError(f"{image}: no usable label ({reason})")
    annotated = []
    for label in item.labels:
        if label.frame is not None and parse_annotator(label.name):
            annotated.append(label.name)
    # A revision settles which label counts.
    if parse_annotator(item.newest.name) and len(annotated) > 1:
        raise UsageError(
            f"{image}: {len(annotated)} annotators labelled it; --label says which: "
            f"{', '.join(annotated)}"
        )
    return item.newest.name


def _has_screen() -> bool:
    """Whether a browser would be a window; over SSH it would be a text browser that
    takes the terminal."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(address: str) -> None:
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _refuse_faults(desk: ReviewDesk, image: str, label: str) -> None:
    """Refuse a label that cannot be right, whoever approves it.

    Raises:
        UsageError: Says what is wrong, and what can be done.
    """
    labels = {each.name: each for each in desk.read_item(image).labels}
    found = labels.get(label)
    if found is None or found.frame is None:
        return  # the desk says so
    wrong = []
    for problem in found.problems:
        # What is missing is named below.
        if problem.severity == "error" and problem.kind not in MISSING:
            wrong.append(problem.message)
    for joint in np.flatnonzero(~found.frame.labelled):
        wrong.append(f"{JOINTS[joint]} is not labelled")
    if found.frame.box is None:
        wrong.append("the athlete's box is missing")
    if wrong:
        raise UsageError(
            f"{label}: {'; '.join(dict.fromkeys(wrong))}. Correct it on the page, send it "
            "back, or accept it as it is with --with-faults"
        )
