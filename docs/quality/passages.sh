#!/usr/bin/env bash
# nDCG@10 of each stage for ways of cutting passages, on development queries only: docs/quality/passages.sh ../shared/data [COLLECTION...]
#
# Collections: scifact (train queries), nfcorpus (dev), cases and opinions (the twelve legal ones, the first 20 candidates judged). Each way makes an index anew: minutes
# a collection on two cores, a quarter of an hour for the full-length opinions. The collections are not part of this repository. FOSSICK names a
# program that is built already, WAYS are other ways than those below, as options of `fossick index` with a comma between two.
# shellcheck source=docs/quality/common.sh
source "$(dirname "$0")/common.sh" "$@"
wanted=("${@:2}")
[ ${#wanted[@]} -gt 0 ] || wanted=(scifact nfcorpus cases opinions)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
IFS=, read -r -a ways <<< "${WAYS:-}"
[ -n "${WAYS:-}" ] || ways=("" "--passage-tokens 128" "--passage-tokens 160" "--passage-tokens 256" "--passage-tokens 160 --overlap-tokens 0" "--passage-tokens 160 --overlap-tokens 48" "--passage-tokens 160 --boundary paragraph" "--passage-tokens 160 --without-heading")
for name in "${wanted[@]}"; do
  case $name in
    scifact) corpus=beir/scifact/corpus.jsonl.gz queries=beir/scifact/queries.jsonl.gz qrels=beir/scifact/qrels/train.tsv more="--rerank 0" ;;
    nfcorpus) corpus=beir/nfcorpus/corpus.jsonl.gz queries=beir/nfcorpus/queries.jsonl.gz qrels=beir/nfcorpus/qrels/dev.tsv more="--rerank 0" ;;
    cases) corpus=legal/cases.jsonl.gz queries=legal/queries-dev.jsonl qrels=legal/qrels-dev.tsv more="--rerank 20 --indexed-only" ;;
    opinions) corpus=legal/opinions-full.jsonl.gz queries=legal/queries-dev.jsonl qrels=legal/qrels-dev.tsv more="--rerank 20 --indexed-only" ;;
    *) echo "no collection $name"; exit 2 ;;
  esac
  for way in "${ways[@]}"; do
    index="$work/$name.fossick"
    rm -rf "$index"
    # shellcheck disable=SC2086
    "$fossick" index "$index" "$data/$corpus" $way > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    # shellcheck disable=SC2086
    "$fossick" eval "$index" --queries "$data/$queries" --qrels "$data/$qrels" $more --json > "$work/report.json"
    python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
stages = " ".join("%s %.4f" % (name, stage["ndcg@10"]) for name, stage in report["stages"].items())
print("%s %s: %d queries: %s" % (sys.argv[2], sys.argv[3] or "as it is", report["queries"], stages), flush=True)' "$work/report.json" "$name" "$way"
  done
done
