//! Measuring answers.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use fossick::evaluate::{Metric, Qrels, Run};
use serde_json::Value;

use crate::shell::{Shell, shared};

const CORPUS: &str = "{\"_id\": \"well\", \"text\": \"How to dig a well by hand.\"}\n{\"_id\": \"roof\", \"text\": \"How to thatch a roof.\"}\n\
    {\"_id\": \"moon\", \"text\": \"The moon and a roof of many bright stars.\"}\n";
const QUERIES: &str = "{\"_id\": \"q1\", \"text\": \"digging\"}\n{\"_id\": \"q2\", \"text\": \"roof\"}\n{\"_id\": \"q3\", \"text\": \"stars\"}\n{\"_id\": \"q4\", \"text\": \"not judged\"}\n";
const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\twell\t1\nq2\troof\t2\nq2\tabsent\t1\nq3\tmoon\t0\nq9\twell\t1\n";

fn judged() -> Shell {
    let shell = Shell::new();
    shell.words_index(CORPUS).write("queries.jsonl", QUERIES).write("qrels.tsv", QRELS);
    shell
}

/// Every measure of every query of a run equals what ir-measures gave, to four digits.
fn agrees_with_ir_measures(name: &str, qrels: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trec");
    let open = |path: &Path| BufReader::new(std::fs::File::open(path).unwrap());
    let run = Run::read(name, BufReader::new(GzDecoder::new(open(&data.join(format!("{name}.run.gz")))))).unwrap();
    let qrels = Qrels::read("qrels", open(qrels)).unwrap();
    let mut text = String::new();
    open(&data.join("expected.json")).read_to_string(&mut text).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let queries = expected[name]["queries"].as_object().unwrap();
    assert!(queries.len() >= 10);
    for metric in Metric::STANDARD {
        let mut sum = 0.0;
        for (query, values) in queries {
            let ours = metric.of(run.ranking(query), qrels.grades(query).unwrap());
            let theirs = values[metric.to_string()].as_f64().unwrap();
            assert!((ours - theirs).abs() < 5e-5, "{name}, query {query}, {metric}: {ours}, ir-measures says {theirs}");
            sum += ours;
        }
        let mean = expected[name]["mean"][metric.to_string()].as_f64().unwrap();
        assert!((sum / queries.len() as f64 - mean).abs() < 5e-5, "{name}, {metric}");
    }
}

#[test]
fn measures_equal_those_of_ir_measures_with_ties_and_missing_judgements() {
    agrees_with_ir_measures("ties", &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trec/ties.qrels"));
}

#[test]
fn measures_equal_those_of_ir_measures_on_real_runs() {
    for (name, qrels) in [
        ("scifact", "data/beir/scifact/qrels/train.tsv"),
        ("nfcorpus", "data/beir/nfcorpus/qrels/dev.tsv"),
        ("casebook", "data/legal/qrels-dev.tsv"),
    ] {
        if let Some(qrels) = shared(qrels) {
            agrees_with_ir_measures(name, &qrels);
        }
    }
}

#[test]
fn the_json_has_its_shape_and_counts_what_it_leaves_out() {
    let shell = judged();
    let report = shell.run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 3 --json").json();
    assert_eq!((report["queries"].as_u64(), report["queries_without_relevant"].as_u64()), (Some(2), Some(1)));
    assert_eq!((report["queries_without_judgement"].as_u64(), report["judgements"].as_u64()), (Some(1), Some(3)));
    assert_eq!((report["queries_without_text"].as_u64(), report["judgements_not_indexed"].as_u64()), (Some(1), Some(1)));
    let lexical = &report["stages"]["lexical"];
    // q1 is perfect; q2 has 2 of the ideal 2 + 1 / log2(3).
    let expected = (1.0 + 2.0 / (2.0 + 1.0 / 3f64.log2())) / 2.0;
    assert!((lexical["ndcg@10"].as_f64().unwrap() - expected).abs() < 1e-6, "{lexical}");
    assert_eq!(lexical["recall@100"].as_f64(), Some(0.75));
    for member in ["mrr@10", "map", "success@5", "p50_ms", "p95_ms"] {
        assert!(lexical[member].is_number(), "{member}: {lexical}");
    }
    assert_eq!(report["stages"].as_object().unwrap().keys().collect::<Vec<_>>(), ["lexical", "reranked"]);
    assert_eq!(report["comparison"]["baseline"], "lexical");
    assert_eq!(report["depths"][0]["rerank"].as_u64(), Some(3));
    let whole = shell.run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --indexed-only --json").json();
    assert_eq!(whole["stages"]["lexical"]["ndcg@10"].as_f64(), Some(1.0));
    assert_eq!(whole["judgements_not_indexed_left_out"].as_bool(), Some(true));
    for fusion in ["convex", "reciprocal-rank", "min-max", "distribution"] {
        let report =
            shell.run(&format!("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --fusion {fusion} --json"));
        assert_eq!(report.json()["settings"]["fusion"]["method"], fusion);
    }
}

#[test]
fn a_run_is_written_and_can_be_the_baseline() {
    let shell = judged();
    shell.run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --run out.trec").succeeded();
    let text = std::fs::read_to_string(shell.path("out.trec")).unwrap();
    assert!(text.starts_with("q1 Q0 well 1 "), "{text}");
    let page = shell.run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --baseline out.trec").succeeded().out;
    assert!(page.contains("lexical against out.trec") && page.contains("0 queries better, 0 worse, 2 the same"), "{page}");
    shell.write("worse.trec", "q1 Q0 roof 1 2 x\nq1 Q0 well 2 1 x\n");
    let page = shell.run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --baseline worse.trec").succeeded().out;
    assert!(page.contains("2 queries better") && page.contains("gained most") && page.contains("well 2 to 1"), "{page}");
}

#[test]
fn judgements_of_another_collection_are_refused_with_an_example_of_both() {
    let shell = judged();
    shell.write("other.tsv", "q1\tdoc-1\t1\n");
    shell
        .run("eval INDEX --queries queries.jsonl --qrels other.tsv --rerank 0")
        .refused(1, &["none of the 1 judged documents is in the index", "\"doc-1\"", "\"well\""]);
    shell.write("nobody.tsv", "qq\twell\t1\n");
    shell.run("eval INDEX --queries queries.jsonl --qrels nobody.tsv --rerank 0").refused(1, &["none of the 4 queries"]);
    shell.write("foreign.trec", "zz Q0 well 1 1 x\n");
    shell
        .run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --baseline foreign.trec")
        .refused(1, &["foreign.trec: answers none of the 2 queries"]);
    shell.write("elsewhere.trec", "q1 Q0 doc-1 1 1 x\n");
    shell
        .run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --baseline elsewhere.trec")
        .refused(1, &["elsewhere.trec: expected documents of the index", "\"doc-1\""]);
    shell.write("kept.trec", "what was there");
    shell
        .run("eval INDEX --queries queries.jsonl --qrels other.tsv --rerank 0 --run kept.trec")
        .refused(1, &["none of the 1 judged"]);
    assert_eq!(std::fs::read_to_string(shell.path("kept.trec")).unwrap(), "what was there");
    shell
        .run("eval INDEX --queries queries.jsonl --qrels qrels.tsv --rerank 0 --run no/such/folder")
        .refused(1, &["no/such/folder: cannot be written"]);
    shell.write("broken.tsv", "q1\twell\t1\nq1\troof\tyes\n");
    shell.run("eval INDEX --queries queries.jsonl --qrels broken.tsv").refused(1, &["broken.tsv, line 2", "\"yes\""]);
    shell.write("broken.jsonl", "{\"_id\": \"q1\"}\n");
    shell.run("eval INDEX --queries broken.jsonl --qrels qrels.tsv").refused(1, &["broken.jsonl, line 1"]);
    shell.run("eval INDEX --queries absent.jsonl --qrels qrels.tsv").refused(1, &["absent.jsonl"]);
}
