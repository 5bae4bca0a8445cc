"""Writer of an invented meet in FineDiving's layout, with everything that is true of it."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose import console
from finediving_pose.datasets import fdpose_json, labelme
from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.datasets.finediving import FineDive
from finediving_pose.datasets.finediving_writer import write_finediving
from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.datasets.truth_files import (
    DiveTruth,
    frame_name,
    make_labelled_frames,
    make_true_skeleton,
    make_truth_path,
    read_truth,
    round_as_stored,
    write_truth,
)
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.files import (
    atomic_folder,
    atomic_path,
    parse_json,
    read_text,
    sha256_json,
    write_json,
    write_text,
)
from finediving_pose.manifest import recording
from finediving_pose.records import Dive, FloatArray, LabelledFrame
from finediving_pose.synthesis import meet as meets
from finediving_pose.synthesis.meet import Meet, PlannedDive

if TYPE_CHECKING:
    from finediving_pose.synthesis.scene import Scene

LABELS_NAME = "finediving_pose.json"
SKELETONS_NAME = "skeletons/truth"
BENCHMARK_DIVES, BENCHMARK_SEED = 1000, 20250103
"""The meet that models are compared on: 1000 dives, 250 of them for testing."""

README = """SYNTHETIC: every athlete, dive, score and picture here was made by `fdpose synth`; no one was filmed.

frames/ or videos/     pictures, as FineDiving lays them out
annotations/           FineDiving's five files; every program that reads FineDiving reads them
dives.csv              the same for `fdpose extract --dives`
labels/truth/          LabelMe, of every frame in which all 16 joints are in sight above water
finediving_pose.json   the same as FineDiving-Pose's human labels
skeletons/truth/       the true joints in sight, laid out as `fdpose extract` does
truth/                 joints in px and m, boxes, cameras and faults of every frame, also under water
meet.json              seed, version, floors and ceiling
"""


Kind = Literal["frames", "video", "truth", "annotations"]


@dataclass(frozen=True)
class SynthRequest:
    """What to make.

    Attributes:
        dives: How many.
        seed: Of everything.
        numbers: Restricts the programme to these dive numbers.
        hard: Occlusion, others who walk and dive, full stands, zoom, flicker.
        kind: What is written of a dive: numbered JPEG or an mp4, both with truth and
            labels; these without images; or annotations alone, for which nothing is
            painted and which is a hundred times as fast.
        every: Label every n-th frame in LabelMe and in the FineDiving-Pose list; the
            truth files have all.
        free_limbs: Arms and legs go their own ways, as no dive's do: for training pose
            networks. Mass centre, faults and scores remain those of the dives as they were.
    """

    dives: int
    seed: int
    numbers: tuple[str, ...] = ()
    hard: bool = False
    kind: Kind = "frames"
    every: int = 1
    free_limbs: bool = False


@dataclass
class SynthResult:
    """What was made, and what can and cannot be expected of a method on it.

    Attributes:
        out: The folder.
        dives: All of them, `skipped` those that were there already.
        skipped: As in `dives`.
        frames: Of all dives.
        test: Dives for testing.
        ceiling: ρ of the scores without the judges' error; None with too few test
            dives.
        floors: Metrics of the label-only baselines, by name.
    """

    out: Path
    dives: int = 0
    skipped: int = 0
    frames: int = 0
    test: int = 0
    ceiling: float | None = None
    floors: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"synthetic": True, **asdict(self), "out": str(self.out)}


class _Written(NamedTuple):
    """What the parent needs of a written dive."""

    annotation: FineDive
    records: list[str]
    skipped: bool


def synthesise_meet(out: Path, request: SynthRequest, workers: int = 1) -> SynthResult:
    """Make a meet below `out`. A rerun with the same request keeps the dives that are
    there.

    Args:
        out: A new folder, or that of the same meet.
        request: What to make.
        workers: Processes. The files do not depend on it.

    Returns:
        What was made.

    Raises:
        UsageError: If `out` holds something else, or the request asks for the
            impossible.
        EnvironmentUnfit: If `out` cannot be written.
    """
    try:
        meet = meets.plan_meet(
            request.dives,
            request.seed,
            request.numbers,
            request.hard,
            request.free_limbs,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    if request.every < 1 or workers < 1:
        raise UsageError(
            f"--every {request.every}, --workers {workers}: expected at least 1"
        )
    _check_folder(out, _describe_identity(request))
    try:
        return _write_meet(out, meet, request, workers)
    except OSError as error:
        raise EnvironmentUnfit(
            f"{out}: cannot be written: {error}; the dives finished so far are kept"
        ) from error


def _write_meet(
    out: Path, meet: Meet, request: SynthRequest, workers: int
) -> SynthResult:
    result = SynthResult(out)
    with recording(
        out,
        synthetic=True,
        request=asdict(request),
        workers=workers,
        version=meets.VERSION,
    ):
        write_text(out / "README.txt", README)
        write_json(
            out / "meet.json", {"synthetic": True, **_describe_identity(request)}
        )
        annotations = _write_dives(out, meet, request, workers, result)
        _write_annotations(out, meet, annotations, request)
        _measure_baselines(meet, annotations, result)
        write_json(
            out / "meet.json",
            {**_describe_identity(request), **result.as_dict(), "out": "."},
        )
    return result


def _describe_identity(request: SynthRequest) -> dict[str, Any]:
    numbers = sorted({number.lower() for number in request.numbers})
    hard = {"hard_version": meets.HARD_VERSION} if request.hard else {}
    return {"version": meets.VERSION, **asdict(request), **hard, "numbers": numbers}


def _check_folder(out: Path, identity: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but this very meet."""
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        there = parse_json(read_text(out / "meet.json"))
    except (OSError, ValueError):
        raise UsageError(
            f"{out}: exists and is no meet of fdpose synth; name another folder"
        ) from None
    there.setdefault("free_limbs", False)  # folders from before there were any go on
    differing = [key for key, value in identity.items() if there.get(key) != value]
    if differing:
        found = ", ".join(
            f"{key} {there.get(key)!r} (asked for: {identity[key]!r})"
            for key in differing
        )
        raise UsageError(f"{out}: holds another meet: {found}; name another folder")


def _write_dives(
    out: Path, meet: Meet, request: SynthRequest, workers: int, result: SynthResult
) -> list[FineDive]:
    annotations = []
    with ExitStack() as stack:
        ticker = stack.enter_context(console.progress("dives", len(meet.dives)))
        write_records = None
        if request.kind != "annotations":
            write_records = stack.enter_context(_open_json_list(out / LABELS_NAME))
        matches = list(meet.matches.values())
        for written in _write_all(out, matches, request, workers):
            annotations.append(written.annotation)
            if write_records is not None:
                write_records(written.records)
            result.dives += 1
            result.skipped += written.skipped
            result.frames += len(written.annotation.frame_labels)
            ticker.advance()
    return annotations


@contextmanager
def _open_json_list(path: Path) -> Iterator[Callable[[Iterable[str]], None]]:
    """Give a function that writes items of a JSON list, a few at a time: all of them
    would not fit into memory."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        before = "[\n"

        def write(items: Iterable[str]) -> None:
            nonlocal before
            for item in items:
                file.write(before + item)
                before = ",\n"

        yield write
        file.write("[]\n" if before == "[\n" else "\n]\n")


def _write_all(
    out: Path, matches: Sequence[list[PlannedDive]], request: SynthRequest, workers: int
) -> Iterator[_Written]:
    """Write match by match, whose dives share a venue, and give the results in order;
    few are held at a time."""
    if workers == 1:
        for match in matches:
            for dive in match:
                yield _write_dive(out, dive, request)
        return
    # A few matches wait for their turn: the results of all would not fit into memory.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_use_one_thread
    ) as pool:
        waiting: deque[Future[list[_Written]]] = deque()
        for match in matches:
            waiting.append(pool.submit(_write_match, out, match, request))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _use_one_thread() -> None:
    import cv2

    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)


def _write_match(
    out: Path, dives: list[PlannedDive], request: SynthRequest
) -> list[_Written]:
    return [_write_dive(out, dive, request) for dive in dives]


def _write_dive(out: Path, dive: PlannedDive, request: SynthRequest) -> _Written:
    """Write one dive; its truth comes last and says that the rest is there."""
    if request.kind == "annotations":
        stages = meets.perform_planned_dive(dive).stages
        annotation = _make_annotation(dive, dive.start_frame, stages, request)
        return _Written(annotation, [], skipped=False)
    path = make_truth_path(out, dive.match, str(dive.dive))
    identity = sha256_json([_describe_identity(request), repr(dive)])
    truth = _read_truth_if_done(path, identity)
    skipped = truth is not None
    if truth is None:
        scene = meets.stage_dive(dive)
        if request.kind != "truth":
            _write_images(out, dive, scene, request)
        truth = round_as_stored(_collect_truth(dive, scene, request, identity))
        _write_labelme(out, _select_labelled(truth, dive, request))
        skeleton = pose_path(out / SKELETONS_NAME, dive.match, str(dive.dive))
        write_pose(skeleton, make_true_skeleton(truth))
        write_truth(path, truth)
    records = []
    for frame in _select_labelled(truth, dive, request):
        records.append(json.dumps(fdpose_json.make_record(frame)))
    first = int(truth.frame_index[0])
    annotation = _make_annotation(dive, first, truth.frame_labels, request)
    return _Written(annotation, records, skipped)


def _read_truth_if_done(path: Path, identity: str) -> DiveTruth | None:
    """Return the truth of a dive that was written for the same request."""
    try:
        truth = read_truth(path)
    except DataError:
        return None
    return truth if truth.meta.get("identity") == identity else None


def _collect_truth(
    dive: PlannedDive, scene: Scene, request: SynthRequest, identity: str
) -> DiveTruth:
    from finediving_pose.synthesis.dive import FPS, SUBSTEPS

    motion, first = scene.motion, _get_first_frame(dive, request)
    nominal = slice(None, None, SUBSTEPS)
    return DiveTruth(
        keypoints=scene.keypoints,
        visibility=scene.visibility,
        boxes=scene.boxes,
        frame_index=np.arange(first, first + motion.frames),
        frame_labels=motion.stages,
        joints=motion.joints,
        mass_centre=motion.mass_centre[nominal],
        somersault=motion.somersault[nominal],
        twist=motion.twist[nominal],
        cameras=scene.camera,
        others=_list_others(scene),
        meta={
            "synthetic": True,
            "identity": identity,
            "match": dive.match,
            "dive": dive.dive,
            "athlete": dive.athlete._asdict(),
            "choice": asdict(dive.choice),
            "execution": asdict(dive.execution),
            "awards": list(dive.awards),
            "score": dive.score,
            "true_score": dive.true_score,
            "takeoff": motion.takeoff,
            "touch": motion.touch,
            "gone": motion.gone,
            "fps": FPS,
        },
    )


def _list_others(scene: Scene) -> FloatArray:
    """Return (K, 6): the row in the clip, the person and the box of everybody but the
    athlete."""
    rows = []
    for k in range(len(scene)):
        others = scene.get_others(k)
        rows.append(np.column_stack([np.full(len(others), k), others]))
    return np.concatenate(rows)


def _select_labelled(
    truth: DiveTruth, dive: PlannedDive, request: SynthRequest
) -> list[LabelledFrame]:
    from finediving_pose.synthesis.scene import SIZE

    frames = make_labelled_frames(truth, dive.match, str(dive.dive), SIZE)
    return frames[:: request.every]


def _get_first_frame(dive: PlannedDive, request: SynthRequest) -> int:
    """Return the number of the first frame: in the match's recording, or in the dive's
    own video file."""
    return 0 if request.kind == "video" else dive.start_frame


def _write_images(
    out: Path, dive: PlannedDive, scene: Scene, request: SynthRequest
) -> None:
    from finediving_pose.media import encode_jpeg, write_video
    from finediving_pose.synthesis.dive import FPS

    images = (scene.render_frame(k) for k in range(len(scene)))
    if request.kind == "video":
        write_video(out / "videos" / dive.match / f"{dive.dive}.mp4", images, FPS)
        return
    first = _get_first_frame(dive, request)
    with atomic_folder(out / "frames" / dive.match / str(dive.dive)) as folder:
        for number, image in enumerate(images, start=first):
            name = Path(frame_name(dive.match, str(dive.dive), number)).name
            (folder / name).write_bytes(encode_jpeg(image, dive.jpeg_quality))


def _write_labelme(out: Path, frames: Sequence[LabelledFrame]) -> None:
    if not frames:
        return
    name = f"{frames[0].match}__{frames[0].dive}"
    with atomic_folder(out / "labels" / "truth" / name) as folder:
        for frame in frames:
            assert frame.size is not None, frame.image
            image = f"../../../frames/{frame.image}"
            content = labelme.encode_labelme(frame, frame.size, image)
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            path = folder / f"{Path(frame.image).stem}.json"
            path.write_text(text, encoding="utf-8", newline="\n")


def _make_annotation(
    dive: PlannedDive, first: int, labels: NDArray[np.int64], request: SynthRequest
) -> FineDive:
    """Return what FineDiving's files say of a dive."""
    video = f"frames/{dive.match}/{dive.dive}"
    if request.kind == "video":
        video = f"videos/{dive.match}/{dive.dive}.mp4"
    record = Dive(
        match=dive.match,
        dive=str(dive.dive),
        video=video,
        start_frame=first,
        end_frame=first + len(labels) - 1,
        dive_number=dive.choice.dive_number,
        difficulty=dive.choice.difficulty,
        awards=dive.awards,
        score=dive.score,
    )
    return FineDive.labelled(record, labels)


def _write_annotations(
    out: Path, meet: Meet, dives: list[FineDive], request: SynthRequest
) -> None:
    train = [dive.key for dive in meet.select_part(test=False)]
    test = [dive.key for dive in meet.select_part(test=True)]
    write_finediving(out / "annotations", dives, train, test)
    write_dives(out / "dives.csv", [dive.dive for dive in dives])


def _measure_baselines(meet: Meet, dives: list[FineDive], result: SynthResult) -> None:
    from finediving_pose.aqa.label_only_baselines import measure_baselines

    result.test = len(meet.test)
    if result.test > 2:
        result.ceiling = meet.compute_ceiling()
        train = [dive.key for dive in meet.select_part(test=False)]
        test = [dive.key for dive in meet.select_part(test=True)]
        result.floors = measure_baselines(dives, train, test)
