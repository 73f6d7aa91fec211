#!/usr/bin/env bash
# Measures every collection of docs/quality.md and writes one JSON file each. Needs the collections, which are not part of this
# repository: docs/quality/measure.sh ../shared/data [COLLECTION...]
# shellcheck source=docs/quality/common.sh
source "$(dirname "$0")/common.sh" "$@"
wanted=("${@:2}")
[ ${#wanted[@]} -gt 0 ] || wanted=(all)
work=${FOSSICK_QUALITY_WORK:-$(mktemp -d)}

is_wanted() { [[ " ${wanted[*]} " == *" $1 "* || ${wanted[0]} == all ]]; }

# NAME INDEX QUERIES QRELS [options of eval]
measure() {
  local name=$1 index=$2 queries=$3 qrels=$4
  shift 4
  is_wanted "$name" || return 0
  echo "== $name"
  "$fossick" eval "$index" --queries "$queries" --qrels "$qrels" --rerank 50 --json "$@" > "$work/$name.json"
  # Without the texts of queries, which are the collections'.
  python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
for part in ("gained", "lost"): report["comparison"].pop(part)
json.dump(report, open(sys.argv[2], "w"), indent=1, sort_keys=True)' "$work/$name.json" "docs/quality/$name.json"
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
