"""Bring packages here by the clients of their registries, each as this machine has set it up. No registry is named."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stack.errors import StackError
from tests.stack.lock import hashes_of

_TIMEOUT_S = 600
_HERE = Path(__file__).parents[2]

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>grit.tests</groupId><artifactId>stack</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""


def run(command: Sequence[str], *, what: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; return what it wrote.

    Raises:
        StackError: It is not there, failed, or took too long: "what: why", one line.
    """
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=dict(os.environ if environ is None else environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise StackError(f"{what}: there is no {Path(command[0]).name} on this machine; install it") from error
    except subprocess.TimeoutExpired as error:
        raise StackError(f"{what}: {Path(command[0]).name} took more than {_TIMEOUT_S} s") from error
    if done.returncode:
        raise StackError(f"{what}: {Path(command[0]).name} failed: {_why(done.stdout + done.stderr)}")
    return done.stdout


def maven(folder: Path, *artifacts: str) -> dict[str, str]:
    """Copy artifacts (`group:name:version`) and all that they need at run time into `folder`; return the hashes."""
    work = folder.parent / f"{folder.name}.maven"
    work.mkdir(parents=True)
    (work / "pom.xml").write_text(pom(artifacts), encoding="utf-8")
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    run(["mvn", "-q", "-B", f"-Dmaven.repo.local={work}/repository", *copy], what=artifacts[0], cwd=work)
    shutil.rmtree(work)
    return hashes_of(folder.glob("*.jar"))


def pom(artifacts: Sequence[str]) -> str:
    """Return a project that needs these artifacts."""
    parts = [artifact.split(":") for artifact in artifacts]
    return _POM.format(
        dependencies="".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
            for group, name, version in parts
        )
    )


def wheel(folder: Path, requirement: str) -> None:
    """Unpack a wheel (`name==version`), without what it depends on, into `folder`."""
    uv = shutil.which("uv") or str(_HERE / ".venv-uv" / "bin" / "uv")
    flags = ["--quiet", "--no-deps", "--no-cache", "--only-binary", ":all:", "--target", str(folder)]
    run([uv, "pip", "install", *flags, requirement], what=requirement)


def debian(folder: Path, suite: str, *packages: str) -> dict[str, str]:
    """Unpack packages of a suite and all that they depend on below `folder`; return the hashes of the packages.

    The system is left alone: apt works on a state of its own, in which nothing is installed, with the mirror and the
    keys of this machine.
    """
    work = folder.parent / f"{folder.name}.apt"
    archives = work / "cache" / "archives"
    for needed in (work / "state" / "lists" / "partial", archives / "partial", folder):
        needed.mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb {_keys()}{_mirror()} {suite} main\n", encoding="utf-8")
    apt = ["apt-get", "-q", "-y", *_private(work)]
    what = f"{packages[0]} of Debian's {suite} suite"
    run([*apt, "update"], what=what)
    run([*apt, "--download-only", "install", *packages], what=what)
    hashes = hashes_of(archives.glob("*.deb"))
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", str(archive), str(folder)], what=archive.name)
    shutil.rmtree(work)
    return hashes


def _private(work: Path) -> list[str]:
    """Return the options that keep apt to a folder."""
    options = {
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def _mirror() -> str:
    """Return the mirror that this machine takes its packages from."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]
    found = run(command, what="the mirror of this machine").split()
    if not found:
        raise StackError("apt knows no mirror: run `apt-get update` once, or set one up in /etc/apt")
    return found[0]


def _keys() -> str:
    """Return what names the key ring, where this machine has Debian's apart from apt's own."""
    ring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return f"[signed-by={ring}] " if ring.exists() else ""


def _why(output: str) -> str:
    """Return the line of an output that says best what went wrong, without addresses of registries."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"(?i)\berror\b|^E:|cannot|could not|failed", line)]
    line = (told or lines or ["it said nothing"])[0]
    return re.sub(r"\w+://\S+", "<registry>", re.sub(r"\x1b\[[0-9;]*m", "", line))[:300]
