"""Options that the commands of the score model share, and the places where a project
folder has their inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose import console
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.aqa.data.sources import Sources

OverridesArgument = Annotated[
    list[str] | None, typer.Argument(help="Settings as key=value.")
]
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        help="paper, released, tiny (for CPUs), mcore, core, regression, mtl_aqa, some joined by +, or a YAML file.",
        rich_help_panel="Run",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="FineDiving's or MTL-AQA's annotations, a dives.csv, or a table of features with scores.",
        show_default="annotations or dives.csv",
        rich_help_panel="Data",
    ),
]
FramesOption = Annotated[
    Path | None,
    typer.Option(
        "--frames",
        help="<match>/<dive>/ of images, or videos.",
        show_default="frames or videos",
        rich_help_panel="Data",
    ),
]
SkeletonsOption = Annotated[
    Path | None,
    typer.Option(
        "--skeletons",
        help="What extract wrote.",
        show_default="the newest of skeletons/*",
        rich_help_panel="Data",
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Keep decoded frames here; about 6 MB a dive at 112 px.",
        rich_help_panel="Data",
    ),
]
StagesFromOption = Annotated[
    Path | None,
    typer.Option(
        "--stages-from",
        help="FineDiving's annotations, whose stages MTL-AQA borrows.",
        rich_help_panel="Data",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto, cpu, cuda or cuda:N; never falls back.",
        rich_help_panel="Machine and answer",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Answer in JSON.", rich_help_panel="Machine and answer"
    ),
]

DEFAULT_DATA = (Path("annotations"), Path("dives.csv"))
DEFAULT_FRAMES = (Path("frames"), Path("videos"))


def make_sources(
    data: Path | None,
    frames: Path | None = None,
    skeletons: Path | None = None,
    cache: Path | None = None,
    stages_from: Path | None = None,
) -> Sources:
    """Return where a data set lies: as the options say, else as a project folder has
    it.

    Args:
        data, frames, skeletons, cache, stages_from: The options; see Sources.

    Raises:
        UsageError: If there are no annotations.
    """
    from finediving_pose.aqa.data.sources import Sources

    return Sources(
        annotations=find_annotations(data),
        frames=frames or _find_first(DEFAULT_FRAMES),
        skeletons=skeletons or newest_skeletons(),
        cache=cache,
        stages_from=stages_from,
    )


def find_annotations(data: Path | None) -> Path:
    """Return the annotations that the option names, else those of a project folder.

    Raises:
        UsageError: If there are none.
    """
    found = data or _find_first(DEFAULT_DATA)
    if found is None:
        names = " nor ".join(map(str, DEFAULT_DATA))
        raise UsageError(
            f"give the annotations with --data PATH (here is neither {names})"
        )
    return found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``0,1,2``.

    Raises:
        UsageError: If one is no whole number, is there twice, or there is none.
    """
    names = split_names(text)
    are_numbers = all(name.isdecimal() for name in names)
    if not names or not are_numbers or len(set(names)) < len(names):
        raise UsageError(
            f"--seeds {text}: expected different whole numbers such as 0,1,2"
        )
    return tuple(map(int, names))


def split_names(text: str) -> tuple[str, ...]:
    """Read names that are separated by commas; none of an empty text."""
    return tuple(name for name in text.replace(" ", "").split(",") if name)


def _find_first(paths: tuple[Path, ...]) -> Path | None:
    for path in paths:
        if path.exists():
            return path
    return None


def newest_skeletons() -> Path | None:
    """Return the run of extract in ``skeletons/`` that was begun last, if there is one."""
    runs = [path.parent for path in Path("skeletons").glob("*/Pose")]
    if not runs:
        return Path("skeletons") if Path("skeletons/Pose").is_dir() else None
    newest = max(runs, key=lambda path: (path.stat().st_mtime_ns, path.name))
    console.log.info(
        "skeletons: %s, the newest of %d (--skeletons names others)", newest, len(runs)
    )
    return newest
