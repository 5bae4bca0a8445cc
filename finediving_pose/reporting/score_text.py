"""Text of a scored dive, for the page and the terminal."""

from __future__ import annotations

from finediving_pose.datasets.score_files import SPREAD, Exemplar, Scored


def format_exemplar(exemplar: Exemplar) -> list[str]:
    """Return the caption of an exemplar: its role, its name and its true score."""
    lines = ["exemplar", exemplar.name, f"true score {exemplar.score:.2f}"]
    return (
        lines
        if exemplar.start == exemplar.score
        else [*lines, f"{exemplar.start:.2f} at this DD"]
    )


def format_seen(scored: Scored) -> list[str]:
    """Say which training dives this one is."""
    lines = []
    for seen in scored.seen:
        by, against = " and ".join(seen.by), " and ".join(seen.against)
        if not against:
            lines.append(
                f"The model was trained on this dive ({seen.name}, the same {by}): its score says nothing about how "
                "good the model is."
            )
            continue
        verb = "differs" if against == "skeleton" else "differ"
        lines.append(
            f"Perhaps the model was trained on this dive: it has the {by} of the training dive {seen.name}, though "
            f"its {against} {verb}. If they are one dive, its score says nothing about how good the model is"
            + (
                "; if not, the skeleton is another dive's."
                if "skeleton" in seen.by
                else "."
            )
        )
    return lines


def list_facts(scored: Scored) -> list[tuple[str, str]]:
    """Return the answer's main lines, what and its value."""
    lines = [("score", f"{scored.score:.2f} points")]
    if scored.spread is not None:
        lines.append(
            (
                "spread",
                f"{scored.spread:.2f} points over {len(scored.exemplars)} exemplars ({SPREAD})",
            )
        )
    if scored.mean_award is not None:
        award = f"{scored.mean_award:.2f} = score / DD / 3, with DD {scored.difficulty:.1f} ({scored.difficulty_from})"
        lines.append(("mean award", award))
    else:
        lines.append(("mean award", f"not known without DD: {scored.difficulty_from}"))
    known = (
        ""
        if not scored.joints_known
        else f", {scored.joints_known:.0%} of the joints known"
    )
    lines += [
        ("skeleton", scored.skeleton + known),
        ("clip", scored.clip),
        ("model", scored.model),
    ]
    return lines


def list_stage_rows(scored: Scored) -> list[tuple[str, str, str]]:
    """Return name, frames and seconds of each stage as text."""
    rows = []
    for stage in scored.stages:
        frames = "–" if stage.first is None else f"{stage.first} – {stage.last}"
        seconds = (
            "–"
            if stage.seconds is None
            else f"{stage.seconds[0]:.2f} – {stage.seconds[1]:.2f}"
        )
        rows.append((stage.name, frames, seconds))
    return rows


def make_exemplar_table(scored: Scored) -> tuple[list[str], list[list[object]]]:
    """Return header and rows: an exemplar, its score, each stage's share of the
    difference, and what follows.

    The last row has the means; its last value is the score.
    """
    rescaled = any(each.start != each.score for each in scored.exemplars)
    header = ["exemplar", "DD", "true score", *(["at this DD"] if rescaled else [])]
    header += [*(stage.name for stage in scored.stages), "predicted"]
    rows: list[list[object]] = [
        [
            each.name,
            "–" if each.difficulty is None else f"{each.difficulty:.1f}",
            f"{each.score:.2f}",
            *([f"{each.start:.2f}"] if rescaled else []),
            *(f"{part:+.2f}" for part in each.parts),
            f"{each.predicted:.2f}",
        ]
        for each in scored.exemplars
    ]
    numbers = [
        (each.score, *([each.start] if rescaled else []), *each.parts, each.predicted)
        for each in scored.exemplars
    ]
    means = [sum(column) / len(numbers) for column in zip(*numbers, strict=True)]
    first = len(means) - len(scored.stages) - 1
    shown = [
        f"{mean:+.2f}" if first <= at < len(means) - 1 else f"{mean:.2f}"
        for at, mean in enumerate(means)
    ]
    return header, [*rows, ["mean", "", *shown]] if len(rows) > 1 else rows
