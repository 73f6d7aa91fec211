"""What the choices behind the final order were made on: nDCG@10 of rules over judged development queries.

    python docs/quality/choose.py ANSWERS QRELS                 # a table from answers that are there
    python docs/quality/choose.py ANSWERS QRELS INDEX QUERIES N # asks N queries, evenly spread over the file, first

ANSWERS is a file of JSON lines: responses of `fossick search --json`, each with the query's `id`. Needs `fossick` on the path.
Judgements of documents that were not among the candidates count, those that the index lacks are left out where
the file INDEXED (one key a line, beside ANSWERS) says what it has.
"""

import gzip
import json
import math
import pathlib
import statistics
import subprocess
import sys

CONSTANTS = [0, 2, 4, 6, 9, 16, math.inf]


def open_text(path):
    return gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)


def read_qrels(path):
    grades = {}
    with open_text(path) as lines:
        for line in list(lines)[1:]:
            query, document, grade = line.split("\t")
            grades.setdefault(query, {})[document] = int(grade)
    return grades


def ask(answers, qrels, index, queries, count):
    with open_text(queries) as lines:
        all_queries = [json.loads(line) for line in lines]
    judged = [q for q in all_queries if q.get("_id", q.get("id")) in qrels]
    step = max(1.0, len(judged) / count)
    chosen = [judged[int(at * step)] for at in range(min(count, len(judged)))]
    command = ["fossick", "search", index, "--json", "--limit", "200", "--rerank", "50", "--passages", "3"]
    text = "".join(q["text"].replace("\n", " ") + "\n" for q in chosen)
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    with open(answers, "w") as out:
        for query, line in zip(chosen, found.rstrip("\n").split("\n"), strict=True):
            response = json.loads(line)
            hits = [{k: hit[k] for k in ("key", "fused", "rerank")} for hit in response["hits"]]
            out.write(json.dumps({"id": query.get("_id", query.get("id")), "hits": hits}) + "\n")


def ndcg(keys, grades):
    def gain(values):
        return sum(max(0, value) / math.log2(at + 2) for at, value in enumerate(values[:10]))

    return gain([grades.get(key, 0) for key in keys]) / gain(sorted(grades.values(), reverse=True))


def standard(values):
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return [(value - mean) / deviation if deviation else 0.0 for value in values]


def final(hits, constant, passages):
    judged = [hit for hit in hits if hit["rerank"]]
    logits = [max(hit["rerank"]["logits"][:passages]) for hit in judged]
    variance = statistics.pvariance(logits)
    trust = variance / (variance + constant) if variance + constant else 0.0
    first = standard([hit["fused"]["score"] for hit in judged])
    scores = [trust * logit + (1 - trust) * score for logit, score in zip(standard(logits), first)]
    order = sorted(range(len(judged)), key=lambda at: -scores[at])
    return [judged[at]["key"] for at in order] + [hit["key"] for hit in hits if not hit["rerank"]]


def main(answers, qrels_path, *rest):
    qrels = read_qrels(qrels_path)
    if rest:
        index, queries, count = rest
        ask(answers, qrels, index, queries, int(count))
    indexed = pathlib.Path(answers).with_name("INDEXED")
    keys = set(indexed.read_text().split()) if indexed.exists() else None
    rows = {}
    with open(answers) as lines:
        for line in lines:
            response = json.loads(line)
            grades = {k: g for k, g in qrels.get(response["id"], {}).items() if keys is None or k in keys}
            hits = sorted(response["hits"], key=lambda hit: hit["fused"]["rank"])
            if not any(grade > 0 for grade in grades.values()):
                continue
            for passages in (1, 2, 3):
                for constant in CONSTANTS:
                    rows.setdefault((passages, constant), []).append(ndcg(final(hits, constant, passages), grades))
    for (passages, constant), values in rows.items():
        name = {0: "judge alone", math.inf: "first stage alone"}.get(constant, f"constant {constant}")
        print(f"{len(values)} queries, {passages} passages, {name:<18} {statistics.fmean(values):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
