"""House rules that a machine can read: documented, nothing dangerous, nothing left undone, everything tested."""

import ast
import re
from pathlib import Path

import pytest
from sources import FILES, package, parsed, text
from traces import CARDS

from shinso.catalogue import index

TESTS = Path(__file__).parent.parent
DANGEROUS_NAMES = {"eval", "exec", "__import__"}
DANGEROUS_METHODS = {"os.system", "os.popen", "builtins.eval", "builtins.exec", "subprocess.getoutput"}
DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "yaml"}


def dangers(tree: ast.AST) -> list[str]:
    """Calls, imports and arguments that run foreign code or hide errors."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            bare = isinstance(node.func, ast.Name) and name in DANGEROUS_NAMES
            if bare or ast.unparse(node.func) in DANGEROUS_METHODS or name == "extractall":
                found.append(f"line {node.lineno}: {name}()")
            for keyword in node.keywords:
                if isinstance(keyword.value, ast.Constant) and (keyword.arg, keyword.value.value) in _SWITCHES:
                    found.append(f"line {node.lineno}: {keyword.arg}={keyword.value.value}")
            loads = name == "load" and ast.unparse(node.func) == "torch.load"
            if loads and "weights_only" not in {k.arg for k in node.keywords}:
                found.append(f"line {node.lineno}: torch.load without weights_only=True")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"line {node.lineno}: {n}" for n in names if n.split(".")[0] in DANGEROUS_MODULES]
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"line {node.lineno}: except without a type")
    return found


_SWITCHES = {("shell", True), ("weights_only", False), ("allow_pickle", True)}


def undocumented(tree: ast.Module) -> list[str]:
    """Public top-level functions and classes without a docstring; one that makes a command has the command's help."""
    public = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")]
    commands = {n.name for n in public if isinstance(n, ast.FunctionDef) and n.returns is not None
                and ast.unparse(n.returns) == "click.Command"}
    return [n.name for n in public if not ast.get_docstring(n) and n.name not in commands]


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_it_is(name):
    assert (ast.get_docstring(parsed(name)) or "").strip()


@pytest.mark.parametrize("name", [n for n in FILES if not n.split("/")[-1].startswith("_") and "_native" not in n])
def test_public_functions_and_classes_say_what_they_are(name):
    assert not undocumented(parsed(name))


@pytest.mark.parametrize("name", FILES)
def test_nothing_dangerous_is_called(name):
    assert not dangers(parsed(name))


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_left_undone(name):
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text(name))
    assert "from __future__ import annotations" not in text(name)


@pytest.mark.parametrize("name", [n for n in FILES if package(n) not in ("cli", "report", "studio", "data")])
def test_only_the_command_line_prints(name):
    calls = [n for n in ast.walk(parsed(name)) if isinstance(n, ast.Call)]
    assert not [c.lineno for c in calls if getattr(c.func, "id", "") == "print"]


@pytest.mark.parametrize("name", FILES)
def test_code_is_ascii_outside_of_its_strings(name):
    outside = text(name)
    for node in sorted((n for n in ast.walk(parsed(name)) if isinstance(n, (ast.Constant, ast.JoinedStr))),
                       key=lambda n: -n.lineno):
        if isinstance(node, ast.JoinedStr) or isinstance(node.value, str):
            lines = outside.splitlines()
            for i in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[i] = "" if not lines[i].isascii() else lines[i]
            outside = "\n".join(lines)
    assert outside.isascii()


@pytest.mark.parametrize("path", [p for p in CARDS if not index.card(p).card.get("twin")])  # test_byhand has those
def test_what_has_a_card_has_a_test_at_its_own_path(path):
    subject, _, name = path.rpartition(".")
    assert (TESTS / subject.replace(".", "/") / f"test_{name}.py").is_file()


def test_test_files_have_names_of_their_own_and_no_packages():
    files = [file.name for file in TESTS.rglob("test_*.py")]
    assert len(files) == len(set(files)), sorted({name for name in files if files.count(name) > 1})
    assert not list(TESTS.rglob("__init__.py"))


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda f: str(f.relative_to(TESTS)))
def test_every_skip_says_why(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.skip", "pytest.mark.skip", "pytest.xfail"):
            assert node.args or node.keywords, f"line {node.lineno}"
        assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.xfail"), "mend it instead"


@pytest.mark.parametrize(("source", "number"), [
    ("import pickle", 1), ("from yaml import load", 1), ("eval('1')", 1), ("model.eval()", 0), ("os.system('x')", 1),
    ("system(path)", 0), ("platform.system()", 0), ("exec(code)", 1), ("__import__('x')", 1),
    ("run('x', shell=True)", 1), ("torch.load(f)", 1), ("torch.load(f, weights_only=True)", 0),
    ("torch.load(f, weights_only=False)", 1), ("zip.extractall(p)", 1), ("try:\n    f()\nexcept:\n    pass", 1),
    ("np.load(f, allow_pickle=True)", 1), ("re.compile('x')", 0), ("def exec(): ...", 0),
])
def test_the_walk_sees_the_danger(source, number):
    assert len(dangers(ast.parse(source))) == number
