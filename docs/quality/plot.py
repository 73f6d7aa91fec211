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
# Told apart by marker and line as well as by colour.
CURVES = {
    "nq-utd": ("nq-utd (test)", "#0072b2", "s", "-"),
    "casebook": ("legal queries, casebook", "#d55e00", "o", "-"),
    "cases": ("legal queries, cases", "#e69f00", "D", "--"),
    "scifact": ("scifact (test)", "#009e73", "^", "-"),
    "nfcorpus": ("nfcorpus (test)", "#cc79a7", "v", "--"),
}
# Without it every drawing of the same figures is another file.
plt.rcParams["svg.hashsalt"] = "fossick"


def read():
    for name, curve in CURVES.items():
        path = HERE / f"{name}.json"
        if path.exists():
            yield json.loads(path.read_text(encoding="utf-8")), curve


def draw(file, label, place, reports):
    figure, axes = plt.subplots(figsize=(7, 5))
    for report, (title, colour, marker, line) in reports:
        fused = report["stages"]["fused"]
        points = [(place(None, fused), fused["ndcg@10"])]
        points += [(place(depth, fused), depth["ndcg@10"]) for depth in report["depths"]]
        title = f"{title}, {report['queries']} queries"
        axes.plot(*zip(*points), color=colour, marker=marker, linestyle=line, markersize=4, label=title)
    axes.set_xlabel(label)
    axes.set_ylabel("nDCG@10")
    axes.grid(alpha=0.3)
    # Above the curves, where it hides none.
    axes.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.tight_layout()
    figure.savefig(HERE / file, metadata={"Date": None})


draw("depth.svg", "candidates judged (0: the fused first stage)", lambda depth, _: depth["rerank"] if depth else 0, read())
draw("time.svg", "milliseconds a query (estimated mean; first point: median)",
     lambda depth, fused: depth["estimated_ms"] if depth else fused["p50_ms"], read())
