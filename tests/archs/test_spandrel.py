"""Networks of spandrel by name and by their files: they run, train and are refused like ours."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers import run
from networks import EVERY, image
from spandrel import MAIN_REGISTRY

from enhancement import load_network
from enhancement.archs.contract import Network, contract_of
from enhancement.config.load import load_config
from enhancement.data.images import read_image, write_image
from enhancement.errors import UserError
from enhancement.inference.engines import prepare
from enhancement.inference.export import export
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.run import run_padded
from enhancement.registry import ARCH_REGISTRY, build, lookup, registered
from enhancement.testing.command import parse
from enhancement.testing.command import test as score
from enhancement.weights.networks import build_from_file
from enhancement.weights.recognise import recognise
from enhancement.weights.state_dicts import read_weights

SMALL = {  # arguments that make the networks of the tests below quick
    "DnCNN": {"in_nc": 3, "out_nc": 3, "nc": 8},
    "DRUNet": {"in_nc": 4, "out_nc": 3, "nc": [4, 4, 4, 4], "nb": 2},
    "HVICIDNet": {"channels": [8, 8, 16, 16], "heads": [1, 2, 2, 2]},
    "IPT": {"n_feats": 8, "num_layers": 1},
    "KBNet_s": {"width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1], "middle_blk_num": 1},
    "MixDehazeNet": {"embed_dims": [8, 16, 32, 16, 8], "depths": [1, 1, 1, 1, 1]},
    "NAFNet": {"width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    "Swin2SR": {
        "window_size": 8,
        "embed_dim": 8,
        "depths": [2],
        "num_heads": [2],
        "upscale": 1,
    },
    "SwinIR_spandrel": {"window_size": 8, "embed_dim": 8, "depths": [2], "num_heads": [2]},
    "Uformer": {"embed_dim": 4, "depths": [1] * 9},
}
SIZES = {  # multiple, smallest side, square, whole image, fp16: as spandrel's loaders say
    "DnCNN": (1, 1, False, False, False),
    "DRUNet": (8, 1, False, False, False),
    "HVICIDNet": (8, 1, False, True, False),
    "IPT": (1, 48, False, False, False),
    "KBNet_s": (1, 1, False, False, False),
    "MixDehazeNet": (1, 40, False, True, False),
    "NAFNet": (1, 1, False, False, False),
    "Swin2SR": (1, 16, False, False, False),
    "SwinIR_spandrel": (1, 16, False, True, False),
    "Uformer": (128, 1, True, False, False),
}


def made(name, **arguments):
    torch.manual_seed(0)
    return build(ARCH_REGISTRY, {"type": name, **SMALL.get(name, {}), **arguments}).eval()


def theirs(name, **arguments):
    """A network by spandrel alone."""
    (kind,) = type(MAIN_REGISTRY[name].architecture).__orig_bases__[0].__args__
    return kind(**arguments)


@pytest.mark.parametrize("name", SMALL)
class TestEachKind:
    def test_declares_what_its_loader_says(self, name):
        declared = contract_of(made(name))
        sizes = declared.size_multiple, declared.smallest_size, declared.square
        assert (*sizes, declared.whole_image, declared.fp16) == SIZES[name]
        assert declared.title == name

    @pytest.mark.parametrize("size", [(1, 1), (37, 53)])
    def test_takes_images_of_any_size(self, name, size):
        x = image(*size, batch=1)
        with torch.inference_mode():
            output = run_padded(made(name), x)
        assert output.shape == x.shape
        assert output.isfinite().all()

    def test_computes_what_spandrel_computes(self, name):
        network = deepcopy(made(name))
        original = network.architecture.load(network.state_dict()).eval()
        side = max(48, contract_of(network).size_multiple)
        x = image(side, side, batch=1)
        with torch.inference_mode():
            assert torch.equal(network(x).clamp(0, 1), original(x))

    def test_its_file_is_recognised(self, name, tmp_path):
        network, x = made(name), image(37, 53, batch=1)
        torch.save({"params_ema": network.state_dict()}, tmp_path / "w.pth")
        found, meta = build_from_file(tmp_path / "w.pth")
        assert meta["network_g"]["type"] == name
        with torch.inference_mode():
            assert torch.equal(run_padded(found.eval(), x), run_padded(network, x))


def test_names_do_not_clash_and_ours_win():
    names = registered(ARCH_REGISTRY)
    assert {"NAFNet", "SCUNet", "PLKSR", "RealPLKSR", "ESRGAN"} <= set(names)
    assert "LaMa" not in names
    for name in EVERY:
        assert lookup(ARCH_REGISTRY, name).__module__.startswith("enhancement.")
    assert lookup(ARCH_REGISTRY, "SwinIR").__module__.startswith("basicsr.")
    assert lookup(ARCH_REGISTRY, "SwinIR_spandrel").__module__.startswith("spandrel.")


def test_nothing_of_theirs_hides_the_contract():
    """A name of `Network` that one of spandrel's networks uses for itself would break both."""
    public = {name for name in {**vars(Network), **Network.__annotations__} if name[0] != "_"}
    for _, kind in ARCH_REGISTRY:
        if kind.__module__.startswith("spandrel"):
            theirs = {n for base in kind.__mro__[3:-2] for n in vars(base)}
            assert not theirs & public - {"forward"}, kind
    for name in SMALL:
        assert not dict(made(name).named_children()).keys() & public


def test_a_file_of_ours_stays_ours():
    block = recognise(made("RetinexFormer_spandrel").state_dict())
    assert block["type"] == "RetinexFormer"


def test_published_names_that_differ_are_read(tmp_path):
    network, x = made("HVICIDNet"), image(16, 24)
    state = {f"netG.{name}": value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    found = load_network(tmp_path / "w.pth")
    with torch.inference_mode():
        assert torch.equal(found(x), network(x))


class TestMistakes:
    def test_arguments_are_checked_like_ours(self, tiny):
        path = tiny(network_g={"type": "NAFNet", "widht": 8})
        with pytest.raises(UserError, match=r"network_g\.widht: unknown key; did you mean 'width'"):
            load_config(path)

    def test_other_scales_are_refused_by_option(self, tiny):
        path = tiny(network_g={"type": "SPAN", "num_in_ch": 3, "num_out_ch": 3, "upscale": 4})
        text = r"network_g: SPAN enlarges images 4 times; expected a network of scale 1"
        with pytest.raises(UserError, match=text):
            load_config(path)

    @pytest.mark.parametrize(
        ("name", "arguments", "text"),
        [
            ("DnCNN", {"nc": 8}, "its network DnCNN maps 1 channels to 1; expected 3 to 3"),
            ("LaMa", {"in_nc": 4}, "its network LaMa is no network for enhancement"),
        ],
    )
    def test_other_networks_are_refused(self, name, arguments, text):
        with torch.device("meta"), pytest.raises(UserError, match=text):
            recognise(theirs(name, **arguments).state_dict())

    def test_files_of_other_scales_are_refused_in_a_line(self, tmp_path):
        torch.save(theirs("SwiftSRGAN", num_blocks=1).state_dict(), tmp_path / "w.pth")
        with pytest.raises(UserError) as caught:
            build_from_file(tmp_path / "w.pth")
        assert str(caught.value) == (
            f"{tmp_path}/w.pth: its network Swift-SRGAN enlarges images 4 times; "
            "expected a network of scale 1"
        )

    def test_weights_that_misfit_are_told_by_name(self, tmp_path):
        state = made("NAFNet").state_dict()
        del state["intro.bias"]
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(UserError, match=r"lacks 1 .*intro\.bias|has the keys of a known one"):
            build_from_file(tmp_path / "w.pth")

    def test_fp16_is_refused_where_it_is_not_known_to_work(self, tiny):
        path = tiny(network_g={"type": "NAFNet"}, train={"precision": "fp16"})
        with pytest.raises(UserError, match=r"train\.precision: NAFNet is not known to compute"):
            load_config(path)

    def test_memory_cannot_be_limited_where_the_whole_image_counts(self):
        with pytest.raises(UserError, match="HVICIDNet must see the whole image"):
            FrameEnhancer(made("HVICIDNet"), max_memory=10**9)


class TestHviCidNet:
    def test_trains_tests_runs_and_exports(self, tiny, in_tmp, enhance):
        path = tiny(network_g={"type": "HVICIDNet", **SMALL["HVICIDNet"]})
        assert run("--opt", path) == 0
        file = "experiments/tiny/models/net_g_best.pth"
        assert read_weights(file)[1]["network_g"]["type"] == "HVICIDNet"
        write_image("in.png", np.zeros((37, 53, 3), np.uint8))
        assert enhance("run", "in.png", "-o", "out.png", "--weights", file)[0] == 0
        assert read_image("out.png").shape == (37, 53, 3)
        assert enhance("bench", "--weights", file, "--sizes", "64x64", "--frames", 1)[0] == 0
        scores, _ = score(parse(["--weights", file, "--dataset", "high_low"]))
        assert scores.mean()["psnr"] > 0
        status, _, err = enhance("export", file, "-o", "w.onnx")
        reason = "its colour transform assigns by boolean masks"
        assert status == 2
        assert err.endswith(f"error: HVICIDNet cannot be exported as onnx: {reason}\n")

    def test_pytorch_computes_it_and_says_so_once(self):
        said, network = [], made("HVICIDNet")
        assert prepare(network, torch.device("cpu"), say=said.append) is network
        assert said == [
            "HVICIDNet is computed by PyTorch: its colour transform assigns by boolean masks"
        ]


def test_others_are_exported_and_computed_by_onnx_runtime(tmp_path):
    network = made("NAFNet")
    difference = export(network, "onnx", tmp_path / "w.onnx", {"name": "w"}).difference
    assert difference < 1e-4
    prepared = prepare(network, torch.device("cpu"), "onnx")
    x = image(37, 53)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(x), network(x), rtol=0, atol=1e-4)
