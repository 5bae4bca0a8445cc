"""Scores from a trained model: each video is encoded once, then compared with as many
exemplars as one likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
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
from finediving_pose.aqa.model.comparison import Differences
from finediving_pose.aqa.model.hpmcore import Encoded, HPMCoRe
from finediving_pose.aqa.settings import AqaSettings, Precision
from finediving_pose.console import progress
from finediving_pose.records import Dive, FloatArray

PAIRS_AT_ONCE = 256
"""Compared in one go: what a pair needs of memory is little, but not nothing."""

AUTOCAST: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Compared:
    """One query against its exemplars.

    Attributes:
        exemplars: Their positions among the exemplars that were given; none where the
            regressor is ``direct``.
        single: (n,) points, the query's score by each of them (eq. 19).
        parts: (n, K) points, what each stage adds (eq. 20). They add up to ``single −
            S_e``; where completeness is the target, to ``single − S_e · DD_q / DD_e``,
            the score an equal execution of the query would have; of a ``direct``
            regressor, to the score less what it starts from.
    """

    exemplars: tuple[int, ...]
    single: FloatArray
    parts: FloatArray

    @property
    def score(self) -> float:
        """Ŝ of eq. 24, the mean over the exemplars; NaN without any."""
        return float(self.single.mean()) if len(self.single) else float("nan")

    @property
    def spread(self) -> float:
        """The standard deviation over the exemplars; NaN for fewer than two."""
        return float(self.single.std(ddof=1)) if len(self.single) > 1 else float("nan")


@dataclass(frozen=True)
class Predictions:
    """What a model says of N dives.

    Attributes:
        names: ``match/dive``.
        compared: One for each.
        transitions: (N, K−1) int64, first frame of each stage but the first, of the
            sampled frames.
    """

    names: tuple[str, ...]
    compared: tuple[Compared, ...]
    transitions: NDArray[np.int64]

    @property
    def scores(self) -> FloatArray:
        """(N,) points; NaN = no exemplar answers."""
        return np.array([each.score for each in self.compared], np.float64)

    @property
    def spreads(self) -> FloatArray:
        """(N,) points; NaN for fewer than two exemplars."""
        return np.array([each.spread for each in self.compared], np.float64)


def encode(
    model: HPMCoRe,
    dives: Sequence[AqaDive],
    loader: VideoLoader,
    device: str = "cpu",
    workers: int = 0,
    batch_size: int = 4,
    precision: Precision = "fp32",
    title: str = "Encode",
) -> Encoded:
    """Encode dives, each once and without any random change.

    Args:
        model: On `device`; its mode is as before afterwards.
        dives: One or more.
        loader: Reads them.
        device: Where the model is.
        workers: Processes that read; 0 = this one.
        batch_size: Videos at once.
        precision: As in training; half precision is for GPUs.
        title: Of the progress bar; empty = none, where there is one already.

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
        batch_size,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device != "cpu",
    )
    parts = []
    with (
        _evaluating(model),
        progress(title, len(dives)) if title else nullcontext() as ticker,
    ):
        for videos in batches:
            with autocast(device, precision):
                encoded = model.encode(moved(videos, device))
            parts.append(encoded.map(_to_memory))
            if ticker:
                ticker.advance(len(videos.names))
    return Encoded.joined(parts)


def predict(
    model: HPMCoRe,
    queries: Encoded,
    records: Sequence[Dive],
    exemplars: Encoded | None,
    bank: Sequence[Dive],
    chosen: Sequence[tuple[int, ...]],
) -> Predictions:
    """Compare encoded queries with encoded exemplars (eq. 17 to 20) and vote (eq. 24).

    Args:
        model: What encoded them.
        queries: N dives.
        records: (N,) the queries' names and DD.
        exemplars: M dives; None where there are none or a ``direct`` regressor needs
            none.
        bank: (M,) their scores and DD.
        chosen: (N,) for each query the positions of its exemplars. A query with none is
            not answered: NaN.
    """
    direct = model.settings.regressor == "direct"
    pairs = [
        _Pair(row, None if direct else at)
        for row, ats in enumerate(chosen)
        for at in ((0,) if direct else ats)
    ]
    single, parts = _compared(model, queries, records, exemplars, bank, pairs)
    ends = np.cumsum([1 if direct else len(ats) for ats in chosen]).tolist()
    compared = [
        Compared(() if direct else tuple(ats), single[start:end], parts[start:end])
        for ats, start, end in zip(chosen, [0, *ends], ends, strict=False)
    ]
    names = tuple("/".join(record.key) for record in records)
    return Predictions(names, tuple(compared), queries.transitions.numpy())


def predict_dives(
    model: HPMCoRe,
    queries: Sequence[AqaDive],
    train: Sequence[AqaDive],
    loader: VideoLoader,
    *,
    device: str = "cpu",
    workers: int = 0,
    precision: Precision = "fp32",
    seed: int = 0,
    title: str = "Encode",
) -> Predictions:
    """Score dives by exemplars of the training dives; a video is encoded once, however
    often it is compared.

    Args:
        model: On `device`.
        queries: What to score; one that is a training dive is no exemplar of itself
            unless there is no other.
        train: The training dives.
        loader, device, workers, precision, title: See :func:`encode`.
        seed: Of the choice of exemplars.
    """
    settings = model.settings
    records, bank = [dive.record for dive in queries], [dive.record for dive in train]
    chosen = choose_exemplars(settings, bank, records, seed)
    used = sorted({at for ats in chosen for at in ats})
    distinct = {dive.key: dive for dive in (*queries, *(train[at] for at in used))}
    rows = {key: row for row, key in enumerate(distinct)}
    encoded = encode(
        model,
        list(distinct.values()),
        loader,
        device,
        workers,
        settings.videos_at_once,
        precision,
        title,
    )
    places = {at: place for place, at in enumerate(used)}
    local = predict(
        model,
        _rows(encoded, [rows[dive.key] for dive in queries]),
        records,
        _rows(encoded, [rows[train[at].key] for at in used]) if used else None,
        [bank[at] for at in used],
        [tuple(places[at] for at in ats) for ats in chosen],
    )
    compared = [
        Compared(ats, each.single, each.parts)
        for ats, each in zip(chosen, local.compared, strict=True)
    ]
    return Predictions(local.names, tuple(compared), local.transitions)


def predict_with(
    model: HPMCoRe,
    queries: Sequence[AqaDive],
    exemplars: Encoded,
    bank: Sequence[Dive],
    loader: VideoLoader,
    *,
    device: str = "cpu",
    workers: int = 0,
    precision: Precision = "fp32",
    seed: int = 0,
    title: str = "Encode",
) -> Predictions:
    """Score dives by exemplars that are encoded already: what :func:`predict_dives`
    gives, without their videos.

    Args:
        model, queries, loader, device, workers, precision, seed, title: See
            :func:`predict_dives`.
        exemplars: The training dives, in their order; the same order gives the same
            choice.
        bank: Their records.
    """
    records = [dive.record for dive in queries]
    chosen = choose_exemplars(model.settings, bank, records, seed)
    encoded = encode(
        model,
        queries,
        loader,
        device,
        workers,
        model.settings.videos_at_once,
        precision,
        title,
    )
    return predict(model, encoded, records, exemplars, bank, chosen)


def choose_exemplars(
    settings: AqaSettings, bank: Sequence[Dive], queries: Sequence[Dive], seed: int = 0
) -> list[tuple[int, ...]]:
    """Return for each query the positions of its exemplars in the bank; none where the
    regressor is ``direct``."""
    if settings.regressor == "direct":
        return [()] * len(queries)
    pool = ExemplarPool(
        bank,
        settings.exemplar_choice,
        settings.exemplars,
        seed,
        settings.exemplar_padding,
    )
    return [pool.choose_exemplars(query) for query in queries]


def moved(videos: Videos, device: str) -> Videos:
    """Return the videos with their tensors on a device."""
    tensors = [
        None if value is None else value.to(device, non_blocking=True)
        for value in videos[:-1]
    ]
    return Videos(*tensors, videos.names)  # type: ignore[call-arg,arg-type]


def autocast(device: str, precision: Precision) -> torch.autocast:
    """Return the context of mixed precision; of none with ``fp32``."""
    kind = torch.device(device).type
    return torch.autocast(
        kind, AUTOCAST.get(precision, torch.bfloat16), enabled=precision != "fp32"
    )


class _Pair(NamedTuple):
    """A query's row and its exemplar's; None where nothing is compared."""

    query: int
    exemplar: int | None


def _compared(
    model: HPMCoRe,
    queries: Encoded,
    records: Sequence[Dive],
    exemplars: Encoded | None,
    bank: Sequence[Dive],
    pairs: Sequence[_Pair],
) -> tuple[FloatArray, FloatArray]:
    """Return (pairs,) points and (pairs, K) points of the stages."""
    single: list[Tensor] = [torch.empty(0)]
    parts: list[Tensor] = [torch.empty(0, model.settings.stage_count)]
    device = next(model.parameters()).device
    with _evaluating(model):
        for portion in _portions(pairs):
            own = _rows(queries, [pair.query for pair in portion])
            theirs = own
            difficulty = _column([records[pair.query].difficulty for pair in portion])
            score = other = torch.full_like(difficulty, torch.nan)
            if exemplars is not None and portion[0].exemplar is not None:
                places = [
                    pair.exemplar for pair in portion if pair.exemplar is not None
                ]
                theirs = _rows(exemplars, places)
                score, other = (
                    _column([getattr(bank[p], name) for p in places])
                    for name in ("score", "difficulty")
                )
            found = model.compare(
                own.map(lambda x: x.to(device)), theirs.map(lambda x: x.to(device))
            )
            found = Differences(*(value.cpu() for value in found))
            single.append(model.scores(found, difficulty, score, other))
            factor = (
                difficulty
                if model.settings.target == "completeness"
                else torch.ones_like(difficulty)
            )
            parts.append(found.delta_k * factor[:, None])
    return torch.cat(single).double().numpy(), torch.cat(parts).double().numpy()


def _portions(pairs: Sequence[_Pair]) -> Iterator[Sequence[_Pair]]:
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        yield pairs[start : start + PAIRS_AT_ONCE]


def _rows(encoded: Encoded, rows: Iterable[int]) -> Encoded:
    places = torch.tensor(list(rows), dtype=torch.int64)
    return encoded.map(partial(torch.index_select, dim=0, index=places))


def _column(values: Iterable[float | None]) -> Tensor:
    return torch.tensor(
        [float("nan") if value is None else value for value in values],
        dtype=torch.float32,
    )


def _to_memory(tensor: Tensor) -> Tensor:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu()


@contextmanager
def _evaluating(model: HPMCoRe) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
