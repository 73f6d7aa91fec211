"""Reads the two tables of an index at the versions that `fossick info --json` names, and prints what is in them as JSON.

    pip install -r tests/cli/requirements.txt
    fossick info INDEX --json | python tests/cli/open_tables.py models/bge-small-en-v1.5/tokenizer.json

Opens them with pylance and with lancedb, and writes nothing: `unchanged` says whether the folders hold the same files afterwards.
`newest` is what a reader would get who names no version; it is shown to be another one, and is never to be read.
"""

import json
import os
import sys

import lance
import lancedb
import pyarrow


def rows(table):
    """The rows, with dates as microseconds, in the order of documents."""
    for at, field in enumerate(table.schema):
        if pyarrow.types.is_timestamp(field.type):
            table = table.set_column(at, field.name, table[field.name].cast(pyarrow.int64()))
    return sorted(table.to_pylist(), key=lambda row: (row["_document"], row.get("_ordinal", 0)))


def by_lance(table):
    return rows(lance.dataset(table["path"], version=table["version"]).to_table())


def by_lancedb(table):
    return rows(opened(table).to_arrow())


def opened(table):
    """lancedb calls a table by its folder, less the ending, in the folder above it."""
    database, folder = os.path.split(table["path"])
    return lancedb.connect(database).open_table(folder.removesuffix(".lance"), version=table["version"])


def nearest(table, passage):
    """What lancedb finds for a passage's own vector: its document, its place there, and the distance."""
    query = opened(table).search(passage["_vector"], vector_column_name="_vector").distance_type("cosine").limit(1)
    found = query.select(["_document", "_ordinal", "_distance"]).to_list()[0]
    return [found["_document"], found["_ordinal"], found["_distance"]]


def tokens(documents, passages, tokenizer_json):
    """The ids that the passages should have, or none where the package is missing. Headings here are short, so none is cut."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    tokenizer = Tokenizer.from_file(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    titles = {row["_document"]: (row["title"] or "").strip() for row in documents}

    def read(passage):
        heading = "" if passage["_field"] == "title" else titles[passage["_document"]]
        return f"{heading}\n{passage['_text']}" if heading else passage["_text"]

    return [tokenizer.encode(read(passage), add_special_tokens=False).ids for passage in passages]


def files(tables):
    found = []
    for table in tables.values():
        for folder, _, names in os.walk(table["path"]):
            found += [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in (os.path.join(folder, name) for name in names)]
    return sorted(found)


def main():
    tables = json.load(sys.stdin)["tables"]
    before = files(tables)
    documents, passages = by_lance(tables["documents"]), by_lance(tables["passages"])
    answer = {
        "packages": {"pylance": lance.__version__, "lancedb": lancedb.__version__},
        "documents": documents,
        "passages": passages,
        "lancedb": {"documents": by_lancedb(tables["documents"]), "passages": by_lancedb(tables["passages"])},
        "nearest": [nearest(tables["passages"], passage) for passage in passages],
        "tokens": tokens(documents, passages, sys.argv[1]),
        "newest": [row["_key"] for row in rows(lance.dataset(tables["documents"]["path"]).to_table())],
    }
    answer["unchanged"] = before == files(tables)
    print(json.dumps(answer))


main()
