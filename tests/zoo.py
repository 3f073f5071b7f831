"""Published networks of the zoo: which of ours they are, their files, inputs, formula weights."""

import json
import tempfile
from collections.abc import Callable
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
        modes: For each of scores.json's modes, the arguments it is scored with; none for networks
            that do not brighten, which are not scored on LOL-v1.
        outputs: Entries of the golden file by the names of `Network.outputs`.
        inputs: Entries of the golden file that are further inputs, by argument of `forward`.
        code_only: There is no file: weights are formula weights for the names in keys.json.
        constants: Entries of the state dict that are this everywhere, in place of formula weights.
        enter: From the golden input, which the published network takes as it is, to an image in
            [0, 1], where ours includes the scaling that is published outside of the network.
        leave: From our output to the published network's.
    """

    network: str
    arguments: dict = field(default_factory=dict)
    modes: dict = field(default_factory=lambda: {"plain": {}})
    outputs: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    code_only: bool = False
    constants: dict = field(default_factory=dict)
    enter: Callable[[torch.Tensor], torch.Tensor] = lambda x: x
    leave: Callable[[torch.Tensor], torch.Tensor] = lambda x: x


def from_signed(x: torch.Tensor) -> torch.Tensor:
    """[-1, 1] to [0, 1]."""
    return (x + 1) / 2


def from_standardised(x: torch.Tensor) -> torch.Tensor:
    """FFA-Net's input to [0, 1]."""
    mean, deviation = torch.tensor([[0.64, 0.6, 0.58], [0.14, 0.15, 0.152]])[..., None, None]
    return x * deviation + mean


def to_signed(x: torch.Tensor) -> torch.Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * x - 1


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
    "flw_net": Case(
        "FLWNet",
        modes={"0.5": {"brightness": 0.5}, "0.6": {"brightness": 0.6}},
        outputs={"retouch": "retouch", "histogram": "hist"},
    ),
    "wtnet": Case("WTNet", code_only=True),
    "hvi_cidnet": Case("HVICIDNet", code_only=True, constants={"trans.density_k": 0.2}),
    "snr_aware": Case("SNRNet", inputs={"mask": "mask"}, outputs={"snr": "snr"}, code_only=True),
    "darkir": Case("DarkIR", outputs={"side": "side"}, code_only=True),
    "ffa_net": Case("FFANet", code_only=True, enter=from_standardised),
    "c2pnet": Case("C2PNet", code_only=True),
    "dehazeformer_t": Case("DehazeFormer", code_only=True, enter=from_signed, leave=to_signed),
    "dehazeformer_s": Case(
        "DehazeFormer", {"variant": "s"}, code_only=True, enter=from_signed, leave=to_signed
    ),
    "msbdn_dff": Case("MSBDN", code_only=True),
    "feqe": Case("FEQE", code_only=True),
    "light_dehazenet": Case("LightDehazeNet", modes={}),
    "dped": Case("DPED", modes={}),
    "gcanet": Case("GCANet", modes={}),
    "griddehazenet": Case("GridDehazeNet", modes={}, enter=from_signed),
}
REGISTERED = set(registered(ARCH_REGISTRY))
CASES = {name: case for name, case in NETWORKS.items() if case.network in REGISTERED}


@cache
def table(root: Path, name: str) -> dict:
    """One of the zoo's JSON files."""
    return json.loads((root / "zoo" / f"{name}.json").read_text())


@cache
def weights_of(root: Path, name: str) -> Path:
    """A network's published file, or the folder of its several; NumPy's as one of tensors."""
    files = list((root / "zoo" / name).iterdir())
    if files[0].suffix != ".npz":
        return files[0] if len(files) == 1 else files[0].parent
    path = Path(tempfile.mkdtemp(prefix="zoo")) / f"{name}.pth"
    with np.load(files[0]) as arrays:
        torch.save({key: torch.from_numpy(value) for key, value in arrays.items()}, path)
    return path


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
    filled, buffers = {}, dict(network.named_buffers()) if case.code_only else {}
    for key, value in state.items():
        if key in case.constants:
            filled[key] = torch.full_like(value, case.constants[key])
        elif key in buffers:
            filled[key] = buffers[key]
        elif not value.is_floating_point() or (not case.code_only and key.endswith(KEPT)):
            filled[key] = value
        elif key.endswith("running_var"):
            filled[key] = 1 + formula.weight(key, tuple(value.shape)).abs()
        else:
            scale = gain if value.dim() >= 2 else 1
            filled[key] = scale * formula.weight(key, tuple(value.shape))
    network.load_published_state_dict(filled)
    return network.eval()
