#!/bin/sh
# fossick's vectors beside LanceDB's IVF_RQ, IVF_PQ, IVF_SQ and IVF_HNSW_SQ and usearch's HNSW, on the same vectors: benches/peers/vectors.sh [ROWS] [more arguments of vectors.py]
#
# Makes a virtual environment with pinned versions (needs python3 and PyPI, once), builds the command line, has it make an index of generated
# vectors (`fossick bench --search`) and measure itself, and then measures the others on the vectors of that index. A million takes
# hours on two cores, most of it graphs: --kinds IVF_RQ --without-usearch leaves them out, --graphs 1 makes the smallest alone.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../.." && pwd)
work=${FOSSICK_PEERS:-"$root/target/peers"}
rows=${1:-100000}
[ $# -eq 0 ] || shift
mkdir -p "$work"
python="$work/vectors/bin/python"
[ -x "$python" ] || python3 -m venv "$work/vectors"
"$python" -m pip install --quiet --disable-pip-version-check -r "$here/vectors.txt"
cd "$root"
cargo build --locked --bin fossick --example second_process
program=${CARGO_TARGET_DIR:-"$root/target"}/debug/fossick
exec "$python" "$here/vectors.py" --fossick "$program" --rows "$rows" --work "$work" "$@"
