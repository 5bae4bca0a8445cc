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
from finediving_pose.config import nearest
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.clips import Found, find_clips
from finediving_pose.extraction.engine import Equipment, Local
from finediving_pose.extraction.ledger import Ledger
from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.local_engine import Limits, LocalEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.shards import WHOLE, Shard
from finediving_pose.extraction.trackers import TRACKERS
from finediving_pose.extraction.tracking import Seed
from finediving_pose.files import (
    sha256_file,
    sha256_files,
    sha256_json,
    sweep_temporaries,
)
from finediving_pose.manifest import Manifest, recording
from finediving_pose.media import numbered_images
from finediving_pose.networks import Detector, NetworkOptions, PoseEstimator
from finediving_pose.records import Clip, Dive, SkeletonSequence
from finediving_pose.workflows import model_loading
from finediving_pose.workflows.rendering import write_overlay

PIPELINE_VERSION = 2
"""Raised when the same settings come to give other results, so that reruns redo what an
older version made."""


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
    """What an extraction came to.

    Attributes:
        out: The output folder.
        done, skipped: Keys of the clips extracted now, and of those that were done
            before.
        failed: (clip or source, reason).
        empty: Keys of clips extracted now in which nobody was found: their skeletons
            are NaN throughout.
        frames: How many different frames these have samples of.
        seconds: Time by stage, over all clips extracted now; see
            :mod:`finediving_pose.workflows.extraction`.
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
        return (
            errors.EXIT_SOME_FAILED
            if self.done or self.skipped
            else errors.EXIT_INVALID_DATA
        )


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
    shard: Shard = WHOLE,
) -> Summary:
    """Extract skeletons from every clip at or below `videos` into `out`.

    Writes ``Pose/<match>/pred_comp_<dive>.npz``, ``manifest.jsonl`` with a line for
    each clip, ``quality.csv``, ``failures.csv``, ``manifest.json`` and, with `overlay`,
    ``overlays/<match>/<dive>.mp4``. A clip that an earlier run extracted from the same
    input with the same models and settings is skipped.

    Args:
        videos: A folder of video files, frame folders or FineDiving's layout; or one
            video file.
        out: The output folder, new or of an earlier run.
        detector, estimator: The networks.
        settings: What decides the result.
        limits: What decides speed and memory.
        dives: A ``dives.csv`` that names clips and cuts them out of recordings.
        annotations: FineDiving's coarse annotation, which says what is synchronised.
        seeds: Labels whose boxes say whom to follow: the first labelled frame of a clip
            is used.
        seed_box: Whom to follow, where there is one clip.
        overlay: Whether to draw videos.
        overwrite: Whether to redo what is done.
        shard: Which of the clips to extract. Shards may run at the same time, on any
            machines, into the same `out`; each has a ledger and a manifest of its own,
            and the last to finish leaves complete tables.

    Raises:
        UsageError: If a path, a tracker or a seed is not usable.
        DataError: If there is no clip, or an annotation file is not readable.
        EnvironmentUnfit: If `out` cannot be written.
    """
    return extract_with(
        lambda: _equipment(detector, estimator, settings, limits),
        videos,
        out,
        settings,
        dives=dives,
        annotations=annotations,
        seeds=seeds,
        seed_box=seed_box,
        overlay=overlay,
        overwrite=overwrite,
        shard=shard,
    )


def extract_with(
    equip: Callable[[], Equipment],
    videos: Path,
    out: Path,
    settings: ExtractionSettings = ExtractionSettings(),
    *,
    dives: Path | None = None,
    annotations: Path | None = None,
    seeds: Path | None = None,
    seed_box: Seed | None = None,
    overlay: bool = False,
    overwrite: bool = False,
    shard: Shard = WHOLE,
) -> Summary:
    """Do what :func:`extract` does with any engine; only this process writes. Arguments
    and errors as there.

    Args:
        equip: Makes an engine, with `settings`, and what identifies its networks under
            ``detector`` and ``pose``; called when clips are found.
    """
    check_request(videos, out, settings)
    found = _find(videos, dives, annotations, settings.persons)
    given = _seeds(found.clips, seeds, seed_box)
    equipment = equip()
    run = _Run(
        videos, out, equipment.identity, settings, given, overwrite, overlay, shard
    )
    try:
        for orphan in sweep_temporaries(out):
            console.log.info(
                "%s: left behind by a run that was killed; removed", orphan
            )
        with recording(out, shard.manifest_name, **run.facts()) as manifest:
            manifest.warnings += found.notes
            return run.go(found, equipment.engine, manifest)
    except OSError as error:
        reason = error.strerror or str(error)
        kept = "the clips finished so far are kept, and skipped when the same command runs again"
        raise EnvironmentUnfit(f"{out}: cannot be written: {reason}; {kept}") from error


def equip(
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
    limits = Limits.suited(on_gpu, _usable_cores(), **wished)
    return _equipment(detector, estimator, settings, limits)


def _equipment(
    detector: Detector,
    estimator: PoseEstimator,
    settings: ExtractionSettings,
    limits: Limits,
) -> Equipment:
    identity = {"detector": dict(detector.identity), "pose": dict(estimator.identity)}
    return Equipment(LocalEngine(detector, estimator, settings, limits), identity)


def _usable_cores() -> int:
    """The processor cores that this process may use: a batch system often gives a job
    some of the machine's only."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_request(videos: Path, out: Path, settings: ExtractionSettings) -> None:
    """Refuse what cannot work, before a network is loaded for it.

    Raises:
        UsageError: If `videos` is absent, `out` is the same folder or no folder, or no
            tracker has that name.
    """
    if not videos.exists():
        raise UsageError(f"--videos {videos}: no such file or folder")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file, expected a folder")
    if out.resolve() == videos.resolve():
        raise UsageError(
            f"--out {out}: is the folder of the videos; results need one of their own"
        )
    name = settings.tracking.tracker
    if name not in TRACKERS:
        raise UsageError(
            f"--tracker: no tracker named {name!r}{nearest(name, TRACKERS)}"
        )


class _Run:
    """One run over the clips of a folder: plans tasks, takes outcomes, keeps count."""

    def __init__(
        self,
        videos: Path,
        out: Path,
        identity: Mapping[str, Any],
        settings: ExtractionSettings,
        seeds: Mapping[str, Seed],
        overwrite: bool,
        overlay: bool,
        shard: Shard,
    ) -> None:
        self.summary = Summary(out)
        root = Path(os.path.abspath(videos))  # as the sources are named, without `..`
        self._root = root if root.is_dir() else root.parent
        self._videos = os.path.abspath(videos)
        self._identity = dict(identity)
        self._settings = settings
        self._seeds = seeds
        self._overwrite = overwrite
        self._overlay = overlay
        self._shard = shard
        self._ledger = Ledger(out, shard, self._videos)

    def facts(self) -> dict[str, Any]:
        """Return what the run's manifest says from the start."""
        return {
            "videos": self._videos,
            "models": self._identity,
            "settings": self._settings.model_dump(mode="json"),
        }

    def go(self, found: Found, engine: Local, manifest: Manifest) -> Summary:
        """Extract what is not done; the tables are written however it ends."""
        for note in found.notes:
            console.log.warning("%s", note)
        start = time.perf_counter()
        clips = [clip for clip in found.clips if self._shard.holds(clip.key)]
        try:
            if self._shard.index == 1:  # once is enough: each shard finds the same
                for refused in found.refused:
                    self._fail(refused.source, refused.source, refused.reason)
            with (
                console.progress("extracting", len(clips)) as ticker,
                closing(engine.run(self._tasks(clips, ticker))) as outcomes,
            ):
                for outcome in outcomes:
                    self._take(outcome)
                    ticker.advance(note=outcome.task.clip.key)
            if self._overlay:
                self._draw_skipped(clips)
        finally:
            summary = self.summary
            summary.wall = time.perf_counter() - start
            self._ledger.write_tables(
                [clip.key for clip in found.clips] + [r.source for r in found.refused]
            )
            manifest.add(
                clips={
                    "done": len(summary.done),
                    "skipped": len(summary.skipped),
                    "failed": len(summary.failed),
                },
                profile=summary.profile(),
            )
        return self.summary

    def _tasks(self, clips: Sequence[Clip], ticker: console.Ticker) -> Iterator[Task]:
        """Give the clips that are not done. Runs in the engine's loading thread, ahead
        of the networks."""
        for clip in clips:
            task = Task(
                clip,
                self._name(clip.source),
                _input_hash(clip.source),
                self._seeds.get(clip.key),
            )
            if not self._overwrite and self._ledger.is_done(
                clip.key, self._fingerprint(task)
            ):
                self.summary.skipped.append(clip.key)
                ticker.advance()
            else:
                yield task

    def _take(self, outcome: Outcome) -> None:
        task = outcome.task
        for stage, spent in outcome.seconds.items():
            self._spent(stage, spent)
        if outcome.reason is not None:
            self._fail(
                task.clip.key, task.name, outcome.reason, self._fingerprint(task)
            )
            return
        start = time.perf_counter()
        self._ledger.write_result(
            outcome, self._fingerprint(task), self._meta(task), self._settings.channels
        )
        self._spent("write", time.perf_counter() - start)
        self.summary.done.append(task.clip.key)
        self.summary.frames += len(np.unique(outcome.people[0].frame_index))
        if not np.isfinite(outcome.people[0].keypoints).any():
            self.summary.empty.append(task.clip.key)
        for warning in outcome.warnings:
            console.log.warning("%s: %s", task.clip.key, warning)
        _overlay_path(self.summary.out, task.clip).unlink(
            missing_ok=True
        )  # it showed an earlier result
        if self._overlay:
            self._draw(task.clip, outcome.people)

    def _draw_skipped(self, clips: Iterable[Clip]) -> None:
        """Draw what earlier runs extracted and did not draw."""
        skipped = set(self.summary.skipped)
        for clip in clips:
            if (
                clip.key in skipped
                and not _overlay_path(self.summary.out, clip).exists()
            ):
                paths = [
                    pose_path(self.summary.out, clip.match, clip.dive, n + 1)
                    for n in range(self._settings.persons)
                ]
                self._draw(clip, [read_pose(path) for path in paths if path.exists()])

    def _draw(self, clip: Clip, people: Sequence[SkeletonSequence]) -> None:
        start = time.perf_counter()
        try:
            write_overlay(clip, people, _overlay_path(self.summary.out, clip))
        except (DataError, OSError, ValueError) as error:
            console.log.warning("%s: no overlay: %s", clip.key, error)
        self._spent("draw", time.perf_counter() - start)

    def _spent(self, stage: str, seconds: float) -> None:
        self.summary.seconds[stage] = self.summary.seconds.get(stage, 0.0) + seconds

    def _fail(
        self,
        clip: str,
        source: str,
        reason: str,
        fingerprint: Mapping[str, str] | None = None,
    ) -> None:
        self.summary.failed.append((clip, reason))
        self._ledger.write_failure(clip, source, reason, fingerprint)
        console.log.error("%s: %s", clip, reason)

    def _fingerprint(self, task: Task) -> dict[str, str]:
        clip = task.clip
        seed = [task.seed.frame, *map(float, task.seed.box)] if task.seed else None
        settings = {
            "pipeline": PIPELINE_VERSION,
            "settings": self._settings.model_dump(mode="json"),
            "part": [clip.start_frame, clip.end_frame],
            "synchronised": clip.synchronised,
            "seed": seed,
        }
        return {
            "input_sha256": task.input_sha256,
            "model_sha256": sha256_json(self._identity),
            "settings_sha256": sha256_json(settings),
        }

    def _meta(self, task: Task) -> dict[str, Any]:
        clip = task.clip
        samples = self._settings.frames
        return {
            "fdpose": __version__,
            "clip": clip.key,
            "match": clip.match,
            "dive": clip.dive,
            "source": task.name,
            "source_sha256": task.input_sha256,
            "part": [clip.start_frame, clip.end_frame],
            "synchronised": clip.synchronised,
            "sampling": "all frames"
            if samples is None
            else f"frame i*(n-1)//{max(samples - 1, 1)}, i < {samples}",
            "settings": self._settings.model_dump(mode="json"),
            **self._identity,
        }

    def _name(self, source: Path) -> str:
        return (
            source.relative_to(self._root).as_posix()
            if source != self._root
            else source.name
        )


def _find(
    videos: Path, dives: Path | None, annotations: Path | None, persons: int
) -> Found:
    listed: list[Dive] = []
    annotated: list[Dive] = []
    notes: list[str] = []
    if dives is not None:
        from finediving_pose.datasets.dives_csv import read_dives

        listed, problems = read_dives(dives)
        notes = [str(problem) for problem in problems]
    if annotations is not None:
        from finediving_pose.datasets.finediving import read_coarse

        annotated = read_coarse(annotations)
    found = find_clips(
        videos, listed, dives.parent if dives else None, annotated, persons
    )
    found.notes[:0] = notes
    if not found.clips and not found.refused:
        raise DataError(
            f"{videos}: no video file and no folder of images there or below"
        )
    return found


def _seeds(
    clips: Sequence[Clip], labels: Path | None, box: Seed | None
) -> dict[str, Seed]:
    if box is not None:
        if len(clips) != 1:
            raise UsageError(
                f"--seed-box says whom to follow in one clip, found {len(clips)}; use --seeds LABELS"
            )
        return {clips[0].key: box}
    return (
        _seeds_from_labels(labels, {clip.key for clip in clips})
        if labels is not None
        else {}
    )


def _seeds_from_labels(labels: Path, keys: set[str]) -> dict[str, Seed]:
    from finediving_pose.datasets.labels import read_labels

    seeds: dict[str, Seed] = {}
    frames = [
        frame
        for frame in read_labels(labels).frames
        if frame.box is not None and frame.frame is not None
    ]
    for frame in sorted(frames, key=lambda frame: frame.frame or 0):
        if frame.dive_key in keys and frame.box is not None and frame.frame is not None:
            seeds.setdefault(frame.dive_key, Seed(frame.frame, frame.box))
    if not seeds:
        raise DataError(
            f"--seeds {labels}: no labelled box belongs to a clip, expected <match>__<dive>/<frame>.json"
        )
    console.log.info(
        "%d of %d clips have a seed box from %s", len(seeds), len(keys), labels
    )
    return seeds


def _input_hash(source: Path) -> str:
    """Return the hash of a clip's pictures, or nothing where they cannot be read:
    loading them will say why."""
    try:
        if source.is_dir():
            return sha256_files([path for _, path in numbered_images(source)], source)
        stat = source.stat()
        return _file_hash(source, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=64)
def _file_hash(path: Path, size: int, mtime: int) -> str:
    """Hash a recording once, though many dives are cut out of it; size and time tell
    when it changed."""
    return sha256_file(path)


def _overlay_path(out: Path, clip: Clip) -> Path:
    return out / "overlays" / clip.match / f"{clip.dive}.mp4"


BUSY = ("detect", "pose", "track", "repair", "write", "draw", "idle")
"""Stages of the main thread, ``draw`` where overlays are; with helper processes `track`
and `repair` are theirs. ``idle``: it waits for frames, crops or helpers."""


BESIDE = ("decode", "crop")
"""Stages of threads beside it; ``decode`` is reading, decoding and fitting frames,
``crop`` cutting people out."""


def describe(seconds: Mapping[str, float], wall: float, frames: int) -> str:
    """Return a line that says where the time went.

    Args:
        seconds: By stage.
        wall: Seconds from begin to end.
        frames: How many frames were extracted.
    """
    rate = f"{frames / wall:.1f} frames/s" if wall > 0 and frames else "no frames"
    busy, beside = (
        ", ".join(
            f"{stage} {seconds[stage]:.1f}" for stage in stages if stage in seconds
        )
        for stages in (BUSY, BESIDE)
    )
    return f"profile: {wall:.1f} s, {rate}: {busy or 'nothing done'}" + (
        f"; beside it {beside}" if beside else ""
    )
