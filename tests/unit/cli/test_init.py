from pathlib import Path

import pytest

from grit.cli.main import ENVIRONMENT, GOOD, run
from grit.cli.project import PROJECT_FILES


def test_a_new_project_has_a_configuration_that_can_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "new" / "shop")]) == GOOD
    assert run(["config", "check", "-c", str(tmp_path / "new" / "shop" / "grit.yaml")]) == GOOD
    out = capsys.readouterr().out
    assert "realm social (graph): Customer, Product, PURCHASED" in out
    assert out.endswith("good, 3 realms, 6 collections, embedded log\n")


def test_every_dbtm_of_a_new_project_has_an_address_of_its_own() -> None:
    text = PROJECT_FILES["grit.yaml"]
    assert [f"127.0.0.1:{port}" in text for port in (7420, 7421, 7422)] == [True, True, True]


def test_the_example_of_a_new_project_is_python() -> None:
    compile(PROJECT_FILES["app.py"], "app.py", "exec")


@pytest.mark.parametrize("name", PROJECT_FILES)
def test_nothing_is_overwritten_and_nothing_half_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert run(["init", str(tmp_path)]) == ENVIRONMENT
    assert "exists already, nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["init", str(tmp_path / "file" / "shop")]) == ENVIRONMENT
    assert f"{tmp_path}/file" in capsys.readouterr().err


def test_a_mistake_in_the_configuration_is_named_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "grit.yaml"
    path.write_text(PROJECT_FILES["grit.yaml"].replace("engine: sqlite", "engine: sqlit"))
    assert run(["config", "check", "-c", str(path)]) == ENVIRONMENT
    line = PROJECT_FILES["grit.yaml"].splitlines().index("    engine: sqlite") + 1
    assert capsys.readouterr().err.startswith(f"grit: {path}:{line}:13: ")
