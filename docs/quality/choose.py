"""What the fusion and the final order were chosen on: nDCG@10 of rules over judged development queries.

    python docs/quality/choose.py ANSWERS QRELS                 # a table from answers that are there
    python docs/quality/choose.py ANSWERS QRELS INDEX QUERIES N # asks N queries, evenly spread over the file, first

ANSWERS is a file of JSON lines: responses of `fossick search --json`, each with the query's `id`. Needs `fossick` on the path.
Judgements of documents that were not among the candidates count, those that the index lacks are left out where
the file INDEXED (one key a line, beside ANSWERS) says what it has. Of both lists there is what is among the first 100 by reciprocal ranks, and what
is judged is the first 50 of those, whatever is tried on them, so a row is near what the engine does with it, and not the same.
"""

import gzip
import json
import math
import pathlib
import statistics
import subprocess
import sys

CONSTANTS = [0, 6, 9, 12, 16, 25, 36, math.inf]
WEIGHTS = {"reciprocal ranks": [0.5], "convex": [0.35, 0.4, 0.45, 0.5, 0.6], "min-max": [0.4, 0.5], "distribution": [0.4, 0.5]}


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
    command = ["fossick", "search", index, "--json", "--limit", "200", "--rerank", "50", "--fusion", "reciprocal-rank"]
    text = "".join(q["text"].replace("\n", " ") + "\n" for q in chosen)
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    with open(answers, "w") as out:
        for query, line in zip(chosen, found.rstrip("\n").split("\n"), strict=True):
            response = json.loads(line)
            hits = [{k: hit.get(k) for k in ("key", "lexical", "semantic", "rerank")} for hit in response["hits"]]
            out.write(json.dumps({"id": query.get("_id", query.get("id")), "hits": hits}) + "\n")


def ndcg(keys, grades):
    def gain(values):
        return sum(max(0, value) / math.log2(at + 2) for at, value in enumerate(values[:10]))

    return gain([grades.get(key, 0) for key in keys]) / gain(sorted(grades.values(), reverse=True))


def standard(values):
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return [(value - mean) / deviation if deviation else 0.0 for value in values]


def fused(hits, method, weight):
    """The hits from the best, each with its score: as `src/rank/fusion.rs` has it."""
    scores = [0.0] * len(hits)
    for leg, share in (("lexical", weight), ("semantic", 1 - weight)):
        found = [(at, hit[leg]) for at, hit in enumerate(hits) if hit[leg]]
        own = [place["score"] for _, place in found]
        if not own:
            continue
        low, high = (0.0 if (method, leg) == ("convex", "lexical") else min(own)), max(own)
        if method == "distribution":
            mean, deviation = statistics.fmean(own), statistics.pstdev(own)
            low, high = mean - 3 * deviation, mean + 3 * deviation
        for at, place in found:
            by_score = (place["score"] - low) / (high - low) if low < high else (0.5 if method == "distribution" else 1.0)
            scores[at] += share * (1 / (60 + place["rank"]) if method == "reciprocal ranks" else max(0.0, by_score))
    return sorted(zip(scores, hits), key=lambda found: (-found[0], found[1]["key"]))


def final(found, constant):
    judged = [(score, hit) for score, hit in found if hit["rerank"]]
    if constant == math.inf or len(judged) < 2:
        return [hit["key"] for _, hit in found]
    logits = [hit["rerank"]["logit"] for _, hit in judged]
    variance = statistics.variance(logits)
    trust = variance / (variance + constant) if variance + constant else 0.0
    first = standard([score for score, _ in judged])
    scores = [trust * logit + (1 - trust) * score for logit, score in zip(standard(logits), first)]
    order = sorted(range(len(judged)), key=lambda at: -scores[at])
    return [judged[at][1]["key"] for at in order] + [hit["key"] for _, hit in found if not hit["rerank"]]


def main(answers, qrels_path, *rest):
    qrels = read_qrels(qrels_path)
    if rest:
        index, queries, count = rest
        ask(answers, qrels, index, queries, int(count))
    indexed = pathlib.Path(answers).with_name("INDEXED")
    keys = set(indexed.read_text().split()) if indexed.exists() else None
    responses = []
    with open(answers) as lines:
        for response in map(json.loads, lines):
            grades = {k: g for k, g in qrels.get(response["id"], {}).items() if keys is None or k in keys}
            if any(grade > 0 for grade in grades.values()):
                responses.append((response["hits"], grades))
    print(f"{len(responses)} queries; the judge alone", *CONSTANTS[1:-1], "the fused order", sep="\t")
    for method, weights in WEIGHTS.items():
        for weight in weights:
            row = []
            for constant in CONSTANTS:
                values = [ndcg(final(fused(hits, method, weight), constant), grades) for hits, grades in responses]
                row.append(f"{statistics.fmean(values):.4f}")
            print(f"{method}, words {weight}", *row, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
