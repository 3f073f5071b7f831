"""BasicSR as the rest of the project sees it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT

from enhancement.errors import UserError
from enhancement.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    lookup,
    registered,
)


def test_the_launchers_folder_never_hides_basicsr():
    assert not (ROOT / "basicsr/__init__.py").exists()
    import basicsr

    assert Path(basicsr.__file__).parent != ROOT / "basicsr"


def test_lookup_knows_both_sides_and_lists_them(capsys):
    assert lookup(ARCH_REGISTRY, "HDRNet").__module__.startswith("enhancement.")
    assert lookup(ARCH_REGISTRY, "SwinIR").__module__.startswith("basicsr.")
    with pytest.raises(UserError, match="unknown arch 'SwinIRR'; did you mean 'SwinIR'"):
        lookup(ARCH_REGISTRY, "SwinIRR")
    assert capsys.readouterr().out == ""


def test_everything_of_ours_is_registered():
    ours = {
        ARCH_REGISTRY: {"AODNet", "DEDNet", "HDRNet", "LNetGIE", "RetinexFormer"},
        MODEL_REGISTRY: {"EnhancementModel", "IlluminationModel"},
        DATASET_REGISTRY: {"PairedDataset", "SynthesisDataset"},
        LOSS_REGISTRY: {
            "ColorAngleLoss",
            "IlluminationReconstructionLoss",
            "IlluminationSmoothnessLoss",
            "SSIMLoss",
            "SSIMMAELoss",
        },
        METRIC_REGISTRY: {"calculate_psnr_capsule", "calculate_ssim_retinexformer"},
    }
    for registry, names in ours.items():
        assert names <= set(registered(registry))


def test_importing_registers_from_any_folder(tmp_path):
    """A folder of the user's own called data or models must not get in the way."""
    for name in ("data", "models", "archs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('wrong one')")
    code = (
        "import enhancement; from basicsr.utils.registry import ARCH_REGISTRY as a;"
        "print(a.get('HDRNet').__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "enhancement.archs.hdrnet_arch", done.stderr


def printed_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_imports_no_other_package():
    code = "import enhancement, sys; print(*{m.split('.')[0] for m in sys.modules})"
    heavy = {"torch", "numpy", "basicsr", "timm", "numba", "pydantic", "spandrel", "PIL", "cv2"}
    assert not heavy & set(printed_by(code))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["10000", "None"]),
        ({"GOMP_SPINCOUNT": "5"}, ["5", "None"]),
        ({"OMP_WAIT_POLICY": "passive"}, ["None", "passive"]),
    ],
)
def test_waiting_threads_sleep_soon_unless_told_otherwise(monkeypatch, given, expected):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert printed_by(f"import enhancement, os; print(*map(os.getenv, {names}))") == expected


@pytest.mark.parametrize(
    "first",
    [
        "import enhancement, basicsr",
        "import sys, torchvision.transforms.functional as f;"
        "sys.modules['torchvision.transforms.functional_tensor'] = f; import basicsr, enhancement",
        "import enhancement.registry",
    ],
    ids=("ours first", "basicsr first", "ours alone"),
)
def test_basicsr_finds_ours_when_it_is_asked(first):
    code = (
        f"{first}\n"
        "import sys\n"
        "assert 'enhancement.archs' not in sys.modules\n"
        "from basicsr.archs import build_network\n"
        "print(type(build_network({'type': 'LNetGIE'})).__module__)\n"
    )
    assert printed_by(code)[-1] == "enhancement.archs.lnet_gie_arch"


def test_a_perceptual_loss_may_be_squared(monkeypatch):
    from basicsr.losses import basic_loss

    monkeypatch.setattr(basic_loss, "VGGFeatureExtractor", lambda **_: torch.nn.Identity())
    loss = lookup(LOSS_REGISTRY, "PerceptualLoss")({"relu1_1": 1.0}, criterion="l2")
    assert isinstance(loss.criterion, torch.nn.MSELoss)
