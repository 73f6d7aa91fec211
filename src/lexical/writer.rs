//! Adding to the words, and keeping them at what is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tantivy::directory::{Directory, MmapDirectory};
use tantivy::merge_policy::LogMergePolicy;
use tantivy::{Index, IndexSettings, IndexWriter, TantivyDocument, Term};

use super::directory::{CommittedDirectory, META};
use super::{Analyzer, Fields, analysis, failed, schema};
use crate::error::StorageError;

/// Memory for words that are not written yet; one thread, so that a commit makes one segment.
const BUFFER: usize = 48 << 20;

/// The writing side of the words.
pub(crate) struct WordsWriter {
    path: PathBuf,
    directory: CommittedDirectory,
    writer: IndexWriter,
    fields: Fields,
}

impl Drop for WordsWriter {
    fn drop(&mut self) {
        // A merge that ends late must not write its `meta.json` over that of the next writer.
        self.directory.close();
    }
}

impl WordsWriter {
    /// Makes empty words in a new directory; gives opstamp and `meta.json` of that state.
    pub(crate) fn create(path: &Path) -> Result<(u64, Vec<u8>), StorageError> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(StorageError::io(path, "removing unfinished words"))?;
        }
        fs::create_dir_all(path).map_err(StorageError::io(path, "creating the directory"))?;
        let failed = failed(path, "creating the words");
        let inner = MmapDirectory::open(path).map_err(|e| failed(e.into()))?;
        let directory = CommittedDirectory::for_writing(inner);
        let index = Index::create(directory.clone(), schema().0, IndexSettings::default()).map_err(&failed)?;
        let opstamp = index.load_metas().map_err(&failed)?.opstamp;
        Ok((opstamp, read_meta(path, &directory)?))
    }

    /// Opens the words for writing at the given state: what a writer that died had done beyond it is undone.
    pub(crate) fn open(path: &Path, meta: &[u8], opstamp: u64) -> Result<Self, StorageError> {
        remove_uncommitted_deletes(path, opstamp)?;
        let failed = failed(path, "opening the words for writing");
        let inner = MmapDirectory::open(path).map_err(|e| failed(e.into()))?;
        let directory = CommittedDirectory::for_writing(inner);
        if read_meta(path, &directory)? != meta {
            directory.atomic_write(Path::new(META), meta).map_err(StorageError::io(path, "restoring meta.json"))?;
        }
        let index = Index::open(directory.clone()).map_err(&failed)?;
        index.tokenizers().register(analysis::NAME, Analyzer::new().inner());
        let writer: IndexWriter = index.writer_with_num_threads(1, BUFFER).map_err(&failed)?;
        writer.set_merge_policy(Box::new(LogMergePolicy::default()));
        let (_, fields) = schema();
        Ok(Self { path: path.to_path_buf(), directory, writer, fields })
    }

    /// Adds a document's words.
    pub(crate) fn add<'a>(&self, number: u64, texts: impl Iterator<Item = &'a str>) -> Result<(), StorageError> {
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.number, number);
        texts.for_each(|text| document.add_text(self.fields.words, text));
        self.writer.add_document(document).map(|_| ()).map_err(failed(&self.path, "adding words"))
    }

    /// Deletes a document's words.
    pub(crate) fn delete(&self, number: u64) {
        self.writer.delete_term(Term::from_field_u64(self.fields.number, number));
    }

    /// Step 3 of a commit: writes everything, durably, and gives opstamp and `meta.json` of the new state.
    pub(crate) fn prepare(&mut self, generation: u64) -> Result<(u64, Vec<u8>), StorageError> {
        let failed = failed(&self.path, "committing the words");
        let mut commit = self.writer.prepare_commit().map_err(&failed)?;
        commit.set_payload(&generation.to_string());
        let opstamp = commit.commit().map_err(&failed)?;
        Ok((opstamp, read_meta(&self.path, &self.directory)?))
    }

    /// Step 5: deletes the files that tantivy wanted deleted, all but those of the given, current state.
    pub(crate) fn clean(&self, meta: &[u8]) {
        let kept = segments(meta);
        let mut later = Vec::new();
        for file in self.directory.take_withheld() {
            let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
            // Windows refuses while a reader has the file mapped; the next commit tries again.
            if needed(&file, &kept) || fs::remove_file(self.path.join(&file)).is_err_and(|e| !gone(&e)) {
                later.push(file);
            }
        }
        self.directory.withhold(later);
    }

    /// Deletes what no state needs: the segments of writers that died. Only while nothing older is read, and before the
    /// first addition.
    pub(crate) fn sweep(&self, meta: &[u8]) {
        let kept = segments(meta);
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).map(PathBuf::from);
        let orphans = names.filter(|name| !needed(name, &kept));
        self.directory.withhold(orphans);
        self.clean(meta);
    }
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
    use super::super::WordsReader;
    use super::*;

    #[test]
    fn a_state_stays_readable_while_later_ones_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let (stamp, empty) = WordsWriter::create(&path).unwrap();
        let mut writer = WordsWriter::open(&path, &empty, stamp).unwrap();
        writer.add(1, ["the quick brown fox"].into_iter()).unwrap();
        let (_, first) = writer.prepare(1).unwrap();
        for number in 2..40 {
            writer.add(number, ["another fox"].into_iter()).unwrap();
            writer.delete(number - 1);
            writer.prepare(number).unwrap();
        }
        let reader = WordsReader::open(&path, &first).unwrap();
        assert_eq!(reader.search("foxes", 10, |number| number).unwrap().first().map(|hit| hit.0), Some(1));
        assert_eq!(WordsReader::open(&path, &empty).unwrap().count(), 0);
    }

    #[test]
    fn a_writer_goes_on_from_the_committed_state_not_from_a_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let (stamp, empty) = WordsWriter::create(&path).unwrap();
        let mut writer = WordsWriter::open(&path, &empty, stamp).unwrap();
        writer.add(1, ["kept"].into_iter()).unwrap();
        let (stamp, kept) = writer.prepare(1).unwrap();
        writer.add(2, ["lost"].into_iter()).unwrap();
        writer.prepare(2).unwrap();
        drop(writer);
        let mut writer = WordsWriter::open(&path, &kept, stamp).unwrap();
        writer.sweep(&kept);
        writer.add(3, ["new"].into_iter()).unwrap();
        let (_, next) = writer.prepare(2).unwrap();
        let reader = WordsReader::open(&path, &next).unwrap();
        let found = |word| reader.search(word, 10, |number| number).unwrap().into_iter().map(|hit| hit.0).collect::<Vec<_>>();
        assert_eq!((found("kept"), found("lost"), found("new")), (vec![1], vec![], vec![3]));
    }

    #[test]
    fn deletes_that_were_not_committed_can_be_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let (stamp, empty) = WordsWriter::create(&path).unwrap();
        let mut writer = WordsWriter::open(&path, &empty, stamp).unwrap();
        (1..20).for_each(|number| writer.add(number, ["kept"].into_iter()).unwrap());
        let (stamp, kept) = writer.prepare(1).unwrap();
        for _ in 0..3 {
            drop(writer);
            writer = WordsWriter::open(&path, &kept, stamp).unwrap();
            writer.delete(1);
            writer.add(20, ["again"].into_iter()).unwrap();
            let (_, meta) = writer.prepare(2).unwrap();
            assert_eq!(WordsReader::open(&path, &meta).unwrap().count(), 19);
        }
    }

    #[test]
    fn equal_scores_come_in_the_order_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words-0");
        let (stamp, empty) = WordsWriter::create(&path).unwrap();
        let mut writer = WordsWriter::open(&path, &empty, stamp).unwrap();
        for number in 0..20 {
            writer.add(number, ["same text"].into_iter()).unwrap();
        }
        let (_, meta) = writer.prepare(1).unwrap();
        let reader = WordsReader::open(&path, &meta).unwrap();
        let numbers: Vec<u64> = reader.search("text", 3, std::cmp::Reverse).unwrap().into_iter().map(|hit| hit.0).collect();
        assert_eq!(numbers, [19, 18, 17]);
    }
}
