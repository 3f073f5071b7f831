"""Where the paths of an option file are."""

import pytest

from enhancement.errors import UserError
from enhancement.paths import locate


def test_package_folders_and_the_data_variable(monkeypatch, tmp_path):
    assert (locate("package:skimage/data") / "astronaut.png").is_file()
    with pytest.raises(UserError, match="package 'nowhere' is not installed"):
        locate("package:nowhere/data")
    monkeypatch.setenv("ENHANCEMENT_DATA", str(tmp_path))
    assert locate("datasets/LOLv1") == tmp_path / "LOLv1"
    assert str(locate("other/LOLv1")) == "other/LOLv1"
    monkeypatch.delenv("ENHANCEMENT_DATA")
    assert str(locate("datasets/LOLv1")) == "datasets/LOLv1"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "expected a folder or file, but got an empty text"),
        ("~nobody-here/x", "^~nobody-here/x: no such user; check the path$"),
        ("package:", "^package:: package '' is not installed"),
        ("package:no.where/x", "^package:no.where/x: package 'no.where' is not installed"),
    ],
)
def test_a_path_that_means_nothing_is_named(path, text):
    with pytest.raises(UserError, match=text):
        locate(path)


def test_home_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/LOLv1") == tmp_path / "LOLv1"
