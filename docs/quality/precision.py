"""What 8 bits cost: the first judged queries of a collection in both precisions, over one index.

    precision.py FOSSICK INDEX queries.jsonl[.gz] qrels.tsv QUERIES RERANK

prints nDCG@10 of the final order in int8 and in f32, the mean overlap of the two first tens, and the time of both.
"""
import json
import subprocess
import sys

from choose import ndcg, open_text, read_qrels


def main(program, index, queries, qrels, count, rerank):
    grades = read_qrels(qrels)
    with open_text(queries) as file:
        asked = [json.loads(line) for line in file]
    asked = [query for query in asked if any(grades.get(query["_id"], {}).values())][: int(count)]
    given = "".join(query["text"].replace("\n", " ") + "\n" for query in asked)
    found = {}
    for precision in ("int8", "f32"):
        command = [program, "search", index, "--json", "--limit", "10", "--rerank", rerank, "--device", "cpu", "--precision", precision]
        out = subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
        found[precision] = [json.loads(line) for line in out.splitlines()]
        keys = [[hit["key"] for hit in response["hits"]] for response in found[precision]]
        mean = sum(ndcg(ten, grades[query["_id"]]) for ten, query in zip(keys, asked)) / len(asked)
        times = sorted(response["timings_ms"]["total"] for response in found[precision])
        print(f"{precision}: nDCG@10 {mean:.4f} of {len(asked)} queries, median {times[len(times) // 2]:.0f} ms")
    shared = [len({hit["key"] for hit in a["hits"]} & {hit["key"] for hit in b["hits"]}) / max(len(a["hits"]), 1)
              for a, b in zip(found["int8"], found["f32"])]
    print(f"overlap of the first ten: {sum(shared) / len(shared):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
