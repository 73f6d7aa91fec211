//! Bringing back what can be brought back.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, StorageError};
use crate::ingest::build_words;
use crate::lexical::WordsReader;
use crate::search::value_json;
use crate::store::{Generation, Header, Rescue, Rescued, Stated};

/// What [`repair`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// The generation that the index is at now.
    pub generation: u64,
    /// What was done, a sentence each; empty where nothing was wrong.
    pub done: Vec<String>,
    /// Keys of documents that the index no longer has and whose values could be read. They are in `documents.jsonl` of the folder that things were
    /// set aside in, to be added again.
    pub removed: Vec<String>,
    /// The folder that damaged files were moved to, if any were.
    pub set_aside: Option<PathBuf>,
}

/// Brings an index back to a state in which all parts agree, and publishes that as a new generation. Needs the writer's lock.
///
/// A damaged `CURRENT`, manifest or list of deleted rows comes back from its copy. Words are made again from the documents. Rows in
/// a damaged file are lost, and with them the documents whose passages they were; what can still be read of those is written to
/// `documents.jsonl` beside the damaged files. Nothing is deleted: what cannot stay is moved to `set-aside-1` (or the next number
/// that is free) in the index directory. Kept generations that are damaged are let go of. No embedding is computed. What [`crate::verify`] finds
/// beyond files, such as two documents with one key, is left as it is.
///
/// # Errors
/// [`crate::OpenError`]: there is no index, a writer has it open, or nothing is left to go by. [`StorageError`]: the disk refuses; or
/// a table's manifest is damaged and has no copy.
pub fn repair(path: impl AsRef<Path>) -> Result<Repaired, Error> {
    let rescue = Rescue::begin(path.as_ref())?;
    let header = rescue.header().clone();
    let words_damaged = rescue.set_words_aside()?;
    let words_path = rescue.layout().words(header.words.epoch);
    let layout = rescue.layout().clone();
    let Rescued { mut store, done, aside: set_aside } = rescue.into_writer()?;
    let view = store.view()?;
    let stated = view.stated()?;
    let ordinals = view.ordinals()?;
    let torn = Torn::find(&stated, &ordinals);
    let numbers: BTreeSet<u64> = stated.iter().map(|document| document.number).collect();
    let words_agree = !words_damaged && words_are_of(&words_path, &header, &numbers);
    if torn.is_empty() && words_agree {
        if !done.is_empty() {
            store.publish_rest(header.words, &header.files.word_files())?;
        }
        return Ok(Repaired { generation: store.header().generation, done, set_aside, ..Repaired::default() });
    }
    let mut repaired = Repaired { done, set_aside, ..Repaired::default() };
    if !torn.is_empty() {
        let aside = repaired.set_aside.get_or_insert_with(|| layout.set_aside());
        write_down(aside, &view, &stated, &torn)?;
        let keys =
            stated.iter().filter(|document| torn.documents.contains(&document.number)).map(|document| document.key.clone());
        repaired.removed = keys.collect();
        if !repaired.removed.is_empty() {
            let fact = "documents had lost passages and were taken out; add them again from documents.jsonl";
            repaired.done.push(format!("{} {fact}", repaired.removed.len()));
        }
        if !torn.orphans.is_empty() {
            let fact = "documents were lost; the passages that they had are in passages.jsonl";
            repaired.done.push(format!("{} {fact}", torn.orphans.len()));
        }
        let gone: Vec<u64> = torn.documents.iter().chain(&torn.orphans).copied().collect();
        store.remove(&gone)?;
    }
    if !words_agree {
        repaired.done.push("the words were made again from the documents".to_owned());
    }
    let (epoch, words) = build_words(&store.view()?)?;
    store.publish_rest(words.state(epoch), &words.files)?;
    repaired.generation = store.header().generation;
    Ok(repaired)
}

/// Writes what can still be read of torn documents to two files of JSON lines.
fn write_down(aside: &Path, view: &Generation, stated: &[Stated], torn: &Torn) -> Result<(), StorageError> {
    let (documents, passages) = (view.document_index()?, view.passage_index()?);
    let names: Vec<&str> = view.header.schema.fields().iter().map(|field| field.name()).collect();
    let wanted: Vec<&Stated> = stated.iter().filter(|document| torn.documents.contains(&document.number)).collect();
    let numbers: Vec<u64> = wanted.iter().map(|document| document.number).collect();
    let mut lines = String::new();
    for (document, values) in wanted.iter().zip(view.read_documents(&documents, &numbers, &names)?) {
        let mut object = serde_json::Map::new();
        object.insert("_id".to_owned(), json!(document.key));
        object.extend(values.iter().map(|(name, value)| (name.clone(), value_json(value))));
        lines.push_str(&serde_json::Value::Object(object).to_string());
        lines.push('\n');
    }
    write(aside, "documents.jsonl", &lines)?;
    let positions: Vec<usize> =
        (0..passages.documents.len()).filter(|&at| torn.orphans.contains(&passages.documents[at])).collect();
    let mut lines = String::new();
    for (&at, passage) in positions.iter().zip(view.read_passages(&passages.addresses_at(&positions), None)?) {
        let object =
            json!({"document": passages.documents[at], "field": passage.field, "start": passage.start, "text": passage.text});
        lines.push_str(&object.to_string());
        lines.push('\n');
    }
    write(aside, "passages.jsonl", &lines)
}

fn write(aside: &Path, name: &str, lines: &str) -> Result<(), StorageError> {
    std::fs::create_dir_all(aside).map_err(StorageError::io(aside, "creating the directory"))?;
    let path = aside.join(name);
    std::fs::write(&path, lines).map_err(StorageError::io(&path, "writing"))
}

/// Documents and passages of which the other half is missing.
struct Torn {
    /// Documents without all of their passages.
    documents: BTreeSet<u64>,
    /// Numbers of passages without their document.
    orphans: BTreeSet<u64>,
}

impl Torn {
    fn find(stated: &[Stated], ordinals: &[(u64, u32)]) -> Self {
        let mut found: HashMap<u64, Vec<u32>> = HashMap::new();
        for (document, ordinal) in ordinals {
            found.entry(*document).or_default().push(*ordinal);
        }
        let whole = |document: &&Stated| {
            let mut mine = found.get(&document.number).cloned().unwrap_or_default();
            mine.sort_unstable();
            mine.into_iter().eq(0..document.passages)
        };
        let documents = stated.iter().filter(|document| !whole(document)).map(|document| document.number).collect();
        let known: BTreeSet<u64> = stated.iter().map(|document| document.number).collect();
        let orphans = found.into_keys().filter(|document| !known.contains(document)).collect();
        Self { documents, orphans }
    }

    fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.orphans.is_empty()
    }
}

/// Whether the words can be read and are those of exactly these documents.
fn words_are_of(path: &Path, header: &Header, numbers: &BTreeSet<u64>) -> bool {
    let found = WordsReader::open(path, &header.schema, &header.words.meta).and_then(|words| words.numbers());
    found.is_ok_and(|found| found.len() == numbers.len() && found.iter().all(|number| numbers.contains(number)))
}
