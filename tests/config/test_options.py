"""Option files: inheritance, overrides, and every fault found at once with its place."""

import pytest
import torch
import yaml
from helpers import ROOT, make_pairs, tiny_options
from networks import CLASSICS, OURS
from option_faults import FAULTS

from enhancement.config import fit, schema, sections
from enhancement.config.context import RunContext
from enhancement.config.docs import argument_docs
from enhancement.config.files import OptionFile
from enhancement.config.load import load_config
from enhancement.config.plain_yaml import parse_yaml
from enhancement.errors import OptionError, UserError, hint, nearest

OPTIONS = ROOT / "options"
NETWORKS = sorted(p for p in OPTIONS.glob("*.yml") if p.stem != "quickstart")
STAGES = sorted((OPTIONS / "capsule").glob("*.yml"))
TESTED_ALONE = ["exdark", "well_lit"]
FOUND = sorted(p.stem for p in (OPTIONS / "datasets").glob("*.yml"))
DATASETS = [name for name in FOUND if name not in TESTED_ALONE]
WITHOUT_FILES: set[str] = set()


def faults_of(path, *force):
    with pytest.raises(OptionError) as caught:
        load_config(path, list(force))
    return caught.value.faults


def resolved(path, *force):
    return load_config(path, list(force)).resolved


class TestShippedFiles:
    @pytest.mark.parametrize("path", [*NETWORKS, *STAGES], ids=lambda p: p.stem)
    def test_is_sound_and_says_how_to_run_it(self, path):
        lines = path.read_text().splitlines()
        assert lines[0] == f"# python basicsr/train.py --opt {path.relative_to(ROOT)}"
        assert len(lines) <= 18
        config = load_config(path, ["path:init_network_g=null"], files_of=WITHOUT_FILES)
        assert config.name == f"{path.stem}_{config.datasets['train'].name.lower()}"
        assert {"train", "val", "test"} <= config.datasets.keys()

    def test_the_quickstart_is_sound(self):
        assert load_config(OPTIONS / "quickstart.yml").name == "quickstart"

    @pytest.mark.parametrize("dataset", DATASETS)
    def test_every_network_trains_on_every_dataset(self, dataset, monkeypatch):
        # networks are built by the tests of their own files, once each
        monkeypatch.setattr(fit, "network_faults", lambda *_, **__: iter(()))
        sets, unpaired = [], OptionFile(OPTIONS / f"datasets/{dataset}.yml").options["datasets"]
        unpaired = unpaired["train"]["type"] == "UnpairedDataset"
        for path in NETWORKS:
            given = path, ["path:init_network_g=null"]
            if unpaired and OptionFile(path).options["model_type"] != "ZeroReferenceModel":
                with pytest.raises(OptionError, match="gives no ground truth, which") as caught:
                    load_config(*given, dataset=dataset, files_of=WITHOUT_FILES)
                assert len(caught.value.faults) == 1
                continue
            config = load_config(*given, dataset=dataset.upper(), files_of=WITHOUT_FILES)
            assert config.name == f"{path.stem}_{dataset}"
            options = config.resolved["datasets"]
            # of the network's own schedule
            for key in ("gt_size", "batch_size_per_gpu", "use_hflip", "use_rot"):
                options["train"].pop(key, None)
            sets.append((options, config.val.protocol))
        assert all(found == sets[0] for found in sets)

    def test_every_registered_network_that_is_trained_has_a_file(self):
        types = {
            load_config(
                p, files_of=WITHOUT_FILES, force=["path:init_network_g=null"]
            ).network_g.type
            for p in NETWORKS
        }
        assert types >= set(OURS) - set(CLASSICS)  # and some of spandrel's

    @pytest.mark.data
    def test_real_folders_are_found(self, real_data):
        for name in ("hdrnet", "lnet_gie"):
            load_config(OPTIONS / f"{name}.yml")


class TestNamedParts:
    def write(self, folder, name, content):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)

    @pytest.fixture
    def own(self, in_tmp):
        self.write(in_tmp, "net.yml", "name: net\ndataset: one\nschedule: slow\ntrain: {b: 3}")
        self.write(in_tmp, "datasets/one.yml", "datasets: {train: {name: one}}\nval: {x: 1}")
        self.write(in_tmp, "datasets/two.yml", "datasets: {train: {name: two}}")
        self.write(in_tmp, "schedules/slow.yml", "train: {a: 1, b: 2}\nval: {x: 2}")
        self.write(in_tmp, "schedules/fast.yml", "train: {a: 0}")
        return in_tmp

    def test_they_lie_beneath_the_file_and_name_the_run(self, own):
        file = OptionFile("net.yml")
        assert file.options == {
            "name": "net_one",
            "datasets": {"train": {"name": "one"}},
            "train": {"a": 1, "b": 3},
            "val": {"x": 2},
        }
        assert file.origin(("train", "a")).endswith("schedules/slow.yml")
        assert file.origin(("train", "b")) == "net.yml"
        assert file.origin(("datasets", "train", "name")).endswith("datasets/one.yml")

    def test_another_takes_their_place(self, own):
        file = OptionFile("net.yml", {"dataset": "TWO", "schedule": "fast"})
        assert file.options["name"] == "net_two"
        assert file.options["datasets"] == {"train": {"name": "two"}}
        assert file.options["train"] == {"a": 0, "b": 3}

    def test_they_are_inherited(self, own):
        self.write(own, "sub/mine.yml", "base: ../net.yml\nname: mine\ndataset: two")
        assert OptionFile("sub/mine.yml").options["name"] == "mine_two"

    def test_unknown_ones_are_named_with_the_nearest(self, own):
        with pytest.raises(
            UserError, match=r"--dataset: unknown dataset 'twoo'; did you mean 'two'"
        ):
            OptionFile("net.yml", {"dataset": "twoo"})
        self.write(own, "odd.yml", "name: odd\nschedule: slwo")
        with pytest.raises(
            UserError, match=r"odd\.yml: schedule: unknown schedule 'slwo'; did you"
        ):
            OptionFile("odd.yml")

    def test_a_file_with_its_own_datasets_takes_no_other(self, tiny):
        with pytest.raises(UserError, match=r"--dataset lol_v1: tiny\.yml names no `dataset`"):
            load_config(tiny(), dataset="lol_v1")


class TestInheritance:
    def write(self, folder, name, content):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)

    def test_later_wins_and_blocks_merge_deep(self, in_tmp):
        self.write(in_tmp, "a.yml", "train: {total_iter: 1, ema_decay: 0.5}\nname: a")
        self.write(in_tmp, "sub/b.yml", "base: ../a.yml\ntrain: {total_iter: 2}")
        self.write(in_tmp, "c.yml", "base: [a.yml, sub/b.yml]\ntrain: {warmup_iter: 3}")
        merged = OptionFile("c.yml")
        assert merged.options["train"] == {"total_iter": 2, "ema_decay": 0.5, "warmup_iter": 3}
        assert merged.origin(("train", "total_iter")) == "sub/b.yml"
        assert merged.origin(("train", "ema_decay")) == "a.yml"
        assert merged.origin(("train", "warmup_iter")) == "c.yml"
        assert merged.origin(("nowhere", "x")) == "c.yml"

    def test_a_block_of_another_type_starts_afresh(self, in_tmp):
        self.write(in_tmp, "a.yml", "network_g: {type: HDRNet, grid_depth: 4}")
        self.write(in_tmp, "b.yml", "base: a.yml\nnetwork_g: {type: AODNet}")
        assert OptionFile("b.yml").options["network_g"] == {"type": "AODNet"}

    def test_null_takes_a_set_away(self, tiny):
        assert "test" in load_config(tiny()).datasets
        assert "test" not in load_config(tiny(), ["datasets:test=null"]).datasets
        with pytest.raises(OptionError, match=r"datasets\.train: missing"):
            load_config(tiny(), ["datasets:train=null"])

    def test_a_circle_and_a_missing_base_are_named(self, in_tmp):
        self.write(in_tmp, "a.yml", "base: b.yml")
        self.write(in_tmp, "b.yml", "base: a.yml")
        with pytest.raises(UserError, match=r"a\.yml: inherits itself, by way of .*b\.yml"):
            OptionFile("a.yml")
        self.write(in_tmp, "c.yml", "base: aa.yml")
        with pytest.raises(UserError, match=r"no such option file \(base of .*c\.yml\); did you"):
            OptionFile("c.yml")


class TestYaml:
    def test_exponents_are_numbers_and_keys_stand_once(self):
        assert parse_yaml("[1e-4, 2E5, -1.5e-3, .5e1]", "x") == [1e-4, 2e5, -1.5e-3, 5.0]
        assert parse_yaml("[e5, 1e, 1-4, 1e3_run, 2e5f]", "x") == [
            "e5",
            "1e",
            "1-4",
            "1e3_run",
            "2e5f",
        ]
        with pytest.raises(UserError, match=r"x:2: not valid YAML: key 'a' is given twice"):
            parse_yaml("a: 1\na: 2", "x")

    def test_merge_keys_work(self):
        text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}"
        assert parse_yaml(text, "x")["b"] == {"x": 1, "y": 3}

    def test_code_is_refused(self):
        with pytest.raises(UserError, match="not valid YAML: could not determine a constructor"):
            parse_yaml("a: !!python/object/apply:os.system ['true']", "x")

    @pytest.mark.parametrize("text", ["a: 1\non: 2", "a: 1\n3: 2", "a: 1\n? [x]\n: 2"])
    def test_a_key_that_is_not_text_names_its_line(self, text):
        with pytest.raises(UserError, match=r"x:2: not valid YAML: (key .* quote it|.*unhash)"):
            parse_yaml(text, "x")

    def test_a_syntax_error_names_its_line(self):
        with pytest.raises(UserError, match=r"x:2: not valid YAML"):
            parse_yaml("a: [1,\n b: }", "x")


class TestForce:
    def test_values_are_yaml_and_checked_like_the_file(self, tiny):
        options = resolved(tiny(), "train:total_iter=7", "datasets:train:gt_size=[16, 24]")
        assert options["train"]["total_iter"] == 7
        assert options["datasets"]["train"]["gt_size"] == [16, 24]
        faults = faults_of(tiny(), "train:total_itr=7", "network_g:type=AODNett")
        assert any(f.startswith("--force_yml: train.total_itr: unknown key") for f in faults)
        assert any("unknown arch 'AODNett'; did you mean 'AODNet'?" in f for f in faults)

    def test_a_fault_of_a_block_names_the_forced_key_beside_its_file(self, tiny):
        path, named = tiny(), "datasets:train:include=[none-of-these]"
        (fault,) = faults_of(path, named)
        assert fault.startswith(f"{path}, --force_yml: datasets.train: ")

    @pytest.mark.parametrize("setting", ["train", "=3", "a::b=1"])
    def test_other_forms_are_refused(self, tiny, setting):
        with pytest.raises(UserError, match="expected key:key=value"):
            load_config(tiny(), [setting])

    @pytest.mark.parametrize(
        ("setting", "colons"),
        [
            ("train:ssim_opt.type=SSIMLoss", "train:ssim_opt:type"),
            ("train.total_iter=3", "train:total_iter"),
            ("network_g.type=HDRNet", "network_g:type"),
            ("datasets:train:gt.size=8", "datasets:train:gt:size"),
        ],
    )
    def test_a_dot_in_place_of_a_colon_is_pointed_out(self, tiny, setting, colons):
        dotted = setting.split("=")[0].replace(":", ".")
        assert faults_of(tiny(), setting) == [
            f"--force_yml: {dotted}: unknown key; colons part keys: --force_yml {colons}=..."
        ]

    @pytest.mark.parametrize("key", ["dataset", "schedule"])
    def test_named_parts_have_a_flag_of_their_own(self, tiny, key):
        with pytest.raises(UserError, match=f"{key}=rle: use --{key} NAME instead"):
            load_config(tiny(), [f"{key}=rle"])

    def test_nothing_is_executed(self, tiny, in_tmp):
        text = "__import__('pathlib').Path('made').touch()"
        faults_of(tiny(), f"train:total_iter={text}")
        assert not (in_tmp / "made").exists()


BLOCKS = [
    "network_g",
    "datasets",
    "path",
    "val",
    "logger",
    "dist_params",
    "datasets.train",
    "train",
    "train.optim_g",
    "train.scheduler",
    "train.pixel_opt",
]


class TestFaults:
    @pytest.mark.parametrize(("changes", "text"), FAULTS, ids=lambda v: str(v)[:60])
    def test_is_found_and_named(self, tiny, in_tmp, changes, text):
        torch.save({"params": {"a": torch.zeros(1)}}, "w.pth")
        (in_tmp / "text.pth").write_text("hello")
        before = sorted(in_tmp.rglob("*"))
        faults = faults_of(tiny(**changes))
        assert any(text in fault for fault in faults), faults
        assert all(fault.startswith(("tiny.yml: ", "tiny.yml:")) for fault in faults)
        assert sorted(p for p in in_tmp.rglob("*") if p.name != "tiny.yml") == before

    @pytest.mark.parametrize("value", [3, [1], "x"])
    @pytest.mark.parametrize("block", BLOCKS)
    def test_a_value_in_place_of_a_block_is_one_fault(self, tiny, in_tmp, block, value):
        options = tiny_options()
        *outer, key = block.split(".")
        (options[outer[0]] if outer else options)[key] = value
        tiny()
        (in_tmp / "odd.yml").write_text(yaml.safe_dump(options))
        assert faults_of("odd.yml") == [f"odd.yml: {block}: expected a block, but got {value!r}"]

    def test_all_are_found_at_once(self, tiny):
        changes = {
            "nam": 1,
            "train": {"total_iter": 0},
            "network_g": {"width": 1},
            "datasets": {"train": {"dataroot": "away"}},
            "val": {"val_frq": 2},
        }
        assert len(faults_of(tiny(**changes))) == 5

    def test_choosing_on_the_test_set_can_be_asked_for(self, tiny):
        val = {"type": "PairedDataset", "layout": "high_low", "split": "test"}
        config = load_config(tiny(datasets={"val": val}, val={"select_on_test": True}))
        assert config.val.select_on_test
        assert RunContext(config).selects_on_test

    def test_any_network_of_basicsr_may_be_named(self, tiny):
        edsr = {
            "type": "EDSR",
            "num_in_ch": 3,
            "num_out_ch": 3,
            "num_feat": 4,
            "num_block": 1,
            "upscale": 1,
        }
        assert resolved(tiny(network_g=edsr))["network_g"] == edsr


class TestResolved:
    def test_held_out_sets_are_derived(self, tiny):
        datasets = resolved(tiny())["datasets"]
        assert datasets["train"]["subset"] == "train"
        assert datasets["val"]["subset"] == "val"
        assert datasets["val"]["name"] == "pairs_val"
        assert not {"gt_size", "batch_size_per_gpu"} & datasets["val"].keys()

    def test_written_options_load_to_the_same(self, tiny, in_tmp):
        progressive = {"gt_sizes": [8, 16], "iters": [1, 1], "mini_batch_sizes": [2, 1]}
        options = resolved(tiny(datasets={"train": progressive}))
        (in_tmp / "resolved.yml").write_text(yaml.safe_dump(options))
        assert resolved("resolved.yml") == options

    def test_the_run_knows_its_folders_and_phases(self, tiny):
        context = RunContext(load_config(tiny(manual_seed=5)))
        options = context.as_basicsr()
        assert str(context.folder) == "experiments/tiny"
        assert options["path"]["models"] == "experiments/tiny/models"
        assert options["datasets"]["val"]["phase"] == "val"
        assert context.training_set.options["seed"] == 5
        assert "seed" not in options["datasets"]["val"]  # the same for every run

    @pytest.mark.parametrize("num_gpu", ["auto", 0, 1, 4])
    def test_any_num_gpu_works_where_there_is_none(self, tiny, num_gpu, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        context = RunContext(load_config(tiny(num_gpu=num_gpu)))
        assert context.as_basicsr()["num_gpu"] == 0
        assert "Using the CPU" in context.device_note
        assert ("no CUDA device" in context.device_note) == (num_gpu in (1, 4))


def test_hints():
    assert nearest("hdrnet", ["HDRNet", "EDSR"]) == "HDRNet"
    assert nearest("zzz", ["HDRNet"]) is None
    assert hint("hdrnt", ["HDRNet", "EDSR"]) == "did you mean 'HDRNet'? valid: EDSR, HDRNet"


def test_a_complete_file_without_base_is_enough(in_tmp):
    make_pairs(in_tmp / "datasets/high_low", "train/low", "train/high")
    make_pairs(in_tmp / "datasets/high_low", "low", "high")
    (in_tmp / "whole.yml").write_text(yaml.safe_dump(tiny_options()))
    assert load_config("whole.yml").network_g.type == "AODNet"


@pytest.mark.parametrize("brought", [False, True])
def test_images_that_a_layout_brings_to_choose_by_come_before_held_out_ones(in_tmp, brought):
    for split in ("train", "test", *(["val"] if brought else [])):
        make_pairs(in_tmp / "datasets/high_low", f"{split}/low", f"{split}/high", count=20)
    sets = load_config(OPTIONS / "hdrnet.yml", dataset="high_low").datasets
    sizes = {key: len(block.build()) for key, block in sets.items()}
    assert sets["val"].options["name"] == "high_low_val"
    assert sets["val"].options.get("split") == ("val" if brought else "train")
    if brought:
        assert sizes == {"train": 20, "val": 20, "test": 20}
    else:
        assert sizes["train"] + sizes["val"] == sizes["test"] == 20 > sizes["train"]


@pytest.mark.parametrize("root", [3, ["a"]])
def test_a_root_that_is_none_is_told_as_such(in_tmp, root):
    block = {"layout": "high_low", "dataroot": root, "split": "train", "val_fraction": 0.1}
    (in_tmp / "odd.yml").write_text(
        yaml.safe_dump(
            {**tiny_options(), "datasets": {"train": {"type": "PairedDataset", **block}}}
        )
    )
    assert any("dataroot" in fault for fault in faults_of("odd.yml"))


def test_every_schema_class_is_documented():
    for kind in (schema.Config, *sections.Section.__subclasses__()):
        assert argument_docs(kind).keys() >= kind.model_fields.keys() - {"losses"}, kind
