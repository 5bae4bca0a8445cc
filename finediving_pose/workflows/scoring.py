"""``fdpose score``: a clip, its skeleton and a model directory become a score, and what
it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

from finediving_pose import diving
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.settings import AqaSettings, Precision, Stages
from finediving_pose.config import validate_settings
from finediving_pose.console import log
from finediving_pose.datasets.model_directory import CARD_NAME, read_model_directory
from finediving_pose.datasets.pose_files import pose_path, read_pose, write_pose
from finediving_pose.datasets.score_files import Scored, Seen, Stage
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json
from finediving_pose.manifest import recording
from finediving_pose.media import numbered_images, open_frames, sample_indices
from finediving_pose.networks import NetworkOptions
from finediving_pose.records import Clip, Dive, SkeletonSequence
from finediving_pose.reporting.score_text import (
    format_exemplar,
    format_seen,
    list_facts,
    list_stage_rows,
    make_exemplar_table,
)
from finediving_pose.workflows import model_loading

if TYPE_CHECKING:
    from finediving_pose.aqa.dive_fingerprints import FingerprintedPreview
    from finediving_pose.reporting.score_page import ScoreView

LEAST_FRAMES = 16
"""Distinct frames, below which nothing is said: no dive is that short."""
FEW_JOINTS = 0.5
"""Part of the joints, below which the answer warns."""
STAGE_NAMES: dict[Stages, tuple[str, ...]] = {
    "1": ("dive",),
    "2": ("take-off", "flight and entry"),
    "2*": ("take-off and flight", "entry"),
    "3": ("take-off", "flight", "entry"),
}
PAGE_NAME, ANSWER_NAME = "score.html", "score.json"


@dataclass(frozen=True)
class Request:
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
        features: A ``.npz`` that stands in for pictures.
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


def score_clip(
    model: Path, request: Request, device: str = "auto", out: Path | None = None
) -> Scored:
    """Score a clip.

    Args:
        model: The model directory, with its exemplar bank.
        request: What to score.
        device: auto, cpu, cuda or cuda:N.
        out: A folder for ``score.html``, ``score.json``, ``manifest.json`` and a
            skeleton that was extracted; None = nothing is written.

    Raises:
        UsageError: If options do not go together, or something that the model needs was
            not named.
        DataError: If the dive number was never trained on, there is no skeleton, the
            clip has too few frames, or model, bank or clip are not readable.
        EnvironmentUnfit: If a package or device is missing.
    """
    model_loading.require_aqa("score")
    if out is None:
        with TemporaryDirectory() as folder:
            return _Scoring(model, request, device, Path(folder)).run()
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file, expected a folder")
    scoring = _Scoring(model, request, device, out)
    with recording(out, model=str(model), clip=str(request.clip)) as manifest:
        scored = scoring.run()
        manifest.add(**scoring.facts)
        manifest.warnings += scored.notes
        write_json(out / ANSWER_NAME, scored.as_dict())
        _write_page(out / PAGE_NAME, scored)
    return scored


@dataclass(frozen=True)
class _Frames:
    """What is known about the clip's frames.

    Attributes:
        numbers: In the source, all.
        sampled: Those that stand for the dive, in order; short clips repeat some.
        fps: As declared.
    """

    numbers: tuple[int, ...] = ()
    sampled: tuple[int, ...] = ()
    fps: float | None = None


class _Scoring:
    """One clip on its way to a score."""

    def __init__(self, model: Path, request: Request, device: str, work: Path) -> None:
        self._directory = read_model_directory(model, "aqa")
        self._settings = validate_settings(
            AqaSettings, self._directory.settings, str(model / CARD_NAME)
        )
        self._request = request
        self._number = _number(request.dive_number)
        self._refuse_misuse()  # before torch is loaded, which takes seconds

        from finediving_pose.aqa.exemplar_bank import read_bank
        from finediving_pose.devices import choose_device

        settings = self._settings
        self._by_number = settings.dive_numbers and settings.needs_exemplars
        if self._by_number and self._number is None:
            raise UsageError(
                "this model compares dives of one dive number: name the dive's with --dive-number, such as 407c"
            )
        self._asked_device = device
        self._device = choose_device(device)
        self._work = work
        self._bank = read_bank(model)
        self._notes: list[str] = []
        self.facts: dict[str, Any] = {
            "model_sha256": self._directory.weights_sha256,
            "device": self._device,
        }

    def run(self) -> Scored:
        """Do all of it."""
        from finediving_pose.aqa.dive_fingerprints import preview_dive
        from finediving_pose.aqa.inference import encode, predict
        from finediving_pose.aqa.trained_model import load_weights

        settings = self._settings
        record, difficulty_from = self._record()
        frames = self._frames(record)
        if frames.numbers:
            record = replace(
                record, start_frame=frames.numbers[0], end_frame=frames.numbers[-1]
            )
        skeleton, skeleton_text = self._skeleton(record)
        query = AqaDive(record, self._clip(record), skeleton)
        known = self._joints_known(query, frames)
        model = load_weights(self._directory, self._device)
        loader = self._loader(record)
        precision: Precision = settings.precision if self._device != "cpu" else "fp32"
        encoded = encode(
            model, [query], loader, self._device, precision=precision, title=""
        )
        transitions = encoded.transitions[0].tolist()
        features = loader.load(query).features if settings.features else None
        shown = preview_dive(
            query,
            transitions,
            settings.frames,
            None if features is None else features.numpy(),
        )
        seen = self._seen(record, shown)
        chosen = self._exemplars(record, seen)
        found = predict(
            model, encoded, [record], self._bank.encoded, self._bank.dives, [chosen]
        ).dives[0]
        score = _finite(found.score)
        if score is None:
            raise DataError(
                f"{record.match}/{record.dive}: the model gives no number for this dive; is it damaged?"
            )
        award = score / record.difficulty / 3 if record.difficulty else None
        if award is not None and not 0 <= award <= 10:
            self._notes.append(
                f"judges give no mean award of {award:.1f}: this score is not to be believed"
            )
        if len(found.exemplars) == 1:
            self._notes.append(
                "one exemplar only has no spread, and its own oddities count in full"
            )
        return Scored(
            clip=str(self._request.clip or self._request.features),
            name="/".join(record.key),
            model=str(self._directory.path),
            dive_number=None if self._number is None else str(self._number),
            description=None if self._number is None else self._number.description,
            score=score,
            spread=_finite(found.spread),
            difficulty=record.difficulty,
            difficulty_from=difficulty_from,
            mean_award=award,
            stages=self._stages(transitions, frames),
            exemplars=found.exemplars,
            seen=seen,
            skeleton=skeleton_text,
            joints_known=known,
            fps=frames.fps,
            notes=tuple(self._notes),
            shown=(shown, tuple(self._bank.previews[at] for at in chosen)),
        )

    def _refuse_misuse(self) -> None:
        request, settings = self._request, self._settings
        if request.clip is not None and not request.clip.exists():
            raise UsageError(f"{request.clip}: no such video file or folder of images")
        if (
            request.clip is not None
            and request.clip.is_dir()
            and not numbered_images(request.clip)
        ):
            raise UsageError(
                f"{request.clip}: holds no images; name a video file or the folder of one dive's images"
            )
        if request.clip is None and request.features is None:
            raise UsageError(
                "nothing to score: name a video file or a folder of images"
            )
        if request.clip is None and settings.reads_pictures:
            raise UsageError(
                f"{self._directory.path}: looks at pictures: name a video or a folder of images"
            )
        if bool(settings.features) != (request.features is not None):
            raise UsageError(
                f"{self._directory.path}: this model reads "
                + (
                    "features: give those of this dive with --features FILE.npz"
                    if settings.features
                    else "no features"
                )
            )
        if request.no_skeleton and (
            request.skeletons or request.pose_model or request.detector
        ):
            raise UsageError(
                "--no-skeleton does without one; give it alone, or name skeletons or models"
            )
        if request.skeletons and (request.pose_model or request.detector):
            raise UsageError(
                "--skeletons names a skeleton and --pose-model, --detector make one; give one of the two"
            )
        if request.difficulty is not None and not 0 < request.difficulty < 10:
            raise UsageError(
                f"--difficulty {request.difficulty:g}: expected a degree of difficulty such as 3.2"
            )
        if request.apparatus is not None and request.apparatus not in get_args(
            diving.Apparatus
        ):
            raise UsageError(
                f"--apparatus {request.apparatus}: expected {', '.join(get_args(diving.Apparatus))}"
            )

    def _record(self) -> tuple[Dive, str]:
        """Return what is known of the dive, and where its DD is from."""
        request = self._request
        path = (request.clip or request.features or Path()).resolve()
        record = Dive(
            match=request.match or path.parent.name or "clip",
            dive=request.dive or (path.name if path.is_dir() else path.stem),
            dive_number=None if self._number is None else str(self._number).lower(),
        )
        same = [
            dive
            for dive in self._bank.dives
            if (dive.dive_number or "").lower() == record.dive_number
        ]
        if self._by_number and not same:
            raise DataError(self._unknown_number())
        difficulty, source = self._difficulty(same)
        if difficulty is None and self._settings.target == "completeness":
            raise UsageError(
                f"this model predicts score / DD and needs the degree of difficulty: {source}"
            )
        if difficulty is None and self._settings.exemplar_choice == "difficulty":
            raise UsageError(
                f"this model compares dives of one degree of difficulty: {source}"
            )
        return replace(record, difficulty=difficulty), source

    def _difficulty(self, same: Sequence[Dive]) -> tuple[float | None, str]:
        request = self._request
        if request.difficulty is not None:
            return request.difficulty, "as given"
        if request.apparatus is not None and self._number is not None:
            value = diving.difficulty(self._number, request.apparatus)  # type: ignore[arg-type]
            if value is not None:
                return value, f"by the rule, {self._number} from {request.apparatus}"
            return (
                None,
                f"the rule's value of {self._number} from {request.apparatus} is not known here: --difficulty",
            )
        found = sorted({dive.difficulty for dive in same if dive.difficulty})
        if len(found) == 1:
            return found[0], f"that of all {len(same)} training dives {self._number}"
        if found:
            values = ", ".join(f"{value:.1f}" for value in found)
            return (
                None,
                f"the training dives {self._number} have {values}: say which with --difficulty, or --apparatus",
            )
        return None, "give it with --difficulty, or --apparatus"

    def _unknown_number(self) -> str:
        known = sorted(
            {dive.dive_number.upper() for dive in self._bank.dives if dive.dive_number}
        )
        listed = ", ".join(known) or "none"
        return (
            f"--dive-number {self._number}: this model has learned from no such dive, so there is nothing to compare "
            f"with and no score. Its dive numbers: {listed}. Train one with dives of {self._number}, or one that does "
            "without dive numbers (exemplar_choice=random)"
        )

    def _clip(self, record: Dive) -> Clip | None:
        request = self._request
        if request.clip is None:
            return None
        return Clip(record.match, record.dive, request.clip, request.start, request.end)

    def _frames(self, record: Dive) -> _Frames:
        clip = self._clip(record)
        if clip is None:
            return _Frames()
        source = open_frames(clip)
        for _ in source.read(()):  # counts what decodes
            raise AssertionError("nothing was wanted")
        for fault in source.faults:
            self._notes.append(f"{clip.source}: {fault}")
        numbers = tuple(
            source.number(position) for position in range(source.count or 0)
        )
        if len(numbers) < LEAST_FRAMES:
            part = (
                ""
                if clip.start_frame is None and clip.end_frame is None
                else " in the part that was asked for"
            )
            raise DataError(
                f"{clip.source}: {len(numbers)} frames{part}, expected {LEAST_FRAMES} or more (a dive has about 100): "
                "no score"
            )
        if len(numbers) < self._settings.frames:
            self._notes.append(
                f"{len(numbers)} frames stand for {self._settings.frames}: some count twice"
            )
        rows = sample_indices(len(numbers), self._settings.frames)
        return _Frames(numbers, tuple(numbers[row] for row in rows), source.fps)

    def _skeleton(self, record: Dive) -> tuple[Path | None, str]:
        """Return the skeleton file, found or made, and say in words which it is."""
        request = self._request
        if not self._settings.branch_pose:
            return None, "not read by this model"
        if request.no_skeleton:
            self._notes.append(
                "scored without a skeleton, as asked for with --no-skeleton: the model learned to read one, and its "
                "answer rests on less than usual"
            )
            return None, "none (--no-skeleton): all joints count as missing"
        if request.skeletons is not None:
            path = self._named_skeleton(request.skeletons, record)
            return path, str(path)
        found = (
            None
            if request.found_skeletons is None
            else _in_folder(request.found_skeletons, record)
        )
        if (
            found is not None
            and found.is_file()
            and not (request.pose_model or request.detector)
        ):
            log.info("skeleton: %s (--skeletons names another)", found)
            return found, str(found)
        return self._extracted(record)

    def _named_skeleton(self, path: Path, record: Dive) -> Path:
        if path.is_file():
            return path
        if not path.is_dir():
            raise UsageError(f"--skeletons {path}: no such file or folder")
        found = _in_folder(path, record)
        if not found.is_file():
            raise DataError(
                f"{found}: no such file, so there is no skeleton of {record.match}/{record.dive}; say how the dive is "
                "called there with --match and --dive, or name the file itself with --skeletons FILE.npz"
            )
        return found

    def _extracted(self, record: Dive) -> tuple[Path, str]:
        """Extract the skeleton with the pose model and detector that were named, or the
        newest."""
        request, clip = self._request, self._clip(record)
        if clip is None:
            raise UsageError(
                "this model reads skeletons too: name the dive's with --skeletons FILE.npz"
            )
        looked = f" in {request.found_skeletons}" if request.found_skeletons else ""
        try:
            pose_model = request.pose_model or model_loading.newest_model("pose")
            detector = request.detector or str(model_loading.newest_model("detector"))
        except UsageError:
            raise UsageError(
                f"this model reads skeletons, and there is none of {record.match}/{record.dive}{looked}. Name one with "
                "--skeletons (a pred_comp_*.npz, or what fdpose extract wrote, with --match and --dive), or what makes "
                "one with --pose-model RUN --detector RUN; --no-skeleton scores without, and says so"
            ) from None
        path = pose_path(self._work / "skeletons", record.match, record.dive)
        _extract(
            clip, path, pose_model, detector, self._asked_device, self._settings.frames
        )
        self.facts.update(pose_model=str(pose_model), detector=detector)
        return path, f"extracted with {pose_model} and {detector}"

    def _joints_known(self, query: AqaDive, frames: _Frames) -> float | None:
        """Return the part of the joints that is known; a skeleton without any is none."""
        import numpy as np

        from finediving_pose.aqa.data.skeletons import read_skeleton

        if not self._settings.branch_pose or query.skeleton is None:
            return 0.0 if self._settings.branch_pose else None
        sequence = read_pose(query.skeleton)
        if not np.isfinite(sequence.keypoints).all(axis=-1).any():
            raise DataError(
                f"{query.skeleton}: holds no joint at all: nobody was found in this clip, so there is no skeleton to "
                "score by; look at the video, extract it anew, or score without with --no-skeleton"
            )
        self._compare_numbers(query.skeleton, sequence, frames.sampled)
        numbers = np.array(frames.sampled, np.int64) if frames.sampled else None
        joints = read_skeleton(query.skeleton, self._settings.frames, numbers).keypoints
        known = float(np.isfinite(joints).all(axis=-1).mean())
        if not known:
            raise DataError(
                f"{query.skeleton}: its frames are not those of {self._request.clip}: is it another dive's, or are "
                "--start and --end missing?"
            )
        if known < FEW_JOINTS:
            self._notes.append(
                f"only {known:.0%} of the joints are known in the frames that the model sees"
            )
        return known

    def _compare_numbers(
        self, path: Path, sequence: SkeletonSequence, sampled: Sequence[int]
    ) -> None:
        """Refuse a skeleton of other frames; one of a dive as long may be of the same,
        numbered from elsewhere."""
        if not sequence.meta or not len(sampled):
            return
        own, clip = (
            (int(numbers[0]), int(numbers[-1]))
            for numbers in (sequence.frame_index, sampled)
        )
        if own[0] <= clip[1] and clip[0] <= own[1]:
            return
        found = f"{path}: is of frames {own[0]} – {own[1]}, the clip has {clip[0]} – {clip[1]}"
        if abs((own[1] - own[0]) - (clip[1] - clip[0])) > 1:
            raise DataError(
                f"{found}: is it another dive's, or are --start and --end missing?"
            )
        self._notes.append(
            f"{found}: as long, so taken as the same dive with other numbers; make sure that it is"
        )

    def _loader(self, record: Dive) -> Any:
        from finediving_pose.aqa.data.features import FeatureStore
        from finediving_pose.aqa.data.sources import make_loader
        from finediving_pose.aqa.data.video_frames import FrameReader, Geometry

        settings, pictures, features = self._settings, None, None
        if settings.reads_pictures:
            pictures = FrameReader(
                Geometry(settings.geometry, settings.size), settings.frames
            )
        if self._request.features is not None:
            features = FeatureStore(
                self._request.features, frames=settings.frames, key=record.key
            )
            if features.dim != settings.feature_dim:
                raise DataError(
                    f"{self._request.features}: vectors of {features.dim} numbers, and the model learned from "
                    f"{settings.feature_dim}"
                )
        return make_loader(settings, pictures, features)

    def _seen(self, record: Dive, shown: FingerprintedPreview) -> tuple[Seen, ...]:
        """Return the training dives that this is, by its name or by its content."""
        own, found = "/".join(record.key), []
        compared = self._bank.compare_fingerprints(shown.fingerprint)
        for at, dive in enumerate(self._bank.dives):
            facts = {"name": "/".join(dive.key) == own, **compared[at]}
            by, against = (
                tuple(name for name, same in facts.items() if same is which)
                for which in (True, False)
            )
            if by:
                found.append(
                    Seen(
                        "/".join(dive.key),
                        by,
                        tuple(name for name in against if name != "name"),
                    )
                )
        return tuple(found)

    def _exemplars(self, record: Dive, seen: Sequence[Seen]) -> tuple[int, ...]:
        """Choose as evaluation does; a training dive is no exemplar of itself, whatever
        it is called now."""
        from finediving_pose.aqa.data.exemplars import ExemplarPool

        settings = self._settings
        if not settings.needs_exemplars:
            return ()
        same = {each.name for each in seen}
        places = [
            at
            for at, dive in enumerate(self._bank.dives)
            if "/".join(dive.key) not in same
        ]
        chosen = self._drawn(ExemplarPool, record, places)
        if not chosen and same:
            self._notes.append(
                "its only exemplar is itself: there is no other training dive to compare with"
            )
            chosen = self._drawn(
                ExemplarPool, record, list(range(len(self._bank.dives)))
            )
        if not chosen:
            raise DataError("no training dive to compare with: no score")
        if len(set(chosen)) < settings.exemplars:
            count = len(set(chosen))
            some = "one exemplar" if count == 1 else f"{count} exemplars"
            self._notes.append(
                f"{some}, where {settings.exemplars} are usual: there are no more"
            )
        return chosen

    def _drawn(self, pool: Any, record: Dive, places: list[int]) -> tuple[int, ...]:
        settings = self._settings
        if not places:
            return ()
        dives = [self._bank.dives[at] for at in places]
        drawn = pool(
            dives,
            settings.exemplar_choice,
            settings.exemplars,
            settings.seed,
            settings.exemplar_padding,
        )
        return tuple(places[at] for at in drawn.choose_exemplars(record))

    def _stages(self, transitions: Sequence[int], frames: _Frames) -> tuple[Stage, ...]:
        names = STAGE_NAMES[self._settings.stages]
        if not frames.sampled:
            return tuple(Stage(name, None, None, None) for name in names)
        firsts = [frames.numbers[0], *(frames.sampled[at] for at in transitions)]
        lasts = [
            max(n for n in frames.numbers if n < first or n == frames.numbers[0])
            for first in firsts[1:]
        ]
        lasts.append(frames.numbers[-1])
        return tuple(
            Stage(
                name,
                first,
                last,
                (first / frames.fps, (last + 1) / frames.fps) if frames.fps else None,
            )
            for name, first, last in zip(names, firsts, lasts, strict=True)
        )


def _number(text: str | None) -> diving.DiveNumber | None:
    if text is None:
        return None
    try:
        return diving.parse(text)
    except ValueError as error:
        raise UsageError(f"--dive-number: {error}") from None


def _in_folder(root: Path, record: Dive) -> Path:
    return pose_path(
        root.parent if root.name == "Pose" else root, record.match, record.dive
    )


def _extract(
    clip: Clip, path: Path, pose_model: Path, detector: str, device: str, frames: int
) -> None:
    """Write the skeleton of a clip.

    Raises:
        DataError: If that fails; says why.
    """
    from finediving_pose.extraction.loading import Task
    from finediving_pose.extraction.local_engine import LocalEngine
    from finediving_pose.extraction.settings import ExtractionSettings

    settings = ExtractionSettings(frames=frames)
    options = NetworkOptions(device=device)
    engine = LocalEngine(
        model_loading.load_detector(detector, options),
        model_loading.load_estimator(pose_model, options),
        settings,
    )
    log.info(
        "extracting the skeleton of %s with %s and %s",
        clip.source,
        pose_model,
        detector,
    )
    with closing(engine.run([Task(clip, clip.source.name)])) as outcomes:
        outcome = next(outcomes)
    if outcome.reason is not None:
        raise DataError(
            f"{clip.source}: no skeleton could be extracted: {outcome.reason}"
        )
    for warning in outcome.warnings:
        log.warning("%s: %s", clip.key, warning)
    write_pose(path, outcome.people[0])


def _write_page(path: Path, scored: Scored) -> None:
    from finediving_pose.reporting.score_page import write_score_page

    write_score_page(path, _view(scored))


def _view(scored: Scored) -> ScoreView:
    from finediving_pose.reporting.score_page import DiveView, ScoreView

    assert scored.shown is not None
    own, others = scored.shown
    query = DiveView(
        ("this dive", scored.name, f"scored {scored.score:.2f}"),
        own.pictures,
        own.poses,
        own.numbers,
    )
    views = [
        DiveView(format_exemplar(each), shown.pictures, shown.poses, shown.numbers)
        for each, shown in zip(scored.exemplars, others, strict=True)
    ]
    stages = [stage.name for stage in scored.stages]
    number = (
        f", {scored.dive_number} {scored.description}" if scored.dive_number else ""
    )
    return ScoreView(
        title=f"{scored.name}{number}",
        notice=" ".join(format_seen(scored)),
        facts=[
            (name.replace(" ", "\u00a0"), value) for name, value in list_facts(scored)
        ],  # kept on one line
        notes=scored.notes,
        stages=stages,
        stage_rows=list_stage_rows(scored),
        query=query,
        exemplars=scored.exemplars,
        exemplar_views=views,
        table=make_exemplar_table(scored),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
