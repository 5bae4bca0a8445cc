"""Shared fixtures."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import tiny_models

from finediving_pose import console

# Before torch is loaded, here and in the processes that tests start: networks as small
# as the tests' gain nothing by a second thread, and on a busy machine threads that wait
# for each other take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """A shell ignores Ctrl+C for what it starts in the background, and children inherit
    that: some tests send it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that is not part of the project; its tests are skipped
    where it is absent."""
    root = (
        Path(
            os.environ.get(
                "FDPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared"
            )
        )
        / "data"
    )
    if not root.is_dir():
        pytest.skip(
            f"the real data is absent: no folder {root} (set FDPOSE_SHARED to the folder that holds data/)"
        )
    return root


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Undo what a command did to the log, which is one for the whole process: caplog
    needs it to propagate."""
    before = console.log.handlers[:], console.log.level, console.log.propagate
    yield
    console.log.handlers[:], console.log.level, console.log.propagate = before


@pytest.fixture(scope="session")
def drawn_dives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short drawn dives: pictures in ``frames``, LabelMe files in
    ``labels/final``."""
    from finediving_pose.synthesis.sample import write_sample

    folder = tmp_path_factory.mktemp("drawn_dives")
    write_sample(folder, dives=3, frames=tiny_models.FRAMES)
    return folder


@pytest.fixture(scope="session")
def tiny_pose_run(
    drawn_dives: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tiny_models.Answer]:
    """A pose net trained for seconds through the command line, which knows nothing yet;
    and the command's answer."""
    run = tmp_path_factory.mktemp("pose") / "run"
    return run, tiny_models.finetune_hrnet(
        drawn_dives, run, "--json", "--epochs", tiny_models.EPOCHS
    )


@pytest.fixture(scope="session")
def tiny_pose_model(tiny_pose_run: tuple[Path, tiny_models.Answer]) -> Path:
    """The model directory of :func:`tiny_pose_run`."""
    return tiny_pose_run[0]


@pytest.fixture(scope="session")
def tiny_detector_run(
    drawn_dives: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tiny_models.Answer]:
    """A detector trained for seconds through the command line, and the command's
    answer."""
    run = tmp_path_factory.mktemp("detector") / "run"
    return run, tiny_models.finetune_detector(drawn_dives, run, "--json", "--epochs", 2)


@pytest.fixture(scope="session")
def tiny_detector_model(tiny_detector_run: tuple[Path, tiny_models.Answer]) -> Path:
    """The model directory of :func:`tiny_detector_run`; it answers with boxes anywhere,
    for its threshold is 0."""
    return tiny_detector_run[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let the output of a test about names that are not UTF-8 reach the process that
    prints it: what cannot be encoded would end the whole run."""
    report = yield
    report.sections = [
        (title, content.encode("utf-8", "backslashreplace").decode())
        for title, content in report.sections
    ]
    return report
