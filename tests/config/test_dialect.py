"""Option files of Retinexformer, DED-Net and WTNet as they stand."""

from unittest.mock import patch

import pytest
import yaml
from helpers import make_pairs, run, weights
from published_options import (
    AS_PUBLISHED,
    FRAMES,
    HEAD,
    OTHERS,
    PAIRED,
    REST,
    RETINEXFORMER,
    WTNET,
    as_published,
)

from enhancement.config import dialect
from enhancement.config.load import load_config
from enhancement.data.blocks import DatasetBlock
from enhancement.data.sampler import Stage
from enhancement.errors import UserError
from enhancement.training import command as train

LOL = {"train_gt": "Train/target", "train_lq": "Train/input"}
LOL |= {"test_gt": "Test/target", "test_lq": "Test/input"}
PUBLISHED = HEAD.format(name="Enhancement_RetinexFormer_LOL_v1")
PUBLISHED += PAIRED.format(root="lol", **LOL) + RETINEXFORMER + REST


@pytest.fixture
def published(in_tmp):
    """Writes the file with text replaced; returns its path."""
    make_pairs(in_tmp / "lol", "Train/input", "Train/target")
    make_pairs(in_tmp / "lol", "Test/input", "Test/target", count=2)

    def write(*replacements):
        text = PUBLISHED
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (in_tmp / "published.yml").write_text(text)
        return "published.yml"

    return write


def test_every_key_is_understood(published):
    options = load_config(published()).resolved
    assert options["model_type"] == "EnhancementModel"
    assert options["train"]["grad_clip"] == 0.01
    assert options["train"]["total_iter"] == 4
    assert options["val"]["protocol"] == "retinexformer"
    assert options["val"]["window_size"] == 4
    assert options["val"]["val_freq"] == 2
    train_set = options["datasets"]["train"]
    assert (train_set["use_hflip"], train_set["use_rot"]) == (True, True)
    network = {"type": "RetinexFormer", "n_feat": 8, "stage": 1, "num_blocks": [1, 1, 1]}
    assert options["network_g"] == network


def test_it_trains_and_stamps_the_choice_on_the_test_set(published, capsys):
    from enhancement.testing import command as tester

    assert train.run_training(train.parse(["--opt", published()])) == 0
    best = "experiments/Enhancement_RetinexFormer_LOL_v1/models/net_g_best.pth"
    tester.test(tester.parse(["--opt", "published.yml", "--weights", best, "--dataset", "ValSet"]))
    out = capsys.readouterr().out
    assert "Protocol retinexformer, dataset ValSet" in out
    assert "ON THE TEST SET" in out
    assert "prefetch_mode has no effect here" in out


def test_use_image_scores_rounded_images(published):
    assert load_config(published(("use_image: false", "use_image: true"))).resolved["val"][
        "protocol"
    ] == ("basicsr")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("rgb2bgr: true", "rgb2bgr: false", "val.rgb2bgr: unknown key"),
        ("type: disk", "type: memcached", "datasets.train.io_backend: unknown key"),
        ("in_channels: 3", "in_channels: 31", "network_g.in_channels: unknown key"),
        ("iters: [2, 1]", "iters: [2]", "lists of one length with iters, got gt_sizes"),
        ("mixup_beta", "mixup_bet", "train.mixing_augs.mixup_bet: unknown key; did you mean"),
        ("project: low_light", "projct: low_light", "logger.wandb.projct: unknown key; did you"),
        ("type: RetinexFormer", "type: MST", "network_g.type: unknown arch"),
        ("port: 29500", "port: 99999999", "dist_params.port: expected less than"),
        ("'{}'", "'x'", "filename_tmpl: must hold {} once, but is 'x'"),
        ("geometric_augs", "geometric_aug", "datasets.train.geometric_aug: unknown key"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(published, old, new, text):
    with pytest.raises(UserError) as caught:
        load_config(published((old, new)))
    assert text in str(caught.value)


@pytest.fixture
def other(in_tmp):
    """Writes the whole file of another dataset, and its images; returns its path."""

    def write(name, network=RETINEXFORMER, head=HEAD):
        folders = OTHERS[name]
        make_pairs(in_tmp / name, folders["train_lq"], folders["train_gt"])
        make_pairs(in_tmp / name, folders["test_lq"], folders["test_gt"], count=2)
        text = head.format(name=name) + PAIRED.format(root=name, **folders) + network + REST
        (in_tmp / "other.yml").write_text(text)
        return "other.yml"

    return write


@pytest.mark.parametrize("name", OTHERS)
def test_other_paired_folders_are_read_as_they_stand(other, name):
    options = load_config(other(name)).resolved
    for key, count in (("train", 4), ("val", 2)):
        assert len(DatasetBlock.of(key, options["datasets"][key]).build()) == count


@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_published_values_are_honoured_whole(in_tmp, capsys, name):
    text, expected = as_published(name, str(in_tmp))
    for folders in {(v["dataroot_lq"], v["dataroot_gt"]) for v in text["datasets"].values()}:
        make_pairs(in_tmp, *folders, count=2)
    (in_tmp / "published.yml").write_text(yaml.safe_dump(text))
    config = load_config("published.yml")
    said = capsys.readouterr().out
    assert config.name == text["name"]
    assert config.datasets["train"].loading.stages == [Stage(*expected["stage"])]
    assert config.training.total_iter == expected["total_iter"]
    assert config.training.precision == expected["precision"]
    assert config.training.scheduler.options["periods"] == expected["periods"]
    assert config.val.val_freq == expected["val_freq"]
    assert config.logger.save_checkpoint_freq == expected["save_checkpoint_freq"]
    assert config.network_g.options["n_feat"] == 40
    assert said.count("note: logger.wandb has no effect: wandb is not installed") == 1
    assert said.count("to train DED-Net set it to DEDNet") == 1


@pytest.mark.parametrize("size", [1150, 1800])
def test_a_network_that_is_not_here_is_refused_with_the_nearest(other, size):
    network = "network_g:\n  type: MST_Plus_Plus\n  in_channels: 3\n  out_channels: 3\n"
    network += "  n_feat: 30\n  stage: 3\n"
    with pytest.raises(UserError) as caught:
        load_config(other("NTIRE", network), [f"datasets:train:gt_sizes=[{size}]"])
    text = str(caught.value)
    assert text.startswith("network_g.type: MST_Plus_Plus is not supported; the nearest is Retinex")
    assert "\n" not in text


@pytest.mark.parametrize(("use_amp", "precision"), [("True", "fp16"), ("False", "fp32")])
def test_use_amp_is_half_precision(other, use_amp, precision):
    head = HEAD.replace("num_gpu: 1", "num_gpu: 0") + f"use_amp: {use_amp}\n"
    assert load_config(other("NTIRE", head=head)).resolved["train"]["precision"] == precision


WTNETS = [name for name in OTHERS if name.startswith("WTNet")]
SMALL_WTNET = ["network_g:dim=4", "network_g:num_blocks=[1, 1, 1, 1]", "train:total_iter=2"]


def test_wtnets_file_gives_the_published_network(other):
    options = load_config(other("WTNet_KC", WTNET)).resolved["network_g"]
    assert options == {
        "type": "WTNet",
        "dim": 40,
        "num_blocks": [4, 7, 7, 8],
        "num_refinement_blocks": 2,
        "heads": [1, 1, 1, 1],
        "ffn_expansion_factor": 2.66,
    }


@pytest.mark.parametrize("name", WTNETS)
def test_wtnets_files_train_as_they_stand(other, name):
    assert run("--opt", other(name, WTNET), "--force_yml", *SMALL_WTNET) == 0
    assert weights(name)["output.weight"].isfinite().all()


def test_another_norm_of_wtnets_is_refused_by_name(other):
    network = WTNET.replace("WithBias", "BiasFree").replace("bias: False", "bias: True")
    with pytest.raises(UserError) as caught:
        load_config(other("WTNet_KC", network))
    assert "network_g.LayerNorm_type: unknown key" in str(caught.value)
    assert "network_g.bias: unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("SID", "matches all short exposures of a scene to one long exposure"),
        ("SMID", "matches all short exposures of a scene to one long exposure"),
        ("SDSD", "takes the scenes of testing_dir for the test set"),
    ],
)
def test_frames_are_refused_in_one_line_with_the_way_out(in_tmp, kind, why):
    sets = FRAMES.format(kind=f"Dataset_{kind}Image", root=kind)
    if kind == "SDSD":
        sets = sets.replace("padding: new_info", "padding: new_info\n    testing_dir: pair1,pair11")
    (in_tmp / "frames.yml").write_text(HEAD.format(name=kind) + sets + RETINEXFORMER + REST)
    with pytest.raises(UserError) as caught:
        load_config("frames.yml")
    text = str(caught.value)
    assert text.startswith(
        f"datasets.train.type, datasets.val.type: Dataset_{kind}Image is not supported: it "
    )
    assert why in text
    assert text.endswith("read them with Dataset_PairedImage")
    assert "\n" not in text


class TestNotes:
    def test_both_ded_nets_network_and_wandb_are_mentioned(self, published, capsys):
        options = load_config(published()).resolved
        out = capsys.readouterr().out.splitlines()
        assert [line for line in out if "to train DED-Net set it to DEDNet" in line]
        assert [line for line in out if line.startswith("note: logger.wandb has no effect")]
        assert options["logger"]["wandb"] == {"project": None, "resume_id": None}

    def test_wandb_is_kept_where_it_is_installed(self):
        options = {"model_type": "ImageCleanModel", "logger": {"wandb": {"project": "low_light"}}}
        with patch.object(dialect, "find_spec", return_value=True):
            assert dialect.translate(options) == []
        assert options["logger"]["wandb"]["project"] == "low_light"

    def test_outside_the_dialect_a_missing_wandb_is_one_warning(self, tiny, capsys):
        path = tiny(logger={"wandb": {"project": "low_light"}})
        assert train.run_training(train.parse(["--opt", path])) == 0
        assert capsys.readouterr().out.count("wandb is not installed; TensorBoard alone") == 1

    def test_other_networks_and_no_project_need_none(self):
        options = {"network_g": {"type": "DEDNet"}, "logger": {"wandb": {"project": None}}}
        assert dialect.translate(options) == []


@pytest.mark.parametrize(("cache_data", "cache"), [(True, "ram"), (False, None), ("yes", None)])
def test_cached_data_is_cached_in_ram(cache_data, cache):
    block = {"type": "Dataset_PairedImage", "cache_data": cache_data}
    dialect.translate({"datasets": {"train": block}})
    assert block.get("cache") == cache
    assert ("cache_data" in block) == (cache_data == "yes")  # left for the check to refuse


@pytest.mark.parametrize(
    "options",
    [
        {"datasets": []},
        {"datasets": {"train": 3}},
        {"datasets": {"train": {"type": ["Dataset_SIDImage"]}}},
        {"network_g": {"type": ["RetinexFormer"], "in_channels": 3}},
        {"model_type": ["ImageCleanModel"], "logger": {"wandb": "low_light"}, "use_amp": "yes"},
        {"train": None, "val": 3, "logger": [], "use_amp": True},
    ],
)
def test_values_of_the_wrong_kind_are_left_to_the_check(options):
    assert not dialect.is_dialect(options)
    assert dialect.translate(options) == []


def test_file_names_by_template(published, in_tmp):
    for path in (in_tmp / "lol/Train/input").iterdir():
        path.rename(path.with_stem(path.stem + "x1"))
    assert load_config(published(("'{}'", "'{}x1'"))).resolved
