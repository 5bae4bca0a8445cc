"""A table of the paper, trained row by row with several seeds; what has the same
settings is trained once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from finediving_pose import __version__, console
from finediving_pose.aqa.data.dives import read_annotations
from finediving_pose.aqa.data.sources import Sources
from finediving_pose.aqa.paper_tables import Row, Table
from finediving_pose.aqa.settings import BASE, AqaSettings
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import EnvironmentUnfit, FdposeError, UsageError
from finediving_pose.files import (
    sha256_file,
    sha256_files,
    sha256_json,
    write_json,
    write_text,
)
from finediving_pose.manifest import recording
from finediving_pose.workflows.ablation_table import (
    AblationTable,
    RowResult,
    SeedResult,
)
from finediving_pose.workflows.aqa_training import (
    SUMMARY_NAME,
    is_finished,
    resume_aqa,
    train_aqa,
)

TRAINED = "trained"
"""The folder beside the tables' with all that was trained for any of them:
``trained/<hash>/seed_<n>``."""

TABLE_NAME = "table.md"
CONFIGURATION_NAME = "configuration.json"
HASH_DIGITS = 16
WITHOUT_EFFECT = {"seed", "workers"}
"""Settings that do not tell configurations apart: each has several seeds, and workers
change no number."""

Train = Callable[[Path, AqaSettings], object]
"""Trains into a folder, or goes on where a run in it stopped, and leaves a model
directory and its summary there."""


@dataclass(frozen=True)
class Request:
    """What to run of a table.

    Attributes:
        table: The table.
        preset: On top of which its rows stand; see load_aqa.
        overrides: ``key=value`` texts that hold for every row; what makes a row wins
            over them.
        seeds: Each row is trained once with each.
        rows: Names; none = all.
    """

    table: Table
    preset: str = BASE
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    rows: tuple[str, ...] = ()

    def chosen(self) -> tuple[Row, ...]:
        """Return the rows asked for, in the order of the table.

        Raises:
            UsageError: If the table has none of such a name, or one that this package
                cannot train.
        """
        if not self.rows:
            return self.table.rows
        rows = [self.table.row(name) for name in self.rows]
        for row in rows:
            if not row.built:
                raise UsageError(
                    f"--rows {row.name}: {row.title} is a method of others that is not built here"
                )
        return tuple(row for row in self.table.rows if row in rows)


@dataclass(frozen=True)
class Planned:
    """A row that is to be run.

    Attributes:
        row: The row.
        settings: None where the row is not ours or its settings do not go together.
        folder: Of its configuration, which other rows and tables may share; None
            without settings.
        reason: Why its settings do not go together.
    """

    row: Row
    settings: AqaSettings | None = None
    folder: Path | None = None
    reason: str = ""

    def run_folder(self, seed: int) -> Path:
        """Return where the run with this seed lies."""
        assert self.folder is not None, self.row.name
        return self.folder / f"seed_{seed}"

    def done(self, seeds: Iterable[int]) -> list[int]:
        """Return the seeds that are trained and tested."""
        return (
            []
            if self.folder is None
            else [seed for seed in seeds if is_finished(self.run_folder(seed))]
        )


class Fingerprint:
    """Tells whether two runs read the same data, whatever the folders are called.

    Annotations and skeletons count by their content. Frames, which are too many to be
    read for this, count by the path of their folder.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def of(self, settings: AqaSettings) -> dict[str, Any]:
        """Return what a run with these settings reads: JSON types."""
        files = {
            key: getattr(settings, key)
            for key in ("weights_i3d", "weights_static", "features")
        }
        return {
            "annotations": self._annotations,
            "frames": str(self._sources.frames.resolve())
            if settings.reads_pictures and self._sources.frames
            else None,
            "skeletons": self._skeletons if settings.branch_pose else None,
            **{key: _content(Path(name)) for key, name in files.items() if name},
        }

    @cached_property
    def _annotations(self) -> dict[str, str]:
        return dict(
            read_annotations(
                self._sources.annotations, self._sources.stages_from
            ).sha256
        )

    @cached_property
    def _skeletons(self) -> str | None:
        folder = self._sources.skeletons
        return (
            None
            if folder is None
            else sha256_files(folder.rglob("pred_comp_*.npz"), folder)
        )


def configuration_hash(settings: AqaSettings, data: dict[str, Any]) -> str:
    """Return what all runs of the same settings on the same data share, whatever their
    seeds."""
    values = {
        key: value
        for key, value in settings.model_dump(mode="json").items()
        if key not in WITHOUT_EFFECT
    }
    return sha256_json({"settings": values, "data": data, "fdpose": __version__})[
        :HASH_DIGITS
    ]


def plan(request: Request, sources: Sources, trained: Path) -> list[Planned]:
    """Return what each row asks for, before anything is trained.

    Args:
        request: What to run.
        sources: The data set.
        trained: The folder of everything that was trained.

    Raises:
        UsageError: If the preset or an override is unusable for every row.
    """
    fingerprint = Fingerprint(sources)
    planned = [_planned(row, request, fingerprint, trained) for row in request.chosen()]
    reasons = {each.reason for each in planned if each.row.built}
    if len(reasons) == 1 and "" not in reasons:
        raise UsageError(reasons.pop())
    return planned


def run_table(
    request: Request,
    sources: Sources,
    out: Path,
    device: str = "auto",
    train: Train | None = None,
) -> AblationTable:
    """Train what is missing of a table, and write ``table.md`` and ``table.json`` into
    `out`.

    Finished runs are kept and interrupted ones go on where they stopped. A row that
    fails does not stop the others.

    Args:
        request: What to run.
        sources: The data set.
        out: Of the table; runs lie in ``trained/`` beside it.
        device: As for a training.
        train: Trains one configuration with one seed; by default as ``train-aqa`` does.

    Raises:
        UsageError: See :func:`plan`.
        EnvironmentUnfit: If a package or the device is missing.
    """
    train = train or _trainer(sources, device)
    planned = plan(request, sources, out.parent / TRAINED)
    facts = {
        "table": request.table.name,
        "preset": request.preset,
        "overrides": list(request.overrides),
    }
    result = AblationTable(
        request.table, request.preset, request.overrides, request.seeds
    )
    with recording(
        out, **facts, seeds=list(request.seeds), sources=sources.as_dict()
    ) as manifest:
        failed: dict[Path, str] = {}
        for each in planned:
            row = _run_row(each, request.seeds, train, failed)
            result = replace(result, rows=(*result.rows, row))
            _write(out, result)
        manifest.warnings += [
            f"{row.row.name}: {row.reason}" for row in result.rows if row.reason
        ]
        manifest.add(
            runs=[str(each.folder) for each in planned if each.folder is not None]
        )
    return result


def _planned(
    row: Row, request: Request, fingerprint: Fingerprint, trained: Path
) -> Planned:
    if not row.built:
        return Planned(row)
    try:
        settings = row.settings(request.preset, request.overrides)
    except UsageError as error:
        return Planned(row, reason=str(error))
    return Planned(
        row, settings, trained / configuration_hash(settings, fingerprint.of(settings))
    )


def _run_row(
    planned: Planned, seeds: Sequence[int], train: Train, failed: dict[Path, str]
) -> RowResult:
    """Train a row with every seed; `failed` remembers why a run failed, for rows that
    share it."""
    if planned.settings is None:
        return RowResult(planned.row, reason=planned.reason)
    results, reasons = [], []
    for seed in seeds:
        run = planned.run_folder(seed)
        if not is_finished(run) and run not in failed:
            console.log.info("%s, seed %d: %s", planned.row.title, seed, run)
            reason = _train_one(
                run, planned.settings.model_copy(update={"seed": seed}), train
            )
            if reason:
                console.log.error("%s, seed %d: %s", planned.row.title, seed, reason)
                failed[run] = reason
        if run in failed:
            reasons.append(f"seed {seed}: {failed[run]}")
        else:
            results.append(SeedResult.from_summary(run, load_json(run / SUMMARY_NAME)))
    return RowResult(
        planned.row,
        planned.settings,
        planned.folder,
        tuple(results),
        "; ".join(reasons),
    )


def _train_one(run: Path, settings: AqaSettings, train: Train) -> str:
    """Train one configuration with one seed; return why it failed, or nothing."""
    try:
        train(run, settings)
    except EnvironmentUnfit:
        raise  # the other rows would fail as well
    except KeyboardInterrupt:
        console.log.warning(
            "interrupted; the same command goes on from here, and keeps what is finished"
        )
        raise
    except FdposeError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the other rows are not to be lost with this one
        console.log.debug("%s", run, exc_info=True)
        return f"{type(error).__name__}: {error}"
    return "" if is_finished(run) else f"{run} holds no finished run"


def _trainer(sources: Sources, device: str) -> Train:
    def train(run: Path, settings: AqaSettings) -> object:
        if (run / "config.yaml").exists():
            return resume_aqa(run, device)
        write_json(run.parent / CONFIGURATION_NAME, _configuration(settings, sources))
        return train_aqa(run, settings, sources, device)

    return train


def _configuration(settings: AqaSettings, sources: Sources) -> dict[str, Any]:
    """Say what a folder of the trained ones stands for; its name is a hash of that."""
    return {"settings": settings.model_dump(mode="json"), "sources": sources.as_dict()}


def _write(out: Path, result: AblationTable) -> None:
    write_text(
        out / TABLE_NAME,
        "\n".join([f"# {result.table.title}", "", *result.lines()]) + "\n",
    )
    write_json(out / "table.json", result.as_dict())


def _content(path: Path) -> str:
    return sha256_file(path) if path.is_file() else str(path)
