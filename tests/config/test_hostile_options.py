"""Option files meant to break the check: each is refused in plain lines, and nothing is written."""

import time

import pytest
import torch
import yaml
from helpers import tiny_options

from enhancement.config.building import build_on_meta
from enhancement.config.files import LONGEST_CHAIN, MOST_FILES
from enhancement.config.load import load_config
from enhancement.config.plain_yaml import LONGEST_FILE, parse_yaml
from enhancement.errors import UserError

LONG = "n" * 300


def refusal(path):
    """What the check says of a file, in a few seconds of computing."""
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        load_config(path)
    assert time.process_time() - began < 20
    return str(caught.value)


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "\n".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = {
    "a map that is a list": ("name: !!map [1]", "expected a mapping node"),
    "a block of a text's tag": ("name: !!str {a: 1}", "expected a scalar node"),
    "no truth value": ("name: !!bool x", "x:1: not valid YAML: cannot be read as bool"),
    "no number": ("name: !!float x", "cannot be read as float"),
    "a set": ("name: !!set {a, b}", "could not determine a constructor"),
    "a date by its tag": ("name: !!timestamp 2020-01-01", "could not determine a constructor"),
    "binary data": ("name: !!binary aGk=", "could not determine a constructor"),
    "an alias of itself": ("a: 1\nb: &b {x: *b}", "x:2: .*alias stands inside what it repeats"),
    "a list in itself": ("a: &a [*a]", "alias stands inside what it repeats"),
    "an unknown alias": ("a: *b", "found undefined alias"),
    "an alias bomb": (BOMB, "more than 5000 values"),
    "a bomb of merges": (MERGES, "more than 5000 values"),
    "deep lists": ("a: " + "[" * 3000, "nested more than 20 deep"),
    "deep blocks": ("a: " + "{a: " * 3000, "nested more than 20 deep"),
    "many values": (f"a: [{'1, ' * 6000}]", "more than 5000 values"),
    "a huge file": (f"a: {'1' * LONGEST_FILE}", "longer than the"),
    "NUL": (r'a: "a\0b"', "the text holds control characters"),
    "an escape": (r'a: "\e[31m"', "the text holds control characters"),
    "a newline": (r'a: "a\nb"', "the text holds control characters"),
    "a line separator": (r'a: "a\u2028b"', "the text holds control characters"),
    "text that runs backwards": (r'a: "a\u202Eb"', "the text holds control characters"),
    "half a character": (r'a: "\ud800"', "the text holds control characters"),
    "a raw escape": ("a: \x1b", "special characters are not allowed"),
    "a key of control characters": ('"a\\0": 1', "the text holds control characters"),
    "a long name": (f"a: x/{LONG}/y", "the text is too long"),
    "a long text": (f"a: {'x/' * 2000}", "the text is too long"),
    "a long key": (f"{LONG}: 1", "the text is too long"),
    "not a number": ("a: .nan", "nan is no finite number"),
    "infinity": ("a: [-.inf]", "-inf is no finite number"),
    "beyond all numbers": ("a: 1e999", "inf is no finite number"),
    "a huge integer": ("a: 9223372036854775808", "the number is too large"),
    "thousands of digits": (f"a: {'9' * 5000}", "cannot be read as int"),
    "a bare list as a key": ("a: 1\n? [1, 2]\n: 3", "key is not a text"),
}


class TestText:
    @pytest.mark.parametrize(("text", "why"), TEXTS.values(), ids=TEXTS)
    def test_is_refused_at_its_line(self, text, why):
        with pytest.raises(UserError, match=why) as caught:
            parse_yaml(text, "x")
        assert "\n" not in str(caught.value)

    def test_a_date_is_a_text(self):
        assert parse_yaml("a: 2020-01-01", "x") == {"a": "2020-01-01"}

    def test_plain_tags_and_aliases_are_read(self):
        text = "a: &a {lr: !!float 1e-4, n: !!int 3}\nb: *a\nc: {<<: *a, n: 4}"
        once = {"lr": 1e-4, "n": 3}
        assert parse_yaml(text, "x") == {"a": once, "b": once, "c": {"lr": 1e-4, "n": 4}}


class TestFiles:
    def test_a_chain_of_bases_is_bounded(self, in_tmp):
        for i in range(1200):
            (in_tmp / f"{i}.yml").write_text(f"base: {i + 1}.yml")
        assert f"more than {LONGEST_CHAIN} times" in refusal("0.yml")

    def test_so_is_a_tree(self, in_tmp):
        for i in range(8):
            (in_tmp / f"{i}.yml").write_text(f"base: [{', '.join([f'{i + 1}.yml'] * 10)}]")
        (in_tmp / "8.yml").write_text("a: 1")
        assert f"inherits more than {MOST_FILES} files" in refusal("0.yml")

    @pytest.mark.parametrize("base", ["/dev/zero", "/dev/stdin", ".", "x\\0", LONG, "~nouser/x"])
    def test_what_is_no_file_is_no_base(self, in_tmp, base):
        (in_tmp / "a.yml").write_text(f'base: "{base}"')
        assert "\n" not in refusal("a.yml")

    def test_a_loop_of_links(self, in_tmp):
        (in_tmp / "a.yml").symlink_to("a.yml")
        assert "a.yml" in refusal("a.yml")

    def test_bytes_that_are_no_text(self, in_tmp):
        (in_tmp / "a.yml").write_bytes(b"name: \xff\xfe")
        assert "a.yml: cannot be read" in refusal("a.yml")


OURS = "datasets/high_low/train"
FOREIGN = {
    "type": "PairedImageDataset",
    "dataroot_lq": f"{OURS}/low",
    "dataroot_gt": f"{OURS}/high",
    "io_backend": {"type": "disk"},
    "use_hflip": True,
    "use_rot": True,
    "gt_size": 16,
    "batch_size_per_gpu": 2,
}
STEPS = {"type": "StepLR", "step_size": 0}
COSINE = {"type": "CosineAnnealingLR", "T_max": 0}
RESTARTS = {"type": "CosineAnnealingRestartLR", "periods": [1]}
SWIN = {"type": "SwinIR", "upscale": 1, "img_size": 16, "embed_dim": 8, "depths": [1]}
SWIN |= {"num_heads": [2]}
EDSR = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "upscale": 1}
RIDNET = {"type": "RIDNet", "in_channels": 3, "mid_channels": 8, "out_channels": 3}
ATTACKS = [
    ("name", LONG, "too long"),
    ("name", "n" * 250, "at most 200 bytes"),
    ("name", "..", "name: names a folder"),
    ("name", ".", "name: names a folder"),
    ("name", "a/b", "name: names a folder"),
    ("model_type", "VideoBaseModel", "VideoBaseModel is not for enhancement by pairs; valid: Enh"),
    ("model_type", "SRGANModel", "SRGANModel is not for enhancement by pairs; valid: Enhancement"),
    ("manual_seed", -1, "manual_seed: expected"),
    ("network_g", {"type": "RetinexFormer", "num_blocks": [1, 2, 2**63 - 1]}, "too large"),
    ("network_g", {"type": "RetinexFormer", "n_feat": 2**40}, "network_g: "),
    ("network_g", {"type": "DEDNet", "num_blocks": [1, 2, 2**62]}, "network_g"),
    ("network_g", {**EDSR, "num_block": 2**60}, "network_g: too large"),
    ("network_g", {**EDSR, "num_feat": 2**20}, "network_g: too large"),
    ("network_g", {**EDSR, "upscale": 4}, "but gives (1, 3, 256, 256)"),
    ("network_g", {**EDSR, "num_in_ch": 1}, "network_g: does not take images"),
    ("network_g", {**RIDNET, "mid_channels": 2**16}, "network_g: "),
    ("network_g", {**SWIN, "img_size": 200_000, "window_size": 100_000}, "network_g: "),
    ("network_g", {**SWIN, "img_size": 1024, "window_size": 1024}, "network_g: "),
    ("network_g", {**SWIN, "depths": [2**40]}, "network_g: too large"),
    ("network_g", {"type": "SpyNet"}, "network_g: does not take images"),
    ("network_g", {"type": "EDVR"}, "network_g: does not take images"),
    ("network_g", {"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 8}, "network_g: "),
    ("val.window_size", 100_000, "val.window_size: expected less than or equal to 512"),
    ("train.pixel_opt", 3, "train.pixel_opt: expected a block, but got 3"),
    ("train.pixel_opt", [{}], "train.pixel_opt: expected a block"),
    ("train.keys_opt", {"type": "L1Loss"}, "train.keys_opt: cannot be the name of a loss"),
    ("train.a.b_opt", {"type": "L1Loss"}, "cannot be the name of a loss"),
    ("train.optim_g", {"type": "Adam", "lr": 1e-3, "capturable": True}, "train.optim_g: "),
    ("train.optim_g", {"type": "Adam", "lr": 1e-3, "betas": [1, 2, 3]}, "train.optim_g"),
    ("train.scheduler", STEPS, "train.scheduler.step_size: expected greater than 0"),
    ("train.scheduler", COSINE, "train.scheduler.T_max: expected greater than 0"),
    ("train.scheduler", RESTARTS, "train.scheduler: "),
    ("train.total_iter", 10**30, "too large"),
    ("datasets.train", FOREIGN | {"dataroot_gt": 3}, "dataroot_gt: expected a valid string"),
    ("datasets.train", FOREIGN | {"dataroot_gt": None}, "dataroot_gt: expected a valid string"),
    ("datasets.train", FOREIGN | {"dataroot_gt": "~nouser/x"}, "~nouser/x: no such user"),
    ("datasets.train", FOREIGN | {"dataroot_gt": "datasets"}, "datasets.train: "),
    ("datasets.train", FOREIGN | {"io_backend": {"type": "petrel"}}, "io_backend: expected"),
    ("datasets.train", FOREIGN | {"io_backend": {"type": "lmdb"}}, "datasets.train: "),
    ("datasets.train", FOREIGN | {"filename_tmpl": "{:>999999999999}"}, "must hold {} once"),
    ("datasets.train", FOREIGN | {"gt_size": "x"}, "gt_size: expected"),
    ("datasets.train", FOREIGN | {"meta_info_file": "/dev/zero"}, "/dev/zero: no such file"),
    ("datasets.train", {"type": "VideoTestDataset"}, "VideoTestDataset gives no pairs of images"),
    ("datasets.train.dataroot", "~nouser/x", "no such user"),
    ("datasets.train.name", "../../x", "datasets.train.name: names a folder"),
    ("datasets.train.gt_size", 10**6, "gt_size and resize must be above 0 and at most"),
    ("datasets.train.resize", [10**6, 10**6], "gt_size and resize must be above 0 and at most"),
    ("datasets.train.batch_size_per_gpu", 10**11, "datasets.train"),
    ("datasets.train.batch_size_per_gpu", 10**7, "datasets.train: a batch takes"),
    ("datasets.train.num_worker_per_gpu", 100_000, "num_worker_per_gpu: expected less than"),
    ("datasets.train.seed", -1, "seed must be at least 0"),
    ("datasets.train.val_fraction", -0.5, "val_fraction"),
    ("path.experiments", "", "path.experiments"),
    ("path.pretrain_network_g", "", "path.pretrain_network_g"),
    ("path.pretrain_network_g", "~nouser/x", "~nouser/x: no such user"),
    ("path.pretrain_network_g", "/dev/zero", "no such file"),
    ("path.resume_state", "datasets", "no such file"),
    ("train.frozen", {"": "x"}, "train.frozen"),
    ("train.frozen", {"body": "~nouser/x"}, "train.frozen.body: "),
]


class TestValues:
    @pytest.mark.parametrize(("key", "value", "why"), ATTACKS, ids=lambda v: str(v)[:50])
    def test_is_refused_before_anything_is_written(self, tiny, in_tmp, key, value, why):
        tiny()
        options = tiny_options()
        *outer, last = key.split(".", 2) if not key.startswith("train.a.") else ("train", "a.b_opt")
        block = options
        for name in outer:
            block = block.setdefault(name, {})
        block[last] = value
        (in_tmp / "odd.yml").write_text(yaml.safe_dump(options))
        before = sorted(in_tmp.rglob("*"))
        assert why in refusal("odd.yml")
        assert sorted(in_tmp.rglob("*")) == before

    def test_a_name_like_a_date_is_a_name(self, tiny, in_tmp):
        text = yaml.safe_dump(tiny_options(name="NAME")).replace("NAME", "2020-01-01")
        (in_tmp / tiny()).write_text(text)
        assert load_config("tiny.yml").name == "2020-01-01"

    def test_a_schedule_with_types_of_torchs_own_is_read(self, tiny):
        cycles = {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1.0, "mode": "triangular"}
        assert load_config(tiny(train={"scheduler": cycles})).training.scheduler.type == "CyclicLR"

    def test_a_rate_of_0_is_taken_where_the_schedule_sets_it(self, tiny):
        train = {
            "optim_g": {"type": "SGD", "lr": 0.0},
            "scheduler": {"type": "OneCycleLR", "max_lr": 0.1},
        }
        assert load_config(tiny(train=train)).training.scheduler.type == "OneCycleLR"

    def test_forced_values_are_no_exception(self, tiny):
        with pytest.raises(UserError, match=r"--force_yml.*: nan is no finite number"):
            load_config(tiny(), ["train:optim_g:lr=.nan"])


def test_the_limit_on_networks_is_lifted_afterwards():
    with pytest.raises(UserError, match="too large"):
        build_on_meta(lambda: torch.nn.Linear(2**20, 2**20))
    assert build_on_meta(lambda: torch.nn.Linear(2, 3)).weight.is_meta
