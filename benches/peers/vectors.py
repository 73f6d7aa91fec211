"""fossick's vectors beside LanceDB's IVF_RQ and usearch's HNSW. Run by vectors.sh.

All search the vectors of one index that `fossick bench` generates, for the same queries, the hundred nearest of each, one query after the
other; recall is against all vectors compared. LanceDB with its index's defaults, then with more partitions looked at and with a
refinement from the stored vectors, until its recall is fossick's. Medians in milliseconds.
"""
import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import lance
import lancedb
import numpy as np

NEAREST = 100


def timed(search, queries, truth):
    """The median time of a search, and the share of the true nearest that it finds."""
    for query in queries[:10]:
        search(query)
    times, found = [], 0
    for query, right in zip(queries, truth):
        begun = time.perf_counter()
        nearest = search(query)
        times.append((time.perf_counter() - begun) * 1000)
        found += len(set(map(int, nearest)) & right)
    return round(statistics.median(times), 2), round(found / (NEAREST * len(queries)), 4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fossick", required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--without-usearch", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    kept = arguments.work / "generated"
    bench = [arguments.fossick, "bench", "--search", "--rows", str(arguments.rows), "--dims", str(arguments.dims)]
    own = json.loads(subprocess.run(bench + ["--keep", str(kept), "--json"], check=True, capture_output=True).stdout)
    name = f"{arguments.rows}-{arguments.dims}"
    queries = np.fromfile(kept / f"{name}.queries", dtype="<f4").reshape(-1, arguments.dims)
    index = kept / f"{name}.fossick"
    info = json.loads(subprocess.run([arguments.fossick, "info", str(index), "--json"], check=True, capture_output=True).stdout)
    passages = info["tables"]["passages"]
    table = lance.dataset(passages["path"], version=passages["version"]).to_table(columns=["_document", "_vector"])
    numbers = table["_document"].to_numpy()
    vectors = np.concatenate([chunk.flatten().to_numpy() for chunk in table["_vector"].chunks]).reshape(-1, arguments.dims)
    truth = []
    for query in queries:
        similarities = vectors @ query
        truth.append(set(map(int, numbers[np.argpartition(-similarities, NEAREST)[:NEAREST]])))

    rows = []
    mine = next(row for row in own["search"] if row["filter"] == "none")
    rows.append({"what": "fossick", "p50_ms": mine["vector_p50_ms"], "recall@100": mine["recall@100"]})

    database = lancedb.connect(str(arguments.work / "lancedb"))
    begun = time.perf_counter()
    peer = database.create_table(f"rows{arguments.rows}", table, mode="overwrite")
    peer.create_index(metric="cosine", vector_column_name="_vector", index_type="IVF_RQ")
    built = round(time.perf_counter() - begun, 1)

    def ask(probes, refine):
        def search(query):
            asked = peer.search(query, vector_column_name="_vector").distance_type("cosine").limit(NEAREST).select(["_document"])
            asked = asked.nprobes(probes) if probes else asked
            asked = asked.refine_factor(refine) if refine else asked
            return asked.to_arrow()["_document"].to_pylist()
        return search

    for probes, refine in [(None, None), (50, None), (None, 5), (50, 5), (100, 10)]:
        median, recall = timed(ask(probes, refine), queries, truth)
        settings = f"{probes or 'default'} partitions, refine {refine or 'no'}"
        rows.append({"what": f"LanceDB IVF_RQ, {settings}", "p50_ms": median, "recall@100": recall, "built_s": built})
        if recall >= mine["recall@100"]:
            break

    if not arguments.without_usearch:
        from usearch.index import Index
        hnsw = Index(ndim=arguments.dims, metric="cos", dtype="f32")
        begun = time.perf_counter()
        hnsw.add(numbers, vectors)
        built = round(time.perf_counter() - begun, 1)
        for expansion in (64, 256, 512):
            hnsw.expansion_search = expansion
            median, recall = timed(lambda query: hnsw.search(query, NEAREST).keys, queries, truth)
            rows.append({"what": f"usearch HNSW, expansion {expansion}", "p50_ms": median, "recall@100": recall, "built_s": built})

    for row in rows:
        row["ratio"] = round(row["p50_ms"] / mine["vector_p50_ms"], 2)
    if arguments.json:
        print(json.dumps({"rows": arguments.rows, "dims": arguments.dims, "vectors": rows}))
        return
    print(f"{arguments.rows} vectors of {arguments.dims} components; a ratio above 1: fossick is faster")
    for row in rows:
        built = f", built in {row['built_s']} s" if "built_s" in row else ""
        print(f"{row['p50_ms']:8.2f} ms  recall@100 {row['recall@100']:.4f}  ratio {row['ratio']:.2f}  {row['what']}{built}")


main()
