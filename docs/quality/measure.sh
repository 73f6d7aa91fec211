#!/usr/bin/env bash
# Measures every collection of docs/quality.md and writes one JSON file each. Needs the collections, which are not part of this
# repository: docs/quality/measure.sh ../shared/data [COLLECTION...]
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1
shift
[ -d "$data" ] || { echo "skipped: $data is not there"; exit 0; }
wanted=("${@:-all}")
work=${FOSSICK_QUALITY_WORK:-$(mktemp -d)}
# With an example, so that the features are those of the tests and nothing is compiled twice.
cargo build --locked --bin fossick --example second_process
fossick=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/fossick

is_wanted() { [[ " ${wanted[*]} " == *" $1 "* || ${wanted[0]} == all ]]; }

# NAME INDEX QUERIES QRELS [options of eval]
measure() {
  local name=$1 index=$2 queries=$3 qrels=$4
  shift 4
  is_wanted "$name" || return 0
  echo "== $name"
  "$fossick" eval "$index" --queries "$queries" --qrels "$qrels" --rerank 50 --json "$@" > "docs/quality/$name.json.new"
  # Without the texts of queries, which are the collections'.
  python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
for part in ("gained", "lost"): report["comparison"].pop(part)
json.dump(report, open(sys.argv[2], "w"), indent=1, sort_keys=True)' "docs/quality/$name.json.new" "docs/quality/$name.json"
  rm "docs/quality/$name.json.new"
}

for name in scifact nfcorpus nq-utd; do
  is_wanted "$name" || continue
  "$fossick" index "$work/$name.fossick" "$data/beir/$name/corpus.jsonl.gz"
  measure "$name" "$work/$name.fossick" "$data/beir/$name/queries.jsonl.gz" "$data/beir/$name/qrels/test.tsv"
done
if is_wanted casebook; then
  "$fossick" index "$work/casebook.fossick" examples/casebook/casebook.jsonl
  measure casebook "$work/casebook.fossick" "$data/legal/queries-dev.jsonl" "$data/legal/qrels-dev.tsv" --indexed-only
fi
if is_wanted cases; then
  "$fossick" index "$work/cases.fossick" "$data/legal/cases.jsonl.gz"
  measure cases "$work/cases.fossick" "$data/legal/queries-dev.jsonl" "$data/legal/qrels-dev.tsv" --indexed-only
fi
