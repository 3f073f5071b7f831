"""benchmarks/results.md shows what benchmarks have left in benchmarks/measured."""

import json
import sys

import pytest
from helpers import ROOT

from enhancement.errors import UserError


@pytest.fixture(scope="module")
def report():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import report
    finally:
        sys.path.pop(0)
    return report


def test_the_tables_are_those_of_what_was_measured(report):
    text = report.RESULTS.read_text(encoding="utf-8")
    assert report.with_tables(text) == text


def test_marks_that_are_missing_are_named(report):
    with pytest.raises(UserError, match="around a table"):
        report.with_tables("# Measured results\n")


@pytest.mark.parametrize("name", ["gastroscopy", "lol_v1", "surgical"])
def test_every_method_of_a_table_names_what_it_runs(report, name):
    table = sys.modules[name]
    for key, method in table.read_methods(table.METHODS).items():
        ways = [bool(method.stages), bool(method.network), bool(method.missing)]
        assert sum(ways) == 1, key
        for stage in method.stages:
            assert (ROOT / "options" / f"{stage}.yml").is_file()


def test_what_is_taken_joins_what_was_measured(report, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MEASURED", tmp_path / "measured")
    (tmp_path / "measured").mkdir()
    for methods in ({"hdrnet": {"a": 1}, "iat": {"a": 2, "b": 2}}, {"iat": {"a": 3}}):
        (tmp_path / "lol_v1.json").write_text(json.dumps({"methods": methods}))
        report.take(tmp_path / "lol_v1.json")
    joined = json.loads((tmp_path / "measured/lol_v1.json").read_text())
    assert joined == {"methods": {"hdrnet": {"a": 1}, "iat": {"a": 3, "b": 2}}}
    other = {"about": {"settings": 1}, "methods": {}}
    (tmp_path / "lol_v1.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="measured by other settings"):
        report.take(tmp_path / "lol_v1.json")
    with pytest.raises(UserError, match="expected one of lol_v1, "):
        report.take(tmp_path / "other.json")
