"""Takes the times of a short, undisturbed run into the report of a long one, whose machine had other work to do.

    times.py LONG.json SHORT.json

LONG is a file beside this script and is changed; SHORT is what `fossick eval` printed for some of the same queries, with the same
`--rerank` and `--json` (`--first 12` takes the first twelve). Only times are taken; `timed_queries` says of how many queries they are.
"""
import json
import pathlib
import sys


def main(long_path, short_path):
    long, short = (json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in (long_path, short_path))
    for name, stage in long["stages"].items():
        for key in ("p50_ms", "p95_ms"):
            stage[key] = short["stages"][name][key]
    times = {depth["rerank"]: depth["estimated_ms"] for depth in short["depths"]}
    for depth in long["depths"]:
        depth["estimated_ms"] = times[depth["rerank"]]
    long["timed_queries"] = short["queries"]
    pathlib.Path(long_path).write_text(json.dumps(long, indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
