"""Finds systems and parts and reads what they say about themselves, as text: nothing is imported until one is run.

A file of a subject's folder with a literal `CARD = Card(...)` is a part; with a function or name `build` it is a system
that runs. The path is the name: `vision/lenet.py` is `vision.lenet`.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

from shinso.catalogue import japanese
from shinso.core.errors import UserError
from shinso.core.setup import nearest

PACKAGE = "shinso"
_PACKAGE_FOLDER = ROOT = Path(__file__).parent.parent
"""where systems are looked for; tests look elsewhere"""


@dataclass(frozen=True)
class Field:
    """One field of a Setup, as it stands in the file."""

    name: str
    annotation: str
    default: str
    """the expression, empty when the field has none"""
    help: str
    file: Path
    """where the help stands: this file, or that of the Setup that this one is made from"""


@dataclass(frozen=True)
class Fact:
    """One claim that the file can check: the function's name and what its docstring says."""

    name: str
    claim: str
    source: str


@dataclass(frozen=True)
class Variant:
    """A named Setup: which fields it sets, as expressions."""

    name: str
    changes: dict[str, str]


@dataclass(frozen=True)
class System:
    """Where a system or part stands, and its file as text; all else is read from that when asked for."""

    path: str
    file: Path
    source: str
    runs: bool
    """whether it builds a program; a part does not"""

    @cached_property
    def tree(self) -> ast.Module:
        """The whole file as a syntax tree."""
        return ast.parse(self.source, str(self.file))

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def card(self) -> dict[str, Any]:
        """The fields of CARD; functions stay names."""
        call = _literal(self.source) or _assigned(self.tree, "CARD")
        if not isinstance(call, ast.Call):
            raise UserError(self.file, "CARD is not a literal Card(...)", "write the card as one literal")
        try:
            return {k.arg: _plain(k.value) for k in call.keywords if k.arg}
        except ValueError:
            raise UserError(self.file, "CARD holds an expression", "write only literals and names of facts") from None

    @cached_property
    def fields(self) -> list[Field]:
        """The fields of Setup in their order, each with the string literal that follows it; inherited ones first."""
        return list(_fields(self.tree, self.file, "Setup").values())

    @cached_property
    def variants(self) -> list[Variant]:
        """VARIANTS in its order; a Setup that is not written as a literal call shows no changes."""
        table = _assigned(self.tree, "VARIANTS")
        if not isinstance(table, ast.Dict):
            return []
        pairs = zip(table.keys, table.values, strict=True)
        return [Variant(str(k.value), _keywords(v)) for k, v in pairs if isinstance(k, ast.Constant)]

    @cached_property
    def facts(self) -> list[Fact]:
        """The facts that the card names, in its order."""
        functions = {n.name: n for n in self.tree.body if isinstance(n, ast.FunctionDef)}
        return [_fact(name, functions.get(name)) for name in self.card.get("facts", ())]

    @cached_property
    def japanese(self) -> Mapping[str, Mapping[str, Any]]:
        """What the side file says, by table and name."""
        return japanese.read(japanese.side_file(self.file))

    @property
    def words(self) -> Mapping[str, tuple[str, str]]:
        """What reports call its own pictures and numbers: `picture.NAME` or `metric.NAME` -> English, Japanese."""
        kinds = {"pictures": "picture", "metrics": "metric"}
        return {f"{kind}.{name}": (en, ja) for table, kind in kinds.items()
                for name, (en, ja) in self.japanese[table].items()}

    def facts_in(self, language: str) -> list[Fact]:
        """The facts with claim and source in `ja` where the side file has them, else in English."""
        if language != "ja":
            return self.facts
        claims, sources = self.japanese["facts"], self.japanese["sources"]
        return [replace(f, claim=claims.get(f.name, f.claim), source=sources.get(f.name, f.source)) for f in self.facts]

    def fields_in(self, language: str) -> list[Field]:
        """The fields with their help in `ja` where the side file has it, else in English."""
        if language != "ja":
            return self.fields
        said = {file: japanese.read(japanese.side_file(file))["fields"] for file in {f.file for f in self.fields}}
        return [replace(f, help=said[f.file].get(f.name, f.help)) for f in self.fields]


def cards(root: Path | None = None) -> dict[str, System]:
    """Every system and part below `root` (the package itself), by path, sorted."""
    root = root or ROOT
    found = {}
    for file in sorted(root.rglob("[!_]*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if len(parts) < 2 or any(part.startswith(("_", ".")) for part in parts):
            continue
        one = _read(".".join(parts), file)
        if one is not None:
            found[one.path] = one
    return found


def systems(root: Path | None = None) -> dict[str, System]:
    """Those of them that run."""
    return {path: one for path, one in cards(root).items() if one.runs}


def card(path: str, root: Path | None = None) -> System:
    """The system or part of this path; only its own file is parsed. An unknown path is told with the nearest name."""
    root = root or ROOT
    parts = path.split(".")
    file = root.joinpath(*parts).with_suffix(".py") if all(p.isidentifier() for p in parts) else root
    if file.is_file() and len(parts) > 1 and not any(part.startswith("_") for part in parts):
        one = _read(path, file)
        if one is not None:
            return one
    known = list(cards(root))
    by_last = [name for name in known if name.rpartition(".")[2] == path]
    hint = f"did you mean '{by_last[0]}'?" if by_last else nearest(path, known) if known else "nothing is installed"
    raise UserError(path or "''", "there is no system of this path", hint)


def system(path: str, root: Path | None = None) -> System:
    """The system of this path; a part is refused, because it has nothing to run."""
    one = card(path, root)
    if not one.runs:
        raise UserError(path, "this is a part, it has no program to run", f"type: shinso check {path}")
    return one


def load(path: str, root: Path | None = None) -> ModuleType:
    """The module of a system or part, imported; an extra that it needs and that is not installed is one sentence."""
    found = card(path, root)
    _ = found.japanese  # a side file that cannot be read is told before a run, not by its report
    try:
        if found.file.is_relative_to(_PACKAGE_FOLDER):
            return importlib.import_module(f"{PACKAGE}.{path}")
        return _import_file(found)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package == PACKAGE:
            raise
        raise missing_package(path, package) from None


def missing_package(where: str, package: str) -> UserError:
    """What to type when `package` is not installed: the extra of this project that brings it, if one does."""
    from importlib.metadata import requires

    extra = ""
    for line in requires(PACKAGE) or ():
        wanted, _, condition = line.partition(";")
        if wanted.strip().startswith(package) and "extra ==" in condition:
            name = condition.partition("==")[2].strip(" '\"")
            extra = name if name not in ("all", "test") else extra
    command = f"pip install 'shinso[{extra}]'" if extra else f"pip install {package}"
    return UserError(where, f"it needs {package}, which is not installed", f"type: {command}")


def topics(found: Iterable[System]) -> dict[str, System]:
    """Which system makes each claimed topic work; two systems may not claim the same one."""
    claimed: dict[str, System] = {}
    for one in found:
        for topic in one.card.get("topics", ()):
            if topic in claimed:
                raise UserError(one.path, f"topic {topic} is already claimed by {claimed[topic].path}", "claim it once")
            claimed[topic] = one
    return claimed


def _read(path: str, file: Path) -> System | None:
    source = file.read_text(encoding="utf-8")
    if "\nCARD = Card(" not in source:
        return None
    return System(path, file, source, "\ndef build(" in source or "\nbuild = " in source)


def _literal(source: str) -> ast.expr | None:
    """The card alone, cut out of the text: a tenth of the time that the whole file takes. None: it does not end so."""
    begin = source.index("\nCARD = Card(") + len("\nCARD = ")
    end = source.find("\n)\n", begin)
    try:
        return ast.parse(source[begin : end + 2], mode="eval").body
    except SyntaxError:
        return None


def _import_file(found: System) -> ModuleType:
    name = f"{PACKAGE}_elsewhere.{found.path}"
    if name in sys.modules and sys.modules[name].__file__ == str(found.file):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, found.file)
    if spec is None or spec.loader is None:
        raise UserError(found.file, "this file cannot be imported", "give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _fields(tree: ast.Module, file: Path, name: str) -> dict[str, Field]:
    """The fields of a dataclass and of those that it is made from, where they stand in this package."""
    made = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if made is None:
        return {}
    found: dict[str, Field] = {}
    for base in (base.id for base in made.bases if isinstance(base, ast.Name)):
        there = _imported(tree, base)
        if there is None:
            found |= _fields(tree, file, base)
        else:
            found |= _fields(ast.parse(there.read_text(encoding="utf-8"), str(there)), there, base)
    for node, following in zip_longest(made.body, made.body[1:]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default, title = ast.unparse(node.value) if node.value else "", node.target.id
            field = Field(title, ast.unparse(node.annotation), default, _string(following), file)
            if title in found and not field.help:  # only another default
                field = replace(field, help=found[title].help, file=found[title].file)
            found[title] = field
    return found


def _imported(tree: ast.Module, name: str) -> Path | None:
    """The file of this package that a name is imported from."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            package, *parts = (node.module or "").split(".")
            return _PACKAGE_FOLDER.joinpath(*parts).with_suffix(".py") if package == PACKAGE else None
    return None


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return node.value
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == name:
            return node.value
    return None


def _plain(node: ast.expr) -> Any:
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_plain(element) for element in node.elts)
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _keywords(node: ast.expr) -> dict[str, str]:
    if not isinstance(node, ast.Call):
        return {}
    return {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg}


def _string(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def _fact(name: str, function: ast.FunctionDef | None) -> Fact:
    lines = (ast.get_docstring(function) or "").splitlines() if function else []
    source = next((line.partition(":")[2].strip() for line in lines if line.strip().startswith("Source:")), "")
    return Fact(name, lines[0].strip() if lines else "", source.rstrip("."))
