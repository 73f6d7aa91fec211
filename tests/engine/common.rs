//! Models, directories and small indexes that several tests need.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fossick::{CrossEncoder, Device, Document, Encoder, Index, Options, Precision, Response, Schema};

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the data that lies beside a developer's checkout; prints why a test is skipped where it is not there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let file = repository().join("../shared").join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {} is not there", file.display());
    None
}

/// The CPU in f32.
pub fn exact() -> Device {
    Device::cpu().with_precision(Precision::F32).unwrap()
}

pub fn load_encoder(device: &Device) -> Encoder {
    Encoder::load(repository().join("models/bge-small-en-v1.5"), device).unwrap()
}

pub fn load_judge(device: &Device) -> CrossEncoder {
    CrossEncoder::load(repository().join("models/ms-marco-minilm-l-12-v2"), device).unwrap()
}

/// The encoder as most programs load it: on the CPU, in 8 bits.
pub fn encoder() -> Encoder {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    ENCODER.get_or_init(|| load_encoder(&Device::cpu())).clone()
}

/// The cross-encoder likewise.
pub fn judge() -> CrossEncoder {
    static JUDGE: OnceLock<CrossEncoder> = OnceLock::new();
    JUDGE.get_or_init(|| load_judge(&Device::cpu())).clone()
}

pub fn exact_encoder() -> Encoder {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    ENCODER.get_or_init(|| load_encoder(&exact())).clone()
}

pub fn exact_judge() -> CrossEncoder {
    static JUDGE: OnceLock<CrossEncoder> = OnceLock::new();
    JUDGE.get_or_init(|| load_judge(&exact())).clone()
}

/// A heading and a text.
pub fn schema() -> Schema {
    Schema::builder().heading("title").text("body").build().unwrap()
}

pub fn note(key: &str, title: &str, body: &str) -> Document {
    Document::new(key).set("title", title).set("body", body)
}

/// An index of words alone, in a directory that lives as long as the pair.
pub fn words_index() -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema())).unwrap();
    (directory, index)
}

/// An index with vectors of two components that the tests bring.
pub fn vectors_index() -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema()).own_vectors(2)).unwrap();
    (directory, index)
}

/// Five notes with the real encoder.
pub fn encoded_index() -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let index =
        Index::open_or_create(directory.path().join("index"), Options::new().schema(schema()).encoder(encoder())).unwrap();
    let mut writer = index.writer().unwrap();
    for (key, title, body) in [
        ("bread", "Sourdough", "Flour, water and salt. The dough rests overnight before it is baked in a hot oven."),
        ("bike", "A flat tyre", "Take the wheel off, pull out the inner tube and find the hole under water."),
        ("tax", "Income tax", "Income tax is owed on wages, interest and rent. A return is due in April."),
        ("cat", "Cats", "A cat sleeps for most of the day and hunts at dusk."),
        ("moon", "The moon", "The moon turns once around the earth in about twenty-seven days."),
    ] {
        writer.add(note(key, title, body)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

pub fn keys(response: &Response) -> Vec<&str> {
    response.hits.iter().map(|hit| hit.key.as_str()).collect()
}

/// All files below a directory, sorted.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}

/// Bytes in all files below a directory. A writer may remove some meanwhile; those count for nothing.
pub fn size(root: &Path) -> u64 {
    files(root).iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
