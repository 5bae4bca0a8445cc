"""Ablations (``fdpose ablate``): a table of the paper, trained row by row with several
seeds; runs of the same settings are trained once."""

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
    CONFIG_NAME,
    SUMMARY_NAME,
    TrainingRequest,
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
class TableRequest:
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

    def choose_rows(self) -> tuple[Row, ...]:
        """Return the rows asked for, in the order of the table.

        Raises:
            UsageError: If the table has none of such a name, or one that this package
                cannot train.
        """
        if not self.rows:
            return self.table.rows
        chosen = [self.table.row(name) for name in self.rows]
        for row in chosen:
            if not row.built:
                raise UsageError(
                    f"--rows {row.name}: {row.title} is a method of others that is not built here"
                )
        return tuple(row for row in self.table.rows if row in chosen)


@dataclass(frozen=True)
class PlannedRow:
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

    def get_run_folder(self, seed: int) -> Path:
        """Return where the run with this seed lies."""
        assert self.folder is not None, self.row.name
        return self.folder / f"seed_{seed}"

    def list_finished(self, seeds: Iterable[int]) -> list[int]:
        """Return the seeds that are trained and tested."""
        if self.folder is None:
            return []
        return [seed for seed in seeds if is_finished(self.get_run_folder(seed))]


class DataFingerprint:
    """Tells whether two runs read the same data, whatever the folders are called.

    Annotations and skeletons count by their content. Frames, which are too many to be
    read for this, count by the path of their folder.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self, settings: AqaSettings) -> dict[str, Any]:
        """Return what a run with these settings reads: JSON types."""
        frames = skeletons = None
        if settings.reads_images and self._sources.frames:
            frames = str(self._sources.frames.resolve())
        if settings.branch_pose:
            skeletons = self._skeletons
        data: dict[str, Any] = {
            "annotations": self._annotations,
            "frames": frames,
            "skeletons": skeletons,
        }
        for key in ("weights_i3d", "weights_static", "features"):
            name = getattr(settings, key)
            if name:
                path = Path(name)
                data[key] = sha256_file(path) if path.is_file() else str(path)
        return data

    @cached_property
    def _annotations(self) -> dict[str, str]:
        sources = self._sources
        annotations = read_annotations(sources.annotations, sources.stages_from)
        return dict(annotations.sha256)

    @cached_property
    def _skeletons(self) -> str | None:
        folder = self._sources.skeletons
        if folder is None:
            return None
        return sha256_files(folder.rglob("pred_comp_*.npz"), folder)


def hash_configuration(settings: AqaSettings, data: dict[str, Any]) -> str:
    """Return what all runs of the same settings on the same data share, whatever their
    seeds.

    Args:
        settings: Of the run.
        data: See :meth:`DataFingerprint.describe`.
    """
    values = settings.model_dump(mode="json")
    for name in WITHOUT_EFFECT:
        values.pop(name, None)
    content = {"settings": values, "data": data, "fdpose": __version__}
    return sha256_json(content)[:HASH_DIGITS]


def plan_table(
    request: TableRequest, sources: Sources, trained: Path
) -> list[PlannedRow]:
    """Return what each row asks for, before anything is trained.

    Args:
        request: What to run.
        sources: The data set.
        trained: The folder of everything that was trained.

    Raises:
        UsageError: If the preset or an override is unusable for every row.
    """
    fingerprint = DataFingerprint(sources)
    planned = []
    for row in request.choose_rows():
        planned.append(_plan_row(row, request, fingerprint, trained))
    reasons = {each.reason for each in planned if each.row.built}
    if len(reasons) == 1 and "" not in reasons:
        raise UsageError(reasons.pop())
    return planned


def run_table(
    request: TableRequest,
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
        UsageError: See :func:`plan_table`.
        EnvironmentUnfit: If a package or the device is missing.
    """
    train = train or _make_trainer(sources, device)
    planned = plan_table(request, sources, out.parent / TRAINED)
    facts = {
        "table": request.table.name,
        "preset": request.preset,
        "overrides": list(request.overrides),
        "seeds": list(request.seeds),
        "sources": sources.as_dict(),
    }
    result = AblationTable(
        request.table, request.preset, request.overrides, request.seeds
    )
    with recording(out, **facts) as manifest:
        failed: dict[Path, str] = {}
        for each in planned:
            row = _run_row(each, request.seeds, train, failed)
            result = replace(result, rows=(*result.rows, row))
            # Written after each row: an interrupted table shows what is there.
            lines = [f"# {result.table.title}", "", *result.format_lines()]
            write_text(out / TABLE_NAME, "\n".join(lines) + "\n")
            write_json(out / "table.json", result.as_dict())
        for row in result.failed:
            manifest.warnings.append(f"{row.row.name}: {row.reason}")
        runs = [str(each.folder) for each in planned if each.folder is not None]
        manifest.add(runs=runs)
    return result


def _plan_row(
    row: Row, request: TableRequest, fingerprint: DataFingerprint, trained: Path
) -> PlannedRow:
    if not row.built:
        return PlannedRow(row)
    try:
        settings = row.settings(request.preset, request.overrides)
    except UsageError as error:
        return PlannedRow(row, reason=str(error))
    name = hash_configuration(settings, fingerprint.describe(settings))
    return PlannedRow(row, settings, trained / name)


def _run_row(
    planned: PlannedRow, seeds: Sequence[int], train: Train, failed: dict[Path, str]
) -> RowResult:
    """Train a row with every seed; `failed` remembers why a run failed, for rows that
    share it."""
    if planned.settings is None:
        return RowResult(planned.row, reason=planned.reason)
    results: list[SeedResult] = []
    reasons: list[str] = []
    for seed in seeds:
        run = planned.get_run_folder(seed)
        if not is_finished(run) and run not in failed:
            console.log.info("%s, seed %d: %s", planned.row.title, seed, run)
            settings = planned.settings.model_copy(update={"seed": seed})
            reason = _train_one(run, settings, train)
            if reason:
                console.log.error("%s, seed %d: %s", planned.row.title, seed, reason)
                failed[run] = reason
        if run in failed:
            reasons.append(f"seed {seed}: {failed[run]}")
        else:
            summary = load_json(run / SUMMARY_NAME)
            results.append(SeedResult.from_summary(run, summary))
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


def _make_trainer(sources: Sources, device: str) -> Train:
    def train(run: Path, settings: AqaSettings) -> object:
        if (run / CONFIG_NAME).exists():
            return resume_aqa(run, device)
        # The folder's name is a hash of this, which nobody can read.
        configuration = {
            "settings": settings.model_dump(mode="json"),
            "sources": sources.as_dict(),
        }
        write_json(run.parent / CONFIGURATION_NAME, configuration)
        return train_aqa(run, TrainingRequest(settings, sources), device)

    return train
