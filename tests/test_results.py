"""benchmarks/results.md shows what benchmarks have left in benchmarks/measured."""

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


@pytest.mark.parametrize("name", ["gastroscopy", "surgical"])
def test_every_method_of_a_table_names_what_it_runs(report, name):
    table = sys.modules[name]
    for key, method in table.read_methods(table.METHODS).items():
        ways = [bool(method.stages), bool(method.network), bool(method.missing)]
        assert sum(ways) == 1, key
        for stage in method.stages:
            assert (ROOT / "options" / f"{stage}.yml").is_file()
