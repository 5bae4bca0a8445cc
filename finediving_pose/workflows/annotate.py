"""``fdpose annotate``: somebody's queue, and the real LabelMe on it, dive after dive.

LabelMe saves ``<output>/<picture's stem>.json``, whatever folder the picture lies in.
So each dive is a LabelMe of its own, whose file list is narrowed to the person's
pictures by its search field.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.datasets.labelme import BOX_LABEL, OCCLUDED_FLAG, UNCONFIRMED_FLAG
from finediving_pose.errors import EnvironmentUnfit
from finediving_pose.skeleton import COLOURS, NUM_JOINTS
from finediving_pose.workflows.assignment import (
    NEEDS,
    Task,
    group_by_dive,
    hand_out_images,
    list_tasks,
)
from finediving_pose.workflows.project import Project, find_project

OLDEST_LABELME = 6
BOX_COLOUR = (255, 220, 0)

INSTALL_HINT = """\
LabelMe is not installed. Either into the environment of fdpose: pip install "fdpose[labelme]"
or into one of its own:
  python -m venv labelme-env
  labelme-env/bin/pip install "labelme>=6.3"         (Windows: labelme-env\\Scripts\\pip)
  fdpose annotate {name} --labelme labelme-env/bin/labelme"""


@dataclass(frozen=True)
class Session:
    """One dive of a person's queue, as LabelMe is started on it.

    Attributes:
        dive: ``<match>/<dive>`` as folders.
        tasks: The person's pictures of it.
        pictures: Their folder.
        labels: Where the label files belong, as ``<number>.json``.
    """

    dive: str
    tasks: tuple[Task, ...]
    pictures: Path
    labels: Path

    @property
    def to_do(self) -> list[Task]:
        """The pictures that are not done, returned ones first."""
        return sorted(
            (task for task in self.tasks if task.need != "done"),
            key=lambda task: NEEDS.index(task.need),
        )


@dataclass(frozen=True)
class Work:
    """What one annotator has to do.

    Attributes:
        name: The annotator.
        sessions: Dives, those with a returned picture first; finished ones only where
            all were asked for.
        counts: How many pictures of the whole queue have each need, ``done`` included.
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
            "dives": [
                {
                    "dive": session.dive,
                    "images": [
                        {
                            "image": task.image.image,
                            "label": str(
                                session.labels / Path(task.image.label_name).name
                            ),
                            "need": task.need,
                            **(
                                {"comment": task.comment, "reviewer": task.reviewer}
                                if task.reviewer
                                else {}
                            ),
                        }
                        for task in session.tasks
                    ],
                }
                for session in self.sessions
            ],
        }


def plan_work(
    name: str, every: bool = False, dry_run: bool = False, start: Path | None = None
) -> Work:
    """Hand out an annotator's queue and say what is to be done.

    Args:
        name: One of the annotators of ``fdpose.yaml``.
        every: Finished dives too.
        dry_run: Write no queue.
        start: Where to look for the project; None: the current folder.

    Raises:
        UsageError: If there is no project, or it has no such annotator.
        DataError: If there are no pictures yet, or the manifest or a queue is damaged.
    """
    project = find_project(start)
    queues = hand_out_images(project, dry_run) if project.annotator(name) else {}
    found = (
        list_tasks(project, name, queues[name], project.desk.read_states())
        if name in queues
        else []
    )
    sessions = (
        _session(project, name, dive, of_dive)
        for dive, of_dive in group_by_dive(found).items()
    )
    counts = Counter(task.need for task in found)
    return Work(
        name,
        tuple(session for session in sessions if every or session.to_do),
        {need: counts[need] for need in NEEDS},
        project.labels / name,
    )


def run_labelme_session(
    work: Work,
    labelme: Path | None,
    announce: Callable[[Session], None],
    go_on: Callable[[Session], bool],
) -> int:
    """Start LabelMe on one dive after the other, and return in how many.

    Args:
        work: Of :func:`work_of`.
        labelme: The program; None: the one of this environment, else the one on the
            PATH.
        announce: Gets each dive before it is opened.
        go_on: Asked with each further dive whether to open it.

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
        _run(program, session)
        opened += 1
    return opened


def find_labelme(name: str, labelme: Path | None = None) -> Path:
    """Return LabelMe's program.

    Args:
        name: The annotator, for the message.
        labelme: The program, if the user named one.

    Raises:
        EnvironmentUnfit: If there is none, there is no screen for it, or it is older
            than what we write for.
    """
    beside = Path(sys.executable).parent
    found = (
        shutil.which(str(labelme))
        if labelme
        else shutil.which("labelme", path=beside) or shutil.which("labelme")
    )
    if found is None and labelme is not None:
        raise EnvironmentUnfit(f"--labelme {labelme}: no such program")
    if found is None:
        raise EnvironmentUnfit(INSTALL_HINT.format(name=name))
    if sys.platform.startswith("linux") and not any(
        os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise EnvironmentUnfit(
            "LabelMe needs a screen, and this terminal has none (DISPLAY is not set): annotate where you sit, with the "
            "project folder shared, or through ssh -X"
        )
    _check_version(found)
    return Path(os.path.abspath(found))


def build_labelme_command(program: Path, session: Session) -> list[str]:
    """Return the command line that opens a dive at its first picture to do."""
    first = (session.to_do or list(session.tasks))[0]
    picture = session.pictures / Path(first.image.image).name
    return [
        str(program),
        str(picture),
        "--output",
        str(session.labels),
        "--config",
        json.dumps(build_labelme_config(session)),
    ]


def build_labelme_config(session: Session) -> dict[str, Any]:
    """Return LabelMe's settings for a dive; version 6 and 7 take the same."""
    joints = [str(joint) for joint in range(NUM_JOINTS)]
    pictures = "|".join(
        re.escape(Path(task.image.image).name) for task in session.tasks
    )
    return {
        "auto_save": True,
        "with_image_data": False,
        "labels": [BOX_LABEL, *joints],
        "sort_labels": False,
        "validate_label": "exact",
        "label_flags": {"[0-9]+$": [OCCLUDED_FLAG]},
        "flags": [UNCONFIRMED_FLAG],
        "shape_color": "manual",
        "label_colors": {
            BOX_LABEL: list(BOX_COLOUR),
            **{
                joint: list(colour)
                for joint, colour in zip(joints, COLOURS, strict=True)
            },
        },
        "file_search": rf"(^|[/\\])({pictures})$",
    }


def _session(project: Project, name: str, dive: str, found: Sequence[Task]) -> Session:
    labels = project.store.label_path(name, found[0].image.label_name).parent
    return Session(dive, tuple(found), project.frames / dive, labels)


def _check_version(program: str) -> None:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentUnfit(f"{program} does not start: {error}") from None
    version = re.search(r"(\d+)\.\d+", said.stdout)
    if said.returncode or version is None:
        last = (said.stderr.strip() or said.stdout.strip() or "no word").splitlines()[
            -1
        ]
        raise EnvironmentUnfit(f"{program} --version fails: {last}")
    if int(version[1]) < OLDEST_LABELME:
        raise EnvironmentUnfit(
            f'{program} is LabelMe {version[0]}, expected {OLDEST_LABELME} or newer: pip install -U "labelme>=6.3"'
        )


def _run(program: Path, session: Session) -> None:
    session.labels.mkdir(parents=True, exist_ok=True)
    code = subprocess.run(
        build_labelme_command(program, session), stdout=subprocess.DEVNULL
    ).returncode
    astray = sorted(path.name for path in session.pictures.glob("*.json"))
    if astray:
        console.log.warning(
            "%s: label files beside the pictures (%s), where nothing reads them; move them to %s",
            session.pictures,
            ", ".join(astray[:3]) + (" …" if len(astray) > 3 else ""),
            session.labels,
        )
    if code:
        raise EnvironmentUnfit(
            f"LabelMe ended with code {code}; what it saved lies in {session.labels}"
        )
