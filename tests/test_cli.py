"""The command `enhance`: its parser and the subcommands that only print."""

import pytest

from enhancement import cli


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_examples(name, enhance):
    status, out, _ = enhance(name, "--help")
    assert status == 0
    assert f"  enhance {name}" in out.split("examples:")[1]


def test_an_unknown_subcommand_lists_the_valid_ones(enhance):
    status, _, err = enhance("archz")
    assert status == 2
    assert "archs" in err


def test_archs_lists_every_network(enhance):
    status, out, _ = enhance("archs")
    assert status == 0
    assert "LNetGIE" in out
    assert "1,605,701" in out
    assert "482,080" in out
