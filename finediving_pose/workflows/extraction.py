"""``fdpose extract``: find clips, skip what is done, run the rest through an engine,
write and list the results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose import __version__, console, errors
from finediving_pose.config import find_nearest_path
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.devices import count_usable_cores
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.clips import Found, find_clips
from finediving_pose.extraction.engine import Engine, Equipment
from finediving_pose.extraction.ledger import Ledger
from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.local_engine import Limits, LocalEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.shards import WHOLE, Shard
from finediving_pose.extraction.track_tools import Seed
from finediving_pose.extraction.trackers import find_tracker
from finediving_pose.files import (
    sha256_file,
    sha256_files,
    sha256_json,
    sweep_temporaries,
)
from finediving_pose.manifest import Manifest, recording
from finediving_pose.media import AS_USUAL, Reading, list_numbered_images
from finediving_pose.network_interfaces import Detector, NetworkOptions, PoseEstimator
from finediving_pose.records import Clip, Dive, SkeletonSequence
from finediving_pose.workflows import model_loading
from finediving_pose.workflows.rendering import write_overlay

PIPELINE_VERSION = 2
"""Raised when the same settings come to give other results, so that reruns redo what an
older version made."""

BUSY = ("detect", "pose", "track", "repair", "write", "draw", "idle")
"""Stages of the main thread, ``draw`` where overlays are; with worker processes `track`
and `repair` are theirs. ``idle``: it waits for frames, crops or worker processes."""

BESIDE = ("decode", "crop")
"""Stages of threads beside it; ``decode`` is reading, decoding and fitting frames,
``crop`` cutting people out."""


@dataclass(frozen=True)
class Request:
    """An extraction that is asked for: clips in, a folder out.

    Attributes:
        videos: A folder of video files, frame folders or FineDiving's layout; or one
            video file.
        out: The output folder, new or of an earlier run.
        settings: What decides the result.
        dives: A ``dives.csv`` that names clips and cuts them out of recordings.
        annotations: FineDiving's coarse annotation, which says what is synchronised.
        seeds: Labels whose boxes say whom to follow: the first labelled frame of a clip
            is used.
        seed_box: Whom to follow, where there is one clip.
        overlay: Whether to draw videos.
        overwrite: Whether to redo what is done.
        reading: How video files are read.
        shard: Which of the clips to extract. Shards may run at the same time, on any
            machines, into the same `out`; each has a ledger and a manifest of its own,
            and the last to finish leaves complete tables.
    """

    videos: Path
    out: Path
    settings: ExtractionSettings = field(default_factory=ExtractionSettings)
    dives: Path | None = None
    annotations: Path | None = None
    seeds: Path | None = None
    seed_box: Seed | None = None
    overlay: bool = False
    overwrite: bool = False
    reading: Reading = AS_USUAL
    shard: Shard = WHOLE

    def check(self) -> None:
        """Refuse what cannot work, before a network is loaded for it.

        Raises:
            UsageError: If `videos` is absent, `out` is the same folder or no folder, or
                no tracker has that name.
        """
        if not self.videos.exists():
            raise UsageError(
                f"--videos {self.videos}: no such file or folder"
                f"{find_nearest_path(self.videos)}"
            )
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"--out {self.out}: is a file, expected a folder")
        if self.out.resolve() == self.videos.resolve():
            raise UsageError(
                f"--out {self.out}: is the folder of the videos; results need one of their own"
            )
        find_tracker(self.settings.tracking.tracker)


@dataclass(frozen=True)
class Networks:
    """Which networks to load, and how.

    Attributes:
        detector, model: See :func:`.model_loading.load_detector` and
            :func:`.model_loading.load_estimator`.
        options: How both are loaded and run.
    """

    detector: str
    model: Path
    options: NetworkOptions = field(default_factory=NetworkOptions)


@dataclass
class Summary:
    """Result of an extraction.

    Attributes:
        out: The output folder.
        done, skipped: Keys of the clips extracted now, and of those that were done
            before.
        failed: (clip or source, reason).
        empty: Keys of clips extracted now in which nobody was found: their skeletons
            are NaN throughout.
        frames: How many different frames these have samples of.
        seconds: Time by stage, over all clips extracted now; see :data:`BUSY`.
        wall: Seconds from the first clip to the last.
    """

    out: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    frames: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0

    def profile(self) -> dict[str, float]:
        """Return the seconds of each stage and from begin to end, and the frames in
        them: JSON types."""
        stages = {stage: round(spent, 3) for stage, spent in self.seconds.items()}
        return {**stages, "wall": round(self.wall, 3), "frames": self.frames}

    @property
    def exit_code(self) -> int:
        """0 done, 1 some clips failed, 3 nothing usable."""
        if not self.failed:
            return errors.EXIT_DONE
        if self.done or self.skipped:
            return errors.EXIT_SOME_FAILED
        return errors.EXIT_INVALID_DATA


def extract(
    videos: Path,
    out: Path,
    detector: Detector,
    estimator: PoseEstimator,
    settings: ExtractionSettings = ExtractionSettings(),
    *,
    limits: Limits = Limits(),
    dives: Path | None = None,
    annotations: Path | None = None,
    seeds: Path | None = None,
    seed_box: Seed | None = None,
    overlay: bool = False,
    overwrite: bool = False,
    reading: Reading = AS_USUAL,
    shard: Shard = WHOLE,
) -> Summary:
    """Extract skeletons from every clip at or below `videos` into `out`, on this
    machine.

    Writes ``Pose/<match>/pred_comp_<dive>.npz``, ``manifest.jsonl`` with a line for
    each clip, ``quality.csv``, ``failures.csv``, ``manifest.json`` and, with `overlay`,
    ``overlays/<match>/<dive>.mp4``. A clip that an earlier run extracted from the same
    input with the same models and settings is skipped.

    Args:
        videos, out, settings: See :class:`Request`, as for all that is not named here.
        detector, estimator: The networks.
        limits: What decides speed and memory.

    Raises:
        UsageError: If a path, a tracker or a seed is not usable.
        DataError: If there is no clip, or an annotation file is not readable.
        EnvironmentUnfit: If `out` cannot be written.
    """
    request = Request(
        videos=videos,
        out=out,
        settings=settings,
        dives=dives,
        annotations=annotations,
        seeds=seeds,
        seed_box=seed_box,
        overlay=overlay,
        overwrite=overwrite,
        reading=reading,
        shard=shard,
    )

    def equip() -> Equipment:
        return _make_local_engine(detector, estimator, settings, limits)

    return extract_with(equip, request)


def extract_with(equip: Callable[[], Equipment], request: Request) -> Summary:
    """Do what :func:`extract` does with any engine; only this process writes.

    Args:
        equip: Makes an engine, with the request's settings, and what identifies its
            networks under ``detector`` and ``pose``; called when clips are found.
        request: What to extract.

    Raises:
        UsageError, DataError, EnvironmentUnfit: As :func:`extract`.
    """
    request.check()
    out = request.out
    found = _find_clips(request)
    seeds = _read_seeds(request, found.clips)
    equipment = equip()
    run = _Run(request, equipment.identity, seeds)
    try:
        for orphan in sweep_temporaries(out):
            console.log.info(
                "%s: left behind by a run that was killed; removed", orphan
            )
        name = request.shard.manifest_name
        with recording(out, name, **run.describe()) as manifest:
            manifest.warnings += found.notes
            manifest.add(not_read=found.not_read)
            return run.extract_clips(found, equipment.engine, manifest)
    except OSError as error:
        reason = error.strerror or str(error)
        kept = "the clips finished so far are kept, and skipped when the same command runs again"
        raise EnvironmentUnfit(f"{out}: cannot be written: {reason}; {kept}") from error


def load_equipment(
    networks: Networks, settings: ExtractionSettings, wished: Mapping[str, int | None]
) -> Equipment:
    """Load the networks and make a local engine of them: what a worker of a cluster
    does when it starts.

    Args:
        networks: Which.
        settings: What decides the result.
        wished: Limits by name; None, or a name that is left out, is what suits this
            machine.

    Raises:
        EnvironmentUnfit, UsageError, DataError: If device, packages, weights or the
            models cannot be had there.
    """
    options = networks.options
    detector = model_loading.load_detector(networks.detector, options)
    estimator = model_loading.load_estimator(networks.model, options)
    on_gpu = model_loading.on_gpu(options.device)
    limits = Limits.suited(on_gpu, count_usable_cores(), **wished)
    return _make_local_engine(detector, estimator, settings, limits)


def _make_local_engine(
    detector: Detector,
    estimator: PoseEstimator,
    settings: ExtractionSettings,
    limits: Limits,
) -> Equipment:
    identity = {"detector": dict(detector.identity), "pose": dict(estimator.identity)}
    return Equipment(LocalEngine(detector, estimator, settings, limits), identity)


class _Run:
    """One run over the clips of a folder: plans tasks, takes outcomes, keeps count."""

    def __init__(
        self, request: Request, identity: Mapping[str, Any], seeds: Mapping[str, Seed]
    ) -> None:
        self.summary = Summary(request.out)
        self._request = request
        self._identity = dict(identity)
        self._seeds = seeds
        self._settings = request.settings.model_dump(mode="json")
        self._videos = os.path.abspath(request.videos)  # as the sources are named
        root = Path(self._videos)
        self._root = root if root.is_dir() else root.parent
        self._ledger = Ledger(request.out, request.shard, self._videos)

    def describe(self) -> dict[str, Any]:
        """Return what the run's manifest says from the start."""
        return {
            "videos": self._videos,
            "models": self._identity,
            "settings": self._settings,
            **self._request.reading.describe(),
        }

    def extract_clips(
        self, found: Found, engine: Engine, manifest: Manifest
    ) -> Summary:
        """Extract what is not done; the tables are written however it ends.

        Args:
            found: The clips.
            engine: What extracts them.
            manifest: Of the run; counts and times are added to it.
        """
        for note in found.notes:
            console.log.warning("%s", note)
        if found.not_read:
            console.log.info("not read: %s", found.describe_not_read())
        start = time.perf_counter()
        shard = self._request.shard
        clips = [clip for clip in found.clips if shard.holds(clip.key)]
        try:
            if shard.index == 1:  # once is enough: each shard finds the same
                for refused in found.refused:
                    self._note_failure(refused.source, refused.source, refused.reason)
            with (
                console.progress("extracting", len(clips)) as ticker,
                closing(engine.run(self._plan_tasks(clips, ticker))) as outcomes,
            ):
                for outcome in outcomes:
                    self._take_outcome(outcome)
                    ticker.advance(note=outcome.task.clip.key)
            if self._request.overlay:
                self._draw_skipped(clips)
        finally:
            self.summary.wall = time.perf_counter() - start
            known = [clip.key for clip in found.clips]
            known += [refused.source for refused in found.refused]
            self._ledger.write_tables(known)
            counts = {
                "done": len(self.summary.done),
                "skipped": len(self.summary.skipped),
                "failed": len(self.summary.failed),
            }
            manifest.add(clips=counts, profile=self.summary.profile())
        return self.summary

    def _plan_tasks(
        self, clips: Sequence[Clip], ticker: console.Ticker
    ) -> Iterator[Task]:
        """Give the clips that are not done. Runs in the engine's loading thread, ahead
        of the networks."""
        for clip in clips:
            name = self._name_source(clip.source)
            seed = self._seeds.get(clip.key)
            digest = _hash_input(clip.source)
            task = Task(clip, name, digest, seed, self._request.reading)
            done = self._ledger.is_done(clip.key, self._hash_task(task))
            if done and not self._request.overwrite:
                self.summary.skipped.append(clip.key)
                ticker.advance()
            else:
                yield task

    def _take_outcome(self, outcome: Outcome) -> None:
        task = outcome.task
        clip = task.clip
        for stage, spent in outcome.seconds.items():
            self._add_seconds(stage, spent)
        hashes = self._hash_task(task)
        if outcome.reason is not None:
            self._note_failure(clip.key, task.name, outcome.reason, hashes)
            return
        start = time.perf_counter()
        channels = self._request.settings.channels
        self._ledger.write_result(outcome, hashes, self._describe_task(task), channels)
        self._add_seconds("write", time.perf_counter() - start)
        self.summary.done.append(clip.key)
        athlete = outcome.people[0]
        self.summary.frames += len(np.unique(athlete.frame_index))
        if not np.isfinite(athlete.keypoints).any():
            self.summary.empty.append(clip.key)
        for warning in outcome.warnings:
            console.log.warning("%s: %s", clip.key, warning)
        # An overlay that is there already shows an earlier result.
        self._overlay_path(clip).unlink(missing_ok=True)
        if self._request.overlay:
            self._draw_overlay(clip, outcome.people)

    def _draw_skipped(self, clips: Iterable[Clip]) -> None:
        """Draw what earlier runs extracted and did not draw."""
        skipped = set(self.summary.skipped)
        for clip in clips:
            if clip.key not in skipped or self._overlay_path(clip).exists():
                continue
            people = []
            for person in range(1, self._request.settings.persons + 1):
                path = pose_path(self.summary.out, clip.match, clip.dive, person)
                if path.exists():
                    people.append(read_pose(path))
            self._draw_overlay(clip, people)

    def _draw_overlay(self, clip: Clip, people: Sequence[SkeletonSequence]) -> None:
        start = time.perf_counter()
        try:
            write_overlay(clip, people, self._overlay_path(clip))
        except (DataError, OSError, ValueError) as error:
            console.log.warning("%s: no overlay: %s", clip.key, error)
        self._add_seconds("draw", time.perf_counter() - start)

    def _overlay_path(self, clip: Clip) -> Path:
        return self.summary.out / "overlays" / clip.match / f"{clip.dive}.mp4"

    def _add_seconds(self, stage: str, seconds: float) -> None:
        self.summary.seconds[stage] = self.summary.seconds.get(stage, 0.0) + seconds

    def _note_failure(
        self,
        clip: str,
        source: str,
        reason: str,
        hashes: Mapping[str, str] | None = None,
    ) -> None:
        self.summary.failed.append((clip, reason))
        self._ledger.write_failure(clip, source, reason, hashes)
        console.log.error("%s: %s", clip, reason)

    def _hash_task(self, task: Task) -> dict[str, str]:
        """Return the hashes of input, models and settings: a rerun redoes a clip whose
        line in the ledger has others."""
        clip = task.clip
        seed = None
        if task.seed is not None:
            seed = [task.seed.frame, *map(float, task.seed.box)]
        settings = {
            "pipeline": PIPELINE_VERSION,
            "settings": self._settings,
            "part": [clip.start_frame, clip.end_frame],
            "synchronised": clip.synchronised,
            "seed": seed,
            # Nothing where it is as usual: what older versions did is still done.
            **task.reading.describe(),
        }
        return {
            "input_sha256": task.input_sha256,
            "model_sha256": sha256_json(self._identity),
            "settings_sha256": sha256_json(settings),
        }

    def _describe_task(self, task: Task) -> dict[str, Any]:
        """Return what a skeleton file says of what made it."""
        clip = task.clip
        sampling = "all frames"
        samples = self._request.settings.frames
        if samples is not None:
            sampling = f"frame i*(n-1)//{max(samples - 1, 1)}, i < {samples}"
        return {
            "fdpose": __version__,
            "clip": clip.key,
            "match": clip.match,
            "dive": clip.dive,
            "source": task.name,
            "source_sha256": task.input_sha256,
            "part": [clip.start_frame, clip.end_frame],
            "synchronised": clip.synchronised,
            "sampling": sampling,
            "settings": self._settings,
            **self._identity,
        }

    def _name_source(self, source: Path) -> str:
        if source == self._root:
            return source.name
        return source.relative_to(self._root).as_posix()


def _find_clips(request: Request) -> Found:
    listed: list[Dive] = []
    annotated: list[Dive] = []
    notes: list[str] = []
    folder = None
    if request.dives is not None:
        from finediving_pose.datasets.dives_csv import read_dives

        folder = request.dives.parent
        recordings = request.videos
        if recordings.is_file():
            recordings = recordings.parent
        listed, problems = read_dives(request.dives, recordings)
        notes = [str(problem) for problem in problems]
    if request.annotations is not None:
        from finediving_pose.datasets.finediving import read_coarse

        annotated = read_coarse(request.annotations)
    persons = request.settings.persons
    found = find_clips(request.videos, listed, folder, annotated, persons)
    found.notes[:0] = notes
    if not found.clips and not found.refused:
        there = found.describe_not_read()
        raise DataError(
            f"{request.videos}: no video file and no folder of images there or below"
            + (f"; found {there}" if there else "")
        )
    return found


def _read_seeds(request: Request, clips: Sequence[Clip]) -> dict[str, Seed]:
    """Return whom to follow, by the clips' keys, where the request says so."""
    if request.seed_box is not None:
        if len(clips) != 1:
            raise UsageError(
                f"--seed-box says whom to follow in one clip, found {len(clips)}; use --seeds LABELS"
            )
        return {clips[0].key: request.seed_box}
    if request.seeds is None:
        return {}
    return _read_labelled_seeds(request.seeds, {clip.key for clip in clips})


def _read_labelled_seeds(labels: Path, keys: set[str]) -> dict[str, Seed]:
    from finediving_pose.datasets.labels import read_labels

    earliest: dict[str, Seed] = {}
    for frame in read_labels(labels).frames:
        key = frame.dive_key
        if frame.box is None or frame.frame is None or key not in keys:
            continue
        if key not in earliest or frame.frame < earliest[key].frame:
            earliest[key] = Seed(frame.frame, frame.box)
    if not earliest:
        raise DataError(
            f"--seeds {labels}: no labelled box belongs to a clip, expected <match>__<dive>/<frame>.json"
        )
    count = len(earliest)
    console.log.info("%d of %d clips have a seed box from %s", count, len(keys), labels)
    return earliest


def _hash_input(source: Path) -> str:
    """Return the hash of a clip's images, or nothing where they cannot be read: loading
    them will say why."""
    try:
        if source.is_dir():
            return sha256_files(
                [path for _, path in list_numbered_images(source)], source
            )
        stat = source.stat()
        return _hash_recording(source, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=64)
def _hash_recording(path: Path, size: int, mtime: int) -> str:
    """Hash a recording once, though many dives are cut out of it; size and time tell
    when it changed."""
    return sha256_file(path)


def describe_profile(seconds: Mapping[str, float], wall: float, frames: int) -> str:
    """Return a line that says where the time went.

    Args:
        seconds: By stage.
        wall: Seconds from begin to end.
        frames: How many frames were extracted.
    """
    rate = "no frames"
    if wall > 0 and frames:
        rate = f"{frames / wall:.1f} frames/s"
    busy = _list_stages(seconds, BUSY) or "nothing done"
    line = f"profile: {wall:.1f} s, {rate}: {busy}"
    beside = _list_stages(seconds, BESIDE)
    return f"{line}; beside it {beside}" if beside else line


def _list_stages(seconds: Mapping[str, float], stages: Sequence[str]) -> str:
    spent = [f"{stage} {seconds[stage]:.1f}" for stage in stages if stage in seconds]
    return ", ".join(spent)
