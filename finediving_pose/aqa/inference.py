"""Scores from a trained model: each video is encoded once, then compared with as many
exemplars as one likes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from finediving_pose.aqa.batch import Videos, collate
from finediving_pose.aqa.data.dataset import DiveDataset, VideoLoader
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.aqa.score_model import Encoded, PairScores, ScoreLabels, ScoreModel
from finediving_pose.aqa.settings import AqaSettings, Precision, Target
from finediving_pose.console import progress
from finediving_pose.datasets.score_files import Exemplar
from finediving_pose.records import Dive, FloatArray

PAIRS_AT_ONCE = 256
"""Compared in one go: what a pair needs of memory is little, but not nothing."""

AUTOCAST: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class InferenceOptions:
    """How a model is run; no option changes what is computed but for rounding.

    Attributes:
        device: Where the model is.
        workers: Processes that read; 0 = this one.
        batch_size: Videos at once; None = as `videos_at_once` of the settings says.
        precision: As in training; half precision is for GPUs.
        title: Of the progress bar; empty = none, where there is one already.
    """

    device: str = "cpu"
    workers: int = 0
    batch_size: int | None = None
    precision: Precision = "fp32"
    title: str = "Encode"

    @classmethod
    def of_training(
        cls, settings: AqaSettings, device: str, title: str = "Encode"
    ) -> InferenceOptions:
        """Run a model as it is trained.

        Args:
            settings: Of the model.
            device: Where it is.
            title: Of the progress bar.
        """
        return cls(device, settings.workers, None, settings.precision, title)


PLAIN = InferenceOptions()
"""On the CPU, in this process."""


@dataclass(frozen=True)
class DivePrediction:
    """What a model says of one dive.

    Attributes:
        score: Ŝ of eq. 24, the mean over the exemplars, or the answer of a model that
            compares with none; NaN where no exemplar answers.
        spread: The standard deviation over the exemplars; NaN for fewer than two.
        exemplars: What it was compared with, in the order drawn.
    """

    score: float
    spread: float
    exemplars: tuple[Exemplar, ...] = ()

    @classmethod
    def by_vote(cls, exemplars: Sequence[Exemplar]) -> DivePrediction:
        """Let the exemplars vote (eq. 24)."""
        answers = np.array([each.predicted for each in exemplars], np.float64)
        score = float(answers.mean()) if len(answers) else math.nan
        spread = float(answers.std(ddof=1)) if len(answers) > 1 else math.nan
        return cls(score, spread, tuple(exemplars))


@dataclass(frozen=True)
class Predictions:
    """What a model says of N dives.

    Attributes:
        names: ``match/dive``.
        dives: One for each.
        transitions: (N, K−1) int64, first frame of each stage but the first, of the
            sampled frames.
    """

    names: tuple[str, ...]
    dives: tuple[DivePrediction, ...]
    transitions: NDArray[np.int64]

    @property
    def scores(self) -> FloatArray:
        """(N,) points; NaN = no exemplar answers."""
        return np.array([each.score for each in self.dives], np.float64)

    @property
    def spreads(self) -> FloatArray:
        """(N,) points; NaN for fewer than two exemplars."""
        return np.array([each.spread for each in self.dives], np.float64)


def encode(
    model: ScoreModel,
    dives: Sequence[AqaDive],
    loader: VideoLoader,
    options: InferenceOptions = PLAIN,
) -> Encoded:
    """Encode dives, each once and without any random change.

    Args:
        model: On the device of the options; its mode is as before afterwards.
        dives: One or more.
        loader: Reads them.
        options: How the model is run.

    Returns:
        In the order of the dives, on the CPU.

    Raises:
        DataError: If a dive cannot be read.
        ValueError: If there is none.
    """
    if not dives:
        raise ValueError("nothing to encode")
    batches = DataLoader(
        DiveDataset(dives, loader),
        options.batch_size or model.settings.videos_at_once,
        num_workers=options.workers,
        collate_fn=collate,
        pin_memory=options.device != "cpu",
    )
    bar = progress(options.title, len(dives)) if options.title else nullcontext()
    parts = []
    with _evaluating(model), bar as ticker:
        for videos in batches:
            with autocast(options.device, options.precision):
                encoded = model.encode(move_videos(videos, options.device))
            parts.append(encoded.map(_keep_in_memory))
            if ticker:
                ticker.advance(len(videos.names))
    return Encoded.joined(parts)


def predict(
    model: ScoreModel,
    queries: Encoded,
    records: Sequence[Dive],
    exemplars: Encoded | None,
    bank: Sequence[Dive],
    chosen: Sequence[tuple[int, ...]],
) -> Predictions:
    """Score encoded queries by encoded exemplars (eq. 17 to 20) and vote (eq. 24).

    Args:
        model: What encoded them.
        queries: N dives.
        records: (N,) the queries' names and DD.
        exemplars: M dives; None where there are none or the model needs none.
        bank: (M,) their scores and DD.
        chosen: (N,) for each query the positions of its exemplars. A query with none is
            not answered: NaN.
    """
    if model.needs_exemplars(model.settings):
        found = _predict_by_exemplars(model, queries, records, exemplars, bank, chosen)
    else:
        found = _predict_alone(model, queries, records)
    names = tuple("/".join(record.key) for record in records)
    return Predictions(names, tuple(found), queries.transitions.numpy())


def predict_dives(
    model: ScoreModel,
    queries: Sequence[AqaDive],
    train: Sequence[AqaDive],
    loader: VideoLoader,
    options: InferenceOptions = PLAIN,
    seed: int = 0,
) -> Predictions:
    """Score dives by exemplars of the training dives; a video is encoded once, however
    often it is compared.

    Args:
        model: On the device of the options.
        queries: What to score; one that is a training dive is no exemplar of itself
            unless there is no other.
        train: The training dives.
        loader: Reads queries and exemplars.
        options: How the model is run.
        seed: Of the choice of exemplars.
    """
    records = [dive.record for dive in queries]
    bank = [dive.record for dive in train]
    chosen = choose_exemplars(model.settings, bank, records, seed)
    used = sorted({place for places in chosen for place in places})
    # A query can be a training dive too, or stand twice in the list.
    distinct = {dive.key: dive for dive in queries}
    for place in used:
        distinct[train[place].key] = train[place]
    encoded = encode(model, list(distinct.values()), loader, options)
    row_of = {key: row for row, key in enumerate(distinct)}
    exemplars = None
    if used:
        exemplars = encoded.select_rows(row_of[train[place].key] for place in used)
    # Positions among the training dives become positions among those encoded.
    place_in_used = {place: at for at, place in enumerate(used)}
    chosen = [tuple(map(place_in_used.__getitem__, places)) for places in chosen]
    return predict(
        model,
        encoded.select_rows(row_of[dive.key] for dive in queries),
        records,
        exemplars,
        [bank[place] for place in used],
        chosen,
    )


def predict_with(
    model: ScoreModel,
    queries: Sequence[AqaDive],
    exemplars: Encoded,
    bank: Sequence[Dive],
    loader: VideoLoader,
    options: InferenceOptions = PLAIN,
    seed: int = 0,
) -> Predictions:
    """Score dives by exemplars that are encoded already: what :func:`predict_dives`
    gives, without their videos.

    Args:
        model: On the device of the options.
        queries: What to score.
        exemplars: The training dives, in their order; the same order gives the same
            choice.
        bank: Their records.
        loader: Reads the queries.
        options: How the model is run.
        seed: Of the choice of exemplars.
    """
    records = [dive.record for dive in queries]
    chosen = choose_exemplars(model.settings, bank, records, seed)
    encoded = encode(model, queries, loader, options)
    return predict(model, encoded, records, exemplars, bank, chosen)


def choose_exemplars(
    settings: AqaSettings, bank: Sequence[Dive], queries: Sequence[Dive], seed: int = 0
) -> list[tuple[int, ...]]:
    """Return for each query the positions of its exemplars in the bank; none for a
    model that needs none.

    Args:
        settings: Of the model.
        bank: The training dives.
        queries: What is scored.
        seed: Of the choice.
    """
    if not settings.needs_exemplars:
        return [()] * len(queries)
    pool = ExemplarPool(
        bank,
        settings.exemplar_choice,
        settings.exemplars,
        seed,
        settings.exemplar_padding,
    )
    return [pool.choose_exemplars(query) for query in queries]


def move_videos(videos: Videos, device: str) -> Videos:
    """Return the videos with their tensors on a device.

    Args:
        videos: A batch.
        device: For example ``cuda:0``.
    """
    tensors = []
    for value in videos[:-1]:
        moved = None if value is None else value.to(device, non_blocking=True)
        tensors.append(moved)
    return Videos(*tensors, videos.names)  # type: ignore[call-arg,arg-type]


def autocast(device: str, precision: Precision) -> torch.autocast:
    """Return the context of mixed precision; of none with ``fp32``.

    Args:
        device: Where the model is.
        precision: As in training.
    """
    kind = torch.device(device).type
    return torch.autocast(
        kind, AUTOCAST.get(precision, torch.bfloat16), enabled=precision != "fp32"
    )


class _Pair(NamedTuple):
    """The row of a query, and of its exemplar."""

    query: int
    exemplar: int


def _predict_by_exemplars(
    model: ScoreModel,
    queries: Encoded,
    records: Sequence[Dive],
    exemplars: Encoded | None,
    bank: Sequence[Dive],
    chosen: Sequence[tuple[int, ...]],
) -> list[DivePrediction]:
    pairs = []
    for row, places in enumerate(chosen):
        pairs += [_Pair(row, place) for place in places]
    compared: list[list[Exemplar]] = [[] for _ in records]
    with _evaluating(model):
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            portion = pairs[start : start + PAIRS_AT_ONCE]
            assert exemplars is not None
            asking = [records[pair.query] for pair in portion]
            asked = [bank[pair.exemplar] for pair in portion]
            found = _call(
                model,
                queries.select_rows(pair.query for pair in portion),
                asking,
                exemplars.select_rows(pair.exemplar for pair in portion),
                asked,
            )
            scores = found.score.double().tolist()
            parts = found.stage_parts.double().tolist()
            for at, pair in enumerate(portion):
                exemplar = _describe_exemplar(
                    asked[at],
                    asking[at],
                    model.settings.target,
                    tuple(parts[at]),
                    scores[at],
                )
                compared[pair.query].append(exemplar)
    return [DivePrediction.by_vote(each) for each in compared]


def _predict_alone(
    model: ScoreModel, queries: Encoded, records: Sequence[Dive]
) -> list[DivePrediction]:
    found = []
    with _evaluating(model):
        for start in range(0, len(records), PAIRS_AT_ONCE):
            portion = records[start : start + PAIRS_AT_ONCE]
            rows = range(start, start + len(portion))
            answers = _call(model, queries.select_rows(rows), portion)
            for score in answers.score.double().tolist():
                found.append(DivePrediction(score, math.nan))
    return found


def _call(
    model: ScoreModel,
    queries: Encoded,
    records: Sequence[Dive],
    exemplars: Encoded | None = None,
    bank: Sequence[Dive] = (),
) -> PairScores:
    """Ask the model, wherever it is, and bring its answers onto the CPU."""
    device = next(chain(model.parameters(), model.buffers())).device
    own = queries.map(lambda x: x.to(device))
    labels = ScoreLabels.of(records).move_to(device)
    if exemplars is None:
        found = model.predict(own, labels)
    else:
        theirs = exemplars.map(lambda x: x.to(device))
        their_labels = ScoreLabels.of(bank).move_to(device)
        found = model.predict(own, labels, theirs, their_labels)
    return PairScores(*(value.cpu() for value in found))


def _describe_exemplar(
    exemplar: Dive,
    query: Dive,
    target: Target,
    parts: tuple[float, ...],
    predicted: float,
) -> Exemplar:
    """Return what a query was compared with, as a scored dive is written."""
    score = math.nan if exemplar.score is None else exemplar.score
    start = score
    if target == "completeness" and query.difficulty and exemplar.difficulty:
        # An equal execution of the query's dive would have this score.
        start = score * query.difficulty / exemplar.difficulty
    return Exemplar(
        name="/".join(exemplar.key),
        score=score,
        difficulty=exemplar.difficulty,
        start=start,
        parts=parts,
        predicted=predicted,
    )


def _keep_in_memory(tensor: Tensor) -> Tensor:
    # Half precision is for the way there; what is kept is compared in float32.
    if tensor.is_floating_point():
        tensor = tensor.float()
    return tensor.cpu()


@contextmanager
def _evaluating(model: ScoreModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
