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
        reviewer: The only person who may decide on this page; None: the project's only
            reviewer, else the page asks.
        port: 0 for any that is free.
        browser: Whether to open it, where this computer has a screen.
        announce: Gets the address once it answers.
        start: Where to look for the project; None: the current folder.

    Raises:
        UsageError: If there is no project, nobody who reviews, or the port is taken.
        DataError: If the project has no pictures yet.
        KeyboardInterrupt: When it was ended.
    """
    from finediving_pose.annotation import review_server
    from finediving_pose.annotation.review_guard import new_token

    project = find_project(start)
    reviewers = (
        (_reviewer(project, reviewer),) if reviewer is not None else project.reviewers
    )
    if not reviewers:
        raise UsageError(
            f"who reviews? --reviewer NAME, or name the people in {project.root / SETTINGS_NAME}"
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
        address = f"http://{review_server.HOST}:{listener.getsockname()[1]}/?token={setup.token}"
        announce(address)
        if browser and _has_screen():
            _open(address)
        review_server.serve(app, listener)


def list_assigned_images(project: Project, reviewer: str) -> frozenset[str]:
    """Return the images that were handed to a reviewer; empty where nothing was handed
    out."""
    queue = read_queues(project.queues).get(reviewer, Queue())
    return frozenset((*queue.review, *queue.review_shared))


def list_images(
    state: str | None = None, reviewer: str | None = None, start: Path | None = None
) -> dict[str, tuple[State, bool]]:
    """Return the state of images, in the manifest's order, and whether each is assigned
    to `reviewer`.

    Args:
        state: One of :data:`KINDS`, or :data:`WAITING`; None: all.
        reviewer: Only what is assigned to this person; None: all.

    Raises:
        UsageError: If there is no such state or person.
    """
    if state is not None and state not in (*KINDS, WAITING):
        raise UsageError(
            f"--state {state}{find_nearest_name(state, (*KINDS, WAITING))}"
        )
    project = find_project(start)
    wanted = KINDS if state is None else TO_REVIEW if state == WAITING else (state,)
    own = (
        list_assigned_images(project, _reviewer(project, reviewer))
        if reviewer is not None
        else frozenset()
    )
    states = project.desk.read_states()
    return {
        image: (found, image in own)
        for image, found in states.items()
        if found.kind in wanted and (reviewer is None or image in own)
    }


def accept_images(
    images: Sequence[str],
    reviewer: str | None = None,
    comment: str = "",
    label: str | None = None,
    confirm: bool = False,
    faults: bool = False,
    start: Path | None = None,
) -> tuple[list[Decision], dict[str, str]]:
    """Accept the newest label of each image as it is. Nobody sees what is wrong with it
    here, as the page shows it.

    Args:
        images: As the manifest names them.
        reviewer: Who decides; None: the project's only reviewer.
        comment: For the log.
        label: Which label, an annotator's name or a file below ``labels/``; needed
            where two people have labelled the image. For one image.
        confirm: Clears the mark of a model's guess.
        faults: Accept a label that lacks a joint or the box, or has another fault that
            cannot be right.

    Returns:
        The decisions, and why an image could not be accepted.

    Raises:
        UsageError: If nobody or the wrong person decides, or `label` is given for
            several images.
    """
    project = find_project(start)
    who = _reviewer(project, reviewer)
    if label is not None and len(images) != 1:
        raise UsageError(f"--label is one image's, found {len(images)} images")
    decisions, refused = [], {}
    for image in images:
        name = _image_name(project, image)
        try:
            chosen = _label_name(project, name, label) or _only_label(
                project.desk, name
            )
            if not faults:
                _refuse_faults(project.desk, name, chosen)
            decisions.append(
                project.desk.accept(who, name, chosen, comment, confirm=confirm)
            )
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
    """Give a label back to its annotator. Arguments as of :func:`accept_images`.

    Raises:
        UsageError: Without a comment, or where there is nothing to give back.
    """
    project = find_project(start)
    name = _image_name(project, image)
    return project.desk.give_back(
        _reviewer(project, reviewer), name, comment, _label_name(project, name, label)
    )


def read_log(image: str | None = None, start: Path | None = None) -> list[Decision]:
    """Return the decisions, oldest first; of one image where it is named."""
    project = find_project(start)
    name = (
        None if image is None else project.desk.frame(_image_name(project, image)).image
    )
    return [
        decision
        for decision in review_log.read_decisions(project.review_log)
        if name in (None, decision.image)
    ]


def _reviewer(project: Project, name: str | None) -> str:
    if name is None:
        if len(project.reviewers) == 1:
            return project.reviewers[0]
        raise UsageError(
            f"who reviews? --reviewer NAME{find_nearest_name('', project.reviewers)}"
        )
    if project.reviewers and name not in project.reviewers:
        known = find_nearest_name(name, project.reviewers)
        raise UsageError(
            f"{name!r} is no reviewer of this project{known}; {SETTINGS_NAME} lists them"
        )
    return check_person(name)


def _image_name(project: Project, text: str) -> str:
    """Return an image's name; a path to it, as the shell completes it, names it as
    well."""
    if text in project.desk.images:
        return text
    if f"{text}.jpg" in project.desk.images:
        return f"{text}.jpg"
    path = Path(os.path.abspath(text))
    return (
        path.relative_to(project.frames).as_posix()
        if path.is_relative_to(project.frames)
        else text
    )


def _only_label(desk: ReviewDesk, image: str) -> str:
    item = desk.read_item(image)
    if item.newest is None:
        raise UsageError(
            f"{image}: no usable label ({item.state.reason or item.state.kind})"
        )
    people = [
        label.name
        for label in item.labels
        if label.frame is not None and parse_annotator(label.name)
    ]
    if parse_annotator(item.newest.name) and len(people) > 1:
        raise UsageError(
            f"{image}: {len(people)} people labelled it; --label says which: {', '.join(people)}"
        )
    return item.newest.name


def _has_screen() -> bool:
    """Whether a browser would be a window; over SSH it would be a text browser that
    takes the terminal."""
    return sys.platform in {"win32", "darwin"} or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _open(address: str) -> None:
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _label_name(project: Project, image: str, label: str | None) -> str | None:
    """Return a label's file below ``labels/``; an annotator's name alone names theirs."""
    if label is None or "/" in label or image not in project.desk.images:
        return label
    return f"{label}/{project.desk.frame(image).label_name}"


def _refuse_faults(desk: ReviewDesk, image: str, label: str) -> None:
    """Refuse a label that cannot be right, whoever approves it.

    Raises:
        UsageError: Says what is wrong, and what can be done.
    """
    found = next(
        (each for each in desk.read_item(image).labels if each.name == label), None
    )
    if found is None or found.frame is None:
        return  # the desk says so
    wrong = [
        str(problem.message)
        for problem in found.problems
        if problem.severity == "error"
    ]
    wrong += [
        f"{JOINTS[joint]} is not labelled"
        for joint in np.flatnonzero(~found.frame.labelled).tolist()
    ]
    if found.frame.box is None:
        wrong.append("the athlete's box is missing")
    if wrong:
        raise UsageError(
            f"{label}: {'; '.join(dict.fromkeys(wrong))}. Correct it on the page, send it back, or accept it as it is "
            "with --with-faults"
        )
