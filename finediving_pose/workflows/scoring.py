"""``fdpose score``: a clip, its skeleton and a model directory become a score, with the
exemplars that it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.settings import AqaSettings, Precision, Stages
from finediving_pose.config import validate_settings
from finediving_pose.datasets.model_directory import CARD_NAME, read_model_directory
from finediving_pose.datasets.score_files import Scored, Seen, Stage
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json
from finediving_pose.manifest import recording
from finediving_pose.records import Dive
from finediving_pose.workflows.model_loading import require_aqa
from finediving_pose.workflows.score_inputs import (
    ClipFrames,
    Extraction,
    FoundSkeleton,
    find_skeleton,
    measure_known_joints,
    read_clip_frames,
)
from finediving_pose.workflows.score_request import (
    ScoreRequest,
    check_request,
    find_difficulty,
)

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dataset import VideoLoader
    from finediving_pose.aqa.dive_fingerprints import Fingerprint, FingerprintedPreview
    from finediving_pose.aqa.inference import DivePrediction
    from finediving_pose.aqa.score_model import Encoded, ScoreModel

STAGE_NAMES: dict[Stages, tuple[str, ...]] = {
    "1": ("dive",),
    "2": ("take-off", "flight and entry"),
    "2*": ("take-off and flight", "entry"),
    "3": ("take-off", "flight", "entry"),
}
PAGE_NAME, ANSWER_NAME = "score.html", "score.json"


def score_clip(
    model: Path, request: ScoreRequest, device: str = "auto", out: Path | None = None
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
    require_aqa("score")
    if out is None:
        with TemporaryDirectory() as folder:
            return _Scoring(model, request, device, Path(folder)).run()
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file, expected a folder")
    from finediving_pose.reporting.score_page import write_score_page

    scoring = _Scoring(model, request, device, out)
    with recording(out, model=str(model), clip=str(request.clip)) as manifest:
        scored = scoring.run()
        manifest.add(**scoring.facts)
        manifest.warnings += scored.notes
        write_json(out / ANSWER_NAME, scored.as_dict())
        write_score_page(out / PAGE_NAME, scored)
    return scored


class _Scoring:
    """One clip on its way to a score.

    Attributes:
        facts: What the manifest tells of it.
    """

    def __init__(
        self, model: Path, request: ScoreRequest, device: str, work: Path
    ) -> None:
        self._directory = read_model_directory(model, "aqa")
        self._settings = validate_settings(
            AqaSettings, self._directory.settings, str(model / CARD_NAME)
        )
        self._request = request
        self._number = request.parse_number()
        check_request(request, self._settings, self._directory.path)

        from finediving_pose.aqa.exemplar_bank import read_bank
        from finediving_pose.devices import choose_device

        settings = self._settings
        by = settings.exemplar_choice if settings.needs_exemplars else "nothing"
        self._by_number, self._by_difficulty = by == "number", by == "difficulty"
        if self._by_number and self._number is None:
            raise UsageError(
                "this model compares dives of one dive number: name the dive's with --dive-number, such as 407c"
            )
        self._device = choose_device(device)
        self._extraction = Extraction(work, device, settings.frames)
        self._bank = read_bank(model)
        self._notes: list[str] = []
        self.facts: dict[str, Any] = {
            "model_sha256": self._directory.weights_sha256,
            "device": self._device,
        }

    def run(self) -> Scored:
        """Read the dive, compare it with its exemplars, and say what came of it."""
        record, difficulty_from = self._make_record()
        frames = ClipFrames()
        clip = self._request.make_clip(record)
        if clip is not None:
            frames = read_clip_frames(clip, self._settings.frames)
            self._notes += frames.notes
            first, last = frames.numbers[0], frames.numbers[-1]
            record = replace(record, start_frame=first, end_frame=last)
        skeleton = self._find_skeleton(record)
        joints_known = self._measure_joints(skeleton, frames)

        query = AqaDive(record, clip, skeleton.path)
        model, loader = self._load_model(), self._make_loader(record)
        encoded = self._encode(model, query, loader)
        transitions = encoded.transitions[0].tolist()
        preview = self._preview(query, transitions, loader)
        seen = self._find_seen(record, preview.fingerprint)
        chosen = self._choose_exemplars(record, seen)
        found = self._predict(model, encoded, record, chosen)

        award = None
        if record.difficulty:
            award = found.score / record.difficulty / 3
            if not 0 <= award <= 10:
                self._notes.append(
                    f"judges give no mean award of {award:.1f}: this score is not to be believed"
                )
        if len(found.exemplars) == 1:
            self._notes.append(
                "with one exemplar there is no spread, and its peculiarities shift the score"
            )
        number = self._number
        return Scored(
            clip=str(self._request.clip or self._request.features),
            name="/".join(record.key),
            model=str(self._directory.path),
            dive_number=None if number is None else str(number),
            description=None if number is None else number.description,
            score=found.score,
            spread=found.spread if math.isfinite(found.spread) else None,
            difficulty=record.difficulty,
            difficulty_from=difficulty_from,
            mean_award=award,
            stages=self._make_stages(transitions, frames),
            exemplars=found.exemplars,
            seen=seen,
            skeleton=skeleton.text,
            joints_known=joints_known,
            fps=frames.fps,
            notes=tuple(self._notes),
            shown=(preview, tuple(self._bank.previews[at] for at in chosen)),
        )

    def _make_record(self) -> tuple[Dive, str]:
        """Return what is known of the dive, and where its DD is from."""
        record = self._request.make_record()
        same = []
        for dive in self._bank.dives:
            if (dive.dive_number or "").lower() == record.dive_number:
                same.append(dive)
        if self._by_number and not same:
            raise self._make_number_error()
        difficulty, source = find_difficulty(self._request, same)
        if difficulty is None and self._settings.target == "completeness":
            raise UsageError(
                f"this model predicts score / DD and needs the degree of difficulty: {source}"
            )
        if difficulty is None and self._by_difficulty:
            raise UsageError(
                f"this model compares dives of one degree of difficulty: {source}"
            )
        return replace(record, difficulty=difficulty), source

    def _make_number_error(self) -> DataError:
        known = {
            dive.dive_number.upper() for dive in self._bank.dives if dive.dive_number
        }
        listed = ", ".join(sorted(known)) or "none"
        return DataError(
            f"--dive-number {self._number}: this model has learned from no such dive, so there is nothing to compare "
            f"with and no score. Its dive numbers: {listed}. Train one with dives of {self._number}, or one that does "
            "without dive numbers (exemplar_choice=random)"
        )

    def _find_skeleton(self, record: Dive) -> FoundSkeleton:
        if not self._settings.branch_pose:
            return FoundSkeleton(None, "not read by this model")
        skeleton = find_skeleton(self._request, record, self._extraction)
        self._notes += skeleton.notes
        self.facts.update(skeleton.extracted_with)
        return skeleton

    def _measure_joints(
        self, skeleton: FoundSkeleton, frames: ClipFrames
    ) -> float | None:
        if not self._settings.branch_pose:
            return None
        if skeleton.path is None:
            return 0.0
        known = measure_known_joints(
            skeleton.path, self._request.clip, frames.sampled, self._settings.frames
        )
        self._notes += known.notes
        return known.share

    def _load_model(self) -> ScoreModel:
        from finediving_pose.aqa.trained_model import load_weights

        return load_weights(self._directory, self._device)

    def _make_loader(self, record: Dive) -> VideoLoader:
        from finediving_pose.aqa.data.features import FeatureStore
        from finediving_pose.aqa.data.sources import make_loader
        from finediving_pose.aqa.data.video_frames import FrameReader, Geometry

        settings, request = self._settings, self._request
        reader = features = None
        if settings.reads_images:
            geometry = Geometry(settings.geometry, settings.size)
            reader = FrameReader(geometry, settings.frames)
        if request.features is not None:
            features = FeatureStore(
                request.features, frames=settings.frames, key=record.key
            )
            if features.dim != settings.feature_dim:
                raise DataError(
                    f"{request.features}: vectors of {features.dim} numbers, and the model learned from "
                    f"{settings.feature_dim}"
                )
        return make_loader(settings, reader, features)

    def _encode(
        self, model: ScoreModel, query: AqaDive, loader: VideoLoader
    ) -> Encoded:
        from finediving_pose.aqa.inference import InferenceOptions, encode

        # A CPU does not compute in half precision as the GPU did that trained it.
        precision: Precision = "fp32"
        if self._device != "cpu":
            precision = self._settings.precision
        options = InferenceOptions(self._device, precision=precision, title="")
        return encode(model, [query], loader, options)

    def _preview(
        self, query: AqaDive, transitions: Sequence[int], loader: VideoLoader
    ) -> FingerprintedPreview:
        from finediving_pose.aqa.dive_fingerprints import preview_dive

        features = None
        if self._settings.features:
            own = loader.load(query).features
            features = None if own is None else own.numpy()
        return preview_dive(query, transitions, self._settings.frames, features)

    def _predict(
        self,
        model: ScoreModel,
        encoded: Encoded,
        record: Dive,
        chosen: tuple[int, ...],
    ) -> DivePrediction:
        from finediving_pose.aqa.inference import predict

        bank = self._bank
        found = predict(model, encoded, [record], bank.encoded, bank.dives, [chosen])
        prediction = found.dives[0]
        if not math.isfinite(prediction.score):
            raise DataError(
                f"{record.match}/{record.dive}: the model gives no number for this dive; is it damaged?"
            )
        return prediction

    def _find_seen(self, record: Dive, fingerprint: Fingerprint) -> tuple[Seen, ...]:
        """Return the training dives that this is, by its name or by its content."""
        own = "/".join(record.key)
        compared = self._bank.compare_fingerprints(fingerprint)
        found = []
        for at, dive in enumerate(self._bank.dives):
            name = "/".join(dive.key)
            by = ["name"] if name == own else []
            against = []
            for evidence, same in compared[at].items():
                if same:
                    by.append(evidence)
                else:
                    against.append(evidence)
            if by:
                found.append(Seen(name, tuple(by), tuple(against)))
        return tuple(found)

    def _choose_exemplars(self, record: Dive, seen: Sequence[Seen]) -> tuple[int, ...]:
        """Choose as evaluation does; a training dive is no exemplar of itself, whatever
        it is called now."""
        settings = self._settings
        if not settings.needs_exemplars:
            return ()
        same = {each.name for each in seen}
        others = []
        for at, dive in enumerate(self._bank.dives):
            if "/".join(dive.key) not in same:
                others.append(at)
        chosen = self._draw_exemplars(record, others)
        if not chosen and same:
            self._notes.append(
                "its only exemplar is itself: there is no other training dive to compare with"
            )
            chosen = self._draw_exemplars(record, range(len(self._bank.dives)))
        if not chosen:
            raise DataError("no training dive to compare with: no score")
        count = len(set(chosen))
        if count < settings.exemplars:
            some = "one exemplar" if count == 1 else f"{count} exemplars"
            self._notes.append(
                f"{some}, where {settings.exemplars} are usual: there are no more"
            )
        return chosen

    def _draw_exemplars(self, record: Dive, places: Sequence[int]) -> tuple[int, ...]:
        from finediving_pose.aqa.data.exemplars import ExemplarPool

        settings = self._settings
        if not places:
            return ()
        pool = ExemplarPool(
            [self._bank.dives[at] for at in places],
            settings.exemplar_choice,
            settings.exemplars,
            settings.seed,
            settings.exemplar_padding,
        )
        return tuple(places[at] for at in pool.choose_exemplars(record))

    def _make_stages(
        self, transitions: Sequence[int], frames: ClipFrames
    ) -> tuple[Stage, ...]:
        names = STAGE_NAMES[self._settings.stages]
        if not frames.sampled:
            return tuple(Stage(name, None, None, None) for name in names)
        firsts = [frames.numbers[0], *(frames.sampled[at] for at in transitions)]
        lasts = []
        for first in firsts[1:]:
            # A stage lasts until the frame before the next, but has one frame at least.
            before = [number for number in frames.numbers if number < first]
            lasts.append(before[-1] if before else frames.numbers[0])
        lasts.append(frames.numbers[-1])
        stages = []
        for name, first, last in zip(names, firsts, lasts, strict=True):
            seconds = None
            if frames.fps:
                seconds = (first / frames.fps, (last + 1) / frames.fps)
            stages.append(Stage(name, first, last, seconds))
        return tuple(stages)
