"""fossick beside ONNX Runtime and beside a Python pipeline, on the same texts, weights and cores. Run by run.sh.

Three comparisons, each the best of rounds that alternate between the two sides:

judging      query-passage pairs a second. Pairs are the passages that fossick would judge for the first hundred candidates of each
             query. ONNX Runtime gets them as fossick does, a query's passages at once, sorted by length so that little is padded,
             with the batch size and the form of the model (export.py) that are fastest here.
embedding    passages a second, the same way.
end to end   milliseconds from a question to ten hits, in one thread of calls: tantivy-py and an HNSW index (usearch) of the
             documents' vectors, reciprocal rank fusion, ONNX Runtime's int8 judge over the first --depth; and `fossick search`. The
             pipeline reads each document once, up to 512 tokens; fossick judges two passages of each.

Tokenising is counted on both sides. Memory is the peak of the process that answers the questions.
"""
import argparse
import gzip
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import tantivy
from tokenizers import Tokenizer
from usearch.index import Index

ENCODER, JUDGE = "bge-small-en-v1.5", "ms-marco-minilm-l-12-v2"
FORMS = {"f32": ["f32"], "int8": ["int8", "int8.tensor", "int8.fused"]}
BATCHES = [1, 2, 4, 8, 16, 32]
LONGEST = 512


class Model:
    """One ONNX file, fed with batches of neighbours in length."""

    def __init__(self, onnx, directory, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST, strategy="longest_first")
        self.batch = 8

    def run(self, texts):
        """One row of output for each text or pair of texts."""
        encoded = self.tokenizer.encode_batch(texts)
        order = sorted(range(len(encoded)), key=lambda at: -len(encoded[at].ids))
        out = [None] * len(encoded)
        for start in range(0, len(order), self.batch):
            members = order[start : start + self.batch]
            shape = (len(members), len(encoded[members[0]].ids))
            ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
            for row, at in enumerate(members):
                length = len(encoded[at].ids)
                ids[row, :length], mask[row, :length] = encoded[at].ids, 1
                types[row, :length] = encoded[at].type_ids
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
            for at, row in zip(members, self.session.run(None, feed)[0]):
                out[at] = row
        return np.stack(out)


def rate(work, seconds):
    """Items a second over at least so long; `work` returns how many it did."""
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        done += work()
    return done / (time.perf_counter() - begun)


def fastest(onnx, name, forms, calls, seconds, models, threads):
    """The form and the batch size that are fastest on `calls`, each call a list of texts."""
    best, best_rate = None, 0.0
    for form in forms:
        model = Model(onnx / f"{name}.{form}.onnx", models / name, threads)
        for batch in BATCHES:
            model.batch, model.form = batch, form
            model.run(calls[0][: batch * 2])
            found = rate(lambda: len(model.run(calls[0])), seconds)
            if found > best_rate:
                best, best_rate = (model, form, batch), found
    model, form, batch = best
    model.batch = batch
    return model, f"{form}, batches of {batch}"


# A small process between us and fossick: a child's peak counts what its parent held when it was made.
PEAK = "import resource, subprocess, sys; done = subprocess.run(sys.argv[2:]); \
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); sys.exit(done.returncode)"


def megabytes(peak):
    """ru_maxrss is in bytes on macOS and in kilobytes elsewhere."""
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def own_peak():
    """Megabytes at most in this process. Linux counts in ru_maxrss what the parent held, and not in VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / (1 << 10)
    return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


class Fossick:
    """The command line as a process."""

    def __init__(self, program, models, work):
        self.program, self.models, self.peak = str(program), str(models), work / "peak"

    def call(self, *arguments, given=None):
        command = [self.program, *map(str, arguments), "--models", self.models, "--device", "cpu"]
        watched = [sys.executable, "-c", PEAK, str(self.peak), *command]
        done = subprocess.run(watched, input=given, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def rate(self, kind, pairs, precision, seconds):
        arguments = ["bench", "--pairs", pairs, f"--{kind}", "--precision", precision, "--rounds", 1, "--seconds", seconds, "--json"]
        row = json.loads(self.call(*arguments))[kind][0]
        return row["pairs_per_s" if kind == "rerank" else "passages_per_s"]


def alternate(rounds, ours, theirs):
    """The best of each side, one round after the other."""
    best = [0.0, 0.0]
    for _ in range(rounds):
        for side, measure in enumerate([ours, theirs]):
            best[side] = max(best[side], measure())
    return best


def lines(path):
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


class Pipeline:
    """Search as it is put together in Python."""

    def __init__(self, documents, encoder, judge, depth):
        schema = tantivy.SchemaBuilder()
        schema.add_unsigned_field("number", stored=True)
        schema.add_text_field("text", tokenizer_name="en_stem")
        self.words = tantivy.Index(schema.build())
        writer = self.words.writer()
        for number, text in enumerate(documents):
            writer.add_document(tantivy.Document(number=number, text=text))
        writer.commit()
        self.words.reload()
        self.searcher = self.words.searcher()
        self.documents, self.encoder, self.judge, self.depth = documents, encoder, judge, depth
        vectors = encoder.run(documents)
        self.vectors = Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
        self.vectors.add(np.arange(len(documents)), vectors)

    def search(self, question, limit=10):
        prompt = "Represent this sentence for searching relevant passages: "
        near = self.vectors.search(self.encoder.run([prompt + question])[0], 100)
        words = "".join(c if c.isalnum() else " " for c in question)
        found = self.searcher.search(self.words.parse_query(words, ["text"]), 100).hits
        scores = {}
        for ranked in ([self.searcher.doc(address)["number"][0] for _, address in found], [int(key) for key in near.keys]):
            for rank, number in enumerate(ranked):
                scores[number] = scores.get(number, 0.0) + 1.0 / (60 + rank + 1)
        candidates = sorted(scores, key=lambda number: -scores[number])[: self.depth]
        logits = self.judge.run([(question, self.documents[number]) for number in candidates])[:, 0]
        return [candidates[at] for at in np.argsort(-logits)[:limit]]


def answer(forms, models, threads, documents, questions, depth):
    """The questions through the pipeline, twice, in a process of its own."""
    loaded = {}
    for name, (onnx, batch) in forms.items():
        loaded[name] = Model(onnx, models / name, threads)
        loaded[name].batch = batch
    pipeline = Pipeline(documents, loaded[ENCODER], loaded[JUDGE], depth)
    medians, hits = [], []
    for _ in range(2):
        times, hits = [], []
        for text in questions:
            begun = time.perf_counter()
            hits.append([int(number) for number in pipeline.search(text)])
            times.append((time.perf_counter() - begun) * 1000)
        medians.append(statistics.median(times))
    return {"hits": hits, "ms": min(medians), "mb": own_peak()}


def ndcg(ranked, judged):
    """nDCG@10 with gains as they are judged, as trec_eval's ndcg_cut."""
    gains = [judged.get(key, 0) / np.log2(at + 2) for at, key in enumerate(ranked[:10])]
    ideal = sorted(judged.values(), reverse=True)[:10]
    return sum(gains) / sum(gain / np.log2(at + 2) for at, gain in enumerate(ideal))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fossick", required=True, help="the program")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True, help="where export.py wrote to")
    parser.add_argument("--work", type=Path, required=True, help="a folder for indexes and pairs")
    parser.add_argument("--collection", type=Path, required=True, help="corpus.jsonl, queries.jsonl (or .gz) and qrels/test.tsv")
    parser.add_argument("--casebook", type=Path, required=True, help="the example's digests, to judge for one question")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    arguments.work.mkdir(parents=True, exist_ok=True)
    fossick = Fossick(arguments.fossick, arguments.models, arguments.work)

    # The questions: judged ones, in the order of the file; the corpus as fossick reads it.
    first = lambda name: next(path for path in (arguments.collection / name, arguments.collection / f"{name}.gz") if path.exists())
    qrels = {}
    for line in (arguments.collection / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    questions = [(q["_id"], q["text"]) for q in lines(first("queries.jsonl")) if q["_id"] in qrels][: arguments.questions]
    corpus = lines(first("corpus.jsonl"))
    documents = [f"{document.get('title', '')}\n{document['text']}".strip() for document in corpus]
    index = arguments.work / "index"
    # One of an earlier program would keep the way in which that cut passages.
    shutil.rmtree(index, ignore_errors=True)
    fossick.call("index", index, first("corpus.jsonl"))

    # The pairs: what the judge would read for the first hundred candidates.
    given = "".join(f"{text}\n" for _, text in questions)
    pairs_path = arguments.work / "pairs.jsonl"
    pairs = []
    for line in fossick.call("search", index, "--json", "--rerank", 0, "--candidates", 100, "--limit", 100, given=given).splitlines():
        response = json.loads(line)
        hits = [hit for hit in response["hits"] if hit["passage"]]
        heading = lambda hit: f"{hit['fields'].get('title', '')}\n{hit['passage']['text']}".strip()
        pairs.append({"query": response["query"], "passages": [heading(hit) for hit in hits]})
    digests = [f"{digest['title']}\n{digest['text']}" for digest in lines(arguments.casebook)]
    pairs.append({"query": "software patent obviousness standard", "passages": digests[:100]})
    pairs_path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")

    judged = [[(pair["query"], passage) for passage in pair["passages"]] for pair in pairs]
    passages = [pair["passages"] for pair in pairs]
    report = {"threads": threads, "questions": len(questions), "pairs": sum(map(len, judged))}
    results = {}
    chosen = {}
    for kind, name, calls in (("rerank", JUDGE, judged), ("embed", ENCODER, passages)):
        for precision in ("f32", "int8"):
            trial = min(arguments.seconds / 3, 3)
            model, how = fastest(arguments.onnx, name, FORMS[precision], calls, trial, arguments.models, threads)
            turn = iter(range(10**9))
            theirs = lambda: rate(lambda: len(model.run(calls[next(turn) % len(calls)])), arguments.seconds)
            ours = lambda: fossick.rate(kind, pairs_path, precision, arguments.seconds)
            found = alternate(arguments.rounds, ours, theirs)
            results[f"{kind}_{precision}"] = {"fossick": found[0], "onnxruntime": found[1], "onnxruntime_as": how}
            if precision == "int8":
                chosen[kind] = model
            print(f"{kind} {precision}: fossick {found[0]:.1f}/s, onnxruntime {found[1]:.1f}/s ({how}): {found[0] / found[1]:.2f}x", flush=True)

    # End to end, in one process each. fossick's own clock leaves its start out, and Python's likewise.
    forms = {name: (arguments.onnx / f"{name}.{chosen[kind].form}.onnx", chosen[kind].batch) for kind, name in
             (("embed", ENCODER), ("rerank", JUDGE))}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        texts = [text for _, text in questions]
        theirs = process.submit(answer, forms, arguments.models, threads, documents, texts, arguments.depth).result()
    ranked = [[corpus[number]["_id"] for number in hits] for hits in theirs["hits"]]
    asked, ours = [], []
    for _ in range(2):
        out = fossick.call("search", index, "--json", "--no-cache", "--rerank", arguments.depth, "--candidates", 100, "--limit", 10, given=given)
        asked = [json.loads(line) for line in out.splitlines()]
        ours.append(statistics.median(response["timings_ms"]["total"] for response in asked))
    quality = lambda lists: statistics.mean(ndcg(list_, qrels[key]) for (key, _), list_ in zip(questions, lists))
    results["end_to_end"] = {
        "fossick_ms": min(ours), "python_ms": theirs["ms"], "depth": arguments.depth,
        "fossick_ndcg10": quality([[hit["key"] for hit in response["hits"]] for response in asked]), "python_ndcg10": quality(ranked),
        "fossick_mb": megabytes(int(fossick.peak.read_text())),
        "python_mb": theirs["mb"],
    }
    end = results["end_to_end"]

    ratios = {
        "rerank_int8_vs_ort_int8": results["rerank_int8"]["fossick"] / results["rerank_int8"]["onnxruntime"],
        "rerank_f32_vs_ort_f32": results["rerank_f32"]["fossick"] / results["rerank_f32"]["onnxruntime"],
        "embed_int8_vs_ort_int8": results["embed_int8"]["fossick"] / results["embed_int8"]["onnxruntime"],
        "end_to_end_vs_python": end["python_ms"] / end["fossick_ms"],
    }
    print(f"\n{report['pairs']} pairs, {threads} threads\n")
    print("| | fossick | other | ratio | the other |\n|---|---:|---:|---:|---|")
    for key, what in (("rerank_int8", "judging, int8, pairs/s"), ("rerank_f32", "judging, f32, pairs/s"),
                      ("embed_int8", "embedding, int8, passages/s"), ("embed_f32", "embedding, f32, passages/s")):
        row = results[key]
        print(f"| {what} | {row['fossick']:.1f} | {row['onnxruntime']:.1f} | {row['fossick'] / row['onnxruntime']:.2f} | "
              f"ONNX Runtime {onnxruntime.__version__}, {row['onnxruntime_as']} |")
    print(f"| question to ten hits, {arguments.depth} judged, ms | {end['fossick_ms']:.0f} | {end['python_ms']:.0f} | "
          f"{ratios['end_to_end_vs_python']:.2f} | tantivy-py, usearch, ONNX Runtime int8 |")
    print(f"| nDCG@10 of these {len(questions)} questions | {end['fossick_ndcg10']:.3f} | {end['python_ndcg10']:.3f} | | the same |")
    print(f"| peak memory, MB | {end['fossick_mb']:.0f} | {end['python_mb']:.0f} | {end['python_mb'] / end['fossick_mb']:.2f} | the same |")
    losing = [name for name, ratio in ratios.items() if ratio < 1]
    print(f"\nfossick loses: {', '.join(losing) if losing else 'nowhere here'}")
    if arguments.json:
        arguments.json.write_text(json.dumps({**ratios, "measured": {**report, **results}}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
