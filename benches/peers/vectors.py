"""fossick's vectors beside LanceDB's indexes and usearch's HNSW. Run by vectors.sh.

All search the vectors of one index that `fossick bench` generates, for the same queries, the hundred nearest of each, one query after the
other; recall is against all vectors compared. Each of LanceDB's kinds of index with its defaults, then with more looked at, which is with partitions
(or candidates of a graph) and with a refinement from the stored vectors, until its recall is fossick's or the list of settings ends. HNSW of usearch
with its defaults, then with larger graphs, until its recall is 0.95 or the list ends. Medians in milliseconds.
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
# Each with what is set beside the defaults: partitions that are looked at, candidates of the graph in each (no fewer than are refined), and how many times as many are refined.
KINDS = {
    "IVF_RQ": [{}, {"probes": 50}, {"refine": 5}, {"probes": 50, "refine": 5}, {"probes": 100, "refine": 10}],
    "IVF_PQ": [{}, {"probes": 50}, {"refine": 5}, {"probes": 50, "refine": 5}, {"probes": 100, "refine": 10}],
    "IVF_SQ": [{}, {"probes": 50}, {"refine": 5}, {"probes": 50, "refine": 5}, {"probes": 100, "refine": 10}],
    "IVF_HNSW_SQ": [{}, {"probes": 50}, {"ef": 400, "probes": 50}, {"ef": 600, "probes": 50, "refine": 5}, {"ef": 1200, "probes": 100, "refine": 10}],
}
# Graphs of usearch: neighbours of a vector, candidates while it is added; and candidates of a search. The first is the default.
GRAPHS = [(16, 128), (32, 256), (64, 512)]
SEARCHES = [64, 256, 512, 1024, 2048, 4096, 8192]
ENOUGH = 0.95


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


def of_lancedb(work, table, rows, kinds, queries, truth, enough):
    """The table once, then one kind of index after the other."""
    peer = lancedb.connect(str(work / "lancedb")).create_table(f"rows{rows}", table, mode="overwrite")
    for kind in kinds:
        begun = time.perf_counter()
        peer.create_index(metric="cosine", vector_column_name="_vector", index_type=kind, replace=True)
        built = round(time.perf_counter() - begun, 1)
        indexes = [str(index.index_type) for index in peer.list_indices()]
        # The names have lost their underscores there.
        assert [name.upper().replace("_", "") for name in indexes] == [kind.replace("_", "")], indexes
        for settings in KINDS[kind]:
            def search(query):
                asked = peer.search(query, vector_column_name="_vector").distance_type("cosine").limit(NEAREST)
                asked = asked.select(["_document", "_distance"])
                asked = asked.nprobes(settings["probes"]) if "probes" in settings else asked
                asked = asked.ef(settings["ef"]) if "ef" in settings else asked
                asked = asked.refine_factor(settings["refine"]) if "refine" in settings else asked
                return asked.to_arrow()["_document"].to_pylist()

            median, recall = timed(search, queries, truth)
            set_to = ", ".join(f"{name} {value}" for name, value in settings.items()) or "as it is"
            yield {"what": f"LanceDB {kind}, {set_to}", "p50_ms": median, "recall@100": recall, "built_s": built}
            if recall >= enough:
                break


def of_usearch(numbers, vectors, graphs, queries, truth):
    from usearch.index import Index
    for connectivity, adding in GRAPHS[:graphs]:
        graph = Index(ndim=vectors.shape[1], metric="cos", dtype="f32", connectivity=connectivity, expansion_add=adding)
        begun = time.perf_counter()
        graph.add(numbers, vectors)
        built = round(time.perf_counter() - begun, 1)
        for searching in SEARCHES:
            graph.expansion_search = searching
            median, recall = timed(lambda query: graph.search(query, NEAREST).keys, queries, truth)
            what = f"usearch HNSW, connectivity {connectivity}, expansion {adding} adding, {searching} searching"
            yield {"what": what, "p50_ms": median, "recall@100": recall, "built_s": built}
            if recall >= ENOUGH:
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fossick", required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS), help="LanceDB's kinds of index; all unless given")
    parser.add_argument("--without-usearch", action="store_true")
    parser.add_argument("--graphs", type=int, default=len(GRAPHS), help="usearch's graphs, the smallest first; all unless given")
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

    mine = next(row for row in own["search"] if row["filter"] == "none")
    rows = [{"what": "fossick", "p50_ms": mine["vector_p50_ms"], "recall@100": mine["recall@100"]}]
    rows.extend(of_lancedb(arguments.work, table, arguments.rows, arguments.kinds, queries, truth, mine["recall@100"]))
    if not arguments.without_usearch:
        rows.extend(of_usearch(numbers, vectors, arguments.graphs, queries, truth))
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
