"""The documentation holds together: links, command lines, the navigation, and the page of all commands."""

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from typer.main import get_command

from miso.cli import app
from miso.training.config import CohortConfig, TrainConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
SETTINGS = {field.name for field in fields(TrainConfig)} | {
    f"cohort.{field.name}" for field in fields(CohortConfig)
}
FENCE = re.compile(r"^( *)(```+)(\w*)\n(.*?)^\1\2\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
SHELLS = {"sh", "bash", "shell"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """Leave out blocks of code and code within lines."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Name the headings as MkDocs (and repository pages) do."""
    headings = re.findall(r"^#+ +(.*?)\s*$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", name).strip().lower()) for name in plain}


def command_lines(text: str) -> Iterator[str]:
    """Find what a reader would type: lines of shell blocks, continued ones put together, that run miso."""
    for _, _, language, body in FENCE.findall(text):
        if language in SHELLS:
            lines = body.replace("\\\n", " ").splitlines()
            yield from (line.strip() for line in lines if re.match(r"\s*(torchrun .* -m )?miso ", line))


def inline_commands(text: str) -> Iterator[str]:
    yield from re.findall(r"`(miso [^`\n]+)`", FENCE.sub("", text))


def words_of(line: str) -> tuple[str, list[str]]:
    """Return a command's name and its words; of alternatives (`a|b`) and pipes the first."""
    said = line[line.index("miso ") :].split(" · ")[0]
    words = shlex.split(re.sub(r"<[^>]*>", "X", said), comments=True)
    return words[1], words[2:]


def spellings(command: Any) -> set[str]:
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    return {"-h", "--help", *known}


def unknown_words(line: str) -> list[str]:
    """Say what of a command line no command knows."""
    name, words = words_of(line)
    if re.fullmatch(r"[A-Z]+|…|--help|-h", name):  # miso COMMAND, miso VERB
        return []
    if name not in COMMANDS:
        return [name]
    known = spellings(COMMANDS[name])
    options = [word.partition("=")[0].replace("_", "-") for word in words if word.startswith("-")]
    wrong = [option for option in options if option not in known]
    if any(param.name == "overrides" for param in COMMANDS[name].params):
        keys = [word.partition("=")[0] for word in words if re.match(r"[\w.]+=", word)]
        wrong += [key for key in keys if key not in SETTINGS]
    return wrong


def commands_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("commands_page", ROOT / "tools" / "commands_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leads_somewhere(link: str, page: Path) -> bool:
    where, _, anchor = link.partition("#")
    target = page.parent / where if where else page
    if not target.exists() or target.suffix != ".md":
        return target.exists()
    return not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


@cache
def names_in(module: str) -> set[str]:
    """Name what a module of the package defines or imports, without importing it."""
    place = ROOT.joinpath("src", *module.split("."))
    packages = (place / "__init__.pyi", place / "__init__.py")
    file = next(path for path in (place.with_suffix(".py"), *packages) if path.is_file())
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_and_pictures_are_there(page: Path) -> None:
    links = LINK.findall(prose(page.read_text(encoding="utf-8")))
    inner = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inner if not leads_somewhere(link, page)] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lists_and_tables_begin_after_an_empty_line(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))  # else the site runs them into the text
    assert re.findall(r"^(?![-|#\s]|\d+\. ).+\n(?:- |\||\d+\. ).*", text, re.MULTILINE) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=named)
def test_pages_of_the_site_link_to_nothing_outside_it(page: Path) -> None:
    links = LINK.findall(prose(page.read_text(encoding="utf-8")))
    inside = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not (page.parent / link).resolve().is_relative_to(DOCS)] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_is_shown_is_known_with_its_options_and_settings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = {line: unknown_words(line) for line in (*command_lines(text), *inline_commands(text))}
    assert {line: words for line, words in wrong.items() if words} == {}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_command_lines_to_copy_are_complete(page: Path) -> None:
    for line in command_lines(page.read_text(encoding="utf-8")):
        name, words = words_of(line)
        if "…" not in line and "--help" not in words:
            COMMANDS[name].make_context(name, words)  # raises where something required is absent


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    def entries(nav: Any) -> Iterator[str]:
        if isinstance(nav, str):
            yield nav
        for entry in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
            yield from entries(entry)

    nav = list(entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    assert sorted(nav) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_the_page_of_commands_says_what_the_commands_say() -> None:
    page = commands_page()
    stale = "docs/commands.md is stale: run .venv/bin/python tools/commands_page.py"
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), stale


def test_every_command_has_a_section_of_its_own() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert re.findall(r"^## miso ([\w-]+)$", text, re.MULTILINE) == list(COMMANDS)


def test_pictures_are_small_and_all_of_them_are_shown() -> None:
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text("utf-8"))
    }
    pictures = [path for path in (DOCS / "images").iterdir() if path.is_file()]
    assert [path.name for path in pictures if path.resolve() not in shown] == []
    assert [path.name for path in pictures if path.stat().st_size > 400_000] == []


def test_what_the_pages_import_is_there() -> None:
    blocks = (block for page in PAGES for block in FENCE.findall(page.read_text(encoding="utf-8")))
    code = "\n".join(body for _, _, language, body in blocks if language == "python")
    imports = re.findall(r"^ *from (miso[\w.]*) import ([\w, ]+)", code, re.MULTILINE)
    wanted = {(module, name.strip()) for module, names in imports for name in names.split(",")}
    assert wanted
    assert [f"{module}.{name}" for module, name in sorted(wanted) if name not in names_in(module)] == []


@pytest.mark.parametrize("line", ["miso plotted map.zarr", "miso plot map.zarr --gene X --colour red"])
def test_a_command_line_that_nothing_understands_is_found(line: str) -> None:
    assert unknown_words(line) != []


def test_a_setting_that_is_none_is_found() -> None:
    assert unknown_words("miso train cohort.path=samples cohort.gene=panel run_dir=runs/x") == ["cohort.gene"]
