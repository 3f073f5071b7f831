"""Option files: read, inherit, override, check whole, fill in, resolve."""

from __future__ import annotations

import os
import re
from copy import deepcopy
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from enhancement.config.check import SECTIONS, Checker
from enhancement.config.check_datasets import NO_EFFECT, phase_of, validates_on_test
from enhancement.config.dialect import is_dialect, translate
from enhancement.config.schema import KeyPath, Root
from enhancement.device import resolve_num_gpu
from enhancement.errors import OptionError, UserError, nearest
from enhancement.paths import locate

Options = dict[str, Any]
FORCED = "--force_yml"
ONLY_TRAINING = ("gt_size", "use_hflip", "use_rot", "batch_size_per_gpu", "num_worker_per_gpu",
                 "cache", "seed", "gt_sizes", "mini_batch_sizes", "iters", "use_shuffle",
                 *NO_EFFECT)  # fmt: skip


class OptionLoader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number and a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not a text; quote it", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


OptionLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML safely.

    Raises:
        UserError: It is not YAML; names the place.
    """
    try:
        return yaml.load(text, OptionLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{where}: not valid YAML: {error}") from error


class Merged:
    """Options merged from several files, remembering which file set each key."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.options: Options = {}
        self._origin: dict[KeyPath, str] = {}
        self._read(self.path, ())

    def origin(self, at: KeyPath) -> str:
        """The file that set a key or, where it is missing, its nearest block."""
        for length in range(len(at), 0, -1):
            if at[:length] in self._origin:
                return self._origin[at[:length]]
        return str(self.path)

    def _read(self, path: Path, chain: tuple[Path, ...]) -> None:
        if path.resolve() in chain:
            raise UserError(f"{path}: inherits itself, by way of {chain[-1]}")
        try:
            content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            names = [p.name for p in path.parent.glob("*.yml")] if path.parent.is_dir() else []
            guess = nearest(path.name, names)
            tail = f"; did you mean {path.parent / guess}?" if guess else ""
            by = f" (base of {chain[-1]})" if chain else ""
            raise UserError(f"{path}: no such option file{by}{tail}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected keys and values, got {type(content).__name__}")
        bases = content.pop("base", [])
        bases = [bases] if isinstance(bases, str) else bases
        if not isinstance(bases, list) or not all(isinstance(b, str) for b in bases):
            raise UserError(f"{path}: base: expected a list of option files, but got {bases!r}")
        for base in bases:
            inherited = Path(os.path.normpath(path.parent / base))
            self._read(inherited, (*chain, path.resolve()))
        self._merge(self.options, content, (), str(path))

    def _merge(self, into: Options, new: Options, at: KeyPath, origin: str) -> None:
        """Deep merge, later wins; a block that changes its `type` starts afresh."""
        for key, value in new.items():
            here = (*at, str(key))
            old = into.get(key)
            same_type = isinstance(old, dict) and isinstance(value, dict) and (
                "type" not in value or "type" not in old or value["type"] == old["type"]
            )  # fmt: skip
            if same_type:
                self._origin.setdefault(here, origin)
                self._merge(into[key], value, here, origin)
                continue
            self._origin = {k: v for k, v in self._origin.items() if k[: len(here)] != here}
            self._origin[here] = origin
            if isinstance(value, dict):
                into[key] = {}
                self._merge(into[key], value, here, origin)
            else:
                into[key] = value

    def force(self, settings: list[str]) -> None:
        """Apply `a:b=value` settings; the value is YAML.

        Raises:
            UserError: A setting is not of that form.
        """
        for setting in settings:
            path, equals, text = setting.partition("=")
            keys = [key.strip() for key in path.split(":")]
            if not equals or not all(keys):
                raise UserError(f"{FORCED}: expected key:key=value, but got '{setting}'")
            self.set(keys, parse_yaml(text, FORCED), FORCED)

    def set(self, keys: list[str], value: Any, origin: str) -> None:
        """Set one key of a block."""
        for key in reversed(keys):
            value = {key: value}
        self._merge(self.options, value, (), origin)


def load_options(
    path: str | Path,
    force: list[str] | None = None,
    training: bool = True,
    files_of: set[str] | None = None,
    weights: str | None = None,
) -> Options:
    """Read an option file with its bases and check it whole.

    Args:
        path: The file.
        force: `a:b=value` settings that win over it.
        training: Whether it must be complete for training.
        files_of: Dataset blocks whose folders must exist; None means all of them.
        weights: A file, from the command line, that must fit the network.

    Returns:
        Options without bases, every default filled in, held-out sets derived. Written to a file,
        they load to the same options.

    Raises:
        OptionError: With every fault, a line each.
        UserError: A file cannot be read at all.
    """
    merged = Merged(path)
    merged.force(force or [])
    if weights is not None:
        merged.set(["path", "pretrain_network_g"], str(Path(weights).absolute()), "--weights")
    if is_dialect(merged.options):
        for note in translate(merged.options):
            print(f"note: {note}")
    opt = deepcopy(merged.options)
    faults = Checker(opt, merged.origin, files_of).run(training)
    if faults:
        raise OptionError(faults)
    return derive_sets(fill_defaults(opt))


def _defaults(schema: Any) -> Options:
    found = {}
    for f in fields(schema):
        if f.default is not MISSING:
            found[f.name] = f.default
        elif f.default_factory is not MISSING:
            found[f.name] = f.default_factory()
    return found


def fill_defaults(opt: Options) -> Options:
    """Every key of the schema, with its default where the file says nothing."""
    opt = {**_defaults(Root), **opt}
    for section, schema in SECTIONS.items():
        if section != "train" or opt["train"]:
            opt[section] = {**_defaults(schema), **opt[section]}
    for key, block in opt["datasets"].items():
        block.setdefault("name", key)
    return opt


def derive_sets(opt: Options) -> Options:
    """Add the `val` and `test` sets that `val_fraction` and `test_fraction` hold out of `train`."""
    datasets = opt["datasets"]
    train = datasets.get("train", {})
    for subset in ("val", "test"):
        if train.get(f"{subset}_fraction"):
            held_out = {k: v for k, v in train.items() if k not in ONLY_TRAINING}
            held_out |= {"name": f"{train['name']}_{subset}", "subset": subset}
            datasets.setdefault(subset, held_out)
            train["subset"] = "train"
    return opt


def prepare_run(opt: Options, training: bool, rank: int = 0, world_size: int = 1) -> Options:
    """What BasicSR's models and datasets expect beside the schema: phases, folders, device.

    Args:
        opt: From `load_options`; not changed.
        training: Whether the run trains.
        rank, world_size: Of this process.
    """
    opt = deepcopy(opt)
    num_gpu, opt["device_note"] = resolve_num_gpu(opt["num_gpu"])
    asked = opt["val"]["select_on_test"] and not opt["datasets"].get("val", {}).get("subset")
    opt["val"]["on_test_set"] = asked or validates_on_test(opt["datasets"])
    opt |= {"num_gpu": num_gpu, "is_train": training, "dist": world_size > 1, "rank": rank,
            "world_size": world_size}  # fmt: skip
    for key, block in opt["datasets"].items():
        block |= {"phase": phase_of(key), "scale": opt["scale"]}
        if key == "train":
            block.setdefault("seed", opt["manual_seed"])
    path = opt["path"]
    run = Path(path["experiments"]) / opt["name"]
    path |= {
        "experiments_root": str(run),
        "models": str(run / "models"),
        "training_states": str(run / "training_states"),
        "visualization": str(run / "visualization"),
        "log": str(run),
    }
    for key in ("pretrain_network_g", "init_network_g", "resume_state"):
        if path[key]:
            path[key] = str(locate(path[key]))
    frozen = opt["train"].get("frozen") or {}
    opt["train"] |= {"frozen": {k: str(locate(v)) for k, v in frozen.items()}} if frozen else {}
    return opt
