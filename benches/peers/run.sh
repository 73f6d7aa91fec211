#!/bin/sh
# fossick beside ONNX Runtime and a Python pipeline: benches/peers/run.sh [--json FILE] [more arguments of compare.py]
#
# Makes a virtual environment with pinned versions (needs python3 and PyPI, once), writes the two models as ONNX files, builds the
# command line and measures. Measuring takes some ten minutes on two cores, with nothing else running. The collection is BEIR's scifact
# where the shared data lies beside the checkout, or the folder in FOSSICK_COLLECTION; where there is neither, the repository's casebook.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../.." && pwd)
work=${FOSSICK_PEERS:-"$root/target/peers"}
collection=${FOSSICK_COLLECTION:-"$root/../shared/data/beir/scifact"}
if [ -d "$collection" ]; then
    set -- --collection "$collection" "$@"
elif [ -n "${FOSSICK_COLLECTION:-}" ]; then
    echo "$collection: not there; FOSSICK_COLLECTION is a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv" >&2
    exit 1
else
    echo "$collection: not there; the casebook is asked instead, without nDCG" >&2
fi
mkdir -p "$work"
python="$work/venv/bin/python"
[ -x "$python" ] || python3 -m venv "$work/venv"
"$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
for model in bge-small-en-v1.5 ms-marco-minilm-l-12-v2; do
    [ -f "$work/onnx/$model.int8.fused.onnx" ] || "$python" "$here/export.py" "$root/models/$model" "$work/onnx"
done
# In the checkout, where cargo's settings are, and with an example, so that the features are those of the tests and nothing is compiled
# twice. Paths in the arguments stay the caller's.
(cd "$root" && cargo build --locked --bin fossick --example second_process)
target=${CARGO_TARGET_DIR:-target}
case $target in
    /*) ;;
    *) target="$root/$target" ;;
esac
exec "$python" "$here/compare.py" --fossick "$target/debug/fossick" --models "$root/models" --onnx "$work/onnx" --work "$work/run" \
    --casebook "$root/examples/casebook/casebook.jsonl" "$@"
