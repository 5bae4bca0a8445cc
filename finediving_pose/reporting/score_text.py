"""Text of a scored dive, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finediving_pose.datasets.score_files import SPREAD, Exemplar, Scored

DASH = "–"

_EVIDENCE = {"pictures": "images"}
"""Words of ``score.json`` that are others in text."""


def format_score(scored: Scored) -> list[str]:
    """Return all of a scored dive as lines of text: facts, notes, stages, exemplars."""
    lines = [scored.name]
    if scored.dive_number:
        lines[0] += f"  {scored.dive_number}  {scored.description}"
    lines += [f"{name:12s}{value}" for name, value in list_facts(scored)]
    for note in (*format_seen(scored), *scored.notes):
        lines.append(f"{'note':12s}{note}")
    rows = [list(row) for row in list_stage_rows(scored)]
    lines += ["", *_format_columns(["stage", "frames", "seconds"], rows, left=3)]
    if scored.exemplars:
        header, exemplar_rows = make_exemplar_table(scored)
        lines += ["", *_format_columns(header, exemplar_rows, left=1)]
    return lines


def format_exemplar(exemplar: Exemplar) -> list[str]:
    """Return the caption of an exemplar: its role, its name and its true score."""
    lines = ["exemplar", exemplar.name, f"true score {exemplar.score:.2f}"]
    if exemplar.start != exemplar.score:
        lines.append(f"{exemplar.start:.2f} at this DD")
    return lines


def format_seen(scored: Scored) -> list[str]:
    """Say which training dives this one is."""
    lines = []
    for seen in scored.seen:
        by, against = _join_evidence(seen.by), _join_evidence(seen.against)
        if not against:
            lines.append(
                f"The model was trained on this dive ({seen.name}, the same {by}): its score says nothing about how "
                "good the model is."
            )
            continue
        verb = "differs" if against == "skeleton" else "differ"
        line = (
            f"Perhaps the model was trained on this dive: it has the {by} of the training dive {seen.name}, though "
            f"its {against} {verb}. If they are one dive, its score says nothing about how good the model is"
        )
        if "skeleton" in seen.by:
            line += "; if not, the skeleton is another dive's."
        else:
            line += "."
        lines.append(line)
    return lines


def list_facts(scored: Scored) -> list[tuple[str, str]]:
    """Return the answer's main lines, what and its value."""
    facts = [("score", f"{scored.score:.2f} points")]
    if scored.spread is not None:
        count = len(scored.exemplars)
        spread = f"{scored.spread:.2f} points over {count} exemplars ({SPREAD})"
        facts.append(("spread", spread))
    if scored.mean_award is not None:
        award = f"{scored.mean_award:.2f} = score / DD / 3, with DD {scored.difficulty:.1f} ({scored.difficulty_from})"
    else:
        award = f"not known without DD: {scored.difficulty_from}"
    facts.append(("mean award", award))
    skeleton = scored.skeleton
    if scored.joints_known:
        skeleton += f", {scored.joints_known:.0%} of the joints known"
    facts += [("skeleton", skeleton), ("clip", scored.clip), ("model", scored.model)]
    return facts


def list_stage_rows(scored: Scored) -> list[tuple[str, str, str]]:
    """Return name, frames and seconds of each stage as text."""
    rows = []
    for stage in scored.stages:
        frames = seconds = DASH
        if stage.first is not None:
            frames = f"{stage.first} – {stage.last}"
        if stage.seconds is not None:
            seconds = f"{stage.seconds[0]:.2f} – {stage.seconds[1]:.2f}"
        rows.append((stage.name, frames, seconds))
    return rows


def make_exemplar_table(scored: Scored) -> tuple[list[str], list[list[object]]]:
    """Return header and rows: an exemplar, its score, each stage's share of the
    difference, and what follows.

    The last row has the means; its last value is the score.
    """
    rescaled = any(each.start != each.score for each in scored.exemplars)
    header = ["exemplar", "DD", "true score"]
    if rescaled:
        header.append("at this DD")
    header += [*(stage.name for stage in scored.stages), "predicted"]
    rows: list[list[object]] = []
    columns: list[list[float]] = []
    for exemplar in scored.exemplars:
        scores = [exemplar.score]
        if rescaled:
            scores.append(exemplar.start)
        numbers = [*scores, *exemplar.parts, exemplar.predicted]
        difficulty = DASH
        if exemplar.difficulty is not None:
            difficulty = f"{exemplar.difficulty:.1f}"
        cells = _format_numbers(numbers, len(scores))
        rows.append([exemplar.name, difficulty, *cells])
        columns.append(numbers)
    if len(rows) > 1:
        means = [sum(column) / len(rows) for column in zip(*columns, strict=True)]
        rows.append(["mean", "", *_format_numbers(means, len(scores))])
    return header, rows


def _join_evidence(names: Iterable[str]) -> str:
    return " and ".join(_EVIDENCE.get(name, name) for name in names)


def _format_numbers(numbers: Sequence[float], scores: int) -> list[str]:
    """Return scores, parts and the predicted score as text; parts have a sign."""
    last = len(numbers) - 1
    texts = []
    for place, number in enumerate(numbers):
        is_part = scores <= place < last
        texts.append(f"{number:+.2f}" if is_part else f"{number:.2f}")
    return texts


def _format_columns(
    header: list[str], rows: Sequence[Sequence[object]], left: int
) -> list[str]:
    """Set a table in columns; all but the first `left` are set to the right."""
    cells = [header]
    for row in rows:
        cells.append([str(value) for value in row])
    formats = []
    for place, column in enumerate(zip(*cells, strict=True)):
        side = "<" if place < left else ">"
        formats.append(f"{{:{side}{max(map(len, column))}}}")
    lines = []
    for line in cells:
        texts = [how.format(cell) for how, cell in zip(formats, line, strict=True)]
        lines.append("  ".join(texts).rstrip())
    return lines
