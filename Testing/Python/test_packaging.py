"""What is written down about the project agrees with what is there."""

from __future__ import annotations

import ast
import json
import re
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY

MODULE = REPOSITORY / "DicomAnalysis"
LIBRARY = MODULE / "DicomAnalysisLib"
SOURCES = sorted(LIBRARY.rglob("*.py"))

HEAVY = {
    *("torch", "monai", "sklearn", "skimage", "xgboost", "hdbscan", "umap", "highdicom", "distributed"),
    *("matplotlib", "imagecodecs", "SimpleITK", "cc3d", "nrrd", "slicer", "vtk", "vtkmodules", "qt", "ctk"),
}
IMPORT_NAMES = {
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
    "xgboost-cpu": "xgboost",
}
SLICER = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "DICOMLib", "MRMLCorePython"}

WRITING = ("files.atomic", "files.folder_lock", "files.json_text", "files.names", "files.spreadsheet")

# From the ground up. A room may use those of lower floors and its own. How a file is written in one step, a folder
# locked, JSON and cells made, and which packages are missing, know nothing of what is computed: for every room.
FLOORS = (
    ("errors", "logs", "volume", "segments", "dependencies", *WRITING),
    ("dicom", "preprocessing", "phantom", "networks"),
    ("segmentation", "classification"),
    ("cohort",),
    ("reporting", "files", "mrml", "dicomweb"),
    ("batch",),
    ("run",),
    ("jobs", "worker", "cohort.engine"),
    ("demo",),
    ("cli", "commands", "__main__"),
)


def _cmake_list(name: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    match = re.search(rf"set\({name}\s(.*?)\)", text, re.DOTALL)
    assert match, f"{name} is not set in DicomAnalysis/CMakeLists.txt"
    return match[1].split()


def _files(pattern: str) -> list[str]:
    files = (p for p in MODULE.glob(pattern) if p.is_file() and ".egg-info" not in str(p))
    return [p.relative_to(MODULE).as_posix() for p in files]


def test_slicer_packages_every_script_and_no_other() -> None:
    scripts = _files("**/*.py")
    assert sorted(_cmake_list("MODULE_PYTHON_SCRIPTS")) == sorted(scripts)


def test_slicer_packages_every_resource_and_no_other() -> None:
    resources = [n for n in _files("**/*") if not n.endswith((".py", ".pyc")) and n != "CMakeLists.txt"]
    assert sorted(_cmake_list("MODULE_PYTHON_RESOURCES")) == sorted(resources)


def _library_data() -> list[str]:
    return [n for n in _files("DicomAnalysisLib/**/*") if not n.endswith((".py", ".pyc"))]


def test_pip_packages_what_the_library_reads() -> None:
    data = _pyproject()["tool"]["setuptools"].get("package-data", {}).get("*", [])
    covered = {p for pattern in data for package in LIBRARY.rglob("*/") for p in package.glob(pattern)}
    covered |= {p for pattern in data for p in LIBRARY.glob(pattern)}
    assert {MODULE / name for name in _library_data()} <= covered


@pytest.mark.parametrize("folder", [p.parent for p in SOURCES], ids=lambda p: p.name)
def test_every_room_is_a_package(folder: Path) -> None:
    assert (folder / "__init__.py").is_file()


def test_importing_the_library_loads_nothing_heavy() -> None:
    # The MRML room stands on VTK; it is imported where there is a scene.
    names = [_module_name(p) for p in SOURCES if p.stem != "__main__" and "mrml" not in p.parts]
    code = (
        f"import importlib, sys; sys.path.insert(0, {str(MODULE)!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY!r} & {{n.partition('.')[0] for n in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_package_itself_loads_the_standard_library_alone() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r}); before = set(sys.modules); import DicomAnalysisLib\n"
        "new = {n.partition('.')[0] for n in set(sys.modules) - before}\n"
        "print(sorted(new - sys.stdlib_module_names - {'DicomAnalysisLib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FACES = [MODULE / "DicomAnalysis.py", *sorted((MODULE / "DicomAnalysisPanels").glob("*.py"))]


@pytest.mark.parametrize("path", FACES, ids=lambda p: p.stem)
def test_slicer_faces_import_only_what_slicer_has_at_file_scope(path: Path) -> None:
    allowed = SLICER | {"DicomAnalysisLib", "DicomAnalysisPanels", "numpy"} | set(sys.stdlib_module_names)
    assert _imports(path, file_scope=True) <= allowed


def _module_name(path: Path) -> str:
    parts = path.relative_to(MODULE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, *, file_scope: bool = False) -> set[str]:
    """Top names of what a file imports from elsewhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if file_scope else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _pyproject() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def _import_names(requirements: list[str]) -> set[str]:
    names = [re.match(r"[A-Za-z0-9._-]+", r)[0] for r in requirements]
    return {IMPORT_NAMES.get(name, name) for name in names}


def test_dependencies_are_those_that_are_imported() -> None:
    project = _pyproject()["project"]
    core = _import_names(project["dependencies"])
    optional = set()
    for name, requirements in project["optional-dependencies"].items():
        if name not in ("all", "test"):
            optional |= _import_names(requirements)
    used = set().union(*(_imports(p) for p in SOURCES)) - set(sys.stdlib_module_names) - SLICER - {"DicomAnalysisLib"}
    assert core <= used, "declared but not imported"
    assert used <= core | optional, "imported but not declared"


def test_slicers_requirements_have_the_bounds_of_pip() -> None:
    lines = (MODULE / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = {line for line in lines if line and not line.startswith("#")}
    assert requirements <= set(_pyproject()["project"]["dependencies"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(LIBRARY).as_posix())
def test_imports_point_downward(path: Path) -> None:
    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    room = _room(list(path.relative_to(LIBRARY).with_suffix("").parts))
    if room == "__init__":
        return
    assert room in floor, f"{room} has no place in FLOORS"
    for other in _own_rooms(path):
        assert floor[other] <= floor[room], f"{path.name} ({room}) imports {other}, which lies above it"


def _own_rooms(path: Path) -> set[str]:
    depth = len(path.relative_to(LIBRARY).parts)
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level == depth:
            rooms |= {_room(node.module.split("."))} if node.module else {a.name for a in node.names}
        elif not node.level and node.module.startswith("DicomAnalysisLib."):
            rooms.add(_room(node.module.split(".")[1:]))
    return rooms - {"__version__"}


def _room(parts: list[str]) -> str:
    of_its_own = ".".join(parts[:2])
    return of_its_own if any(of_its_own in rooms for rooms in FLOORS) else parts[0]


def test_readme_names_every_dependency() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for requirement in _pyproject()["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        assert f"| [{name}]" in readme, f"{name} is missing from the table of dependencies"
    for extra in ("network", "cohort", "dask"):
        for requirement in _pyproject()["project"]["optional-dependencies"][extra]:
            name = re.match(r"[A-Za-z0-9._-]+", requirement)[0].removesuffix("-cpu")
            assert f"[{name}](" in readme.lower(), f"{name} of the extra {extra} is missing from the README"


def test_readme_and_ci_give_the_same_two_commands() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("./demo.sh", "ctest -S Testing/run_tests.cmake -V"):
        assert f"\n{command}\n" in readme
        assert f"\n{command}\n" in ci


def test_extension_description_is_what_the_index_reads() -> None:
    cmake = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(DicomAnalysis" in cmake
    for key in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{key} "[^"\n]+"\)$', cmake, re.MULTILINE), key
    for key in ("ICONURL", "SCREENSHOTURLS"):
        for url in re.search(rf'EXTENSION_{key} "([^"]+)"', cmake)[1].split():
            assert (REPOSITORY / url.partition("/main/")[2]).is_file(), url
    index = json.loads((REPOSITORY / "Resources" / "DicomAnalysis.json").read_text(encoding="utf-8"))
    assert index["category"] == re.search(r'EXTENSION_CATEGORY "([^"]+)"', cmake)[1]
    depends = re.search(r'EXTENSION_DEPENDS "([^"]+)"', cmake)[1]
    assert index["build_dependencies"] == ([] if depends == "NA" else depends.split())
    assert index["scm_url"].removesuffix(".git") == re.search(r'EXTENSION_HOMEPAGE "([^"]+)"', cmake)[1]


@pytest.mark.parametrize("icon", ["Resources/DicomAnalysis.png", "DicomAnalysis/Resources/Icons/DicomAnalysis.png"])
def test_icons_are_128_pixels_square(icon: str) -> None:
    data = (REPOSITORY / icon).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)


@pytest.mark.parametrize("page", ["README.md", "Documentation/tutorial.md"])
def test_pages_point_to_what_is_there(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert ((REPOSITORY / page).parent / target).is_file(), target


def test_the_citation_is_of_this_version() -> None:
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    init = (LIBRARY / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "([^"]+)"', init)[1]
    assert f"\nversion: {version}\n" in citation
    assert f"Version {version}." in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert "\nlicense: Apache-2.0\n" in citation
