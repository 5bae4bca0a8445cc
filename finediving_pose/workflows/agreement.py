"""`fdpose agree`: compare two annotators' labels and write a page that draws where they
differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finediving_pose.annotation.agreement import (
    Agreement,
    AgreementMetrics,
    compare_labels,
)
from finediving_pose.annotation.joint_sigmas import (
    LEAST_LABELS,
    SuggestedSigma,
    resamples_dives,
)
from finediving_pose.annotation.label_store import FINAL
from finediving_pose.console import progress
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import read_image
from finediving_pose.skeleton import JOINTS
from finediving_pose.workflows.project import (
    SETTINGS_NAME,
    Project,
    describe_no_project,
    find_project,
)

if TYPE_CHECKING:
    from finediving_pose.reporting.agreement_page import ShownPair, Table

PAGE = Path("reports") / "agreement.html"
_LISTED = 500
"""Images with swapped sides in the page's table; --json has all."""


@dataclass(frozen=True)
class AgreementResult:
    """What was found.

    Attributes:
        names: Of the two annotators.
        found: The comparison.
        tolerances: What it suggests, a joint each.
        notes: What could not be read or compared.
        page: The report.
    """

    names: tuple[str, str]
    found: Agreement
    tolerances: tuple[SuggestedSigma, ...]
    notes: tuple[str, ...]
    page: Path

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types; what is unknown is None."""
        found = self.found
        swaps = [
            {"image": image, "sides": sides} for image, sides in found.list_swaps()
        ]
        return {
            "a": self.names[0],
            "b": self.names[1],
            "overall": found.measure_all().as_dict(),
            "exchanged_share": _round_known(found.swapped_share),
            "joints": [metrics.as_dict() for metrics in found.measure_joints()],
            "stages": [metrics.as_dict() for metrics in found.measure_stages()],
            "body_angles": [metrics.as_dict() for metrics in found.measure_angles()],
            "exchanges": swaps,
            "tolerances": [tolerance.as_dict() for tolerance in self.tolerances],
            "images": [self._describe_image(r) for r in found.rank_worst(len(found))],
            "only_a": list(found.only_a),
            "only_b": list(found.only_b),
            "ambiguous": list(found.ambiguous),
            "notes": list(self.notes),
            "page": str(self.page),
        }

    def _describe_image(self, row: int) -> dict[str, Any]:
        found = self.found
        return {
            "image": found.pairs[row][0].image,
            "stage": found.stages[row],
            "body_angle": _round_known(found.angle[row], 1),
            "error": _round_known(found.error[row]),
            "oks": _round_known(found.oks[row]),
            "box_iou": _round_known(found.iou[row]),
            "exchanged": found.describe_swap(row),
            "px": [_round_known(value, 2) for value in found.distance[row]],
        }


def compare_annotators(
    a: str,
    b: str,
    images: Path | None = None,
    worst: int = 24,
    out: Path | None = None,
    start: Path | None = None,
) -> AgreementResult:
    """Compare two annotators' labels and write the page.

    Args:
        a: An annotator of the project here, ``final``, or a file or folder of labels.
        b: The same.
        images: The folder of the images; None: the project's, or beside the labels.
        worst: How many images to draw.
        out: The page; None: ``reports/agreement.html`` of the project or here.
        start: Where to look for the project; None: the current folder.

    Returns:
        The comparison, and where the page is.

    Raises:
        UsageError: If there are no such labels.
        DataError: If they have no image in common.
    """
    project = _find_project_if_any(start or Path.cwd())
    if _locate_labels(a, project).resolve() == _locate_labels(b, project).resolve():
        raise UsageError(f"{a} and {b} are the same labels; name two annotators")
    notes: list[str] = []
    labels_a = _read_labels_of(a, project, images, notes)
    labels_b = _read_labels_of(b, project, images, notes)
    found = compare_labels(labels_a, labels_b, _read_stages(project))
    if not len(found):
        raise DataError(_explain_no_common_image((a, b), (labels_a, labels_b), found))
    page = out or ((project.root if project else Path()) / PAGE)
    tolerances = tuple(found.suggest_sigmas())
    notes += _note_left_out(found, tolerances)
    result = AgreementResult((a, b), found, tolerances, tuple(notes), page)
    _write_page(result, (labels_a, labels_b), worst)
    return result


def _write_page(
    result: AgreementResult, labels: tuple[LabelSet, LabelSet], worst: int
) -> None:
    from finediving_pose.reporting.agreement_page import build_agreement_page

    found, notes = result.found, list(result.notes)
    shown = []
    with progress("Drawing", min(worst, len(found))) as ticker:
        for row in found.rank_worst(worst):
            pair = _load_pair(found, row, labels, notes)
            if pair is not None:
                shown.append(pair)
            ticker.advance()
    heads = found.distance / found.head[:, None]
    by_joint = {}
    for joint, name in enumerate(JOINTS):
        by_joint[name.replace("_", " ")] = heads[:, joint]
    page = build_agreement_page(
        result.names, build_tables(result), by_joint, shown, notes
    )
    page.write(result.page)


def _load_pair(
    found: Agreement, row: int, labels: tuple[LabelSet, LabelSet], notes: list[str]
) -> ShownPair | None:
    """Return an image with both labels; None, and a note, where it cannot be read."""
    from finediving_pose.reporting.agreement_page import ShownPair

    frame_a, frame_b = found.pairs[row]
    paths = [labels[0].image_path(frame_a), labels[1].image_path(frame_b)]
    present = [path for path in paths if path.is_file()]
    if not present:
        note = (
            "some of the worst images are not drawn: their files are not there "
            "(--images DIR names the folder)"
        )
        if note not in notes:
            notes.append(note)
        return None
    try:
        image = read_image(present[0])
    except DataError as error:
        notes.append(f"not drawn: {error}")
        return None
    points = (found.a[row], found.b[row])
    return ShownPair(
        _write_caption(found, row), image, points, (frame_a.box, frame_b.box)
    )


def _write_caption(found: Agreement, row: int) -> str:
    parts = [found.pairs[row][0].image]
    distance = found.distance[row]
    if np.isfinite(distance).any():
        joint = int(np.nanargmax(distance))
        if np.isfinite(found.oks[row]):
            parts.append(f"OKS {found.oks[row]:.2f}")
        parts.append(
            f"most: {JOINTS[joint].replace('_', ' ')}, {distance[joint]:.1f} px"
        )
    sides = found.describe_swap(row)
    if sides:
        parts.append(f"swapped: {sides}")
    return " · ".join(parts)


def build_tables(result: AgreementResult) -> list[Table]:
    """Return the page's tables: overview, joints, swapped sides, tolerances, stages,
    body angles."""
    from finediving_pose.reporting.agreement_page import Table

    found, (a, b) = result.found, result.names
    joints = found.measure_joints()
    counts_header = [
        "joint",
        f"only {a}",
        f"only {b}",
        "occluded for one of them",
        "swapped",
    ]
    joint_rows = [_format_joint_row(metrics) for metrics in joints]
    count_rows = [_format_count_row(metrics) for metrics in joints]
    tables = [
        Table("All images", ["", ""], list_overview(result)),
        Table("By joint", _JOINT_HEADER, joint_rows, _JOINTS_TEXT),
        Table("Missing, occluded, swapped", counts_header, count_rows, _COUNTS_TEXT),
    ]
    swaps = found.list_swaps()
    if swaps:
        text = f"They are {_percent(found.swapped_share)} of the squared distance."
        if len(swaps) > _LISTED:
            text += f" The first {_LISTED} of {len(swaps)}."
        text += _SWAPS_TEXT
        header = ["image", "sides"]
        tables.append(Table("Left and right swapped", header, swaps[:_LISTED], text))
    sigma_rows = [format_sigma_row(tolerance) for tolerance in result.tolerances]
    tables.append(
        Table(
            "Suggested tolerances",
            _SIGMA_HEADER,
            sigma_rows,
            _explain_sigmas(result),
        )
    )
    groups = {
        "By stage": found.measure_stages(),
        "By body angle": found.measure_angles(),
    }
    for title, metrics in groups.items():
        if metrics:
            rows = [_format_group_row(group) for group in metrics]
            tables.append(Table(title, _GROUP_HEADER, rows, _GROUPS_TEXT[title]))
    return tables


def list_overview(result: AgreementResult) -> list[tuple[str, object]]:
    """Return the metrics of all images, as names and values."""
    found, (a, b) = result.found, result.names
    metrics = found.measure_all()
    return [
        ("images that both labelled", metrics.images),
        (f"images of {a} alone", len(found.only_a)),
        (f"images of {b} alone", len(found.only_b)),
        ("joints that both labelled", metrics.joints),
        (f"joints of {a} alone", metrics.only_a),
        (f"joints of {b} alone", metrics.only_b),
        ("joints occluded for one of them only", metrics.occlusion),
        ("distance, px: median", _px(metrics.px.median)),
        ("distance, px: mean", _px(metrics.px.mean)),
        ("distance, px: 95th percentile", _px(metrics.px.p95)),
        ("distance, head sizes: median", metrics.heads.median),
        ("PCKh@0.5", metrics.loose),
        ("PCKh@0.1", metrics.strict),
        ("OKS", metrics.oks),
        ("box IoU", metrics.iou),
        ("images with left and right swapped", metrics.swapped),
        (
            "of the squared distance comes from swapped sides",
            _percent(found.swapped_share),
        ),
        ("distance, px: mean, with swapped sides undone", _px(metrics.unswapped)),
    ]


def format_sigma_row(tolerance: SuggestedSigma) -> list[object]:
    """Return joint, σ, its interval, the σ in use, how they compare, labels and slips."""
    low, high = "–", "–"
    if np.isfinite(tolerance.sigma):
        low, high = f"{tolerance.low:.3f}", f"{tolerance.high:.3f}"
    return [
        JOINTS[tolerance.joint].replace("_", "\N{NO-BREAK SPACE}"),
        tolerance.sigma,
        f"{low} to {high}",
        tolerance.current,
        _compare_sigma(tolerance),
        tolerance.labels,
        tolerance.slips,
    ]


def _compare_sigma(tolerance: SuggestedSigma) -> str:
    """Return how the labels' σ compares with the one in use, or why there is none."""
    if not np.isfinite(tolerance.sigma):
        return "too few" if tolerance.labels < LEAST_LABELS else "copies"
    if tolerance.high < tolerance.current:
        return "tighter"
    if tolerance.low > tolerance.current:
        return "wider"
    return "the same"


_JOINTS_TEXT = (
    "Distances between the two in pixels and in head sizes (head top to upper neck). "
    "PCKh@t: the share within t head sizes. Swaps undone: the mean after left and right "
    "are swapped back where they are swapped."
)
_JOINT_HEADER = (
    "joint",
    "labels",
    "median px",
    "mean px",
    "95 % px",
    "median heads",
    "95 % heads",
    "PCKh@0.5",
    "PCKh@0.1",
    "OKS",
    "mean px, swaps undone",
)
_COUNTS_TEXT = (
    "Labels of each joint; swapped: its sides fit clearly better the other way round."
)
_SWAPS_TEXT = (
    " One of the two has left and right the wrong way round; `fdpose validate` says "
    "whose, where it can tell."
)
_SIGMA_HEADER = (
    "joint",
    "σ suggested",
    "95 % interval",
    "σ in use",
    "these labels are",
    "labels",
    "slips left out",
)
_GROUP_HEADER = (
    "",
    "images",
    "joints",
    "median px",
    "median, head sizes",
    "PCKh@0.5",
    "PCKh@0.1",
    "OKS",
    "box IoU",
    "images swapped",
)
_GROUPS_TEXT = {
    "By stage": "The stage of the dive, from the manifest of the images.",
    "By body angle": (
        "The trunk against the vertical: upright up to 60°, inverted from 120° on."
    ),
}


def _explain_sigmas(result: AgreementResult) -> str:
    dives = [frame.dive_key for frame, _ in result.found.pairs]
    unit = "images, for there are too few dives"
    if resamples_dives(dives):
        unit = "dives"
    return (
        "OKS's σ (COCO: the root mean square distance of an annotator from the truth, as "
        "a share of the square root of the box's area), from both annotators' distances: "
        "σ² = E[d²/s²]/2, swapped sides undone and slips left out. Intervals by "
        f"bootstrap of {unit}. σ in use is what fdpose computes OKS with."
    )


def _format_joint_row(metrics: AgreementMetrics) -> list[object]:
    return [
        metrics.name.replace("_", "\N{NO-BREAK SPACE}"),
        metrics.joints,
        _px(metrics.px.median),
        _px(metrics.px.mean),
        _px(metrics.px.p95),
        metrics.heads.median,
        metrics.heads.p95,
        metrics.loose,
        metrics.strict,
        metrics.oks,
        _px(metrics.unswapped),
    ]


def _format_count_row(metrics: AgreementMetrics) -> list[object]:
    return [
        metrics.name.replace("_", "\N{NO-BREAK SPACE}"),
        metrics.only_a,
        metrics.only_b,
        metrics.occlusion,
        metrics.swapped,
    ]


def _format_group_row(metrics: AgreementMetrics) -> list[object]:
    return [
        metrics.name,
        metrics.images,
        metrics.joints,
        _px(metrics.px.median),
        metrics.heads.median,
        metrics.loose,
        metrics.strict,
        metrics.oks,
        metrics.iou,
        metrics.swapped,
    ]


def _find_project_if_any(folder: Path) -> Project | None:
    folder = folder.absolute()
    for root in (folder, *folder.parents):
        if (root / SETTINGS_NAME).is_file():
            return find_project(folder)
    return None


def _read_labels_of(
    name: str, project: Project | None, images: Path | None, notes: list[str]
) -> LabelSet:
    """Read an annotator's labels; what is wrong with them becomes a note."""
    source = _locate_labels(name, project)
    labels = read_labels(source, images=_locate_images(source, project, images))
    faults = len(labels.errors)
    if faults:
        notes.append(
            f"{name}: {faults} fault{'s' * (faults > 1)} in the labels; "
            "`fdpose validate` lists them"
        )
    guesses = sum(frame.unconfirmed for frame in labels.frames)
    if guesses:
        are = "label is" if guesses == 1 else "labels are"
        notes.append(
            f"{name}: {guesses} {are} a model's guess that nobody has confirmed"
        )
    return labels


def _locate_labels(name: str, project: Project | None) -> Path:
    """Return where labels lie: an annotator of the project comes before a path of the
    same name."""
    if project is not None:
        if name in project.store.list_annotators():
            return project.labels / name
        if name == FINAL:
            if not project.final.is_dir():
                raise UsageError(
                    f"{FINAL}: no folder {project.shown(project.final)} yet; "
                    "`fdpose merge` writes it"
                )
            return project.final
        if name in project.annotators:
            raise UsageError(
                f"{name} has labelled nothing yet: no folder "
                f"{project.shown(project.labels / name)}"
            )
    if Path(name).exists():
        return Path(name)
    annotators = ", ".join(project.store.list_annotators()) if project else ""
    if annotators:
        raise UsageError(
            f"{name}: no annotator of the project here (there are {annotators}) and "
            "no file or folder of labels"
        )
    raise UsageError(f"{name}: no file or folder of labels{describe_no_project()}")


def _locate_images(
    source: Path, project: Project | None, images: Path | None
) -> Path | None:
    """Return the folder of the images; None: where the labels say."""
    if images is not None or project is None or not project.frames.is_dir():
        return images
    belongs = source.absolute().is_relative_to(project.labels)
    return project.frames if belongs or source == project.final else None


def _read_stages(project: Project | None) -> dict[str, str]:
    if project is None or not project.frame_manifest.exists():
        return {}
    return {row.image: row.stage for row in project.images}


def _note_left_out(found: Agreement, tolerances: Sequence[SuggestedSigma]) -> list[str]:
    notes = []
    if found.ambiguous:
        notes.append(
            f"{len(found.ambiguous)} images left out: several athletes are labelled there"
        )
    few, copies = 0, 0
    for tolerance in tolerances:
        if tolerance.labels < LEAST_LABELS:
            few += 1
        elif not np.isfinite(tolerance.sigma):
            copies += 1
    if few:
        notes.append(
            f"{few} joints have fewer than {LEAST_LABELS} labels of both: "
            "no tolerance is suggested for them"
        )
    if copies:
        notes.append(
            f"{copies} joints are equal in most images: copies suggest no tolerance"
        )
    return notes


def _explain_no_common_image(
    names: tuple[str, str], labels: tuple[LabelSet, LabelSet], found: Agreement
) -> str:
    if found.ambiguous:
        return (
            f"{' and '.join(names)}: every image they share shows several athletes; "
            "expected one athlete an image"
        )
    counts = []
    for name, own in zip(names, labels, strict=True):
        example = f"the first is {own.frames[0].image}" if own.frames else "none usable"
        counts.append(f"{name} has {len(own.frames)}, {example}")
    return (
        f"no image in common: {'; '.join(counts)}; expected labels of the same images"
    )


def _px(value: float) -> str | None:
    return f"{value:.1f}" if np.isfinite(value) else None


def _percent(share: float) -> str | None:
    return f"{100 * share:.0f} %" if np.isfinite(share) else None


def _round_known(value: Any, digits: int = 4) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
