"""`fdpose annotate`: an annotator's queue, and the real LabelMe on it, dive after dive.

LabelMe saves ``<output>/<image's stem>.json``, whatever folder the image lies in. So each
dive is a LabelMe of its own, whose file list is narrowed to the annotator's images by its
search field.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.datasets.labelme import UNCONFIRMED_FLAG
from finediving_pose.datasets.labelme_shapes import BOX_LABEL, OCCLUDED_FLAG
from finediving_pose.errors import EnvironmentUnfit
from finediving_pose.skeleton import COLOURS, NUM_JOINTS
from finediving_pose.workflows.assignment import (
    NEEDS,
    Task,
    group_by_dive,
    hand_out_images,
    list_tasks,
)
from finediving_pose.workflows.project import find_project

OLDEST_LABELME = 6
BOX_COLOUR = (255, 220, 0)

_SCREEN_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")

INSTALL_HINT = """\
LabelMe is not installed. Either into the environment of fdpose: pip install "fdpose[labelme]"
or into one of its own:
  python -m venv labelme-env
  labelme-env/bin/pip install "labelme>=6.3"         (Windows: labelme-env\\Scripts\\pip)
  fdpose annotate {name} --labelme labelme-env/bin/labelme"""


@dataclass(frozen=True)
class Session:
    """One dive of an annotator's queue, as LabelMe is started on it.

    Attributes:
        dive: ``<match>/<dive>`` as folders.
        tasks: The annotator's images of it.
        images: Their folder.
        labels: Where the label files belong, as ``<number>.json``.
    """

    dive: str
    tasks: tuple[Task, ...]
    images: Path
    labels: Path

    @property
    def to_do(self) -> list[Task]:
        """The images that are not done, returned ones first."""
        open_tasks = [task for task in self.tasks if task.need != "done"]
        return sorted(open_tasks, key=lambda task: NEEDS.index(task.need))

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        images = []
        for task in self.tasks:
            label = self.labels / Path(task.image.label_name).name
            image = {
                "image": task.image.image,
                "label": str(label),
                "need": task.need,
            }
            if task.reviewer:
                image |= {"comment": task.comment, "reviewer": task.reviewer}
            images.append(image)
        return {"dive": self.dive, "images": images}


@dataclass(frozen=True)
class Work:
    """The work of one annotator.

    Attributes:
        name: The annotator.
        sessions: Dives, those with a returned image first; finished ones only where all
            were asked for.
        counts: How many images of the whole queue have each need, ``done`` included.
        labels: The annotator's folder of labels.
    """

    name: str
    sessions: tuple[Session, ...]
    counts: dict[str, int]
    labels: Path

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        return {
            "annotator": self.name,
            "labels": str(self.labels),
            "counts": self.counts,
            "dives": [session.as_dict() for session in self.sessions],
        }


def plan_work(
    name: str, every: bool = False, dry_run: bool = False, start: Path | None = None
) -> Work:
    """Hand out an annotator's queue and plan the sessions with LabelMe.

    Args:
        name: One of the annotators of ``fdpose.yaml``.
        every: Whether to plan finished dives too.
        dry_run: Whether to write no queue.
        start: Where to look for the project; None: the current folder.

    Returns:
        The dives to open, and how far the queue is done.

    Raises:
        UsageError: If there is no project, or it has no such annotator.
        DataError: If there are no images yet, or the manifest or a queue is damaged.
    """
    project = find_project(start)
    project.check_annotator(name)
    queues = hand_out_images(project, dry_run)
    tasks: list[Task] = []
    if name in queues:
        tasks = list_tasks(project, name, queues[name], project.desk.read_states())
    sessions = []
    for dive, of_dive in group_by_dive(tasks).items():
        labels = project.store.label_path(name, of_dive[0].image.label_name).parent
        session = Session(dive, tuple(of_dive), project.frames / dive, labels)
        if every or session.to_do:
            sessions.append(session)
    counts = Counter(task.need for task in tasks)
    return Work(
        name,
        tuple(sessions),
        {need: counts[need] for need in NEEDS},
        project.labels / name,
    )


def run_labelme_session(
    work: Work,
    labelme: Path | None,
    announce: Callable[[Session], None],
    go_on: Callable[[Session], bool],
) -> int:
    """Start LabelMe on one dive after the other.

    Args:
        work: Of :func:`plan_work`.
        labelme: The program; None: the one of this environment, else the one on the
            PATH.
        announce: Gets each dive before it is opened.
        go_on: Asked with each further dive whether to open it.

    Returns:
        How many dives were opened.

    Raises:
        EnvironmentUnfit: If there is no LabelMe, it is too old, it ends with an error,
            or there is no screen.
    """
    program = find_labelme(work.name, labelme)
    opened = 0
    for session in work.sessions:
        if opened and not go_on(session):
            break
        announce(session)
        _open_labelme(program, session)
        opened += 1
    return opened


def find_labelme(name: str, labelme: Path | None = None) -> Path:
    """Return LabelMe's program.

    Args:
        name: The annotator, for the message.
        labelme: The program, if the user named one.

    Returns:
        Its absolute path.

    Raises:
        EnvironmentUnfit: If there is none, there is no screen for it, or it is older
            than what we write for.
    """
    if labelme is not None:
        found = shutil.which(str(labelme))
        if found is None:
            raise EnvironmentUnfit(f"--labelme {labelme}: no such program")
    else:
        beside = Path(sys.executable).parent
        found = shutil.which("labelme", path=beside) or shutil.which("labelme")
        if found is None:
            raise EnvironmentUnfit(INSTALL_HINT.format(name=name))
    has_screen = any(map(os.environ.get, _SCREEN_VARIABLES))
    if sys.platform.startswith("linux") and not has_screen:
        raise EnvironmentUnfit(
            "LabelMe needs a screen, and this terminal has none (DISPLAY is not set): "
            "annotate where you sit, with the project folder shared, or through ssh -X"
        )
    _check_version(found)
    return Path(os.path.abspath(found))


def build_labelme_command(program: Path, session: Session) -> list[str]:
    """Build the command line that opens a dive at its first image to do.

    Args:
        program: LabelMe.
        session: The dive.
    """
    first = session.to_do[0] if session.to_do else session.tasks[0]
    image = session.images / Path(first.image.image).name
    config = json.dumps(build_labelme_config(session))
    output = str(session.labels)
    return [str(program), str(image), "--output", output, "--config", config]


def build_labelme_config(session: Session) -> dict[str, Any]:
    """Return LabelMe's settings for a dive; version 6 and 7 take the same."""
    joints = [str(joint) for joint in range(NUM_JOINTS)]
    colours = {BOX_LABEL: list(BOX_COLOUR)}
    for joint, colour in zip(joints, COLOURS, strict=True):
        colours[joint] = list(colour)
    images = [re.escape(Path(task.image.image).name) for task in session.tasks]
    return {
        "auto_save": True,
        "with_image_data": False,
        "labels": [BOX_LABEL, *joints],
        "sort_labels": False,
        "validate_label": "exact",
        "label_flags": {"[0-9]+$": [OCCLUDED_FLAG]},
        "flags": [UNCONFIRMED_FLAG],
        "shape_color": "manual",
        "label_colors": colours,
        "file_search": rf"(^|[/\\])({'|'.join(images)})$",
    }


def _check_version(program: str) -> None:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentUnfit(f"{program} does not start: {error}") from None
    version = re.search(r"(\d+)\.\d+", said.stdout)
    if said.returncode or version is None:
        words = said.stderr.strip() or said.stdout.strip() or "no word"
        raise EnvironmentUnfit(f"{program} --version fails: {words.splitlines()[-1]}")
    if int(version[1]) < OLDEST_LABELME:
        raise EnvironmentUnfit(
            f"{program} is LabelMe {version[0]}, expected {OLDEST_LABELME} or newer: "
            'pip install -U "labelme>=6.3"'
        )


def _open_labelme(program: Path, session: Session) -> None:
    session.labels.mkdir(parents=True, exist_ok=True)
    command = build_labelme_command(program, session)
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    astray = sorted(path.name for path in session.images.glob("*.json"))
    if astray:
        console.log.warning(
            "%s: label files beside the images (%s), where nothing reads them; "
            "move them to %s",
            session.images,
            ", ".join([*astray[:3], "…"] if len(astray) > 3 else astray),
            session.labels,
        )
    if code:
        raise EnvironmentUnfit(
            f"LabelMe ended with code {code}; what it saved lies in {session.labels}"
        )
