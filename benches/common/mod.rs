//! Indexes and texts that several benches need.

#![allow(dead_code)] // Each bench uses a part of it.

pub mod alone;

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use fossick::{Document, Index, Options, Schema};

/// Components of a generated vector.
pub const DIMENSION: usize = 384;

/// The models and the casebook are in the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of the casebook, with their titles.
pub fn digests() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository().join("examples/casebook/casebook.jsonl")).expect("the casebook");
    let digest = |line: &str| {
        let digest: serde_json::Value = serde_json::from_str(line).expect("a digest");
        (digest["title"].as_str().unwrap_or_default().to_owned(), digest["text"].as_str().unwrap_or_default().to_owned())
    };
    text.lines().map(digest).collect()
}

/// Where a collection of BEIR is, if it is: beside the repository, not in it.
pub fn beir_folder(name: &str) -> PathBuf {
    repository().join("../shared/data/beir").join(name)
}

/// A collection of BEIR.
pub struct Collection {
    /// Keys, and texts with their titles before them.
    pub documents: Vec<(String, String)>,
    pub queries: Vec<String>,
}

/// A collection; `None` where its files are not.
pub fn beir(name: &str) -> Option<Collection> {
    let lines = |file: &str| -> Option<Vec<serde_json::Value>> {
        let mut text = String::new();
        GzDecoder::new(std::fs::File::open(beir_folder(name).join(file)).ok()?).read_to_string(&mut text).expect("gzip");
        Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    };
    let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let documents = lines("corpus.jsonl.gz")?;
    let documents = documents.iter().map(|line| (text(line, "_id"), text(line, "title") + "\n" + &text(line, "text")));
    let queries = lines("queries.jsonl.gz")?.iter().map(|line| text(line, "text")).collect();
    Some(Collection { documents: documents.collect(), queries })
}

/// An index of texts without vectors, committed.
pub fn words_only(path: &Path, documents: &[(String, String)]) -> Index {
    let schema = Schema::builder().text("text").build().expect("a schema");
    let index = Index::open_or_create(path, Options::new().schema(schema)).expect("an index");
    let mut writer = index.writer().expect("a writer");
    for (key, text) in documents {
        writer.add(Document::new(key).set("text", text.as_str())).expect("a document");
    }
    writer.commit().expect("a commit");
    drop(writer);
    index
}

/// An index of generated documents with vectors near one of a hundred centres, committed.
pub fn generated(path: &Path, documents: u64) -> Index {
    let schema = Schema::builder().heading("title").text("text").build().expect("a schema");
    let index = Index::open_or_create(path, Options::new().schema(schema).own_vectors(DIMENSION)).expect("an index");
    let mut writer = index.writer().expect("a writer");
    for number in 0..documents {
        writer.add(document(number)).expect("a document");
    }
    writer.commit().expect("a commit");
    drop(writer);
    index
}

/// A document of a hundred words.
pub fn document(number: u64) -> Document {
    let word = |at: u64| WORDS[(mixed(number << 8 | at) % WORDS.len() as u64) as usize];
    let text: Vec<&str> = (0..100).map(word).collect();
    Document::new(format!("d{number}"))
        .set("title", format!("number {number}"))
        .set("text", text.join(" "))
        .vector(vector(number))
}

/// The vector of a document, or of a query where the seed is beyond the documents.
pub fn vector(seed: u64) -> Vec<f32> {
    let uniform = |seed: u64| (mixed(seed) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let centre = mixed(seed) % 100;
    (0..DIMENSION as u64).map(|at| uniform(centre << 32 | at) + 0.6 * uniform(seed.wrapping_mul(1 << 20) ^ at)).collect()
}

/// The output function of SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const WORDS: [&str; 48] = [
    "patent", "court", "appeal", "state", "law", "claim", "process", "statute", "evidence", "trial", "jury", "rule", "right",
    "contract", "tax", "income", "employer", "police", "search", "warrant", "phone", "car", "speech", "press", "religion",
    "school", "election", "vote", "district", "bank", "trade", "price", "merger", "music", "book", "copy", "author", "license",
    "river", "land", "oil", "gas", "rail", "ship", "prison", "drug", "gene", "software",
];
