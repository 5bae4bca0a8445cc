"""What ``fdpose agree`` does: compares two annotators' labels, and draws where they
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
from finediving_pose.workflows.project import SETTINGS_NAME, Project, find_project

if TYPE_CHECKING:
    from finediving_pose.reporting.agreement_page import ShownPair, Table

PAGE = Path("reports") / "agreement.html"
_LISTED = 500
"""Exchanged images in the page's table; --json has all."""


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
        return {
            "a": self.names[0],
            "b": self.names[1],
            "overall": found.measure_all().as_dict(),
            "exchanged_share": _number(found.swapped_share),
            "joints": [figures.as_dict() for figures in found.measure_joints()],
            "stages": [figures.as_dict() for figures in found.measure_stages()],
            "body_angles": [figures.as_dict() for figures in found.measure_angles()],
            "exchanges": [
                {"image": image, "sides": sides} for image, sides in found.list_swaps()
            ],
            "tolerances": [tolerance.as_dict() for tolerance in self.tolerances],
            "images": [self._image(row) for row in found.rank_worst(len(found))],
            "only_a": list(found.only_a),
            "only_b": list(found.only_b),
            "ambiguous": list(found.ambiguous),
            "notes": list(self.notes),
            "page": str(self.page),
        }

    def _image(self, row: int) -> dict[str, Any]:
        found = self.found
        return {
            "image": found.pairs[row][0].image,
            "stage": found.stages[row],
            "body_angle": _number(found.angle[row], 1),
            "error": _number(found.error[row]),
            "oks": _number(found.oks[row]),
            "box_iou": _number(found.iou[row]),
            "exchanged": found.describe_swap(row),
            "px": [_number(value, 2) for value in found.distance[row]],
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
        images: The folder of the pictures; None: the project's, or beside the labels.
        worst: How many images to draw.
        out: The page; None: ``reports/agreement.html`` of the project or here.
        start: Where to look for the project; None: the current folder.

    Raises:
        UsageError: If there are no such labels.
        DataError: If they have no image in common.
    """
    project = _project_of(start or Path.cwd())
    notes: list[str] = []
    if _source(a, project).resolve() == _source(b, project).resolve():
        raise UsageError(f"{a} and {b} are the same labels; name two annotators")
    one, two = (_labels(name, project, images, notes) for name in (a, b))
    found = compare_labels(one, two, _stages(project))
    if not len(found):
        raise DataError(_nothing_common(a, one, b, two, found))
    page = out or ((project.root if project else Path()) / PAGE)
    tolerances = tuple(found.suggest_sigmas())
    notes += _about(found, tolerances)
    result = AgreementResult((a, b), found, tolerances, tuple(notes), page)
    _write_page(result, one, two, worst)
    return result


def _write_page(result: AgreementResult, a: LabelSet, b: LabelSet, worst: int) -> None:
    from finediving_pose.reporting.agreement_page import build_agreement_page

    found, notes = result.found, list(result.notes)
    shown = []
    with progress("Drawing", min(worst, len(found))) as ticker:
        for row in found.rank_worst(worst):
            drawn = _shown(found, row, a, b, notes)
            shown += [drawn] if drawn else []
            ticker.advance()
    distances = found.distance / found.head[:, None]
    by_joint = {
        name.replace("_", " "): distances[:, joint] for joint, name in enumerate(JOINTS)
    }
    build_agreement_page(
        result.names, build_tables(result), by_joint, shown, notes
    ).write(result.page)


def _shown(
    found: Agreement, row: int, a: LabelSet, b: LabelSet, notes: list[str]
) -> ShownPair | None:
    from finediving_pose.reporting.agreement_page import ShownPair

    one, two = found.pairs[row]
    path = next(
        (p for p in (a.image_path(one), b.image_path(two)) if p.is_file()), None
    )
    try:
        picture = read_image(path) if path else None
    except DataError as error:
        notes.append(f"not drawn: {error}")
        return None
    if picture is None:
        note = "some of the worst images are not drawn: their pictures are not there (--images DIR names the folder)"
        notes += [note] if note not in notes else []
        return None
    return ShownPair(
        _caption(found, row), picture, (found.a[row], found.b[row]), (one.box, two.box)
    )


def _caption(found: Agreement, row: int) -> str:
    parts = [found.pairs[row][0].image]
    if np.isfinite(found.distance[row]).any():
        joint = int(np.nanargmax(found.distance[row]))
        parts.append(f"OKS {found.oks[row]:.2f}" if np.isfinite(found.oks[row]) else "")
        parts.append(
            f"most: {JOINTS[joint].replace('_', ' ')}, {found.distance[row, joint]:.1f} px"
        )
    sides = found.describe_swap(row)
    return " · ".join(filter(None, [*parts, sides and f"exchanged: {sides}"]))


def build_tables(result: AgreementResult) -> list[Table]:
    """Return what is to be said in tables: overview, joints, exchanged sides,
    tolerances, stages, body angles."""
    from finediving_pose.reporting.agreement_page import Table

    found, (a, b) = result.found, result.names
    joints = found.measure_joints()
    made = [
        Table("All images", ["", ""], list_overview(result)),
        Table(
            "By joint",
            _JOINT_HEADER,
            [_joint_row(figures) for figures in joints],
            _JOINTS,
        ),
        Table(
            "Missing, occluded, exchanged",
            [
                "joint",
                f"only {a}",
                f"only {b}",
                "occluded for one of them",
                "exchanged",
            ],
            [_count_row(figures) for figures in joints],
            _COUNTS,
        ),
    ]
    exchanges = found.list_swaps()
    if exchanges:
        left_out = (
            f" The first {_LISTED} of {len(exchanges)}."
            if len(exchanges) > _LISTED
            else ""
        )
        share = (
            f"They are {_percent(found.swapped_share)} of the squared distance."
            + left_out
        )
        made.append(
            Table(
                "Left and right exchanged",
                ["image", "sides"],
                exchanges[:_LISTED],
                share + _EXCHANGED,
            )
        )
    made.append(
        Table(
            "Suggested tolerances",
            _TOLERANCE_HEADER,
            [format_sigma_row(t) for t in result.tolerances],
            _sigmas(result),
        )
    )
    for title, groups in (
        ("By stage", found.measure_stages()),
        ("By body angle", found.measure_angles()),
    ):
        if groups:
            made.append(
                Table(
                    title,
                    _GROUP_HEADER,
                    [_group_row(figures) for figures in groups],
                    _GROUPS[title],
                )
            )
    return made


def list_overview(result: AgreementResult) -> list[tuple[str, object]]:
    """Return the figures of all images, as names and values."""
    found, (a, b) = result.found, result.names
    figures = found.measure_all()
    return [
        ("images that both labelled", figures.images),
        (f"images of {a} alone", len(found.only_a)),
        (f"images of {b} alone", len(found.only_b)),
        ("joints that both labelled", figures.joints),
        (f"joints of {a} alone", figures.only_a),
        (f"joints of {b} alone", figures.only_b),
        ("joints occluded for one of them only", figures.occlusion),
        ("distance, px: median", _px(figures.px.median)),
        ("distance, px: mean", _px(figures.px.mean)),
        ("distance, px: 95th percentile", _px(figures.px.p95)),
        ("distance, head sizes: median", figures.heads.median),
        ("PCKh@0.5", figures.loose),
        ("PCKh@0.1", figures.strict),
        ("OKS", figures.oks),
        ("box IoU", figures.iou),
        ("images with left and right exchanged", figures.exchanged),
        (
            "share of the squared distance that exchanged sides are",
            _percent(found.swapped_share),
        ),
        ("distance, px: mean, with exchanged sides undone", _px(figures.unexchanged)),
    ]


def format_sigma_row(tolerance: SuggestedSigma) -> list[object]:
    """Return joint, σ, its interval, the σ in use, how they compare, labels and slips."""
    low, high = (
        f"{value:.3f}" if np.isfinite(value) else "–"
        for value in (tolerance.low, tolerance.high)
    )
    return [
        JOINTS[tolerance.joint].replace("_", "\N{NO-BREAK SPACE}"),
        tolerance.sigma,
        f"{low} to {high}",
        tolerance.current,
        _compared(tolerance),
        tolerance.labels,
        tolerance.slips,
    ]


def _compared(tolerance: SuggestedSigma) -> str:
    if not np.isfinite(tolerance.sigma):
        return "too few" if tolerance.labels < LEAST_LABELS else "copies"
    if tolerance.high < tolerance.current:
        return "tighter"
    return "wider" if tolerance.low > tolerance.current else "the same"


_JOINTS = (
    "Distances between the two in pixels and in head sizes (head top to upper neck). PCKh@t: the share within t head "
    "sizes. Sides undone: the mean after left and right are put right where they are exchanged."
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
    "mean px, sides undone",
)
_COUNTS = (
    "Labels of each joint; exchanged: its sides fit clearly better the other way round."
)
_EXCHANGED = " One of the two has left and right the wrong way round; `fdpose validate` says whose, where it can tell."
_TOLERANCE_HEADER = (
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
    "images exchanged",
)
_GROUPS = {
    "By stage": "The stage of the dive, as the manifest of the pictures has it.",
    "By body angle": "The trunk against the vertical: upright up to 60°, inverted from 120° on.",
}


def _sigmas(result: AgreementResult) -> str:
    dives = [one.dive_key for one, _ in result.found.pairs]
    unit = "dives" if resamples_dives(dives) else "images, for there are too few dives"
    return (
        "OKS's σ (COCO: the root mean square distance of an annotator from the truth, as a share of the square root of "
        "the box's area), from both annotators' distances: σ² = E[d²/s²]/2, exchanged sides undone and slips left out. "
        f"Intervals by bootstrap of {unit}. σ in use is what fdpose computes OKS with."
    )


def _joint_row(figures: AgreementMetrics) -> list[object]:
    px = [_px(value) for value in (figures.px.median, figures.px.mean, figures.px.p95)]
    shares = [
        figures.heads.median,
        figures.heads.p95,
        figures.loose,
        figures.strict,
        figures.oks,
    ]
    return [_joint(figures), figures.joints, *px, *shares, _px(figures.unexchanged)]


def _count_row(figures: AgreementMetrics) -> list[object]:
    return [
        _joint(figures),
        figures.only_a,
        figures.only_b,
        figures.occlusion,
        figures.exchanged,
    ]


def _joint(figures: AgreementMetrics) -> str:
    return figures.name.replace("_", "\N{NO-BREAK SPACE}")


def _group_row(figures: AgreementMetrics) -> list[object]:
    shares = [
        figures.heads.median,
        figures.loose,
        figures.strict,
        figures.oks,
        figures.iou,
        figures.exchanged,
    ]
    return [
        figures.name,
        figures.images,
        figures.joints,
        _px(figures.px.median),
        *shares,
    ]


def _project_of(folder: Path) -> Project | None:
    folder = folder.absolute()
    there = any((root / SETTINGS_NAME).is_file() for root in (folder, *folder.parents))
    return find_project(folder) if there else None


def _labels(
    name: str, project: Project | None, images: Path | None, notes: list[str]
) -> LabelSet:
    labels = read_labels(
        _source(name, project), images=_pictures(name, project, images)
    )
    faults, guesses = (
        len(labels.errors),
        sum(frame.unconfirmed for frame in labels.frames),
    )
    if faults:
        notes.append(
            f"{name}: {faults} fault{'s' * (faults > 1)} in the labels; `fdpose validate` lists them"
        )
    if guesses:
        are = "label is" if guesses == 1 else "labels are"
        notes.append(
            f"{name}: {guesses} {are} a model's guess that nobody has confirmed"
        )
    return labels


def _source(name: str, project: Project | None) -> Path:
    """Return where labels lie: a person of the project comes before a path of the same
    name."""
    if project is not None:
        if name in project.store.list_annotators():
            return project.labels / name
        if name == FINAL:
            return _final(project)
        if name in project.annotators:
            raise UsageError(
                f"{name} has labelled nothing yet: no folder {project.shown(project.labels / name)}"
            )
    if Path(name).exists():
        return Path(name)
    people = ", ".join(project.store.list_annotators()) if project else ""
    known = (
        f"no annotator of the project here (there are {people}) and " if people else ""
    )
    raise UsageError(f"{name}: {known}no file or folder of labels")


def _final(project: Project) -> Path:
    if not project.final.is_dir():
        raise UsageError(
            f"{FINAL}: no folder {project.shown(project.final)} yet; `fdpose merge` writes it"
        )
    return project.final


def _pictures(name: str, project: Project | None, images: Path | None) -> Path | None:
    if images is not None or project is None or not project.frames.is_dir():
        return images
    source = _source(name, project)
    return (
        project.frames
        if source.absolute().is_relative_to(project.labels) or source == project.final
        else None
    )


def _stages(project: Project | None) -> dict[str, str]:
    if project is None or not project.frame_manifest.exists():
        return {}
    return {row.image: row.stage for row in project.images}


def _about(found: Agreement, tolerances: Sequence[SuggestedSigma]) -> list[str]:
    notes = []
    if found.ambiguous:
        notes.append(
            f"{len(found.ambiguous)} images left out: several athletes are labelled there"
        )
    few = sum(tolerance.labels < LEAST_LABELS for tolerance in tolerances)
    if few:
        notes.append(
            f"{few} joints have fewer than {LEAST_LABELS} labels of both: no tolerance is suggested for them"
        )
    copies = sum(
        t.labels >= LEAST_LABELS and not np.isfinite(t.sigma) for t in tolerances
    )
    if copies:
        notes.append(
            f"{copies} joints are equal in most images: copies suggest no tolerance"
        )
    return notes


def _nothing_common(
    a: str, one: LabelSet, b: str, two: LabelSet, found: Agreement
) -> str:
    if found.ambiguous:
        return f"{a} and {b}: every image they share shows several athletes; expected one athlete an image"
    first = [
        f"{name} has {len(labels.frames)}, {_example(labels)}"
        for name, labels in ((a, one), (b, two))
    ]
    return f"no image in common: {'; '.join(first)}; expected labels of the same images"


def _example(labels: LabelSet) -> str:
    return f"the first is {labels.frames[0].image}" if labels.frames else "none usable"


def _px(value: float) -> str | None:
    return f"{value:.1f}" if np.isfinite(value) else None


def _percent(share: float) -> str | None:
    return f"{100 * share:.0f} %" if np.isfinite(share) else None


def _number(value: Any, digits: int = 4) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
