"""Draws depth.svg and time.svg from the JSON files here.

    pip install matplotlib==3.10.*
    python docs/quality/plot.py
"""

import json
import pathlib

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = pathlib.Path(__file__).parent
NAMES = {"scifact": "scifact (test)", "nfcorpus": "nfcorpus (test, part)", "nq-utd": "nq-utd (test)", "casebook": "legal queries, casebook", "cases": "legal queries, cases"}
# Without it every drawing of the same figures is another file.
plt.rcParams["svg.hashsalt"] = "fossick"


def draw(file, label, place, names):
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for name, title in names.items():
        path = HERE / f"{name}.json"
        if not path.exists():
            continue
        report = json.loads(path.read_text())
        fused = report["stages"]["fused"]
        points = [(place(None, fused), fused["ndcg@10"])]
        points += [(place(depth, fused), depth["ndcg@10"]) for depth in report["depths"]]
        axes.plot(*zip(*points), marker="o", markersize=3, label=f"{title}, {report['queries']} queries")
    axes.set_xlabel(label)
    axes.set_ylabel("nDCG@10")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(HERE / file, metadata={"Date": None})


draw("depth.svg", "candidates judged (0: the fused first stage)", lambda depth, _: depth["rerank"] if depth else 0, NAMES)
# Measured on a machine that did nothing else; the other files were not.
IDLE = {name: NAMES[name] for name in ("nfcorpus", "casebook")}
draw("time.svg", "milliseconds a query (estimated mean; first point: median)", lambda depth, fused: depth["estimated_ms"] if depth else fused["p50_ms"], IDLE)
