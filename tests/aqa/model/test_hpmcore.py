"""The whole model: every preset and option learns, each video is encoded once, and what
must not matter does not."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence

import pytest
import torch
from helpers.made_frames import made_dive
from helpers.made_videos import made_videos, small_settings
from helpers.model_checks import parameters

from finediving_pose.aqa.batch import Videos, collate_pairs
from finediving_pose.aqa.data.dataset import PairDataset, VideoLoader, VideoOptions
from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.aqa.model.backbones import RegNetY200
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.score_model import Encoded
from finediving_pose.aqa.settings import AqaSettings, load_aqa
from finediving_pose.errors import UsageError

VISUAL_OFF = ("branch_dynamic=false", "branch_static=false")
FEATURES = ("features=some.npz", "feature_dim=7", "branch_static=false")


def made_model(settings: AqaSettings, seed: int = 0) -> HPMCoRe:
    torch.manual_seed(seed)
    return HPMCoRe(settings)


def backward(model: HPMCoRe, videos: Videos, progress: float = 0.0) -> float:
    loss = model.losses(videos, progress)["loss"]
    loss.backward()
    return loss.item()


def assert_everything_learns(model: HPMCoRe, videos: Videos) -> None:
    """In two steps, for what stands before a gate that begins at 0 learns once the gate
    has moved."""
    learning = {
        name: value for name, value in model.named_parameters() if value.requires_grad
    }
    optimizer = torch.optim.Adam(learning.values(), lr=1e-3)
    idle = set(learning)
    for _ in range(2):
        optimizer.zero_grad()
        assert backward(model, videos) > 0
        assert all(
            value.grad is None or value.grad.isfinite().all()
            for value in learning.values()
        )
        idle -= {
            name
            for name, value in learning.items()
            if value.grad is not None and value.grad.any()
        }
        optimizer.step()
    assert not idle


def rows(encoded: Encoded, *chosen: int) -> Encoded:
    return encoded.map(lambda x: x[list(chosen)])


def same(one: Encoded, other: Encoded, tolerance: float = 1e-5) -> bool:
    pairs = [
        *((one.tokens[name], other.tokens[name]) for name in one.tokens | other.tokens),
        *(
            (one.vectors[name], other.vectors[name])
            for name in one.vectors | other.vectors
        ),
        (one.logits, other.logits),
        (one.transitions, other.transitions),
    ]
    return all(torch.allclose(a, b, atol=tolerance) for a, b in pairs)


@pytest.mark.parametrize(
    "preset",
    ["released", "mcore", "core", "regression", "mtl_aqa", "tiny", "tiny+core"],
)
def test_every_preset_learns(preset):
    settings = small_settings(preset=preset)
    assert_everything_learns(made_model(settings), made_videos(settings))


@pytest.mark.parametrize(
    "overrides",
    [
        ("branch_dynamic=false",),
        ("branch_static=false",),
        ("branch_pose=false",),
        ("branch_dynamic=false", "branch_static=false"),
        ("branch_dynamic=false", "branch_pose=false"),
        ("branch_static=false", "branch_pose=false"),
        ("stages=1",),
        ("stages=2",),
        ("stages=2*",),
        ("segmentation_input=both", "segmenter=fc"),
        ("segmentation_input=static", "segmenter=tcn"),
        ("temporal_mixing=tsa", "segmenter=asformer"),
        ("temporal_mixing=none", "clip_reading=t//10"),
        ("fusion=add", "contrastive=infonce"),
        ("fusion=dot", "contrastive=triplet"),
        ("fusion_layers=2", "fusion_residual=pre", "pose_attention=tied"),
        ("branch_merge=mean", "decoder_shared=false", "contrastive=off"),
        ("graph_levels=H0", "edgeconv=false"),
        ("graph_levels=released", "pose_channels=3"),
        ("symmetric=false", "target=completeness"),
        (
            "stage_pooling=overlapping",
            "transition_choice=window",
            "boundaries=predicted",
            "predicted_after=0",
        ),
        ("regressor=direct",),
        FEATURES,
        (*FEATURES, "branch_pose=false", "stages=1"),
    ],
    ids=",".join,
)
def test_every_option_learns(overrides):
    settings = small_settings(*overrides)
    assert_everything_learns(made_model(settings), made_videos(settings, videos=4))


@pytest.mark.slow
def test_the_papers_model_at_full_size(capsys):
    settings = load_aqa("paper")
    model = made_model(settings)
    assert_everything_learns(model, made_videos(settings))
    counts = model.parameter_counts()
    with capsys.disabled():
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        print(
            f"\npaper, one pair of 96x112x112: peak memory {peak:.0f} MiB, {sum(counts.values()):,} parameters"
        )
        for name, count in counts.items():
            print(f"  {name:16} {count:>12,}")


@pytest.mark.parametrize(
    ("overrides", "branches", "lead", "segmented"),
    [
        ((), ["fused", "static"], "dynamic", ["dynamic"]),
        (("branch_dynamic=false",), ["fused", "static"], "static", ["static"]),
        (
            ("branch_dynamic=false", "branch_pose=false"),
            ["static"],
            "static",
            ["static"],
        ),
        (VISUAL_OFF, ["fused"], "pose", ["pose"]),
        (("branch_static=false",), ["fused"], "dynamic", ["dynamic"]),
        (
            ("branch_static=false", "segmentation_input=static"),
            ["fused"],
            "dynamic",
            ["dynamic"],
        ),
        (
            ("segmentation_input=both",),
            ["fused", "static"],
            "dynamic",
            ["dynamic", "static"],
        ),
        (
            ("segmentation_input=both", "branch_dynamic=false"),
            ["fused", "static"],
            "static",
            ["static"],
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else "",
)
def test_what_remains_takes_the_place_of_what_is_off(
    overrides, branches, lead, segmented
):
    model = made_model(small_settings(*overrides))
    assert (list(model.norms), model.lead, model.segmented) == (
        branches,
        lead,
        segmented,
    )


def test_the_shapes_of_an_encoding():
    settings = small_settings()
    encoded = made_model(settings).encode(made_videos(settings, videos=3))
    assert {name: tokens.shape for name, tokens in encoded.tokens.items()} == {
        "fused": (3, 3, 3, 16),
        "static": (3, 3, 3, 16),
    }
    assert {name: vectors.shape for name, vectors in encoded.vectors.items()} == {
        "fused": (3, 3, 16),
        "static": (3, 3, 16),
    }
    assert encoded.logits.shape == (3, 32, 2)
    assert encoded.transitions.shape == (3, 2)
    assert encoded.transitions.dtype == torch.int64


def test_without_stages_there_are_no_transitions():
    settings = small_settings("stages=1")
    encoded = made_model(settings).encode(made_videos(settings))
    assert encoded.logits.shape == (2, 32, 0)
    assert encoded.transitions.shape == (2, 0)
    assert encoded.tokens["fused"].shape == (2, 1, 3, 16)


@pytest.mark.parametrize("preset", ["tiny", "released"])
def test_a_video_is_encoded_alone_as_among_others(preset):
    settings = small_settings(preset=preset)
    model, videos = made_model(settings).eval(), made_videos(settings, videos=3)
    with torch.no_grad():
        together = model.encode(videos)
        alone = [model.encode(one_of(videos, place)) for place in range(3)]
    assert same(Encoded.joined(alone), together, tolerance=1e-4)
    assert same(Encoded.joined([rows(together, 0, 1), rows(together, 2)]), together)


def one_of(videos: Videos, place: int) -> Videos:
    tensors = [
        None if value is None else value[place : place + 1] for value in videos[:-1]
    ]
    return Videos(*tensors, videos.names[place : place + 1])


def test_training_compares_what_was_encoded_once_both_ways():
    settings = small_settings()
    model, videos = made_model(settings).eval(), made_videos(settings, videos=4)
    seen = []
    for encoder in model.encoders.values():
        encoder.register_forward_hook(lambda net, given, found: seen.append(len(found)))
    with torch.no_grad():
        outcome = model(videos)
        encoded = outcome.encoded
        there = model.compare(rows(encoded, 0, 1), rows(encoded, 2, 3))
        back = model.compare(rows(encoded, 2, 3), rows(encoded, 0, 1))
    assert seen == [4, 4, 4]
    assert torch.allclose(
        outcome.differences.delta, torch.cat([there.delta, back.delta]), atol=1e-5
    )
    assert torch.allclose(
        outcome.differences.delta_k.sum(dim=1), outcome.differences.delta, atol=1e-5
    )


def test_one_direction_alone():
    settings = small_settings("symmetric=false")
    model, videos = made_model(settings).eval(), made_videos(settings, videos=4)
    outcome = model(videos)
    expected = model.compare(
        rows(outcome.encoded, 0, 1), rows(outcome.encoded, 2, 3)
    ).delta
    assert torch.allclose(outcome.differences.delta, expected, atol=1e-6)


def test_labels_cut_the_stages_in_training_where_there_are_some():
    settings = small_settings()
    model, videos = made_model(settings).eval(), made_videos(settings, videos=4)
    videos = videos._replace(labelled=torch.tensor([True, False, True, False]))
    predicted = model.encode(videos).transitions
    cut = model(videos).encoded.transitions
    assert torch.equal(cut[[0, 2]], videos.transitions[[0, 2]])
    assert torch.equal(cut[[1, 3]], predicted[[1, 3]])
    assert not torch.equal(predicted, cut)


def test_predictions_cut_the_stages_late_in_the_run():
    settings = small_settings("boundaries=predicted", "predicted_after=0.5")
    model, videos = made_model(settings).eval(), made_videos(settings, videos=4)
    assert torch.equal(
        model(videos, progress=0.4).encoded.transitions, videos.transitions
    )
    assert torch.equal(
        model(videos, progress=0.5).encoded.transitions,
        model.encode(videos).transitions,
    )


@pytest.mark.parametrize("overrides", [(), VISUAL_OFF, FEATURES], ids=",".join)
def test_what_stands_under_the_mask_changes_nothing(overrides):
    settings = small_settings(*overrides)
    model, videos = made_model(settings).eval(), made_videos(settings)
    noise = torch.where(videos.pose_mask[:, None], videos.pose, 1e4)
    assert same(model.encode(videos), model.encode(videos._replace(pose=noise)))


def test_a_dive_without_a_skeleton_is_fused_as_if_there_were_no_pose():
    settings = small_settings()
    model, videos = made_model(settings).eval(), made_videos(settings)
    mask = videos.pose_mask.clone()
    mask[1] = False
    found = model.encode(videos._replace(pose_mask=mask))
    without = made_model(small_settings("branch_pose=false")).eval()
    shared = {k: v for k, v in model.state_dict().items() if k in without.state_dict()}
    without.load_state_dict(shared)
    expected = without.encode(videos)
    assert same(rows(found, 1), rows(expected, 1))
    assert same(rows(found, 0), rows(model.encode(videos), 0))
    assert not torch.allclose(
        found.tokens["fused"][0], expected.tokens["fused"][0], atol=1e-5
    )


def curve(settings: AqaSettings, seed: int) -> list[float]:
    model = made_model(settings, seed)
    optimizer = torch.optim.Adam(model.parameter_groups())
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        losses.append(backward(model, made_videos(settings, seed=step)))
        optimizer.step()
    return losses


def test_the_same_seed_gives_the_same_loss_curve():
    settings = small_settings()
    assert curve(settings, 0) == curve(settings, 0)
    assert curve(settings, 0) != curve(settings, 1)


def test_a_few_pairs_are_learnt_by_heart():
    settings = small_settings("lr=6e-3", "target=score", *FEATURES)
    model, videos = made_model(settings), made_videos(settings, videos=8)
    optimizer = torch.optim.Adam(model.parameter_groups())
    for _ in range(80):
        optimizer.zero_grad()
        backward(model, videos)
        optimizer.step()
    targets = videos.score[:4] - videos.score[4:]
    with torch.no_grad():
        assert (
            model.eval()(videos).differences.delta[:4] - targets
        ).abs().max() < 0.1 * targets.abs().max()


@pytest.mark.parametrize(
    ("target", "expected"), [("score", 70 + 6), ("completeness", (70 / 2.8 + 6) * 3)]
)
def test_a_score_is_the_exemplars_and_the_difference(target, expected):
    model = made_model(small_settings(f"target={target}"))
    differences = model.compare(*[model.encode(made_videos(model.settings))] * 2)
    differences = differences._replace(delta=torch.tensor([6.0, 6.0]))
    found = model.scores(
        differences,
        torch.tensor([3.0, 3.0]),
        torch.tensor([70.0, 70.0]),
        torch.tensor([2.8, 2.8]),
    )
    assert found.tolist() == pytest.approx([expected] * 2)


def test_a_direct_head_looks_at_no_exemplar():
    settings = small_settings("target=score", preset="tiny+regression")
    model = made_model(settings).eval()
    model.origin.fill_(60.0)
    encoded = model.encode(made_videos(settings, videos=3))
    found = model.compare(encoded, rows(encoded, 2, 0, 1))
    assert torch.equal(found.delta, model.compare(encoded, encoded).delta)
    assert torch.allclose(found.delta - found.delta_k.sum(dim=1), torch.tensor(60.0))
    unknown = torch.full((3,), torch.nan)
    assert torch.equal(model.scores(found, unknown, unknown, unknown), found.delta)
    assert "origin" in model.state_dict()


def test_half_precision_keeps_differences_whole():
    settings = small_settings()
    model, videos = made_model(settings), made_videos(settings)
    with torch.autocast("cpu", torch.bfloat16):
        outcome = model(videos)
        losses = model.losses(videos)
    assert outcome.differences.delta.dtype == torch.float32
    assert all(
        loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values()
    )


def test_features_without_their_width_are_refused():
    with pytest.raises(
        UsageError,
        match=r"features=some.npz and feature_dim=0: expected the numbers in one",
    ):
        HPMCoRe(small_settings("features=some.npz", "branch_static=false"))


@pytest.mark.parametrize("vectors", [1, 3, 32])  # of a dive, its clips and its frames
def test_features_of_dives_clips_and_frames(vectors):
    settings = small_settings(*FEATURES)
    encoded = made_model(settings).encode(made_videos(settings, vectors=vectors))
    assert encoded.tokens["fused"].shape == (2, 3, 3, 16)


def test_every_parameter_is_counted_once():
    model = made_model(small_settings())
    counts = model.parameter_counts()
    assert sum(counts.values()) == parameters(model)
    assert list(counts)[:4] == [
        "dynamic encoder",
        "static encoder",
        "pose encoder",
        "segmenter",
    ]
    assert counts["regressor"] == parameters(model.regressor)


def test_nets_without_a_weight_file_start_random_and_at_full_rate():
    model = made_model(small_settings("lr=0.01"))
    assert model.load_pretrained() == {"dynamic": None, "static": None}
    (group,) = model.parameter_groups()
    assert group["lr"] == 0.01
    assert len(group["params"]) == len(list(model.parameters()))
    assert made_model(small_settings(*VISUAL_OFF)).load_pretrained() == {}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> str:
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "regnety.pth"
    torch.save(
        {k: v for k, v in RegNetY200(32).state_dict().items() if ".shift." not in k},
        path,
    )
    return str(path)


@pytest.mark.parametrize(
    ("overrides", "slow"),
    [
        ((), True),
        (("slow_nets=dynamic",), False),
        (("freeze_pretrained_bn=false",), True),
    ],
)
def test_a_loaded_net_learns_slowly_and_keeps_its_statistics(
    published, overrides: Sequence[str], slow
):
    settings = small_settings(
        "static_net=regnety200_gsm",
        f"weights_static={published}",
        "lr=0.01",
        *overrides,
    )
    model, videos = made_model(settings), made_videos(settings)
    loaded = model.load_pretrained()
    assert loaded["dynamic"] is None
    assert len(loaded["static"].filled) > 100
    net = model.encoders["static"].net
    rates = {
        id(value): group["lr"]
        for group in model.parameter_groups()
        for value in group["params"]
    }
    assert [rates[id(value)] for value in net.parameters()] == pytest.approx(
        [0.001 if slow else 0.01] * len(list(net.parameters()))
    )
    assert rates[id(model.fusion.entry.weight)] == 0.01
    assert len(rates) == len(list(model.parameters()))
    before = {
        name: value.clone()
        for name, value in net.named_buffers()
        if "running" in name and "shift" not in name
    }
    model.train()
    model(videos)
    moved = any(
        not torch.equal(value, net.get_buffer(name)) for name, value in before.items()
    )
    assert moved != (slow and settings.freeze_pretrained_bn)


def test_the_tiny_nets_have_no_published_weights(published):
    with pytest.raises(
        UsageError,
        match="no published weights of the tiny network; set its weights to `random`",
    ):
        made_model(small_settings(f"weights_i3d={published}")).load_pretrained()


def test_what_extraction_writes_trains_with_failed_and_empty_skeletons(tmp_path):
    """Three dives: all found, nobody found, and an extraction that failed and left no
    file."""
    kinds = {"1": (True, True), "2": (True, False), "3": (False, False)}
    dives = [
        made_dive(tmp_path, name, 100, skeleton=skeleton, somebody=somebody)
        for name, (skeleton, somebody) in kinds.items()
    ]
    settings = small_settings("frames=96", "pose_channels=3", *VISUAL_OFF)
    loader = VideoLoader(options=VideoOptions(pose_channels=settings.pose_channels))
    pairs = PairDataset(
        dives, ExemplarPool([dive.record for dive in dives], "random"), loader
    )
    videos = collate_pairs([pairs[place] for place in range(3)])
    assert not videos.pose_mask.flatten(1).any(dim=1).all()
    assert_everything_learns(made_model(settings, seed=1), videos)
