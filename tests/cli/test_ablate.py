"""``fdpose ablate``: the table on stdout, what a dry run says, and the exit codes."""

from __future__ import annotations

import json

import pytest
from helpers.made_meets import made_meet, write_meet
from helpers.tiny_models import fdpose

from finediving_pose import errors
from finediving_pose.aqa.data.sources import Sources
from finediving_pose.files import write_json
from finediving_pose.workflows import ablation
from finediving_pose.workflows.aqa_training import SUMMARY_NAME


@pytest.fixture
def asked(monkeypatch):
    """What train-aqa is asked for; in its stead figures are written that follow from
    the number of tokens."""
    asked = []

    def train(run, request, device):
        settings, sources = request.settings, request.sources
        asked.append((settings.tokens, settings.seed, sources, device))
        if settings.tokens == 8:
            raise errors.DataError("no dive can be read")
        test = {
            "figures": {"rho": settings.tokens / 10, "rl2_squared": 1.0},
            "intervals": {},
            "dives": 4,
        }
        write_json(run / "model.json", {})
        write_json(
            run / SUMMARY_NAME,
            {"seed": settings.seed, "epochs": 5, "best_epoch": 2, "test": test},
        )

    monkeypatch.setattr(ablation, "train_aqa", train)
    return asked


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with annotations, and we are in it."""
    write_meet(tmp_path / "annotations", made_meet(8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_is_trained_printed_and_written(project, asked):
    answer = fdpose(
        "ablate",
        "VII",
        "epochs=5",
        "--preset",
        "tiny",
        "--rows",
        "t3,t5",
        "--seeds",
        "0,1",
        "--device",
        "cpu",
    )
    assert answer.code == 0
    assert [each[:2] for each in asked] == [(3, 0), (3, 1), (5, 0), (5, 1)]
    assert asked[0][3] == "cpu"
    lines = answer.out.splitlines()
    assert lines[0] == "Table VII: tokens a stage"
    assert cells(lines[2]) == ["method", "ρ", "published", "R-ℓ2 ×100", "published"]
    assert cells(lines[4]) == [
        "T = 3",
        "0.3000 ± 0.0000",
        "0.9353",
        "1.0000 ± 0.0000 ~",
        "0.2469",
    ]
    folder = project / "runs" / "ablations"
    assert "Written: runs/ablations/VII/table.md" in answer.out
    assert (folder / "VII" / "table.md").read_text(encoding="utf-8").splitlines()[
        2:6
    ] == lines[2:6]
    assert len(list((folder / "trained").glob("*/seed_1/model.json"))) == 2
    configuration = json.loads(
        next((folder / "trained").glob("*/configuration.json")).read_text()
    )
    assert configuration["sources"]["annotations"] == str(project / "annotations")
    assert configuration["settings"]["epochs"] == 5


def test_a_failed_row_is_listed_and_the_exit_code_says_so(project, asked):
    answer = fdpose("ablate", "vii", "--preset", "tiny", "--json")
    assert answer.code == errors.EXIT_SOME_FAILED
    rows = {row["name"]: row for row in json.loads(answer.out)["rows"]}
    assert rows["t8"]["failed"] == "seed 0: no dive can be read"
    assert (
        rows["t8"]["mean"]["rho"],
        rows["t10"]["mean"]["rho"],
        rows["t10"]["failed"],
    ) == (None, 1.0, None)


def test_a_dry_run_trains_nothing_and_counts_what_is_there(project, asked):
    fdpose("ablate", "VII", "--preset", "tiny", "--rows", "t5")
    answer = fdpose("ablate", "VI", "--preset", "tiny", "--seeds", "0,1", "--dry-run")
    assert answer.code == 0
    assert len(asked) == 1
    lines = answer.out.splitlines()
    assert lines[0].split() == ["fc", "stages=3", "segmenter=fc"]
    assert lines[1].strip().startswith("0 of 2 runs are there, runs/ablations/trained/")
    assert lines[7].strip().startswith("1 of 2 runs are there")
    assert lines[8] == "7 runs would be trained"
    assert not (project / "runs" / "ablations" / "VI").exists()


def test_a_dry_run_in_json_and_others_methods(project, asked):
    answer = fdpose("ablate", "I", "--without-numbers", "--dry-run", "--json")
    rows = json.loads(answer.out)
    assert [row["name"] for row in rows] == ["core", "mcore", "head", "ours"]
    assert rows[0]["settings"] == [
        "--preset …+core",
        "exemplar_choice=random",
        "ce_weights=[]",
    ]
    assert rows[0]["seeds_done"] == []
    text = fdpose("ablate", "I", "--dry-run").out
    assert "Not built here, published metrics only: usdl, musdl, tsa" in text


def test_out_names_the_tables_folder_and_runs_lie_beside_it(project, asked):
    out = project / "elsewhere" / "seven"
    assert (
        fdpose("ablate", "VII", "--preset", "tiny", "--rows", "t3", "--out", out).code
        == 0
    )
    assert (out / "table.json").is_file()
    assert len(list((out.parent / "trained").glob("*/seed_0"))) == 1


def test_sources_are_those_of_the_options(project, asked):
    for name in "labels", "pictures", "poses":
        (project / name).mkdir()
    write_meet(project / "labels", made_meet(8))
    options = (
        "--data",
        "labels",
        "--frames",
        "pictures",
        "--skeletons",
        "poses",
        "--cache",
        "kept",
    )
    fdpose("ablate", "VII", "--preset", "tiny", "--rows", "t3", *options)
    found: Sources = asked[0][2]
    names = ["labels", "pictures", "poses", "kept"]
    assert list(found.as_dict().values()) == [
        *(str(project / name) for name in names),
        None,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("X",), "no table 'X': expected one of I, I-without, II"),
        (
            ("II", "--without-numbers"),
            "--without-numbers is for table I; found table II",
        ),
        (("V", "--rows", "k5"), "table V has no row 'k5' (did you mean k"),
        (("V", "--seeds", "0,0"), "--seeds 0,0: expected different whole numbers"),
        (("V", "epoch=1"), "unknown key epoch (did you mean epochs?)"),
        (("V", "--data", "nowhere"), "nowhere: no such file or folder"),
    ],
)
def test_wrong_use_is_explained(project, asked, arguments, message, capsys):
    answer = fdpose("ablate", *arguments)
    assert answer.code == errors.EXIT_USAGE
    assert message in capsys.readouterr().err
    assert asked == []
