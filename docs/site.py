"""Hooks of mkdocs.yml: pages from beside docs/, with links that hold on the site.

The pages are written to be read in the repository. On the site README.md and the others of
`BESIDE` lie as if in docs/, and a link to any other file of the repository becomes its text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs/"
BESIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "pretrained_weights/README.md",
    "benchmarks/results.md",
)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie beside docs/."""
    for path in BESIDE:
        files.append(File.generated(config, path, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """A page with its links as they hold on the site."""
    source = page.file.src_uri
    folder = posixpath.dirname(source if source in BESIDE else DOCS + source)

    def on_site(found: re.Match[str]) -> str:
        mark, text, link = found.groups()
        path, hash_, anchor = link.partition("#")
        if "://" in link or not path:
            return found[0]
        target = posixpath.normpath(posixpath.join(folder, path)).removeprefix(DOCS)
        target = f"{target}/README.md" if f"{target}/README.md" in BESIDE else target
        if files.get_file_from_path(target) is None:
            return text
        place = posixpath.relpath(target, posixpath.dirname(source) or ".")
        return f"{mark}[{text}]({place}{hash_}{anchor})"

    return LINK.sub(on_site, markdown)
