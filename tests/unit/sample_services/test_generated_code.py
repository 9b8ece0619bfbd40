"""The committed modules are what the .proto files generate."""

import subprocess
import sys
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "sample_services"


def test_the_committed_modules_are_what_the_protos_generate(tmp_path: Path) -> None:
    script = SERVICES / "proto" / "generate.sh"
    done = subprocess.run(
        ["/bin/sh", str(script), str(tmp_path)],
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fresh, committed = tmp_path / "sample_services" / "pb" / "v1", SERVICES / "pb" / "v1"
    names = sorted(path.name for path in fresh.iterdir())
    assert names == sorted(path.name for path in committed.glob("*_pb2*.py*"))
    stale = [name for name in names if (fresh / name).read_bytes() != (committed / name).read_bytes()]
    assert not stale, "run sample_services/proto/generate.sh ."
