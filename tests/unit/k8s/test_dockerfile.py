"""The images: clean by hadolint, from the lock, of nothing but what they need."""

import re
import subprocess

from tests.unit.k8s.rendered import ROOT, SCRIPTS

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
WHEEL = {"grit", "gtm", "dbtm", "log_players"}


def copied() -> set[str]:
    """Return what is copied from this repository."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in line.split()}


def test_hadolint_finds_nothing() -> None:
    command = [str(SCRIPTS / "hadolint"), "--failure-threshold", "style", "Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_is_all_that_docker_sees() -> None:
    assert {source for source in copied() if not (ROOT / source).exists()} == set()
    seen = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    assert "*" in IGNORED
    assert seen == copied()


def test_the_packages_of_the_wheel_are_copied_and_the_sample_services_only_into_their_image() -> None:
    build, marketplace = DOCKERFILE.partition(" AS grit\n")[0], DOCKERFILE.partition(" AS marketplace\n")[2]
    assert {package for package in WHEEL if f"COPY {package} {package}\n" not in build} == set()
    assert "COPY sample_services" in marketplace
    assert "sample_services" not in build


def test_packages_come_from_the_lock() -> None:
    assert "uv sync --frozen --no-dev" in DOCKERFILE
    assert "--build-constraints" in DOCKERFILE
    assert re.findall(r"pip install --no-cache-dir (\S+)", DOCKERFILE) != []
    assert all("==" in package for package in re.findall(r"pip install --no-cache-dir (\S+)", DOCKERFILE))


def test_every_base_image_has_a_version_and_the_last_user_is_a_number_that_is_not_root() -> None:
    bases = re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE)
    assert bases == ["python:3.11-slim", "python:3.11-slim", "grit"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
