"""fossick beside ONNX Runtime and beside a Python pipeline, on the same texts, weights and cores. Run by run.sh.

Three comparisons:

judging      query-passage pairs a second over one fixed list of calls: --calls questions of the collection and one for the casebook,
             each with the passages of its first hundred candidates as an index has them. Both sides make all calls in the same order,
             a pass, and rounds alternate between them; the fastest pass of each side counts. ONNX Runtime gets a call's texts at
             once, as fossick does, and takes the longest first, so that little is padded. Of the forms of the model (export.py),
             the batch sizes and the two ways to use the cores (all for one batch, or one for each of several) it has those that are
             fastest over a sample of every call. fossick has its defaults.
embedding    passages a second, over the same calls without their questions.
end to end   milliseconds from a question to ten hits, in one thread of calls, the better of two medians: tantivy-py and an HNSW index
             (usearch) of the documents' vectors, reciprocal rank fusion, ONNX Runtime's int8 judge over the first --depth; and
             `fossick search`. The pipeline reads each document once, up to 512 tokens; fossick judges two passages of each.

Tokenising is counted on both sides. Memory is the peak of the process that answers the questions. Without a collection, its part is
played by the casebook, for which no judgements lie here, so that there is no nDCG.
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
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import tantivy
from tokenizers import Tokenizer
from usearch.index import Index

ENCODER, JUDGE = "bge-small-en-v1.5", "ms-marco-minilm-l-12-v2"
FORMS = {"f32": ["f32"], "int8": ["int8", "int8.tensor", "int8.fused"]}
BATCHES = [1, 2, 4, 8, 16]
LONGEST = 512
CANDIDATES = 100
# One text of so many of every call is in the sample.
SAMPLED = 4
# Of the casebook: the first for the rates, all where there is no collection.
CASEBOOK_QUESTIONS = [
    "software patent obviousness standard",
    "can the police search a phone without a warrant",
    "principal place of business of a corporation",
    "is burning a flag protected expression",
    "what counts as gross income",
]


class Model:
    """One ONNX file, fed with batches of neighbours in length: one after the other on all threads, or each on one of its own."""

    def __init__(self, onnx, directory, threads, abreast):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if abreast else threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        self.pool = ThreadPoolExecutor(threads) if abreast else None
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST, strategy="longest_first")
        self.batch, self.tokens = 8, 0

    def run(self, texts):
        """One row of output for each text or pair of texts; `tokens` counts what was read."""
        encoded = self.tokenizer.encode_batch(texts)
        self.tokens += sum(len(each.ids) for each in encoded)
        order = sorted(range(len(encoded)), key=lambda at: -len(encoded[at].ids))
        batches = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]

        def compute(members):
            shape = (len(members), len(encoded[members[0]].ids))
            ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
            for row, at in enumerate(members):
                length = len(encoded[at].ids)
                ids[row, :length], mask[row, :length] = encoded[at].ids, 1
                types[row, :length] = encoded[at].type_ids
            return self.session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]

        out = [None] * len(encoded)
        for members, rows in zip(batches, (self.pool.map if self.pool else map)(compute, batches)):
            for at, row in zip(members, rows):
                out[at] = row
        return np.stack(out)

    def rate(self, calls):
        """Texts a second over all calls."""
        begun = time.perf_counter()
        for call in calls:
            self.run(call)
        return sum(map(len, calls)) / (time.perf_counter() - begun)


def fastest(onnx, name, forms, calls, models, threads):
    """The form, the batch size and the way to use the threads that are fastest over a sample of all calls, each a list of texts."""
    sample = [call[at % SAMPLED :: SAMPLED] for at, call in enumerate(calls)]
    best, best_rate = None, 0.0
    for form in forms:
        for abreast in [False, True] if threads > 1 else [False]:
            model = Model(onnx / f"{name}.{form}.onnx", models / name, threads, abreast)
            model.form, model.abreast = form, abreast
            for batch in BATCHES:
                model.batch = batch
                model.run(sample[0][:batch])
                found = model.rate(sample)
                if found > best_rate:
                    best, best_rate = (model, batch), found
    model, model.batch = best
    cores = "each on a core" if model.abreast else "all cores on one"
    return model, f"{model.form}, batches of {model.batch}, {cores}"


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

    def rate(self, kind, pairs, precision):
        """Texts a second in a pass over all calls, how many there are, and tokens of each."""
        arguments = ["bench", "--pairs", pairs, f"--{kind}", "--precision", precision, "--rounds", 1, "--whole", "--json"]
        row = json.loads(self.call(*arguments))[kind][0]
        one, many = ("pair", "pairs") if kind == "rerank" else ("passage", "passages")
        return row[f"{many}_per_s"], row[many], row[f"tokens_per_{one}"]

    def candidates(self, index, questions):
        """The calls for these questions: each with the passages that a judge would read for its first candidates."""
        given = "".join(f"{question}\n" for question in questions)
        depth = ["--rerank", 0, "--candidates", CANDIDATES, "--limit", CANDIDATES]
        calls = []
        for line in self.call("search", index, "--json", *depth, given=given).splitlines():
            response = json.loads(line)
            read = lambda hit: f"{hit['fields'].get('title', '')}\n{hit['passage']['text']}".strip()
            calls.append({"query": response["query"], "passages": [read(hit) for hit in response["hits"] if hit["passage"]]})
        return calls


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
    for name, (onnx, batch, abreast) in forms.items():
        loaded[name] = Model(onnx, models / name, threads, abreast)
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


class Collection:
    """A corpus as a file of JSON lines, questions for it, and which documents answer them, where that is known."""

    def __init__(self, folder, casebook, most):
        if folder is None:
            self.name, self.corpus, self.qrels = "the casebook", casebook, {}
            self.questions = [(text, text) for text in CASEBOOK_QUESTIONS][:most]
        else:
            first = lambda name: next(path for path in (folder / name, folder / f"{name}.gz") if path.exists())
            self.name, self.corpus, self.qrels = folder.name, first("corpus.jsonl"), {}
            for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
                query, document, grade = line.split("\t")
                self.qrels.setdefault(query, {})[document] = int(grade)
            # Judged ones, in the order of the file.
            self.questions = [(q["_id"], q["text"]) for q in lines(first("queries.jsonl")) if q["_id"] in self.qrels][:most]
        documents = lines(self.corpus)
        self.keys = [document.get("_id", document.get("id")) for document in documents]
        self.documents = [f"{document.get('title', '')}\n{document['text']}".strip() for document in documents]

    def quality(self, ranked):
        """The mean nDCG@10 of a list of keys for each question."""
        if not self.qrels:
            return None
        return statistics.mean(ndcg(keys, self.qrels[key]) for (key, _), keys in zip(self.questions, ranked))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fossick", required=True, help="the program")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True, help="where export.py wrote to")
    parser.add_argument("--work", type=Path, required=True, help="a folder for indexes and pairs")
    parser.add_argument("--collection", type=Path, help="corpus.jsonl, queries.jsonl (or .gz) and qrels/test.tsv")
    parser.add_argument("--casebook", type=Path, required=True, help="the example's digests")
    parser.add_argument("--questions", type=int, default=12, help="asked end to end")
    parser.add_argument("--calls", type=int, default=2, help="questions of the collection in a pass, beside the casebook's")
    parser.add_argument("--depth", type=int, default=50, help="candidates judged end to end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    arguments.work.mkdir(parents=True, exist_ok=True)
    fossick = Fossick(arguments.fossick, arguments.models, arguments.work)
    collection = Collection(arguments.collection, arguments.casebook, arguments.questions)
    index, casebook = arguments.work / "index", arguments.work / "casebook"
    for directory, corpus in ((index, collection.corpus), (casebook, arguments.casebook)):
        # One of an earlier program would keep the way in which that cut passages.
        shutil.rmtree(directory, ignore_errors=True)
        fossick.call("index", directory, corpus)

    texts = [text for _, text in collection.questions]
    calls = fossick.candidates(index, [text for text in texts if text != CASEBOOK_QUESTIONS[0]][: arguments.calls])
    calls += fossick.candidates(casebook, CASEBOOK_QUESTIONS[:1])
    calls_path = arguments.work / "pairs.jsonl"
    calls_path.write_text("".join(json.dumps(call) + "\n" for call in calls), encoding="utf-8")

    judged = [[(call["query"], passage) for passage in call["passages"]] for call in calls]
    passages = [call["passages"] for call in calls]
    results, chosen = {}, {}
    for kind, name, calls in (("rerank", JUDGE, judged), ("embed", ENCODER, passages)):
        for precision in ("f32", "int8"):
            model, how = fastest(arguments.onnx, name, FORMS[precision], calls, arguments.models, threads)
            ours = theirs = 0.0
            for _ in range(arguments.rounds):
                rate, count, tokens = fossick.rate(kind, calls_path, precision)
                ours, model.tokens = max(ours, rate), 0
                theirs = max(theirs, model.rate(calls))
            expected, found = sum(map(len, calls)), model.tokens / count
            if count != expected or abs(tokens - found) > 0.1:
                sys.exit(f"{kind}: fossick read {count} texts of {tokens} tokens, ONNX Runtime {expected} of {found:.1f}")
            measured = {"fossick": ours, "onnxruntime": theirs, "onnxruntime_as": how, "texts": count, "tokens": tokens}
            results[f"{kind}_{precision}"] = measured
            if precision == "int8":
                chosen[name] = (arguments.onnx / f"{name}.{model.form}.onnx", model.batch, model.abreast)
            print(f"{kind} {precision}: fossick {ours:.1f}/s, ONNX Runtime {theirs:.1f}/s ({how}): {ours / theirs:.2f}", flush=True)

    # End to end, in one process each. fossick's own clock leaves its start out, and Python's likewise.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        answered = process.submit(answer, chosen, arguments.models, threads, collection.documents, texts, arguments.depth).result()
    given = "".join(f"{text}\n" for text in texts)
    depth = ["--rerank", arguments.depth, "--candidates", CANDIDATES, "--limit", 10]
    asked, medians = [], []
    for _ in range(2):
        out = fossick.call("search", index, "--json", "--no-cache", *depth, given=given)
        asked = [json.loads(line) for line in out.splitlines()]
        medians.append(statistics.median(response["timings_ms"]["total"] for response in asked))
    end = {
        "depth": arguments.depth,
        "fossick_ms": min(medians), "python_ms": answered["ms"],
        "fossick_ndcg10": collection.quality([[hit["key"] for hit in response["hits"]] for response in asked]),
        "python_ndcg10": collection.quality([[collection.keys[number] for number in hits] for hits in answered["hits"]]),
        "fossick_mb": megabytes(int(fossick.peak.read_text())), "python_mb": answered["mb"],
    }
    report(arguments, threads, collection, results, end)


def report(arguments, threads, collection, results, end):
    """Prints the table and where fossick loses, and writes the JSON."""
    rerank, embed = results["rerank_int8"], results["embed_int8"]
    print(f"\n{threads} threads. Rates: {rerank['texts']} pairs of {rerank['tokens']:.1f} tokens in the mean, {embed['texts']} passages of "
          f"{embed['tokens']:.1f}, from {arguments.calls} questions to {collection.name} and one to the casebook; the fastest of "
          f"{arguments.rounds} passes. End to end: {len(collection.questions)} questions to {collection.name}.\n")
    print("| | fossick | other | ratio | the other |\n|---|---:|---:|---:|---|")
    ratios = {}
    for key, what in (("rerank_int8", "judging, int8, pairs/s"), ("rerank_f32", "judging, f32, pairs/s"),
                      ("embed_int8", "embedding, int8, passages/s"), ("embed_f32", "embedding, f32, passages/s")):
        row = results[key]
        ratios[what] = row["fossick"] / row["onnxruntime"]
        print(f"| {what} | {row['fossick']:.1f} | {row['onnxruntime']:.1f} | {ratios[what]:.2f} | "
              f"ONNX Runtime {onnxruntime.__version__}, {row['onnxruntime_as']} |")
    for what, ours, theirs, digits, ratio in (
        (f"question to ten hits, {end['depth']} judged, ms", end["fossick_ms"], end["python_ms"], 0, lambda a, b: b / a),
        ("nDCG@10", end["fossick_ndcg10"], end["python_ndcg10"], 3, lambda a, b: a / b),
        ("peak memory, MB", end["fossick_mb"], end["python_mb"], 0, lambda a, b: b / a),
    ):
        if ours is None:
            print(f"| {what} | - | - | | no judgements: set FOSSICK_COLLECTION |")
            continue
        ratios[what] = ratio(ours, theirs) if ours and theirs else float("nan")
        print(f"| {what} | {ours:.{digits}f} | {theirs:.{digits}f} | {ratios[what]:.2f} | tantivy-py, usearch, ONNX Runtime int8 |")
    losing = [f"{what} ({ratio:.2f})" for what, ratio in ratios.items() if not ratio >= 1]
    print(f"\nfossick loses: {'; '.join(losing) if losing else 'nowhere here'}")
    if arguments.json:
        of = lambda key: results[key]["fossick"] / results[key]["onnxruntime"]
        named = {
            "rerank_int8_vs_ort_int8": of("rerank_int8"), "rerank_f32_vs_ort_f32": of("rerank_f32"),
            "embed_int8_vs_ort_int8": of("embed_int8"), "end_to_end_vs_python": end["python_ms"] / end["fossick_ms"],
        }
        measured = {"threads": threads, "collection": collection.name, "questions": len(collection.questions), **results, "end_to_end": end}
        arguments.json.write_text(json.dumps({**named, "measured": measured}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
