//! The tables of an index are plain Lance: other programs read them, at the versions that `fossick info` names.
//!
//! Needs Python with the packages of `requirements.txt`: `FOSSICK_PYTHON`, or the `python3` of the path. Skipped where they are missing; with
//! `FOSSICK_REQUIRE_PYTHON` in the environment that is a failure instead.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::shell::Shell;

/// Letters of more than one byte, a text that is cut into several passages, and a document that is all heading.
const CORPUS: &str = r#"{"id": "well", "title": "Wells", "text": "How to dig a well by hand.", "year": 1901, "day": "1901-05-06"}
{"id": "roof", "title": "Thatched roofs — a café's", "text": "Straw is wetted and combed first, so that it lies straight: “yealms” are what thatchers call the bundles. They are laid from the eaves upwards, each course over the one below it, as tiles are. Hazel spars hold them down. A ridge of sedge is bent over the top, à cheval, and pegged on both sides. It lasts fifteen years; the coat beneath it lasts forty.", "year": 1902, "day": null}
{"id": "wall", "title": "Dry stone walls", "text": "", "year": null, "day": "1970-01-01"}
{"id": "road", "title": "Roads", "text": "Gravel over broken stone.", "year": 1904, "day": null}
"#;

#[test]
fn pylance_and_lancedb_read_the_tables_at_the_versions_of_current() {
    let Some(python) = Python::find() else { return };
    let shell = Shell::new();
    shell.write("corpus.jsonl", CORPUS);
    shell.run("index INDEX corpus.jsonl --passage-tokens 32 --overlap-tokens 8").succeeded();
    let corpus = CORPUS.replace("Gravel over broken stone.", "Tar over gravel.");
    shell.write("corpus.jsonl", &corpus);
    let ended = shell.run("index INDEX corpus.jsonl").succeeded();
    assert!(ended.err.contains("0 added, 1 changed, 3 unchanged"), "{}", ended.err);

    let info = shell.run("info INDEX --json").json();
    let read = python.read(&info);
    println!("{}", read["packages"]);
    assert_documents(&read["documents"], &corpus);
    assert_passages(&read["passages"], &read["documents"], &info);
    assert_eq!(read["lancedb"]["documents"], read["documents"]);
    assert_eq!(read["lancedb"]["passages"], read["passages"]);
    for (passage, nearest) in list(&read["passages"]).iter().zip(list(&read["nearest"])) {
        assert_eq!([&nearest[0], &nearest[1]], [&passage["_document"], &passage["_ordinal"]]);
        assert!(nearest[2].as_f64().unwrap().abs() < 1e-5, "{nearest}");
    }
    assert_eq!(read["unchanged"], true, "reading wrote into the tables");
    if read["tokens"].is_null() {
        python.missing("the package tokenizers is not there, so tokens were not compared");
        return;
    }
    let tokens: Vec<&Value> = list(&read["passages"]).iter().map(|passage| &passage["_tokens"]).collect();
    assert_eq!(tokens, list(&read["tokens"]).iter().collect::<Vec<_>>());
}

/// What a writer leaves who dies between making its tables durable and its `CURRENT`; and that whoever holds a pin keeps what it reads.
#[test]
fn the_newest_version_of_a_table_is_not_the_one_to_read() {
    let Some(python) = Python::find() else { return };
    let shell = Shell::new();
    shell.write("corpus.jsonl", CORPUS);
    shell.run("index INDEX corpus.jsonl").succeeded();
    let before = shell.run("info INDEX --json").json();
    let current = fs::read(shell.path("INDEX/CURRENT")).unwrap();

    let pin = shell.path(&format!("INDEX/readers/{}.pin", before["generation"]));
    let pin = File::options().read(true).write(true).create(true).truncate(false).open(pin).unwrap();
    pin.try_lock_shared().unwrap();
    shell.write("other.jsonl", "{\"id\": \"ghost\", \"title\": \"Ghosts\", \"text\": \"Nobody saw it.\"}\n");
    shell.run("index INDEX other.jsonl").succeeded();
    let after = python.read(&shell.run("info INDEX --json").json());
    assert_eq!(keys(&after["documents"]), ["well", "roof", "wall", "road", "ghost"]);
    fs::write(shell.path("INDEX/CURRENT"), current).unwrap();

    let info = shell.run("info INDEX --json").json();
    assert_eq!(info["tables"], before["tables"]);
    let read = python.read(&info);
    assert_eq!(keys(&read["documents"]), ["well", "roof", "wall", "road"]);
    assert_eq!(list(&read["newest"]).last().unwrap(), "ghost");
    assert_documents(&read["documents"], CORPUS);
    assert_passages(&read["passages"], &read["documents"], &info);
}

/// The documents have the keys and values of these lines.
fn assert_documents(documents: &Value, lines: &str) {
    const FIELDS: [&str; 4] = ["_key", "title", "text", "year"];
    let of = |row: &Value, names: [&str; 4]| -> Vec<Value> { names.iter().map(|&name| row[name].clone()).collect() };
    let mut found: Vec<_> = list(documents).iter().map(|row| of(row, FIELDS)).collect();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut expected: Vec<_> = lines.map(|row| of(&row, ["id", "title", "text", "year"])).collect();
    let by_key = |row: &Vec<Value>| row[0].as_str().unwrap().to_owned();
    found.sort_by_key(by_key);
    expected.sort_by_key(by_key);
    assert_eq!(found, expected);
    let day = |key: &str| &list(documents).iter().find(|row| row["_key"] == key).unwrap()["day"];
    // In microseconds: 1901-05-06 is 25,077 days before 1970-01-01.
    assert_eq!(day("well").as_i64(), Some(-25_077 * 86_400_000_000));
    assert_eq!(day("wall").as_i64(), Some(0));
    assert!(day("roof").is_null());
}

/// Each passage is a stretch of its document's text, with tokens and a vector of length 1; and all of them are there.
fn assert_passages(passages: &Value, documents: &Value, info: &Value) {
    let passages = list(passages);
    assert_eq!(passages.len() as u64, info["passages"].as_u64().unwrap());
    let documents: BTreeMap<u64, &Value> = list(documents).iter().map(|row| (row["_document"].as_u64().unwrap(), row)).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for passage in passages {
        let document = documents[&passage["_document"].as_u64().unwrap()];
        let key = document["_key"].as_str().unwrap();
        let count = counts.entry(key).or_default();
        assert_eq!(passage["_ordinal"].as_u64(), Some(*count), "{key}");
        *count += 1;
        assert_eq!(passage["_field"], if key == "wall" { "title" } else { "text" });
        let text = document[passage["_field"].as_str().unwrap()].as_str().unwrap();
        let range = passage["_start"].as_u64().unwrap() as usize..passage["_end"].as_u64().unwrap() as usize;
        assert_eq!(passage["_text"].as_str(), text.get(range), "{key}");
        assert!(!list(&passage["_tokens"]).is_empty(), "{key}");
        let vector: Vec<f64> = list(&passage["_vector"]).iter().map(|number| number.as_f64().unwrap()).collect();
        assert_eq!(vector.len() as u64, info["dimension"].as_u64().unwrap());
        let norm = vector.iter().map(|number| number * number).sum::<f64>().sqrt();
        assert!((norm - 1.0).abs() < 1e-4, "{key}: {norm}");
    }
    assert_eq!(counts.len(), documents.len(), "{counts:?}");
    for document in documents.values() {
        assert_eq!(document["_passages"].as_u64(), counts.get(document["_key"].as_str().unwrap()).copied());
    }
    assert!(info["passage_tokens"] != 32 || counts["roof"] > 1, "{counts:?}");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn keys(documents: &Value) -> Vec<&str> {
    list(documents).iter().map(|row| row["_key"].as_str().unwrap()).collect()
}

/// A Python that has pylance and lancedb.
struct Python {
    program: PathBuf,
    required: bool,
}

impl Python {
    fn find() -> Option<Self> {
        let usual = || if cfg!(windows) { "python".into() } else { "python3".into() };
        let program = std::env::var_os("FOSSICK_PYTHON").map_or_else(usual, PathBuf::from);
        let python = Self { program, required: std::env::var_os("FOSSICK_REQUIRE_PYTHON").is_some() };
        let shown = python.program.display();
        match Command::new(&python.program).args(["-c", "import lance, lancedb"]).output() {
            Err(error) => python.missing(&format!("{shown} cannot be run: {error}")),
            Ok(output) if !output.status.success() => {
                python.missing(&format!("{shown} has no pylance and lancedb:\n{}", String::from_utf8_lossy(&output.stderr)));
            }
            Ok(_) => return Some(python),
        }
        None
    }

    /// Says what is not tested, and why.
    fn missing(&self, reason: &str) {
        assert!(!self.required, "FOSSICK_REQUIRE_PYTHON is set, and {reason}");
        println!("skipped: {reason}");
    }

    /// What the script finds in the tables that `fossick info --json` names.
    fn read(&self, info: &Value) -> Value {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(&self.program)
            .arg(root.join("tests/cli/open_tables.py"))
            .arg(root.join("models/bge-small-en-v1.5/tokenizer.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that ends early has said why.
        let _ = child.stdin.take().unwrap().write_all(info.to_string().as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
