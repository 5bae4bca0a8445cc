"""The paper's tables: every row can be trained on every preset, and sets what the paper
says."""

from __future__ import annotations

import pytest
from helpers.made_videos import SMALL, made_videos

from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.paper_tables import PUBLISHED, Table, list_tables, read_table
from finediving_pose.aqa.settings import load_aqa
from finediving_pose.errors import UsageError

TABLES = {name: read_table(name) for name in list_tables()}
BUILT = [
    (table.name, row.name)
    for table in TABLES.values()
    for row in table.rows
    if row.built
]
OURS = {"FineDiving": 0.9365, "MTL-AQA": 0.9432}
NARROW = (*SMALL, "dim=16", "pose_dim=16", "decoder_heads=2")


def settings_of(table: str, row: str, preset: str = "paper", *overrides: str):
    return TABLES[table].row(row).settings(preset, overrides)


def test_the_tables_are_those_of_the_paper():
    assert list_tables() == (
        "I",
        "I-without",
        "II",
        "II-without",
        "III",
        "IV",
        "V",
        "VI",
        "VII",
        "VIII",
        "IX",
    )


@pytest.mark.parametrize(("table", "row"), BUILT)
@pytest.mark.parametrize("preset", ["paper", "released", "tiny", "tiny+released"])
def test_every_row_is_valid_on_every_preset(table, row, preset):
    settings = settings_of(table, row, preset)
    for key, value in TABLES[table].row(row).values.items():
        found = getattr(settings, key)
        assert (list(found) if isinstance(found, tuple) else found) == value


@pytest.mark.parametrize(
    ("table", "row"), [pair for pair in BUILT if pair[0] != "II-without"]
)
def test_every_row_makes_a_model_that_compares_dives(table, row):
    settings = settings_of(table, row, "tiny", *NARROW)
    videos = made_videos(settings)
    assert HPMCoRe(settings)(videos).differences.delta.isfinite().all()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_was_published_is_in_the_units_of_its_column(table: Table):
    assert table.columns[:2] == ("rho", "rl2_squared")
    for row in table.rows:
        assert row.published or row.built
        assert set(row.published) <= set(PUBLISHED)
        for name, figure in row.published.items():
            assert (
                (20 < figure < 100) if name.startswith("aiou") else (0.2 < figure < 1)
            ), (row.name, name)


@pytest.mark.parametrize("table", [name for name in TABLES if "without" not in name])
def test_the_full_model_has_the_same_published_figure_in_every_table(table):
    reference = TABLES[table].row(TABLES[table].reference)
    assert reference.built
    assert reference.published["rho"] == OURS[TABLES[table].data]


def test_the_full_model_is_the_preset_itself_but_for_the_heads_of_table_iii():
    paper = load_aqa("paper")
    for name in ("I", "IV", "V", "VI", "VII", "VIII", "IX"):
        assert settings_of(name, TABLES[name].reference) == paper, name
    assert settings_of("III", "full") == paper.model_copy(update={"decoder_heads": 2})
    assert settings_of("II", "ours") == load_aqa("mtl_aqa")


@pytest.mark.parametrize(
    ("row", "branches"),
    [
        ("dve", (True, False, False)),
        ("sve", (False, True, False)),
        ("hse", (False, False, True)),
        ("dve+hse", (True, False, True)),
        ("dve+sve", (True, True, False)),
        ("full", (True, True, True)),
    ],
)
def test_table_iii_has_the_branches_of_its_ticks_and_two_decoder_heads(row, branches):
    settings = settings_of("III", row)
    assert (
        settings.branch_dynamic,
        settings.branch_static,
        settings.branch_pose,
    ) == branches
    assert (settings.decoder_heads, settings.decoder_layers) == (2, 4)


def test_rows_differ_from_the_full_model_in_what_their_table_is_about():
    assert [settings_of("V", row.name).stages for row in TABLES["V"].rows] == [
        "1",
        "2",
        "2*",
        "3",
    ]
    assert [settings_of("VII", row.name).tokens for row in TABLES["VII"].rows] == [
        3,
        5,
        8,
        10,
    ]
    assert [settings_of("VI", row.name).segmenter for row in TABLES["VI"].rows] == [
        "fc",
        "tcn",
        "asformer",
        "bigru",
    ]
    assert [
        settings_of("VIII", row.name).contrastive for row in TABLES["VIII"].rows
    ] == ["infonce", "triplet", "stage"]
    assert [settings_of("IX", row.name).fusion for row in TABLES["IX"].rows] == [
        "add",
        "dot",
        "weighted",
    ]
    assert [settings_of("IV", row.name).edgeconv for row in TABLES["IV"].rows] == [
        True
    ] * 4 + [False, True]


def test_the_halves_of_tables_i_and_ii_differ_in_the_exemplars():
    assert {
        settings_of("I", row).exemplar_choice for row in ("core", "mcore", "ours")
    } == {"number"}
    assert {
        settings_of("I-without", row).exemplar_choice
        for row in ("core", "mcore", "ours")
    } == {"random"}
    difficulty, without = settings_of("II", "ours"), settings_of("II-without", "ours")
    assert (difficulty.exemplar_choice, difficulty.target, difficulty.frames) == (
        "difficulty",
        "completeness",
        103,
    )
    assert (without.exemplar_choice, without.target, without.frames) == (
        "random",
        "score",
        103,
    )


def test_what_makes_a_row_wins_over_what_the_user_sets():
    settings = settings_of("VII", "t3", "tiny", "tokens=8", "epochs=2")
    assert (settings.tokens, settings.epochs) == (3, 2)


def test_a_row_that_reads_images_does_not_go_with_features_alone():
    features = "features=f.npz", "branch_static=false"
    assert settings_of("III", "dve", "paper", *features).features == "f.npz"
    with pytest.raises(
        UsageError, match=r"features=f\.npz stand in for the dynamic branch"
    ):
        settings_of("III", "sve", "paper", *features)


def test_tables_and_rows_are_found_by_name():
    assert read_table("iii") == TABLES["III"]
    with pytest.raises(
        UsageError, match=r"no table '3': expected one of I, I-without, II"
    ):
        read_table("3")
    with pytest.raises(UsageError, match=r"table V has no row 'k4' \(did you mean k"):
        TABLES["V"].row("k4")


def test_overrides_read_as_they_are_typed():
    assert TABLES["IV"].row("h0+h1").as_overrides() == [
        "branch_pose=true",
        "edgeconv=true",
        "graph_levels=[H0,H1]",
    ]
    core = TABLES["II-without"].row("core")
    assert core.as_overrides() == [
        *(
            "--preset …+mtl_aqa+core",
            "exemplar_choice=random",
            "target=score",
            "ce_weights=[]",
        )
    ]
    for table, row in BUILT:
        typed = TABLES[table].row(row)
        again = load_aqa(
            "+".join(("paper", *typed.presets)),
            typed.as_overrides()[bool(typed.presets) :],
        )
        assert again == typed.settings()
