#!/bin/sh
# Generates the Python modules of the public surface into OUTDIR/grit/pb/v1 (the repository's root to update it).
# Usage: PYTHON=.venv/bin/python proto/generate.sh OUTDIR
set -eu

out=${1:?usage: proto/generate.sh OUTDIR}
proto=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$proto/../.venv/bin/python}
bin=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')

mkdir -p "$out"
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I "$proto" \
    --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
    "$proto/grit/pb/v1/sidecar.proto" "$proto/grit/pb/v1/admin.proto"
