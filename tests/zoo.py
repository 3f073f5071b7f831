"""Published networks of the zoo: which of ours they are, their files, inputs, formula weights."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch

from enhancement.registry import ARCH_REGISTRY, lookup, registered
from enhancement.weights.networks import build_stored
from enhancement.weights.recognise import recognise
from enhancement.weights.state_dicts import load_weights, read_weights

KEPT = (  # by formula weights' rule (the zoo's README): these endings keep the published value
    *("gamma_base", "color_base", "weight1", "weight2", "masking_rate", "num_batches_tracked"),
    *("conv4_g.weight", "conv4_g.bias"),
)


@dataclass(frozen=True)
class Case:
    """A published network.

    Attributes:
        network: Its registered name.
        arguments: Beside what is read off its file; all of them where there is no file.
        modes: For each of scores.json's modes, the arguments it is scored with.
        outputs: Entries of the golden file by the names of `Network.outputs`.
        inputs: Entries of the golden file that are further inputs, by argument of `forward`.
        code_only: There is no file: weights are formula weights for the names in keys.json.
        constants: Entries of the state dict that are this everywhere, in place of formula weights.
    """

    network: str
    arguments: dict = field(default_factory=dict)
    modes: dict = field(default_factory=lambda: {"plain": {}})
    outputs: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    code_only: bool = False
    constants: dict = field(default_factory=dict)


NETWORKS = {
    "mobileie": Case("MobileIE"),
    "iat": Case("IAT", outputs={"mul": "mul", "add": "add"}),
    "lyt_net": Case("LYTNet"),
    "flol": Case("FLOL", outputs={"center": "center"}),
    "cpga_net": Case("CPGANet"),
    "cpga_net_plus": Case("CPGANet"),
    "cpga_net_pp": Case("CPGANet"),
    "fecnet": Case("FECNet", outputs={"amplitude_stage": "amp"}),
    "fourllie": Case("FourLLIE", outputs={"center": "center", "mask": "mask"}),
    "uretinex_net": Case("URetinexNet"),
    "retinexnet": Case(
        "RetinexNet",
        outputs={"reflectance": "R", "illumination": "L", "relit": "relight"},
    ),
    "zero_dce": Case("ZeroDCE"),
    "zero_dce_pp": Case("ZeroDCE", outputs={"maps": "maps"}),
    "sci": Case("SCI", outputs={"illumination": "illumination"}),
    "ruas": Case("RUAS", outputs={"before_denoise": "before_denoise", "illumination": "t"}),
    "pairlie": Case(
        "PairLIE",
        modes={"0.2": {"exponent": 0.2}, "0.14": {"exponent": 0.14}},
        outputs={"illumination": "L", "reflectance": "R", "projection": "X"},
    ),
    "flw_net": Case("FLWNet", modes={"0.5": {"brightness": 0.5}, "0.6": {"brightness": 0.6}}),
    "wtnet": Case("WTNet", code_only=True),
    "hvi_cidnet": Case("HVICIDNet", code_only=True, constants={"trans.density_k": 0.2}),
    "snr_aware": Case("SNRNet", inputs={"mask": "mask"}, outputs={"snr": "snr"}, code_only=True),
    "darkir": Case("DarkIR", outputs={"side": "side"}, code_only=True),
}
REGISTERED = set(registered(ARCH_REGISTRY))
CASES = {name: case for name, case in NETWORKS.items() if case.network in REGISTERED}


@cache
def table(root: Path, name: str) -> dict:
    """One of the zoo's JSON files."""
    return json.loads((root / "zoo" / f"{name}.json").read_text())


def weights_of(root: Path, name: str) -> Path:
    """A network's published file, or the folder of its several."""
    files = list((root / "zoo" / name).iterdir())
    return files[0] if len(files) == 1 else files[0].parent


def image_of(formula, root: Path, name: str, which: str) -> torch.Tensor:
    """The input that a golden output was made from."""
    about = table(root, "inputs")[name]
    picture = formula.image(*about[which]["shape"], about[which]["shift"])
    if about["kind"] == "bright":
        return 0.3 + picture
    if about["kind"] == "dark":
        return 0.3 * picture
    noise = np.random.RandomState(7).standard_normal(tuple(picture.shape))
    return (0.3 * picture + torch.from_numpy(np.float32(0.02 * noise))).clamp(0, 1)


def published(root: Path, name: str, **arguments) -> torch.nn.Module:
    """A network of ours with its published weights, as commands build it."""
    path = weights_of(root, name)
    block = recognise(read_weights(path)[0])
    assert block is not None
    assert block["type"] == CASES[name].network
    network = build_stored({**block, **CASES[name].arguments, **arguments}, path)
    load_weights(network, path)
    return network.eval()


def by_formula(formula, root: Path, name: str) -> torch.nn.Module:
    """A network of ours with formula weights under the published names."""
    case, gain = CASES[name], table(root, "inputs")[name]["gain"]
    if case.code_only:
        shapes = table(root, "keys")[name]
        state = {key: torch.zeros(shape) for key, shape in shapes.items()}
        network = lookup(ARCH_REGISTRY, case.network)(**case.arguments)
    else:
        state, network = read_weights(weights_of(root, name))[0], published(root, name)
    filled = {}
    for key, value in state.items():
        if key in case.constants:
            filled[key] = torch.full_like(value, case.constants[key])
        elif not value.is_floating_point() or (not case.code_only and key.endswith(KEPT)):
            filled[key] = value
        elif key.endswith("running_var"):
            filled[key] = 1 + formula.weight(key, tuple(value.shape)).abs()
        else:
            scale = gain if value.dim() >= 2 else 1
            filled[key] = scale * formula.weight(key, tuple(value.shape))
    network.load_published_state_dict(filled)
    return network.eval()
