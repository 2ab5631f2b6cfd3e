"""The import staircase: a package imports only packages with a smaller number, and nobody imports the root."""

import ast
import subprocess
import sys

import pytest
from sources import FILES, package, parsed, text

LEVELS = (
    ("core",),
    ("autodiff", "maths", "kernels", "engine"),
    ("nn", "inside", "optim", "data", "worlds", "metrics"),
    ("learn",),
    ("basics", "vision", "sparse"),
    ("sequence",),
    ("detection", "segmentation", "generative", "graph", "rl"),
    ("theory",),
    ("catalogue", "report"),
    ("cli", "studio"),
)
RANK = {name: rank for rank, names in enumerate(LEVELS) for name in names}
HEAVY = ("matplotlib", "numba", "triton", "tensorboard", "rich", "gymnasium", "PIL", "pooch", "sklearn", "scipy",
         "onnx", "onnxruntime", "torchvision", "pandas")
LIGHT_PACKAGES = {"core", "engine", "learn", "catalogue", "sparse", "basics", "vision", "generative", "metrics", "nn",
                  "inside"}


def imports(tree: ast.AST, name: str) -> list[str]:
    """Dotted names of everything that is imported anywhere in the tree; `from a import b` counts as a.b."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = name.removesuffix(".py").split("/")
            base = ".".join(["shinso", *here[: len(here) - node.level]]) + "." if node.level else ""
            found += [f"{base}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            if node.args and isinstance(node.args[0], ast.Constant):
                found.append(str(node.args[0].value))
    return found


def steps_up(name: str, tree: ast.AST) -> list[str]:
    """What a file imports that stands on its own or a higher level in another package."""
    mine, wrong = package(name), []
    for target in imports(tree, name):
        parts = target.split(".")
        if parts[0] != "shinso":
            continue
        other = parts[1] if len(parts) > 1 else ""
        if other not in RANK:
            wrong.append(f"{target} (the root, or a package without a level)")
        elif other != mine and RANK[other] >= RANK.get(mine, len(LEVELS)):
            wrong.append(target)
        elif other != mine and any(part.startswith("_") for part in parts[2:]):
            wrong.append(f"{target} (another package's kitchen)")
    return wrong


def at_import(tree: ast.Module) -> list[str]:
    """What importing the module imports: neither inside functions nor under TYPE_CHECKING."""
    found, waiting = [], list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += imports(node, "")
        waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
    return found


def test_every_package_has_a_level():
    assert {package(name) for name in FILES} - {""} <= set(RANK)


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down(name):
    assert not steps_up(name, parsed(name))


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith("__init__.py") and "/" in n])
def test_a_package_file_holds_a_docstring_and_nothing_else(name):
    (only,) = parsed(name).body
    assert isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)


@pytest.mark.parametrize("name", [n for n in FILES if package(n) in LIGHT_PACKAGES])
def test_nothing_heavy_is_imported_with_a_module(name):
    assert not [target for target in at_import(parsed(name)) if target.split(".")[0] in HEAVY]


def reached(name: str) -> set[str]:
    """Every file that importing this one imports, directly or not."""
    seen, waiting = set(), [name]
    while waiting:
        here = waiting.pop()
        if here not in seen:
            seen.add(here)
            for target in at_import(parsed(here)):
                parts = target.split(".")[1:] if target.startswith("shinso.") else []
                ways = ["/".join(parts) + ".py", "/".join(parts[:-1]) + ".py", "/".join(parts) + "/__init__.py"]
                waiting += [way for way in ways if way in FILES]
    return seen


@pytest.mark.parametrize("name", [n for n in ("__main__.py", "cli/main.py", "catalogue/index.py") if n in FILES])
def test_the_command_line_begins_without_torch(name):
    found = [(file, target) for file in sorted(reached(name)) for target in at_import(parsed(file))]
    assert not [(file, target) for file, target in found if target.split(".")[0] in (*HEAVY, "torch", "numpy")]


@pytest.mark.skipif("cli/main.py" not in FILES, reason="there is no command line")
@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["list", "--json"], ["show", "sparse.ista"]])
def test_asking_imports_no_torch(words):
    code = "import sys; from shinso.cli.main import run; code = run(sys.argv[1:]); assert code == 0, code; " \
           "found = {'torch', 'numba', 'matplotlib', 'gymnasium'} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code, *words], check=True, timeout=60, capture_output=True)


def test_reading_the_catalogue_imports_no_torch():
    code = "import sys; from shinso.catalogue import index; assert len(index.systems()) > 1; " \
           "assert not {'torch', 'numpy', 'numba', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_a_system_leaves_the_heavy_packages_alone():
    code = "import sys; import shinso.sparse.ista, shinso.basics.perceptron; " \
           "found = {'matplotlib', 'numba', 'tensorboard', 'rich', 'gymnasium', 'PIL'} & set(sys.modules); " \
           "assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


FORBIDDEN = {"loss", "losses", "model", "models", "optimiser", "optimizer", "batch", "batches", "reward", "rewards",
             "epoch", "epochs"}


def learning_words(source: str) -> list[str]:
    """Words about learning among the identifiers and strings of the code, docstrings left out."""
    tree = ast.parse(source)
    documents = {id(node.body[0].value) for node in ast.walk(tree)
                 if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
                 and isinstance(node.body[0], ast.Expr)}
    after_fields = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    said = []
    for node in ast.walk(tree):
        for attribute in ("id", "attr", "arg", "name"):
            said.append(getattr(node, attribute, None) or "")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents | after_fields:
            said.append(node.value)
    words = {word for text in said for word in "".join(c.lower() if c.isalpha() else " " for c in str(text)).split()}
    return sorted(words & FORBIDDEN)


@pytest.mark.parametrize("name", [n for n in FILES if package(n) == "engine"])
def test_the_engine_knows_nothing_of_learning(name):
    assert not learning_words(text(name))


def test_the_loop_stays_small():
    assert len(text("engine/loop.py").splitlines()) <= 60


@pytest.mark.parametrize(("name", "source", "expected"), [
    ("core/card.py", "from shinso.engine import loop", 1),
    ("vision/a.py", "from shinso.basics.mlp import MLP", 1),
    ("vision/a.py", "from shinso.learn.supervised import Plan", 0),
    ("vision/a.py", "from shinso import core", 0),
    ("vision/a.py", "import shinso", 1),
    ("vision/a.py", "from shinso import __version__", 1),
    ("rl/a.py", "from shinso.vision._cost import trained", 1),
    ("rl/a.py", "def f():\n    from shinso.cli import main", 1),
    ("rl/a.py", "from ..cli import main", 1),
    ("rl/a.py", "import_module('shinso.cli.main')", 1),
    ("rl/a.py", "from shinso.rl._networks import count", 0),
])
def test_the_walk_sees_what_it_must(name, source, expected):
    assert len(steps_up(name, ast.parse(source))) == expected


def test_the_word_list_looks_into_names_and_strings_only():
    assert learning_words('"""A loss."""\nx = 1\n"""help: the model"""\n') == []
    assert learning_words("def f(total_loss): ...") == ["loss"]
    assert learning_words("print('end of epoch')") == ["epoch"]
    assert learning_words("self.batch_size = 1") == ["batch"]
