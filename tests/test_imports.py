"""The import rule: packages import only from packages above them, and only those that may import torch do."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ofa_mcu"

# In order: a package imports from itself and from those above it. "no": never torch, "lazily": only inside functions.
TORCH = {
    "profiles": "no",
    "space": "no",
    "tasks": "lazily",
    "supernet": "yes",
    "training": "yes",
    "graph": "no",
    "quantization": "yes",
    "planning": "no",
    "search": "lazily",
    "codegen": "no",
    "devices": "no",
    "reports": "no",
    "cli": "lazily",
}
ORDER = list(TORCH)
TORCH_FAMILY = {"torch", "torchvision"}
ALWAYS_LAZY = {"ai_edge_litert", "dask", "distributed", "onnx", "onnx2tf", "onnxruntime", "tensorflow", "tf_keras"}
NOT_FOR_THE_CLI = (
    TORCH_FAMILY
    | ALWAYS_LAZY
    | {
        "codecarbon",
        "matplotlib",
        "numpy",
        "pandas",
        "platformio",
        "pymoo",
        "scipy",
        "serial",
        "sklearn",
        "tflite_micro",
    }
)


@dataclass(frozen=True)
class Import:
    """One imported module; `lazy` if the statement runs only when a function does, or only in a type checker."""

    file: Path
    line: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    """Every import of a file, relative ones resolved."""
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(file, node.lineno, alias.name, lazy)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = ".".join([*name.split(".")[:-level], *([module] if module else [])]) if level else str(module)
                for alias in names:
                    yield Import(file, node.lineno, f"{base}.{alias.name}", lazy)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=orelse):
                for statement in body:
                    yield from visit(statement, True)
                for statement in orelse:
                    yield from visit(statement, lazy)
            case _:
                inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                for child in ast.iter_child_nodes(node):
                    yield from visit(child, inside)

    return visit(ast.parse(file.read_text(encoding="utf-8"), str(file)), False)


def files_of(package: str) -> list[Path]:
    return sorted((PACKAGE / package).rglob("*.py"))


def test_every_package_has_its_place() -> None:
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found <= set(ORDER), "a package that the table of packages does not know"


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_upwards_only(package: str) -> None:
    allowed = set(ORDER[: ORDER.index(package) + 1])
    downwards = [
        str(found)
        for file in files_of(package)
        for found in imports_of(file)
        if found.module.startswith("ofa_mcu.") and found.module.split(".")[1] in set(ORDER) - allowed
    ]
    assert not downwards


@pytest.mark.parametrize("package", ORDER)
def test_heavy_imports(package: str) -> None:
    wrong = []
    for file in files_of(package):
        for found in imports_of(file):
            top = found.module.split(".")[0]
            forbidden = top in TORCH_FAMILY and (
                TORCH[package] == "no" or (TORCH[package] == "lazily" and not found.lazy)
            )
            if forbidden or (top in ALWAYS_LAZY and not found.lazy):
                wrong.append(str(found))
    assert not wrong


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_without_torch_never_bring_it_in() -> None:
    """At run time, through whatever they import."""
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package, torch in TORCH.items()
        if torch != "yes"
        for file in files_of(package)
    ]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    for heavy in ('torch', 'tensorflow'):\n"
        "        if heavy in sys.modules: sys.exit(f'importing {name} brought in {heavy}')\n"
    )
    run(code, *modules)


def test_command_line_starts_light() -> None:
    loaded = set(run("import sys, ofa_mcu.cli; print(*{name.split('.')[0] for name in sys.modules})").split())
    assert not loaded & NOT_FOR_THE_CLI


def test_help_takes_half_a_second_at_most() -> None:
    """Processor time, which a busy machine does not inflate as it does the clock; the best of three."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "Usage" in run("import ofa_mcu.cli; ofa_mcu.cli.main()", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5
