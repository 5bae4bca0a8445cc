"""Requests of ``fdpose score``: what to score, what is known about it, and whether that
goes together and with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from finediving_pose import diving
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.errors import UsageError
from finediving_pose.media import list_numbered_images
from finediving_pose.records import Clip, Dive


@dataclass(frozen=True)
class ScoreRequest:
    """What to score, and what is known about it.

    Attributes:
        clip: A video file or a folder of images; None only where features stand in for
            it.
        dive_number: For example ``407c``; needed where exemplars are of the same
            number.
        difficulty: DD; None = taken from `apparatus` or from the exemplars, where they
            tell.
        apparatus: ``1m``, ``3m`` or ``10m``, from which DD follows for most dives.
        match, dive: The dive's name; None = as the clip's folder and its own name say.
        start, end: First and last frame of the dive in the clip, both included; None =
            all of it.
        skeletons: A ``pred_comp_*.npz``, or a folder that extract wrote.
        found_skeletons: The folder to look in where `skeletons` are not named.
        no_skeleton: Whether the model may run with all joints missing.
        pose_model, detector: What extracts the skeleton; None = the newest, if one is
            needed.
        features: A ``.npz`` that stands in for images.
    """

    clip: Path | None
    dive_number: str | None = None
    difficulty: float | None = None
    apparatus: str | None = None
    match: str | None = None
    dive: str | None = None
    start: int | None = None
    end: int | None = None
    skeletons: Path | None = None
    found_skeletons: Path | None = None
    no_skeleton: bool = False
    pose_model: Path | None = None
    detector: str | None = None
    features: Path | None = None

    @property
    def names_extractor(self) -> bool:
        """Whether a model that extracts the skeleton was named."""
        return bool(self.pose_model or self.detector)

    def parse_number(self) -> diving.DiveNumber | None:
        """Return the dive number; None where none was given.

        Raises:
            UsageError: If it is no dive number.
        """
        if self.dive_number is None:
            return None
        try:
            return diving.parse_dive_number(self.dive_number)
        except ValueError as error:
            raise UsageError(f"--dive-number: {error}") from None

    def make_record(self) -> Dive:
        """Return match, dive and number of the dive; its DD is not looked for."""
        number = self.parse_number()
        path = (self.clip or self.features or Path()).resolve()
        own_name = path.name if path.is_dir() else path.stem
        return Dive(
            match=self.match or path.parent.name or "clip",
            dive=self.dive or own_name,
            dive_number=None if number is None else str(number).lower(),
        )

    def make_clip(self, record: Dive) -> Clip | None:
        """Return the frames of the dive; None where features stand in for them."""
        if self.clip is None:
            return None
        return Clip(record.match, record.dive, self.clip, self.start, self.end)


def check_request(request: ScoreRequest, settings: AqaSettings, model: Path) -> None:
    """Refuse what does not go together, before torch is loaded, which takes seconds.

    Args:
        request: What to score.
        settings: Of the model.
        model: Its folder.

    Raises:
        UsageError: If options do not go together or with the model, or the clip is not
            there.
    """
    _check_clip(request, settings, model)
    _check_skeleton(request)
    difficulty, apparatus = request.difficulty, request.apparatus
    if difficulty is not None and not 0 < difficulty < 10:
        raise UsageError(
            f"--difficulty {difficulty:g}: expected a degree of difficulty such as 3.2"
        )
    known = get_args(diving.Apparatus)
    if apparatus is not None and apparatus not in known:
        raise UsageError(f"--apparatus {apparatus}: expected {', '.join(known)}")


def find_difficulty(
    request: ScoreRequest, same: Sequence[Dive]
) -> tuple[float | None, str]:
    """Find the degree of difficulty: as given, by the rule, or as the training dives
    have it.

    Args:
        request: What is known about the dive.
        same: The training dives of its number.

    Returns:
        DD, and where it is from; None, and then how to give it.
    """
    number, apparatus = request.parse_number(), request.apparatus
    if request.difficulty is not None:
        return request.difficulty, "as given"
    if apparatus is not None and number is not None:
        value = diving.get_difficulty(number, apparatus)  # type: ignore[arg-type]
        if value is not None:
            return value, f"by the rule, {number} from {apparatus}"
        missing = f"the rule's value of {number} from {apparatus} is not known here"
        return None, f"{missing}: --difficulty"
    found = sorted({dive.difficulty for dive in same if dive.difficulty})
    if len(found) == 1:
        return found[0], f"that of all {len(same)} training dives {number}"
    if found:
        values = ", ".join(f"{value:.1f}" for value in found)
        return (
            None,
            f"the training dives {number} have {values}: say which with --difficulty, or --apparatus",
        )
    return None, "give it with --difficulty, or --apparatus"


def _check_clip(request: ScoreRequest, settings: AqaSettings, model: Path) -> None:
    clip = request.clip
    if clip is not None and not clip.exists():
        raise UsageError(f"{clip}: no such video file or folder of images")
    if clip is not None and clip.is_dir() and not list_numbered_images(clip):
        raise UsageError(
            f"{clip}: holds no images; name a video file or the folder of one dive's images"
        )
    if clip is None and request.features is None:
        raise UsageError("nothing to score: name a video file or a folder of images")
    if clip is None and settings.reads_images:
        raise UsageError(f"{model}: reads images: name a video or a folder of images")
    if settings.features and request.features is None:
        raise UsageError(
            f"{model}: this model reads features: give those of this dive with --features FILE.npz"
        )
    if not settings.features and request.features is not None:
        raise UsageError(f"{model}: this model reads no features")


def _check_skeleton(request: ScoreRequest) -> None:
    names_one = bool(request.skeletons) or request.names_extractor
    if request.no_skeleton and names_one:
        raise UsageError(
            "--no-skeleton does without one; give it alone, or name skeletons or models"
        )
    if request.skeletons and request.names_extractor:
        raise UsageError(
            "--skeletons names a skeleton and --pose-model, --detector make one; give one of the two"
        )
