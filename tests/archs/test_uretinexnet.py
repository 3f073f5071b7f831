"""URetinex-Net: its published files, and the ratio that it is trained with."""

import pytest
import torch
from networks import build, count, image, perturbed

from enhancement.archs.uretinexnet_arch import URetinexNet
from enhancement.errors import UserError
from enhancement.weights.networks import build_from_file


@pytest.fixture
def published(tmp_path):
    """A network, and the folder of its files in their published form."""
    network = perturbed(build("URetinexNet", reference=True))
    names = ("initialisation", "reference", "restoration_r", "restoration_l", "adjustment")
    low, high, r, light, adjustment = (network.get_submodule(n).state_dict() for n in names)
    files = {
        "init_low.pth": {"state_dict": {"model_R": low}},
        "init_high.pth": {"state_dict": {"model_R": high}},
        "unfolding.pth": {"state_dict": {"model_R": r, "model_L": light}},
        "L_adjust.pth": adjustment,
    }
    for file, content in files.items():
        torch.save(content, tmp_path / file)
    return network, tmp_path


def test_it_has_the_published_number_of_parameters():
    assert count(URetinexNet()) == 340_105


def test_the_published_folder_is_read_without_what_training_alone_needs(published):
    made, folder = published
    network, meta = build_from_file(folder)
    assert meta["network_g"] == {"type": "URetinexNet", "dim": 8}
    state = network.state_dict()
    expected = {k: v for k, v in made.state_dict().items() if not k.startswith("reference.")}
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.items())


@pytest.mark.parametrize(
    ("file", "held", "others"),
    [
        ("init_low", "initialisation", "unfolding and the adjustment"),
        ("unfolding", "unfolding", "initialisation and the adjustment"),
        ("L_adjust", "adjustment", "initialisation and the unfolding"),
    ],
)
def test_one_file_alone_is_refused_with_the_way_out(published, file, held, others):
    text = f"holds the {held} of URetinexNet alone; give the folder that also holds the {others}"
    with pytest.raises(UserError, match=text):
        build_from_file(published[1] / f"{file}.pth")


def test_training_brightens_by_the_ground_truths_ratio(published):
    network, lq, gt = published[0], image(20, 28) / 8, image(20, 28)
    found = network.outputs(lq, gt)
    assert set(found) == {"output", *network.extra_outputs}
    ratio = found["illumination_gt"].mean((2, 3), True) / found["illumination"].mean((2, 3), True)
    expected = network.adjustment(found["illumination"], ratio)
    torch.testing.assert_close(found["adjusted"], expected)
    network.ratio = 2.0
    fixed = network.adjustment(found["illumination"], torch.full((1, 1, 1, 1), 2.0))
    torch.testing.assert_close(network(lq), fixed * found["reflectance"])
