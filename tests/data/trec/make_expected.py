"""Writes expected.json: what ir-measures says of each run here. Values made with ir-measures 0.4.3 (pytrec_eval-terrier 0.5.11).

    pip install ir-measures==0.4.3
    python tests/data/trec/make_expected.py ../shared/data

Also writes ties.run.gz and ties.qrels, an invented collection with everything that a run and judgements can have: equal
scores, documents without a judgement, grades of 0 and below, queries that were not answered, queries without a relevant
document. The other runs were written by `fossick eval --run`; their judgements are not part of this repository.
"""

import gzip
import io
import json
import pathlib
import random
import sys

import ir_measures
from ir_measures import AP, RR, R, Success, nDCG

HERE = pathlib.Path(__file__).parent
# ir-measures hands RR@10 to another program than trec_eval, which breaks ties the other way round; RR is trec_eval's recip_rank,
# and what lies beyond rank 10 is cut off below.
MEASURES = {"ndcg@10": nDCG @ 10, "recall@100": R @ 100, "mrr@10": RR, "map": AP, "success@5": Success @ 5}


def invent():
    chance = random.Random(9)
    run, qrels = [], []
    for query in (f"q{n}" for n in range(40)):
        documents = [f"d{n:03}" for n in chance.sample(range(400), 150)]
        for document in chance.sample(documents, 12) + [f"absent{n}" for n in range(chance.randrange(3))]:
            grade = 0 if query == "q7" else chance.choice([-1, 0, 1, 1, 2, 3])
            qrels.append((query, document, grade))
        if query not in ("q3", "q11"):
            # A tenth of the scores are different, so most documents share theirs with others.
            run += [(query, document, chance.randrange(15) / 8) for document in documents]
    chance.shuffle(run)
    write(HERE / "ties.run.gz", "".join(f"{q} Q0 {d} 0 {s} invented\n" for q, d, s in run))
    (HERE / "ties.qrels").write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in qrels))


def write(path, text):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed:
        packed.write(text.encode())
    path.write_bytes(buffer.getvalue())


def read_qrels(path):
    found = []
    for line in path.read_text().splitlines():
        columns = line.split("\t") if "\t" in line else line.split()
        if columns[-1].lstrip("-").isdigit():
            found.append(ir_measures.Qrel(columns[0], columns[-2], int(columns[-1])))
    return found


def measure(run_path, qrels):
    with gzip.open(run_path, "rt") as lines:
        columns = [line.split() for line in lines]
    run = [ir_measures.ScoredDoc(c[0], c[2], float(c[4])) for c in columns]
    relevant = {qrel.query_id for qrel in qrels if qrel.relevance > 0}
    values = {query: dict.fromkeys(MEASURES, 0.0) for query in sorted(relevant)}
    names = {str(measure): name for name, measure in MEASURES.items()}
    for value in ir_measures.iter_calc(MEASURES.values(), [q for q in qrels if q.query_id in relevant], run):
        values[value.query_id][names[str(value.measure)]] = value.value
    for value in values.values():
        value["mrr@10"] = value["mrr@10"] if value["mrr@10"] >= 0.1 else 0.0
    return values


def main(data):
    invent()
    judged = {
        "ties": HERE / "ties.qrels",
        "scifact": data / "beir/scifact/qrels/train.tsv",
        "nfcorpus": data / "beir/nfcorpus/qrels/dev.tsv",
        "casebook": data / "legal/qrels-dev.tsv",
    }
    expected = {}
    for name, path in judged.items():
        run_path = HERE / f"{name}.run.gz"
        if run_path.exists():
            qrels = read_qrels(path)
            if name != "ties":
                with gzip.open(run_path, "rt") as lines:
                    answered = {line.split()[0] for line in lines}
                qrels = [qrel for qrel in qrels if qrel.query_id in answered]
            values = measure(run_path, qrels)
            means = {m: sum(v[m] for v in values.values()) / len(values) for m in MEASURES}
            expected[name] = {"mean": means, "queries": values}
    text = json.dumps(expected, indent=1, sort_keys=True)
    (HERE / "expected.json").write_text(text + "\n")
    for name, found in expected.items():
        print(name, len(found["queries"]), found["mean"])


main(pathlib.Path(sys.argv[1]))
