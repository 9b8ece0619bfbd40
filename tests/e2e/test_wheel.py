"""The wheel holds exactly our four packages, and works when it is installed elsewhere."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("grit", "gtm", "dbtm", "log_players")
pytestmark = pytest.mark.xdist_group("wheel")  # built and installed once, also by several workers


def run(*command: str | Path, cwd: Path) -> str:
    """Run to the end and return the output; nothing of this checkout leaks in by the environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE", "PIP_"))}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def sources(*packages: str) -> set[str]:
    """Return the files of the packages in this checkout, as a wheel names them."""
    found = {path for package in packages for path in (ROOT / package).rglob("*") if path.is_file()}
    return {str(path.relative_to(ROOT)) for path in found if path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the locked build backend: no registry is asked."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("grit_txn-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, and only it: what it depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, with_pip=True, symlinks=True)
    interpreter = folder / "bin" / "python"
    run(interpreter, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    lend_dependencies(folder)
    return interpreter


def lend_dependencies(folder: Path) -> None:
    """Put the packages of this environment behind those of the other, without the editable install of this checkout.

    A path in a .pth file is only appended to sys.path; .pth files in that path, which an editable install is, are not read.
    """
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == sources(*PACKAGES)


def test_every_package_is_typed(wheel: Path) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    (licence,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("licenses/LICENSE"))
    assert b"Apache License" in zipfile.ZipFile(wheel).read(licence)


def test_the_packages_import_elsewhere(python: Path) -> None:
    code = "import grit.core, gtm, dbtm, log_players; print(grit.core.__file__, gtm.__file__, dbtm.__file__, log_players.__file__)"
    files = run(python, "-c", code, cwd=python.parent).split()
    assert len(files) == len(PACKAGES)
    assert [file for file in files if not Path(file).is_relative_to(python.parents[1])] == []


def test_every_module_imports_elsewhere(python: Path) -> None:
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sources(*PACKAGES)
        if name.endswith(".py") and not name.endswith("__main__.py")
    )
    run(python, "-c", f"import importlib\nfor name in {modules}: importlib.import_module(name)", cwd=python.parent)


@pytest.mark.skipif(not (ROOT / "grit/cli/main.py").exists(), reason="there is no command line yet")
def test_the_command_runs_elsewhere(python: Path) -> None:
    (script,) = (point for point in distribution("grit-txn").entry_points if point.group == "console_scripts")
    assert "Usage: grit" in run(python.parent / script.name, "--help", cwd=python.parent)
