"""The rules of the house that can be read off the source: import order, start-up time,
docstrings, paths."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from finediving_pose.openmmlab.compat import PACKAGES

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "finediving_pose"
ROOMS = {"annotation", "openmmlab", "extraction", "aqa", "synthesis", "reporting"}
FLOORS = {"leaf": 0, "datasets": 1, "room": 2, "workflows": 3, "cli": 4, "__main__": 5}
OPENMMLAB = {"mmengine", "mmcv", "mmdet", "mmpose"}
HELP_SECONDS = 0.5
NEVER_AT_START = {
    "torch",
    "torchvision",
    "cv2",
    "pandas",
    "scipy",
    "matplotlib",
    "ray",
    "pycocotools",
} | OPENMMLAB
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """The part of the house a dotted module name of ours stands in; a leaf is called by
    its own name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "finediving_pose"


def floor_of(room: str) -> int:
    return FLOORS.get(room, FLOORS["room"] if room in ROOMS else FLOORS["leaf"])


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(
    tree: ast.AST, module: str, package: bool = False
) -> Iterator[tuple[str, int]]:
    """Every module that a tree imports, at the top or inside a function, by its
    absolute dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                module.split(".")[: len(module.split(".")) - node.level + int(package)]
                if node.level
                else []
            )
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            if name in {"import_module", "__import__"} and isinstance(
                node.args[0].value, str
            ):
                yield node.args[0].value, node.lineno


def violations(tree: ast.AST, module: str, package: bool = False) -> list[str]:
    """What the imports of a module do against the order of the house."""
    here, found = room_of(module), []
    for target, line in imports(tree, module, package):
        top, there = target.split(".")[0], room_of(target)
        if top in OPENMMLAB and here != "openmmlab":
            found.append(f"{module}:{line} imports {top}, which only openmmlab may")
        if top != "finediving_pose" or there == here or there == "finediving_pose":
            continue
        if floor_of(there) > floor_of(here):
            found.append(f"{module}:{line} imports upwards: {target}")
        elif floor_of(there) == floor_of(here) and here in ROOMS:
            found.append(f"{module}:{line} imports from the room beside it: {target}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_downwards(path):
    assert (
        violations(tree_of(path), module_name(path), path.name == "__init__.py") == []
    )


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which of the given modules each of them imports, anywhere in it: inside functions
    and for type checkers too."""
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            named: list[str] = []
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    named.append(submodule if submodule in sources else node.module)
            graph[module] |= {name for name in named if name in sources} - {module}
    return graph


def import_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, however many lie between."""
    reached: dict[str, set[str]] = {}
    for module in graph:
        seen: set[str] = set()
        waiting = list(graph[module])
        while waiting:
            here = waiting.pop()
            if here not in seen:
                seen.add(here)
                waiting += graph[here]
        reached[module] = seen
    circles = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return [list(circle) for circle in sorted(circles)]


def test_no_modules_import_each_other():
    sources = {module_name(path): path.read_text(encoding="utf-8") for path in MODULES}
    assert import_circles(import_graph(sources)) == []


def test_modules_that_import_each_other_would_be_noticed():
    sources = {
        "p.a": "from p import b",
        "p.b": "def f():\n    import p.c",
        "p.c": "if TYPE_CHECKING:\n    from p.a import A",
        "p.d": "from p.a import A\nimport os",
    }
    assert import_circles(import_graph(sources)) == [["p.a", "p.b", "p.c"]]


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        (
            "finediving_pose.extraction.engine",
            "from finediving_pose.openmmlab import detector",
            "beside",
        ),
        (
            "finediving_pose.extraction.engine",
            "def f():\n    import finediving_pose.workflows.demo",
            "upwards",
        ),
        (
            "finediving_pose.datasets.coco",
            "from finediving_pose import workflows",
            "upwards",
        ),
        (
            "finediving_pose.config",
            "from finediving_pose.datasets import coco",
            "upwards",
        ),
        (
            "finediving_pose.workflows.demo",
            "from finediving_pose.cli.main import run",
            "upwards",
        ),
        (
            "finediving_pose.extraction.engine",
            "from ..reporting import overlay",
            "beside",
        ),
        ("finediving_pose.reporting.overlay", "import mmpose.apis", "only openmmlab"),
        (
            "finediving_pose.workflows.x",
            "importlib.import_module('mmengine')",
            "only openmmlab",
        ),
    ],
)
def test_an_import_against_the_order_is_noticed(module, source, fault):
    (found,) = violations(ast.parse(source), module)
    assert fault in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "finediving_pose.workflows.x",
            "from finediving_pose.extraction import engine\nimport finediving_pose.media",
        ),
        (
            "finediving_pose.extraction.engine",
            "from finediving_pose.extraction.track import Track",
        ),
        (
            "finediving_pose.extraction.engine",
            "from .track import Track\nfrom ..skeleton import JOINTS",
        ),
        (
            "finediving_pose.config",
            "from finediving_pose.console import UsageError\nfrom finediving_pose import manifest",
        ),
        ("finediving_pose.openmmlab.detector", "import mmdet"),
    ],
)
def test_imports_downwards_or_within_a_room_are_fine(module, source):
    assert violations(ast.parse(source), module) == []


def run_help(environment: dict[str, str]) -> float:
    """Run ``fdpose --help`` in a process of its own and return the seconds it took.

    On a busy machine the time on the processor says what the clock would say on an idle
    one.
    """
    code = "import sys; from finediving_pose.cli.main import run; sys.exit(run(['--help']))"
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    wall, after = time.perf_counter() - start, os.times()
    busy = (
        after.children_user
        + after.children_system
        - before.children_user
        - before.children_system
    )
    return (
        min(wall, busy) if busy > 0 else wall
    )  # Windows does not count the time of children


def test_help_answers_at_once(tmp_path):
    """The best of several runs, for other programs only ever add time; with bytecode,
    as after any first run."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run_help(environment)
    best = run_help(environment)
    for _ in range(8):
        if best < HELP_SECONDS:
            break
        best = min(best, run_help(environment))
    assert best < HELP_SECONDS


def loaded_by_help() -> set[str]:
    code = (
        "import sys\nfrom finediving_pose.cli.main import run\n"
        "run(['--help'])\nprint('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(run.stdout.rpartition("LOADED")[2].split())


def test_help_loads_nothing_heavy():
    loaded = loaded_by_help()
    assert "typer" in loaded  # it did run
    assert loaded & NEVER_AT_START == set()


def public_definitions(
    tree: ast.Module,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_everything_public_has_a_docstring(path):
    tree = tree_of(path)
    missing = [
        f"{path.name}:{node.lineno} {node.name}"
        for node in public_definitions(tree)
        if not ast.get_docstring(node)
    ]
    if tree.body and not ast.get_docstring(tree):
        missing.insert(0, f"{path.name}: the module itself")
    assert missing == []


def project_files() -> list[Path]:
    """Every text file that belongs to the project: what git tracks, else what a source
    archive holds."""
    if (PROJECT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        paths = [PROJECT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [
            path
            for folder in (PACKAGE, PROJECT / "tests")
            for path in folder.rglob("*.py")
        ]
    return [
        path
        for path in paths
        if path.is_file()
        and path.suffix not in {".png", ".jpg", ".gif", ".mp4", ".npz"}
    ]


OF_OTHERS_WORDING = {
    "extraction/batching.py",
    "openmmlab/compat.py",
    "workflows/package_checks.py",
}
"""Where another library's message is the only thing that tells its errors apart; each
says why in a comment."""


def reads_wording(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function decides by the words of a message: compares or searches
    ``.message``, ``.args`` or ``str(error)``, or a variable that holds one."""
    errors = {
        node.name for node in ast.walk(function) if isinstance(node, ast.ExceptHandler)
    }
    for argument in function.args.args:
        annotation = argument.annotation
        if annotation and re.search(r"Error|Exception", ast.unparse(annotation)):
            errors.add(argument.arg)
    texts: set[str] = set()

    def is_text(node: ast.AST) -> bool:
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and part.attr in {"message", "msg"}:
                return True
            if isinstance(part, ast.Name) and part.id in texts:
                return True
            if (
                isinstance(part, ast.Call)
                and isinstance(part.func, ast.Name)
                and part.func.id in {"str", "repr", "_short"}
                and any(isinstance(a, ast.Name) and a.id in errors for a in part.args)
            ):
                return True
        return False

    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and is_text(node.value):
            texts |= {name.id for name in node.targets if isinstance(name, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.Compare):
            if is_text(node.left) or any(map(is_text, node.comparators)):
                return True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            searches = {"search", "match", "fullmatch", "findall", "finditer"}
            if node.func.attr in searches and any(map(is_text, node.args)):
                return True
            starts = {"startswith", "endswith", "find", "index", "count"}
            if node.func.attr in starts and is_text(node.func.value):
                return True
    return False


def decided_by_wording(tree: ast.AST) -> list[str]:
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and reads_wording(node)
    ]


def test_nothing_is_decided_by_the_words_of_a_message():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if decided_by_wording(tree_of(path))
    }
    assert found == OF_OTHERS_WORDING


@pytest.mark.parametrize(
    "body",
    [
        "return 'twice' in problem.message",
        "return re.search('found', problem.message)",
        "return problem.message.startswith('found')",
        "text = problem.message\n return 'twice' in text",
        "try: pass\n except DataError as error: return 'no file' in str(error)",
        "return any(word in problem.message for word in WORDS)",
    ],
)
def test_a_decision_by_the_words_of_a_message_would_be_noticed(body):
    assert decided_by_wording(ast.parse(f"def f(problem):\n {body}")) == ["f"]


@pytest.mark.parametrize(
    "body",
    [
        "return problem.kind == 'double'",
        "return f'{problem.where}: {problem.message}'",
        "try: pass\n except DataError as error: return str(error).splitlines()",
    ],
)
def test_showing_a_message_is_no_decision_by_its_words(body):
    assert decided_by_wording(ast.parse(f"def f(problem):\n {body}")) == []


SOMEONES_PATH = re.compile(
    r"""(?<![\w.~}])/(?:home|Users|root|work|workspace|mnt|scratch)/[\w.-]+"""
)


def test_no_file_names_a_path_of_somebodys_machine():
    found = []
    for path in project_files():
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        ):
            if match := SOMEONES_PATH.search(line):
                found.append(f"{path.relative_to(PROJECT)}:{number}: {match[0]}")
    assert found == []


def test_a_path_of_somebodys_machine_would_be_noticed():
    assert SOMEONES_PATH.search("open('" + "/" + "home/anna/x.json')")
    assert not SOMEONES_PATH.search(
        "https://example.org/home/anna and frames/work/1.jpg"
    )


@pytest.mark.parametrize(
    "name", ["constraints.txt", "tools/refresh_constraints.sh", "pyproject.toml"]
)
def test_the_openmmlab_packages_have_one_version_everywhere(name):
    text = (PROJECT / name).read_text(encoding="utf-8")
    found = dict(
        re.findall(r"(onedl-mmengine|mmcv-lite|mmdet|mmpose)==([\d.]*\d)", text)
    )
    assert found == PACKAGES


OF_NO_MODULE = {
    "annotation/test_review_page.py": "the page in annotation/web, in a browser",
    "openmmlab/test_gpu.py": "what only a CUDA device can show, of several modules",
    "test_annotations.py": "the sample and the label files in the folder annotations",
    "test_borders.py": "files of others wherever they come in, mutated",
    "test_docs.py": "the pages in docs/",
    "test_house.py": "the rules of the house",
    "test_tutorial.py": "the page docs/tutorial.md, run from end to end",
}
"""Test modules that belong to no module of the package or of tools/, and why."""


def without_a_module(tests: Iterable[str], sources: set[str]) -> list[str]:
    """The test modules that name no source of their room.

    ``tests/<room>/test_<module>.py`` belongs to ``<room>/<module>``, and so does
    ``test_<module>_<aspect>.py``: one of its sides, in a file of its own.

    Args:
        tests: Paths of test modules below ``tests/``.
        sources: Paths of modules and folders below the package, without suffix; those
            of ``tools/`` begin with it.
    """
    found = []
    for test in tests:
        room, _, name = test.removesuffix(".py").rpartition("/")
        words = name.removeprefix("test_").split("_")
        named = {"_".join(words[:end]) for end in range(1, len(words) + 1)}
        if not any(f"{room}/{module}".lstrip("/") in sources for module in named):
            found.append(test)
    return found


def test_each_test_module_is_named_after_what_it_tests():
    tests = PROJECT / "tests"
    modules = [
        path.relative_to(tests).as_posix() for path in sorted(tests.rglob("test_*.py"))
    ]
    sources = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/_", "/")
        for path in PACKAGE.rglob("*")
        if path.is_dir() or path.suffix == ".py"
    }
    for path in (PROJECT / "tools").iterdir():
        sources.add(f"tools/{path.stem}")
    assert without_a_module(modules, sources) == sorted(OF_NO_MODULE)


def test_a_test_module_of_no_module_would_be_noticed():
    tests = ["test_video.py", "test_video_index.py", "aqa/test_video.py"]
    assert without_a_module(tests, {"video"}) == ["aqa/test_video.py"]


PRIVATE_OF_OTHERS = {
    "_ankle": "the end of a joint's name",
    "_prepare": "COCOeval's, whose matching is what ours is compared with",
    "_reconstruct": "the function in every pickled array",
    "_replace": "a method of named tuples that anybody may call",
    "_short": "what the test of decisions by wording looks for",
}
"""Names that something of ours has by chance, and what they are in the tests."""


def private_names(tree: ast.AST) -> set[str]:
    """The private names that a module defines: its own, its classes' and functions'."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name for name in found if re.match(r"_[^_]", name)}


def reached_for(tree: ast.AST, private: set[str]) -> list[str]:
    """The uses of private names of other modules: attributes, imports, and texts such
    as ``monkeypatch.setattr`` takes. A class may use its own through ``self``."""
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not own:
                names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            modules = (node.module or "").split(".")
            if modules[0] in {"finediving_pose", "tools"}:
                names = [*modules, *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value.rpartition(".")[2]]
        found += [f"{node.lineno}: {name}" for name in names if name in private]
    return found


def test_no_test_reaches_for_a_private_name_of_ours():
    sources = [*MODULES, *sorted((PROJECT / "tools").glob("*.py"))]
    private = {path.stem for path in sources if re.match(r"_[^_]", path.stem)}
    for path in sources:
        private |= private_names(tree_of(path))
    private -= PRIVATE_OF_OTHERS.keys()
    found = []
    for path in sorted((PROJECT / "tests").rglob("*.py")):
        for use in reached_for(tree_of(path), private):
            found.append(f"{path.relative_to(PROJECT)}:{use}")
    assert found == []


@pytest.mark.parametrize(
    "use",
    [
        "locks._renew(path)",
        "from finediving_pose.annotation.locks import _renew",
        "monkeypatch.setattr(locks, '_renew', None)",
        "monkeypatch.setattr('finediving_pose.annotation.locks._renew', None)",
        "run.engine._renew.batches",
    ],
)
def test_a_use_of_a_private_name_would_be_noticed(use):
    private = private_names(ast.parse("def _renew(): ..."))
    assert reached_for(ast.parse(use), private) == ["1: _renew"]


@pytest.mark.parametrize(
    "use",
    [
        "self._renew()",
        "from mmcv import _renew",
        "videos._replace(name='a')",
        "renew()",
    ],
)
def test_public_names_and_those_of_others_are_fine_in_tests(use):
    private = private_names(ast.parse("class A:\n def _renew(self): ..."))
    assert reached_for(ast.parse(use), private) == []
