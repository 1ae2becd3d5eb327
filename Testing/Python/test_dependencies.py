"""Packages beyond the core: none for the main job; for the rest one question, nothing replaced, failures explained."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from subprocess import CalledProcessError
from types import ModuleType, SimpleNamespace

import pytest
from conftest import REPOSITORY
from DicomAnalysisLib.dependencies import (
    FEATURES,
    DependencyError,
    Package,
    constraints_text,
    ensure,
    explain_failure,
    explain_missing_module,
    installed_version,
    manual_way,
    missing,
    question,
)
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from hypothesis import given
from hypothesis import strategies as st

LIBRARY = str(REPOSITORY / "DicomAnalysis")
BEYOND = {
    *("imagecodecs", "matplotlib", "skimage", "sklearn", "torch", "monai", "safetensors", "xgboost", "hdbscan"),
    *("umap", "distributed", "psutil", "nrrd", "cc3d", "pandas"),
}
"""What Slicer does not ship."""


class Answers:
    """An installer that notes what it is asked; `state` holds the versions that are there."""

    def __init__(self, state=None, *, yes=True, failure=None, works=True):
        self.state = dict(state or {})
        self.yes, self.failure, self.works = yes, failure, works
        self.questions, self.installed, self.torch, self.constraints = [], [], [], []

    def version_of(self, package):
        return self.state.get(package.name)

    def confirm(self, title, text):
        self.questions.append((title, text))
        return self.yes

    def install(self, requirements, constraints):
        self.constraints.append(constraints.read_text())
        if self.failure:
            raise RuntimeError(self.failure)
        self.installed += requirements
        if self.works:
            self.state |= {re.match(r"[\w-]+", requirement)[0]: "99.0" for requirement in requirements}

    def install_torch(self, specifier, constraints):
        assert constraints.is_file()
        self.torch.append(specifier)
        self.state["torch"] = "2.13.0+cpu"


class TestFeatures:
    def test_the_bounds_are_those_of_pip(self):
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
        declared = {line.partition(";")[0] for line in project["dependencies"]}
        declared |= {line.partition(";")[0] for lines in project["optional-dependencies"].values() for line in lines}
        for feature in FEATURES.values():
            assert {package.requirement for package in feature.packages} <= declared

    def test_every_extra_for_users_is_a_feature(self):
        extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        for name in ("network", "cohort"):
            wanted = {line.partition(";")[0] for line in extras[name]}
            assert {package.requirement for package in FEATURES[name].packages} == wanted

    def test_the_main_job_needs_none(self):
        assert FEATURES["segmentation"].packages == ()
        assert missing("segmentation") == ()

    def test_what_is_installed_is_not_missing(self):
        assert missing("decoding") == ()
        assert installed_version(Package("numpy>=1", "numpy", 1, "")) is not None
        assert installed_version(Package("no-such-thing>=1", "no_such_thing", 1, "")) is None

    def test_systems_have_packages_of_their_own(self):
        nothing = lambda _package: None  # noqa: E731
        for system, name in (("Linux", "xgboost-cpu"), ("Windows", "xgboost-cpu"), ("Darwin", "xgboost")):
            names = [package.name for package in missing("cohort", nothing, system)]
            assert [one for one in names if one.startswith("xgboost")] == [name]

    @pytest.mark.parametrize(
        ("version", "enough"),
        [("2.4", True), ("2.4.0", True), ("2.13.0+cpu", True), ("2.10rc1", True), ("2.3.9", False), ("1.13", False)],
    )
    def test_versions_are_compared_as_numbers(self, version, enough):
        old = {package.name for package in missing("network", lambda _package: version)}
        assert ("torch" not in old) is enough

    @given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.lists(st.integers(0, 99), min_size=1, max_size=4))
    def test_as_packaging_compares_them(self, one, other):
        from packaging.specifiers import SpecifierSet

        bound, version = ".".join(map(str, one)), ".".join(map(str, other))
        from DicomAnalysisLib.dependencies.features import _is_satisfied

        assert _is_satisfied(Package(f"thing>={bound}", "thing", 1, ""), version) == SpecifierSet(
            f">={bound}"
        ).contains(version)


class TestEnsure:
    def test_one_question_says_what_how_large_and_where_from(self):
        answers = Answers(yes=False)
        assert ensure("network", answers, answers.version_of) is False
        [(title, text)] = answers.questions
        assert "Neural networks" in title
        for part in (
            "torch>=2.4",
            "monai>=1.4",
            "safetensors>=0.4",
            "203 MB to 2.5 GB",
            "extension PyTorch",
            "pypi.org",
        ):
            assert part in text
        assert "No package that is there is replaced" in text
        assert not answers.installed
        assert not answers.torch

    def test_nothing_is_asked_where_nothing_is_missing(self):
        answers = Answers()
        assert ensure("segmentation", answers, answers.version_of)
        assert ensure("cohort", answers, lambda _package: "99.0")
        assert not answers.questions

    def test_torch_comes_from_its_extension_and_the_rest_from_the_index(self, monkeypatch):
        answers = Answers()
        assert ensure("network", answers, answers.version_of)
        assert answers.torch == [">=2.4"]
        assert answers.installed == ["monai>=1.4", "safetensors>=0.4"]
        monkeypatch.setattr("platform.system", lambda: "Windows")
        answers = Answers()
        ensure("network", answers, answers.version_of)
        assert answers.torch == [">=2.4,<2.13"]

    def test_only_what_is_missing_is_installed(self):
        answers = Answers({"torch": "2.9", "monai": "1.3"})
        assert ensure("network", answers, answers.version_of)
        assert not answers.torch
        assert answers.installed == ["monai>=1.4", "safetensors>=0.4"]

    def test_what_is_there_is_kept_but_for_what_is_asked_for(self):
        answers = Answers({"monai": "1.3"})
        ensure("network", answers, answers.version_of)
        [pins] = answers.constraints
        for name in ("numpy", "scipy", "pydicom", "SimpleITK"):
            assert re.search(rf"^{name}==\S+$", pins, re.MULTILINE | re.IGNORECASE), name
        installed = {"Torch": "2.1", "my.Package_x": "1.0", "numpy": "2.4.6"}
        asked = [Package("my-package-X>=2", "x", 1, ""), Package("torch>=2.4", "torch", 1, "")]
        assert constraints_text(asked, installed) == "numpy==2.4.6\n"
        assert constraints_text([], installed) == "my.Package_x==1.0\nnumpy==2.4.6\nTorch==2.1\n"

    def test_a_failure_says_why_and_what_else_to_do(self):
        answers = Answers(failure="NewConnectionError: getaddrinfo failed")
        with pytest.raises(DependencyError) as told:
            ensure("cohort", answers, answers.version_of)
        for part in ("Cohort analysis cannot be used", "offline", "pip download", "--no-index", "HTTPS_PROXY"):
            assert part in str(told.value)

    def test_an_installation_that_changes_nothing_is_noticed(self):
        answers = Answers(works=False)
        with pytest.raises(DependencyError, match="cannot be found after the installation"):
            ensure("plots", answers, answers.version_of)


def pip(*arguments: object) -> str:
    """What pip says to a request that cannot be met; nothing is installed."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--disable-pip-version-check", *map(str, arguments)]
    environment = {"PATH": "", "PIP_CONFIG_FILE": "/dev/null", "SYSTEMROOT": "C:\\Windows", "NO_PROXY": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.fixture
def wheels(tmp_path):
    """A package of our own that wants another numpy than the one that is there."""
    name = "wants_old_numpy-1.0"
    files = {
        "wants_old_numpy.py": "",
        f"{name}.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: wants-old-numpy\nVersion: 1.0\nRequires-Dist: numpy<1.0\n"
        ),
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{name}.dist-info/RECORD"] = "".join(f"{path},,\n" for path in files)
    with zipfile.ZipFile(tmp_path / f"{name}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return tmp_path


class TestExplanations:
    def test_offline_as_pip_says_it(self):
        said = pip("--index-url", "http://127.0.0.1:9/simple", "--retries", "1", "no-such-package")
        assert "offline" in explain_failure(said)

    def test_a_proxy_that_refuses_as_pip_says_it(self):
        index, proxy = "https://pypi.org/simple", "http://127.0.0.1:9"
        said = pip("--index-url", index, "--proxy", proxy, "--retries", "1", "no-such-package")
        assert "proxy" in explain_failure(said)

    def test_what_would_replace_numpy_is_refused_by_pip_itself(self, wheels):
        constraints = wheels / "constraints.txt"
        constraints.write_text(constraints_text([]))
        said = pip("--no-index", "--find-links", wheels, "-c", constraints, "wants-old-numpy")
        assert "do not fit to what is installed" in explain_failure(said)

    @pytest.mark.parametrize(
        ("said", "part"),
        [
            ("SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED)", "PIP_CERT"),
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
            ("[WinError 206] The filename or extension is too long", "too long for Windows"),
            ("PermissionError: [Errno 13] Permission denied", "cannot be written"),
            ("ERROR: No matching distribution found for torch>=9", "no build"),
            ("No module named 'PyTorchUtils'", "Extensions Manager"),
            ("first\n  last words \n\n", "last words"),
            ("", "no reason"),
        ],
    )
    def test_other_ways_to_fail(self, said, part):
        assert part in explain_failure(said)

    def test_no_advice_to_switch_a_check_off(self):
        text = " ".join(explain_failure(said) for said in ("SSLError", "ProxyError", "getaddrinfo failed"))
        assert "trusted-host" not in text
        assert "verify=False" not in text

    def test_a_missing_module_is_explained_by_what_needs_it(self):
        assert "Cohort analysis" in explain_missing_module("sklearn.cluster")
        assert "module PyTorch Util" in explain_missing_module("torch")
        assert "part of Slicer" in explain_missing_module("scipy.ndimage")

    def test_the_manual_way_and_the_question_name_every_package(self):
        for name, feature in FEATURES.items():
            for package in feature.packages:
                assert package.name in manual_way([package])
                assert package.requirement in question(name, [package])


class TestMainJob:
    def test_it_runs_on_what_slicer_ships(self, tmp_path):
        """From DICOM to every result file, in a Python that has nothing beyond."""
        volume = make_head_phantom((10, 48, 48), (14.0, 4.8, 4.8)).volume
        write_dicom_series(volume, tmp_path / "dicom")
        code = (
            f"import sys; sys.path.insert(0, {LIBRARY!r})\n"
            f"sys.modules.update(dict.fromkeys({sorted(BEYOND)!r}))\n"
            "from DicomAnalysisLib.run import segment_source\n"
            f"report = segment_source({str(tmp_path / 'dicom')!r}, {str(tmp_path / 'out')!r})\n"
            "print(*[outcome.reason for outcome in report.outcomes]); sys.exit(not report.complete)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        folder = tmp_path / "out" / volume.identity.series_uid
        assert {"result.json", "segmentation.seg.nrrd", "preview.png"} <= {path.name for path in folder.iterdir()}


@pytest.fixture
def slicer_installer(monkeypatch):
    """Slicer's own installer on a stand-in for `slicer.packaging`; what it proves ends at that module's door."""
    pytest.importorskip("PySide6", reason="the face's stand-ins need PySide6-Essentials (extra 'test')")
    import slicer
    from standins import application

    calls = SimpleNamespace(ensured=[], asked=[], torch=[], failure=None)

    def pip_ensure(requirements, constraints=None, prompt_install=True, requester=None):
        print("Collecting", *requirements)
        calls.ensured.append((requirements, Path(constraints).read_text(), prompt_install, requester))
        if calls.failure:
            print(calls.failure)
            raise CalledProcessError(1, "pip install")

    packaging = ModuleType("slicer.packaging")
    packaging.pip_ensure = pip_ensure
    packaging.load_requirements = lambda path: Path(path).read_text().split("\n")
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, title: calls.asked.append((title, text)) or True
    )
    with application():
        from DicomAnalysisPanels.installer import SlicerInstaller

        yield SlicerInstaller(), calls


class TestInSlicer:
    def test_it_asks_once_and_installs_under_constraints(self, slicer_installer, capsys):
        installer, calls = slicer_installer
        state = {}
        calls_before = dict(state)
        version_of = lambda package: "99" if calls.ensured else calls_before.get(package.name)  # noqa: E731
        assert ensure("plots", installer, version_of)
        [(requirements, constraints, prompt, requester)] = calls.ensured
        assert (requirements, prompt, requester) == (["matplotlib>=3.8"], False, "DicomAnalysis")
        assert "numpy==" in constraints
        assert len(calls.asked) == 1
        assert "Collecting" in capsys.readouterr().out, "what pip prints is still seen"

    def test_why_it_failed_is_in_what_pip_printed(self, slicer_installer):
        installer, calls = slicer_installer
        calls.failure = "ERROR: getaddrinfo failed"
        with pytest.raises(DependencyError, match="offline"):
            ensure("plots", installer, lambda _package: None)

    def test_torch_without_its_extension(self, slicer_installer):
        installer, _calls = slicer_installer
        with pytest.raises(DependencyError, match="Install it in the Extensions Manager"):
            ensure("network", installer, lambda _package: None)

    def test_torch_through_its_extension(self, slicer_installer, monkeypatch):
        import os

        installer, calls = slicer_installer

        class Logic:
            def installTorch(self, torchVersionRequirement):  # noqa: N802, N803
                calls.torch.append((torchVersionRequirement, Path(os.environ["PIP_CONSTRAINT"]).read_text()))

        extension = ModuleType("PyTorchUtils")
        extension.PyTorchUtilsLogic = Logic
        monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
        monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
        assert ensure("network", installer, lambda _package: "99" if calls.ensured else None)
        [(specifier, constraints)] = calls.torch
        assert specifier.startswith(">=2.4")
        assert "numpy==" in constraints
        assert "PIP_CONSTRAINT" not in os.environ

    def test_the_logic_offers_it(self, slicer_installer):
        from DicomAnalysis import DicomAnalysisLogic

        answers = Answers(yes=False)
        assert DicomAnalysisLogic().ensurePackages("segmentation", answers)
        assert not answers.questions
