"""What README.md and docs/ show is true: links lead somewhere, and commands are understood."""

import re
import shlex
from pathlib import Path

import pytest
from helpers import ROOT

from enhancement.commands.main import COMMANDS, build_parser
from enhancement.config.named_network import network_block
from enhancement.testing import command as testing
from enhancement.training import command as training
from enhancement.weights.shipped import shipped_weights

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pretrained_weights/README.md")),
        ROOT / "benchmarks/results.md",
        *(ROOT / "docs").glob("*.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TRAIN, TEST = "basicsr/train.py", "enhancement/test_from_dataset.py"
ENDS = {"|", ">", "<", "&&", "&", ";", "2>"}  # of a command, for a shell
OURS = re.compile(rf"^(\$ )?((?:python|enhance|make) .*|torchrun .*{TRAIN}.*)$", re.MULTILINE)


def without_blocks(text):
    return BLOCK.sub("", text)


def anchors(page):
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page.read_text()), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.replace("`", "")) for heading in headings)
    return {heading.strip().lower().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for link in LINK.findall(without_blocks(page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link}"
        assert not anchor or anchor in anchors(target), f"{name}: {link}"


def commands(text):
    """The commands in a page's code blocks, as words; those with `...` stand for more."""
    for language, block in BLOCK.findall(text):
        if language in ("", "bash", "sh"):
            for found in OURS.finditer(block.replace("\\\n", " ")):
                words = shlex.split(found[2], comments=True)
                end = next((i for i, word in enumerate(words) if word in ENDS), len(words))
                if "..." not in words:
                    yield words[:end]


SHOWN = [(name, words) for name in NAMES for words in commands((ROOT / name).read_text())]


def check_files(arguments):
    """Option files and the names of datasets, schedules and networks that a command gives exist."""
    if getattr(arguments, "opt", None):
        assert (ROOT / arguments.opt).is_file()
    for key in ("dataset", "schedule"):
        named = getattr(arguments, key, None)
        if named:
            files = (ROOT / f"options/{key}s").glob("*.yml")
            assert named.lower() in {path.stem for path in files}


@pytest.mark.parametrize(
    ("name", "words"), SHOWN, ids=[f"{name}: {' '.join(words)}" for name, words in SHOWN]
)
def test_commands_are_understood(name, words):
    program = words[0]
    if program == "make":
        goals = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert next(word for word in words[1:] if "=" not in word) in goals
    elif program == "enhance":
        names = [name for name in COMMANDS if name == words[1]]
        arguments = build_parser(names or COMMANDS).parse_args(words[1:])
        if network := getattr(arguments, "network", None):
            network_block(network, name)
        weights = getattr(arguments, "weights", None)
        if weights and weights.isidentifier():
            assert weights in shipped_weights()
    elif TRAIN in words:
        check_files(training.parse(words[words.index(TRAIN) + 1 :]))
    elif TEST in words:
        check_files(testing.parse(words[words.index(TEST) + 1 :]))
    elif words[1] == "-m":
        assert words[2].startswith(("enhancement", "torch"))
    else:
        assert (ROOT / words[1]).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_commands_within_sentences_exist(name):
    text = without_blocks((ROOT / name).read_text())
    for said in re.findall(r"`enhance (\w+)", text):
        assert said in COMMANDS
    for script in re.findall(r"`python ([\w/]+\.py)", text):
        assert (ROOT / script).is_file()


def test_commands_are_found():
    programs = {words[1] if words[0] == "enhance" else words[0] for _, words in SHOWN}
    assert {"make", "python", "run", "archs", "bench", "compare", "export", "score"} <= programs
    assert len(SHOWN) > 40
    (words,) = commands("```\n$ enhance runn a \\\n  -o b > log\nenhance ...\n```\n")
    assert words == ["enhance", "runn", "a", "-o", "b"]
    with pytest.raises(SystemExit):
        test_commands_are_understood("a page", words)


def test_every_page_is_in_the_sites_navigation():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= listed
    assert Path(ROOT / "docs/site.py").is_file()
