#!/bin/sh
# Generates the Python modules of the services' own APIs into OUTDIR/sample_services/pb/v1.
# Usage: PYTHON=.venv/bin/python sample_services/proto/generate.sh OUTDIR
set -eu

out=${1:?usage: sample_services/proto/generate.sh OUTDIR}
proto=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$proto/../../.venv/bin/python}
bin=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')

mkdir -p "$out"
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I "$proto" \
    --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
    "$proto"/sample_services/pb/v1/*.proto
