"""The contract of networks: how one of ours, and one of somebody else's, is asked."""

import pytest
import torch
from networks import build, image
from torch import nn

from enhancement.archs.contract import Network, contract_of
from enhancement.archs.published import Published
from enhancement.errors import UserError


class Windowed(nn.Module):
    """A network as BasicSR's are: it inherits nothing of ours, and gives several outputs."""

    size_multiple = 2

    def __init__(self, window_size):
        super().__init__()
        self.attention = nn.Identity()
        self.attention.window_size = window_size

    def forward(self, x):
        return [2 * x, x]


def test_ours_speaks_for_itself_also_when_wrapped_for_several_devices():
    network = build("AODNet")
    assert contract_of(network) is network
    assert contract_of(nn.DataParallel(network)) is network


def test_a_foreign_network_is_asked_by_the_attributes_it_has():
    network, x = Windowed(8).eval(), image(4, 4)
    declared = contract_of(network)
    assert declared.size_multiple == 2  # its own word, not the window's
    assert (declared.smallest_size, declared.gives, declared.published) == (1, "image", None)
    assert declared.fold() is network
    assert torch.equal(declared.stages(x)["output"], 2 * x)
    assert not network.training  # asking changes nothing


def test_a_foreign_networks_window_is_its_multiple():
    network = nn.Sequential(nn.Identity())
    network[0].window_size = 8
    assert contract_of(network).size_multiple == 8


def test_names_are_renamed_only_where_they_are_the_authors():
    class Renamed(Network):
        published = Published(marks=("old",), renames={"^old$": "new"}, dropped=("^idle$",))

    value = torch.zeros(1)
    network = Renamed()
    assert network.own_names({"old": value, "idle": value}) == {"new": value}
    assert network.own_names({"new": value, "idle": value}) == {"new": value, "idle": value}
    assert build("AODNet").own_names({"old": value}) == {"old": value}
    with pytest.raises(UserError, match="two tensors of the weights are new"):
        network.own_names({"old": value, "new": value})


def test_most_networks_begin_from_no_other():
    with pytest.raises(NotImplementedError, match="AODNet takes no initial weights"):
        build("AODNet").initialise_from({})
