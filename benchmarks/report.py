"""Write the tables of results.md that are made of measured/*.json: none of them is typed by hand.

python benchmarks/report.py [--take results/gastroscopy/gastroscopy.json]

With --take, what a benchmark has found is put into measured/ first: methods that were there and are
not in the file stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import capsule_folds
import gastroscopy
import illumination_losses
import lol_v1
import photo
import surgical

from enhancement.errors import UserError, command_line
from enhancement.files import replace_file

HERE = Path(__file__).parent
MEASURED, RESULTS = HERE / "measured", HERE / "results.md"
TABLES = {
    "lol_v1": lol_v1.table,
    "lol_v1_hour": lol_v1.table,
    "gastroscopy": gastroscopy.table,
    "surgical": surgical.table,
    "capsule": capsule_folds.table,
    "polyps": capsule_folds.table,
    "capsule_levels": capsule_folds.levels_table,
    "illumination_losses": illumination_losses.table,
    "photo": photo.table,
}


SETTINGS = ("settings", "seconds", "dataset", "datasets", "protocol", "protocols")  # of a table


def merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Methods of both; of one that is in both, the entries (for each dataset, say) of both."""
    both = before.keys() & after.keys()
    inner = {
        key: before[key] | after[key]
        for key in both
        if all(isinstance(one[key], dict) for one in (before, after))
    }
    return before | after | inner


def take(file: Path) -> None:
    """Put what a benchmark has found into measured/.

    Raises:
        UserError: It is no benchmark's, or was measured in another way than what is there.
    """
    if file.stem not in TABLES:
        raise UserError(f"{file}: expected one of {', '.join(TABLES)}, by its name")
    measured = MEASURED / f"{file.stem}.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    if measured.exists():
        before = json.loads(measured.read_text(encoding="utf-8"))
        how = [
            {name: one.get("about", {}).get(name) for name in SETTINGS} for one in (before, content)
        ]
        if how[0] != how[1]:
            raise UserError(f"{file}: measured by other settings than {measured}; remove that one")
        content["methods"] = merged(before["methods"], content["methods"])
    replace_file(measured, (json.dumps(content, indent=2) + "\n").encode())


def with_tables(text: str) -> str:
    """results.md with each table between its marks.

    Raises:
        UserError: The marks of a table are not there.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: python benchmarks/report.py -->\n", f"<!-- end of {name} -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not (begun and ended):
            raise UserError(f"{RESULTS}: expected '{begin.strip()}' and '{end}' around a table")
        content = json.loads((MEASURED / f"{name}.json").read_text(encoding="utf-8"))
        text = f"{before}{begin}\n{table(content['methods'])}\n\n{end}{after}"
    return text


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    taken = "what a benchmark has found, NAME.json; put into measured/ first"
    parser.add_argument("--take", nargs="+", type=Path, default=[], metavar="FILE", help=taken)
    for file in parser.parse_args().take:
        take(file)
    replace_file(RESULTS, with_tables(RESULTS.read_text(encoding="utf-8")).encode())
    print(f"Written: {RESULTS}")


if __name__ == "__main__":
    main()
