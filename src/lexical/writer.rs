//! Adding to the words, and keeping them at what is committed.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tantivy::directory::{Directory, MmapDirectory};
use tantivy::merge_policy::MergePolicy;
use tantivy::tokenizer::PreTokenizedString;
use tantivy::{Index, IndexSettings, IndexWriter, TantivyDocument, Term};

use super::analysis::Analyzers;
use super::directory::{CommittedDirectory, MANAGED, META};
use super::merging::{Bounded, next_of_all};
use super::{Fields, Written, failed, layout, layout_of, register_analyses};
use crate::crash;
use crate::error::StorageError;
use crate::schema::{FieldType, Schema, Value};
use crate::store::WordsState;

/// Memory for words that are not written yet; one thread, so that a commit makes one segment.
const BUFFER: usize = 48 << 20;
/// With more segments than these, a writer that has nothing else to do waits for merges. (Tantivy begins one at eight of a size.)
const MOST_SEGMENTS: usize = 16;
const SETTLING: Duration = Duration::from_secs(20);

/// The writing side of the words.
pub(crate) struct WordsWriter {
    path: PathBuf,
    directory: CommittedDirectory,
    writer: IndexWriter,
    schema: Schema,
    /// Of the languages of `fields`.
    analyzers: Analyzers,
    fields: Fields,
}

/// One state of the words: where tantivy stands, its `meta.json`, and the files that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordsCommit {
    pub(crate) opstamp: u64,
    pub(crate) meta: Vec<u8>,
    pub(crate) files: Vec<String>,
}

impl WordsCommit {
    /// As a header has it.
    pub(crate) fn state(&self, epoch: u64) -> WordsState {
        WordsState { epoch, opstamp: self.opstamp, meta: self.meta.clone() }
    }
}

impl Drop for WordsWriter {
    fn drop(&mut self) {
        // A merge that ends late must not write its `meta.json` over that of the next writer.
        self.directory.close();
    }
}

impl WordsWriter {
    /// Makes empty words in a new directory; gives that state.
    pub(crate) fn create(path: &Path, schema: &Schema) -> Result<WordsCommit, StorageError> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(StorageError::io(path, "removing unfinished words"))?;
        }
        fs::create_dir_all(path).map_err(StorageError::io(path, "creating the directory"))?;
        let failed = failed(path, "creating the words");
        let inner = MmapDirectory::open(path).map_err(|e| failed(e.into()))?;
        let directory = CommittedDirectory::for_writing(path, inner);
        let index =
            Index::create(directory.clone(), layout(schema, Written::Beside).0, IndexSettings::default()).map_err(&failed)?;
        let opstamp = index.load_metas().map_err(&failed)?.opstamp;
        Ok(WordsCommit { opstamp, meta: read_meta(path, &directory)?, files: Vec::new() })
    }

    /// Copies a state of the words into a new directory, where they go on.
    pub(crate) fn copy(from: &Path, to: &Path, files: &[String], meta: &[u8]) -> Result<(), StorageError> {
        if to.exists() {
            fs::remove_dir_all(to).map_err(StorageError::io(to, "removing unfinished words"))?;
        }
        fs::create_dir_all(to).map_err(StorageError::io(to, "creating the directory"))?;
        for file in files {
            fs::copy(from.join(file), to.join(file)).map_err(StorageError::io(&from.join(file), "copying"))?;
        }
        fs::write(to.join(META), meta).map_err(StorageError::io(&to.join(META), "writing"))
    }

    /// Opens the words for writing at the given state: what a writer that died had done beyond it is undone.
    pub(crate) fn open(path: &Path, schema: &Schema, meta: &[u8], opstamp: u64) -> Result<Self, StorageError> {
        remove_uncommitted_deletes(path, opstamp)?;
        mend_list_of_files(path)?;
        let failed = failed(path, "opening the words for writing");
        let inner = MmapDirectory::open(path).map_err(|e| failed(e.into()))?;
        let directory = CommittedDirectory::for_writing(path, inner);
        if fs::read(path.join(META)).ok().as_deref() != Some(meta) {
            directory.atomic_write(Path::new(META), meta).map_err(StorageError::io(path, "restoring meta.json"))?;
        }
        crash::point("words: meta.json is restored")?;
        let index = Index::open(directory.clone()).map_err(&failed)?;
        let fields = layout_of(&index, schema).unwrap_or_else(|| layout(schema, Written::Beside).1);
        register_analyses(&index, &fields.languages);
        let writer: IndexWriter = index.writer_with_num_threads(1, BUFFER).map_err(&failed)?;
        writer.set_merge_policy(Box::new(Bounded::default()));
        // Tantivy begins with the stamp that the last commit has. A merge that starts before the next commit goes up to that stamp and
        // takes segments with deletes of that stamp for done, so a first operation that is a delete would be lost. It gets the next stamp.
        writer.run([]).map_err(&failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            directory,
            writer,
            schema: schema.clone(),
            analyzers: Analyzers::new(&fields.languages),
            fields,
        })
    }

    /// Adds a document's words and values.
    pub(crate) fn add<'a>(&mut self, number: u64, value_of: impl Fn(&str) -> Option<&'a Value>) -> Result<(), StorageError> {
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.number, number);
        let several = self.fields.languages.len() > 1;
        for ((field, own), written) in self.schema.fields().iter().zip(&self.fields.own).zip(&self.fields.written) {
            let (Some(value), Some(own)) = (value_of(field.name()), *own) else { continue };
            match value {
                Value::Text(text) if field.kind() == FieldType::Keyword => {
                    document.add_text(own, &*shortened(text));
                }
                Value::Text(text) => {
                    match several {
                        true => {
                            let tokens = self.analyzers.tokens(field.language(), text);
                            document.add_pre_tokenized_text(self.fields.words, PreTokenizedString { text: text.clone(), tokens });
                        }
                        false => document.add_text(self.fields.words, text),
                    }
                    if own != self.fields.words {
                        document.add_text(own, text);
                    }
                    if let Some(written) = written.filter(|written| *written != own) {
                        document.add_text(written, text);
                    }
                }
                Value::Integer(number) => document.add_i64(own, *number),
                Value::Date(date) => document.add_i64(own, date.micros()),
                // Zero has one sign, as comparisons have it.
                Value::Float(number) => document.add_f64(own, *number + 0.0),
                Value::Boolean(truth) => document.add_bool(own, *truth),
            }
        }
        self.writer.add_document(document).map(|_| ()).map_err(failed(&self.path, "adding words"))
    }

    /// Deletes a document's words.
    pub(crate) fn delete(&self, number: u64) {
        self.writer.delete_term(Term::from_field_u64(self.fields.number, number));
    }

    /// Step 2 of a commit: writes everything and gives the new state.
    pub(crate) fn prepare(&mut self, generation: u64) -> Result<WordsCommit, StorageError> {
        let failed = failed(&self.path, "committing the words");
        let mut commit = self.writer.prepare_commit().map_err(&failed)?;
        crash::point("words: segments are written")?;
        commit.set_payload(&generation.to_string());
        commit.commit().map_err(&failed)?;
        crash::point("words: tantivy has committed")?;
        self.state()
    }

    /// The state as it is now: the last one prepared, or the same words in fewer segments.
    pub(crate) fn state(&self) -> Result<WordsCommit, StorageError> {
        let meta = read_meta(&self.path, &self.directory)?;
        let kept = segments(&meta);
        let parsed: serde_json::Value = serde_json::from_slice(&meta).unwrap_or_default();
        let opstamp = parsed["opstamp"].as_u64().ok_or_else(|| StorageError::Words {
            path: self.path.join(META),
            doing: "reading the state of the words",
            reason: "it has no operation stamp".to_owned(),
        })?;
        let entries = fs::read_dir(&self.path).map_err(StorageError::io(&self.path, "listing the directory"))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        // Temporary files of a segment are no part of it any more.
        let belongs = |name: &String| segment_of(Path::new(name)).is_some() && !name.ends_with(".temp");
        let mut files: Vec<String> = names.filter(|name| belongs(name) && needed(Path::new(name), &kept)).collect();
        files.sort_unstable();
        Ok(WordsCommit { opstamp, meta, files })
    }

    /// Where there are many segments, waits for the merges that the last commit has begun; true where there are fewer then.
    pub(crate) fn settle(&self) -> bool {
        let segments = || self.writer.index().searchable_segment_metas().unwrap_or_default();
        let before = segments().len();
        let begun = Instant::now();
        // Until the policy wants nothing more: large words have many segments for good.
        let wanted = || !Bounded::default().compute_merge_candidates(&segments()).is_empty();
        while before > MOST_SEGMENTS && wanted() && begun.elapsed() < SETTLING {
            std::thread::sleep(Duration::from_millis(10));
        }
        before > MOST_SEGMENTS && segments().len() < before
    }

    /// Merges all segments into as few as there may be.
    pub(crate) fn merge_all(&mut self) -> Result<(), StorageError> {
        let failed = failed(&self.path, "merging");
        let begun = Instant::now();
        loop {
            let segments = self.writer.index().searchable_segment_metas().map_err(&failed)?;
            let Some(next) = next_of_all(&segments) else { return Ok(()) };
            match self.writer.merge(&next).wait() {
                Ok(_) => {}
                // Some of them are being merged already.
                Err(_) if begun.elapsed() < SETTLING => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Step 6: deletes the files that tantivy wanted deleted, all but those that some generation needs.
    pub(crate) fn clean(&self, needed: &HashSet<String>) {
        let mut later = Vec::new();
        for file in self.directory.take_withheld() {
            let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
            let is_needed = segment_of(&file).is_none() || file.to_str().is_none_or(|name| needed.contains(name));
            // Windows refuses while a reader has the file mapped; the next commit tries again.
            if is_needed || fs::remove_file(self.path.join(&file)).is_err_and(|e| !gone(&e)) {
                later.push(file);
            }
        }
        self.directory.withhold(later);
    }

    /// Deletes what no generation needs: the segments of writers that died. Only before the first addition.
    pub(crate) fn sweep(&self, needed: &HashSet<String>) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let orphans = names.filter(|name| !needed.contains(name)).map(PathBuf::from);
        self.directory.withhold(orphans);
        self.clean(needed);
    }
}

/// A keyword as it is compared: one that is longer than tantivy's terms ends in its hash.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 32 << 10;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Cow::Owned(format!("{}{hash}", &text[..text.floor_char_boundary(LONGEST)]))
}

/// Tantivy's list of its own files is not flushed, so a power cut may leave it torn, and tantivy would refuse to open. It is made
/// again from what is there.
fn mend_list_of_files(path: &Path) -> Result<(), StorageError> {
    let list = path.join(MANAGED);
    let sound = match fs::read(&list) {
        Ok(bytes) => serde_json::from_slice::<HashSet<PathBuf>>(&bytes).is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if sound {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(StorageError::io(path, "listing the directory"))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let files: Vec<String> = names.filter(|name| name == META || segment_of(Path::new(name)).is_some()).collect();
    let bytes = serde_json::to_vec(&files).unwrap_or_default();
    fs::write(&list, bytes).map_err(StorageError::io(&list, "writing"))
}

fn read_meta(path: &Path, directory: &CommittedDirectory) -> Result<Vec<u8>, StorageError> {
    directory.atomic_read(Path::new(META)).map_err(|e| StorageError::Words {
        path: path.join(META),
        doing: "reading the state of the words",
        reason: e.to_string(),
    })
}

/// The segments that a `meta.json` names, by their ids as file names have them, with the operation stamp of their deletes.
fn segments(meta: &[u8]) -> BTreeMap<String, Option<u64>> {
    let meta: serde_json::Value = serde_json::from_slice(meta).unwrap_or_default();
    let named = meta["segments"].as_array().into_iter().flatten();
    let segment = |segment: &serde_json::Value| {
        let id = segment["segment_id"].as_str()?.replace('-', "");
        Some((id, segment["deletes"]["opstamp"].as_u64()))
    };
    named.filter_map(segment).collect()
}

/// Whether a state of the words needs a file. Files that belong to no segment, such as `meta.json`, are always needed.
fn needed(file: &Path, kept: &BTreeMap<String, Option<u64>>) -> bool {
    let Some(segment) = segment_of(file) else { return true };
    match kept.get(segment) {
        None => false,
        // Deletes are a new file for each commit that has some: `<segment>.<opstamp>.del`.
        Some(deletes) => deletes_of(file).is_none_or(|opstamp| Some(opstamp) == *deletes),
    }
}

/// The segment that a file belongs to: its name up to the first dot, where that is an id of 32 hexadecimal digits.
fn segment_of(file: &Path) -> Option<&str> {
    let stem = file.to_str()?.split('.').next()?;
    (stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(stem)
}

/// The operation stamp of a file of deletes.
fn deletes_of(file: &Path) -> Option<u64> {
    let name = file.to_str()?.strip_suffix(".del")?;
    name.split('.').nth(1)?.parse().ok()
}

/// Removes the deletes that a writer wrote and did not commit. No generation names them, and tantivy, which counts its stamps
/// on from the committed one, would find its next file of deletes there already.
fn remove_uncommitted_deletes(path: &Path, opstamp: u64) -> Result<(), StorageError> {
    for entry in fs::read_dir(path).map_err(StorageError::io(path, "listing the directory"))? {
        let file = entry.map_err(StorageError::io(path, "listing the directory"))?.path();
        let name = file.file_name().map(Path::new);
        if name.is_some_and(|name| segment_of(name).is_some() && deletes_of(name).is_some_and(|found| found > opstamp)) {
            fs::remove_file(&file).map_err(StorageError::io(&file, "removing uncommitted deletes"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tantivy::merge_policy::NoMergePolicy;

    use super::super::WordsReader;
    use super::*;
    use crate::query::Query;

    fn schema() -> Schema {
        Schema::builder().text("body").build().unwrap()
    }

    fn add(writer: &mut WordsWriter, number: u64, text: &str) -> Result<(), StorageError> {
        let value = Value::Text(text.to_owned());
        writer.add(number, |_| Some(&value))
    }

    fn find<K: Ord>(reader: &WordsReader, text: &str, limit: usize, order: impl Fn(u64) -> K) -> Vec<(u64, f32)> {
        reader.search(&Query::words(text), limit, None, &|_| None, order).unwrap()
    }

    #[test]
    fn a_state_stays_readable_while_later_ones_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let WordsCommit { opstamp: stamp, meta: empty, .. } = WordsWriter::create(&path, &schema()).unwrap();
        let mut writer = WordsWriter::open(&path, &schema(), &empty, stamp).unwrap();
        add(&mut writer, 1, "the quick brown fox").unwrap();
        let first = writer.prepare(1).unwrap().meta;
        for number in 2..40 {
            add(&mut writer, number, "another fox").unwrap();
            writer.delete(number - 1);
            writer.prepare(number).unwrap();
        }
        let reader = WordsReader::open(&path, &schema(), &first).unwrap();
        assert_eq!(find(&reader, "foxes", 10, |number| number).first().map(|hit| hit.0), Some(1));
        assert_eq!(WordsReader::open(&path, &schema(), &empty).unwrap().count(), 0);
    }

    #[test]
    fn a_writer_goes_on_from_the_committed_state_not_from_a_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let WordsCommit { opstamp: stamp, meta: empty, .. } = WordsWriter::create(&path, &schema()).unwrap();
        let mut writer = WordsWriter::open(&path, &schema(), &empty, stamp).unwrap();
        add(&mut writer, 1, "kept").unwrap();
        let WordsCommit { opstamp: stamp, meta: kept, files } = writer.prepare(1).unwrap();
        add(&mut writer, 2, "lost").unwrap();
        writer.prepare(2).unwrap();
        drop(writer);
        let mut writer = WordsWriter::open(&path, &schema(), &kept, stamp).unwrap();
        writer.sweep(&files.into_iter().collect());
        add(&mut writer, 3, "new").unwrap();
        let next = writer.prepare(2).unwrap().meta;
        let reader = WordsReader::open(&path, &schema(), &next).unwrap();
        let found = |word| find(&reader, word, 10, |number| number).into_iter().map(|hit| hit.0).collect::<Vec<_>>();
        assert_eq!((found("kept"), found("lost"), found("new")), (vec![1], vec![], vec![3]));
    }

    #[test]
    fn deletes_that_were_not_committed_can_be_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let WordsCommit { opstamp: stamp, meta: empty, .. } = WordsWriter::create(&path, &schema()).unwrap();
        let mut writer = WordsWriter::open(&path, &schema(), &empty, stamp).unwrap();
        (1..20).for_each(|number| add(&mut writer, number, "kept").unwrap());
        let WordsCommit { opstamp: stamp, meta: kept, .. } = writer.prepare(1).unwrap();
        for _ in 0..3 {
            drop(writer);
            writer = WordsWriter::open(&path, &schema(), &kept, stamp).unwrap();
            writer.delete(1);
            add(&mut writer, 20, "again").unwrap();
            let meta = writer.prepare(2).unwrap().meta;
            assert_eq!(WordsReader::open(&path, &schema(), &meta).unwrap().count(), 19);
        }
    }

    #[test]
    fn what_a_new_writer_deletes_first_stays_deleted_when_segments_are_merged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let WordsCommit { opstamp: stamp, meta: empty, .. } = WordsWriter::create(&path, &schema()).unwrap();
        let mut writer = WordsWriter::open(&path, &schema(), &empty, stamp).unwrap();
        writer.writer.set_merge_policy(Box::new(NoMergePolicy));
        // Enough segments for a merge. The first is the largest, and comes first in the merge.
        for (segment, count) in (0..8).zip([4, 3, 1, 1, 1, 1, 1, 1]) {
            (0..count).for_each(|at| add(&mut writer, 10 * segment + at, "some text").unwrap());
            // The last commit has deletes in the second segment.
            if segment == 7 {
                writer.delete(10);
            }
            writer.prepare(segment).unwrap();
        }
        let WordsCommit { opstamp: stamp, meta, .. } = writer.state().unwrap();
        drop(writer);
        let mut writer = WordsWriter::open(&path, &schema(), &meta, stamp).unwrap();
        writer.delete(11);
        add(&mut writer, 100, "some text").unwrap();
        writer.prepare(8).unwrap();
        let begun = Instant::now();
        while writer.writer.index().searchable_segment_metas().unwrap().len() > 2 {
            assert!(begun.elapsed() < SETTLING, "there is no merge");
            std::thread::sleep(Duration::from_millis(1));
        }
        let merged = writer.state().unwrap().meta;
        let mut numbers = WordsReader::open(&path, &schema(), &merged).unwrap().numbers().unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 12, 20, 30, 40, 50, 60, 70, 100]);
    }

    #[test]
    fn equal_scores_come_in_the_order_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let WordsCommit { opstamp: stamp, meta: empty, .. } = WordsWriter::create(&path, &schema()).unwrap();
        let mut writer = WordsWriter::open(&path, &schema(), &empty, stamp).unwrap();
        for number in 0..20 {
            add(&mut writer, number, "same text").unwrap();
        }
        let meta = writer.prepare(1).unwrap().meta;
        let reader = WordsReader::open(&path, &schema(), &meta).unwrap();
        let numbers: Vec<u64> = find(&reader, "text", 3, std::cmp::Reverse).into_iter().map(|hit| hit.0).collect();
        assert_eq!(numbers, [19, 18, 17]);
    }
}
