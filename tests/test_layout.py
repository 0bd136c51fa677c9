"""The layout of docs/design.md: imports point down its floors, tests mirror its rooms."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [  # from top to bottom; rooms of one floor import each other
    {"cli"},
    {"study"},
    {"config"},
    {"training", "rendering"},
    {"evaluation"},
    {"separation"},
    {"listening_page", "data"},
    {"model", "audio"},
    {"runtime"},
    {"errors"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(ROOT.glob("sep/**/*.py"))


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "sep" and len(parts) > 1 and parts[1] in FLOOR else None


def imports(path: Path) -> set[str]:
    """Rooms of Sep that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {room_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {room_of(f"{node.module}.{alias.name}") for alias in node.names}
    return found - {None}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if room is None:  # sep/__init__.py imports `load` when it is used
        return
    above = {other for other in imports(path) if FLOOR[other] < FLOOR[room]}
    assert not above, f"{path.relative_to(ROOT)} imports {above}"


def test_every_file_is_in_a_room():
    loose = {path.stem for path in FILES if path.parent == ROOT / "sep"}
    assert loose == {"__init__", "config", "errors"}


def test_kinds_of_parts_do_not_import_each_other():
    for kind, other in (
        ("architectures", "representations"),
        ("representations", "architectures"),
    ):
        for path in ROOT.glob(f"sep/model/{kind}/*.py"):
            assert f"sep.model.{other}" not in path.read_text(), path


def test_tests_mirror_the_rooms_and_do_not_import_each_other():
    rooms = {path.name for path in ROOT.glob("sep/*/") if (path / "__init__.py").exists()}
    rooms |= {"examples", "experiments", "benchmarks"}
    for path in ROOT.glob("tests/*/"):
        assert path.name in rooms | {"__pycache__"}, path
    for path in ROOT.glob("tests/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("test_"), path
