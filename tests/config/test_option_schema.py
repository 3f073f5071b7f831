"""`enhance options`: the JSON Schema and the page of all keys, and option files shown merged."""

import json

import jsonschema
import pytest
import yaml
from helpers import ROOT, make_pairs, merge, tiny_options
from option_faults import FAULTS

from enhancement.commands import options as command
from enhancement.config.files import OptionFile, read_file
from enhancement.config.load import load_config
from enhancement.config.option_page import option_page
from enhancement.config.option_schema import option_schema
from enhancement.config.origins import with_origins
from enhancement.config.plain_yaml import as_yaml, parse_yaml

OPTIONS = ROOT / "options"
SHIPPED = sorted(OPTIONS.rglob("*.yml"))
# what one key or file asks of another is told when options are read
KEYS_AND_TYPES = (
    *("unknown key", "unknown model", "unknown arch", "unknown loss", "unknown type"),
    *("unknown metric", "unknown dataset", "unknown set", ": expected '", "is not for enhancement"),
    *("expected a ", "expected an ", "expected less", "expected greater", "does not compare"),
    *("gives no pairs", "cannot be a part", "expected 1, but got", "an entry at"),
)
UNSEEN = (
    "a divisor of the batch size",
    "phase: expected 'train'",
    "expected a key such as",
    "vgg19 has no such layer",
)
SEEN = [
    (changes, text)
    for changes, text in FAULTS
    if (any(kind in text for kind in KEYS_AND_TYPES) or text.endswith(": expected"))
    and not any(kind in text for kind in ("missing", *UNSEEN))
]


@pytest.fixture(scope="module")
def schema():
    return option_schema()


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


class TestSchema:
    @pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(OPTIONS)))
    def test_shipped_files_are_valid_alone_and_merged(self, validator, path):
        validator.validate(read_file(path))
        validator.validate(OptionFile(path).options)

    def test_the_resolved_options_of_a_run_are_valid(self, validator, tiny):
        validator.validate(load_config(tiny()).resolved)

    def test_most_faults_of_keys_and_types_are_among_these(self):
        assert len(SEEN) > 45

    @pytest.mark.parametrize(("changes", "text"), SEEN, ids=lambda v: str(v)[:60])
    def test_unknown_keys_and_wrong_types_are_refused(self, validator, changes, text):
        validator.validate(tiny_options())
        assert not validator.is_valid(tiny_options(**changes)), text

    @pytest.mark.parametrize(
        ("part", "at"),
        [
            ({"network_g": {"type": "HDRNet", "grid_depth": "8"}}, ["network_g", "grid_depth"]),
            ({"network_g": {"type": "NAFNet", "width": [32]}}, ["network_g", "width"]),
            ({"train": {"optim_g": {"type": "Adam", "lr": "fast"}}}, ["train", "optim_g", "lr"]),
            ({"train": {"pixel_opt": {"type": "L1Loss", "weight": 1}}}, ["train", "pixel_opt"]),
            ({"val": {"select_by": "psrn"}}, ["val", "select_by"]),
            ({"base": 3}, ["base"]),
        ],
    )
    def test_a_fault_is_told_at_its_key(self, validator, part, at):
        error = jsonschema.exceptions.best_match(validator.iter_errors(part))
        assert list(error.absolute_path)[: len(at)] == at

    def test_a_block_may_leave_its_type_to_another_file(self, validator):
        validator.validate({"network_g": {"stage": 1}, "train": {"pixel_opt": None}})

    def test_an_editor_finds_names_defaults_and_descriptions(self, schema):
        types = schema["properties"]["network_g"]["properties"]["type"]
        assert {"HDRNet", "EDSR", "NAFNet"} <= set(types["enum"])
        assert len(types["enum"]) == len(types["enumDescriptions"])
        depth = schema["$defs"]["HDRNet"]["properties"]["grid_depth"]
        assert (depth["type"], depth["default"]) == ("integer", 8)
        assert depth["description"].startswith("Cells along the guidance")
        assert "learning rate" in schema["$defs"]["Adam"]["properties"]["lr"]["description"]
        assert "lol_v1" in schema["properties"]["dataset"]["anyOf"][0]["enum"]

    def test_the_command_prints_it(self, enhance, schema):
        status, out, _ = enhance("options", "--schema")
        assert (status, json.loads(out)) == (0, schema)


def test_the_page_is_up_to_date():
    hint = "write it: make tables"
    assert (ROOT / "docs/options.md").read_text() == option_page(), hint


class TestShow:
    def test_each_value_names_its_file(self, in_tmp):
        (in_tmp / "base.yml").write_text("train: {total_iter: 9, pixel_opt: {type: L1Loss}}")
        (in_tmp / "mine.yml").write_text("base: base.yml\nname: mine\ntrain: {ema_decay: 0.5}")
        file = OptionFile("mine.yml")
        file.force(["train:grad_clip=1"])
        assert with_origins(file).splitlines() == [
            "train:",
            "  total_iter: 9   # base.yml",
            "  pixel_opt:",
            "    type: L1Loss  # base.yml",
            "  ema_decay: 0.5  # mine.yml",
            "  grad_clip: 1    # --force_yml",
            "name: mine        # mine.yml",
        ]

    @pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(OPTIONS)))
    def test_it_reads_as_the_same(self, path):
        file = OptionFile(path)
        assert parse_yaml(with_origins(file), "shown") == file.options

    @pytest.mark.parametrize(
        "value",
        [
            *("1e-4", "2020-01-01", "yes", "null", "", " a", "a: b", "a # b", "[a, b]", "'", '"'),
            *("grün", "- a", "{a", "x" * 250, 1e-6, 1e22, -0.5, True, None, [], {}, [[1, 2], [3]]),
            *([{"a": "1e3", "b": None}], {"a": {"b": [1, "2"]}}, ["a, b", "c"]),
        ],
    )
    def test_odd_values_read_as_the_same(self, in_tmp, value):
        file = OptionFile.__new__(OptionFile)
        file.path, file.options, file._origin = in_tmp / "x.yml", {"a b": {"?": value}}, {}
        assert parse_yaml(with_origins(file), "shown") == file.options
        assert parse_yaml(as_yaml(file.options), "written") == file.options

    def test_what_it_prints_trains_the_same(self, enhance, in_tmp):
        make_pairs(in_tmp / "datasets/high_low", "train/low", "train/high")
        make_pairs(in_tmp / "datasets/high_low", "test/low", "test/high")
        asked = ["--dataset", "high_low", "--schedule", "iat", "--force_yml", "train:total_iter=3"]
        status, out, _ = enhance("options", "show", OPTIONS / "hdrnet.yml", *asked)
        assert status == 0
        (in_tmp / "shown.yml").write_text(out)
        forced = ["train:total_iter=3"]
        chosen = {"dataset": "high_low", "schedule": "iat"}
        original = load_config(OPTIONS / "hdrnet.yml", forced, **chosen)
        assert load_config("shown.yml").resolved == original.resolved
        assert "options/datasets/high_low.yml" in out

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ([], "options: expected --schema, --markdown or show FILE"),
            (["--schema", "show", "x.yml"], "show does not go with --schema or --markdown"),
            (["show", "x.yml"], "x.yml: no such option file"),
            (["show", OPTIONS / "hdrnet.yml", "--dataset", "lol"], "unknown dataset 'lol'"),
            (["show", OPTIONS / "hdrnet.yml", "--force_yml", "a"], "expected key:key=value"),
        ],
    )
    def test_mistakes_are_one_line(self, enhance, arguments, text):
        status, out, err = enhance("options", *arguments)
        assert (status, out) == (2, "")
        assert text in err
        assert err.count("\n") == 1


def test_the_examples_of_its_help_name_files_that_are_there():
    for line in command.EXAMPLES.strip().splitlines():
        assert "schema.json" in line or (ROOT / line.split()[-1 if ">" in line else 3]).exists()


def test_a_part_of_a_mixture_is_checked(validator):
    part = {"type": "PairedDataset", "layout": "high_low", "repeat": 2}
    mixed = {"datasets": {"train": {"type": "MixedDataset", "parts": {"a": part}}}}
    validator.validate(mixed)
    for wrong in ({"repet": 2}, {"type": "MixedDataset"}, {"repeat": 0}):
        faulty = yaml.safe_load(yaml.safe_dump(mixed))
        merge(faulty["datasets"]["train"]["parts"]["a"], wrong)
        assert not validator.is_valid(faulty), wrong
