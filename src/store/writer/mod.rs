//! The writing side of the directory: new versions of the tables, and the commit.
//!
//! Here is what a commit consists of; `between` has what is done between commits, `clean` what comes after one, `recover` what a power
//! cut and a repair need.

mod between;
mod clean;
mod coding;
mod recover;

pub(super) use coding::LARGE;
pub(super) use recover::fall_back;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::error::ArrowError;

use self::between::Keep;
use super::columns::{DocumentRow, NUMBER, PassageRow, documents_batch, documents_schema, passages_batch, passages_schema};
use super::files::{FileList, FileRecord, SoundFiles};
use super::header::is_in_place;
use super::layout::{flush, sync_directory};
use super::lock::WriterLock;
use super::logits::Forgetting;
use super::table::Table;
use super::thread::LanceThread;
use super::{Contents, Durability, Generation, Header, Housekeeping, Layout, WordsState};
use crate::crash;
use crate::error::{Error, StorageError};
use crate::numbers::NumberSet;

/// How long commits may go unflushed under [`Durability::System`].
const UNFLUSHED: Duration = Duration::from_secs(5);

/// Documents of an index at most, and passages: readers number rows in 32 bits, of which half is for what is deleted and not dropped yet.
const MOST: u64 = 1 << 31;

/// Rows that are written and not yet committed are dropped with this.
pub(crate) struct StoreWriter {
    layout: Layout,
    header: Header,
    documents: Table,
    passages: Table,
    thread: LanceThread,
    durability: Durability,
    housekeeping: Housekeeping,
    sound: SoundFiles,
    /// Whether the commit under way flushes.
    flushes: bool,
    last_flush: Instant,
    /// Files, by their paths, that are in a generation and may not be on the disk yet.
    unflushed: HashSet<PathBuf>,
    /// Directories whose entries in their parents are durable.
    directories: HashSet<PathBuf>,
    /// Earlier generations that may still be read.
    superseded: BTreeMap<u64, Header>,
    /// Document numbers to be deleted by the commit.
    dead: Vec<u64>,
    /// The numbers of all documents, written and not yet committed ones included; `None` where they are not known.
    there: Option<NumberSet>,
    /// Drops the logits of others.
    forgetting: Forgetting,
    added_documents: u64,
    added_passages: u64,
    dead_passages: u64,
    /// Set when the tables may hold what nobody wants and could not be taken back; nothing is written any more.
    broken: bool,
    // Last, so that it is let go when everything else is closed.
    _lock: WriterLock,
}

/// How a writer is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriterSettings {
    pub(crate) durability: Durability,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) sound: SoundFiles,
}

impl StoreWriter {
    /// Makes a new, empty index whose generation is 0. Another process that got there first wins; its index is kept.
    pub(crate) fn create(
        layout: &Layout,
        header: impl FnOnce(&Layout) -> Result<(Header, Vec<String>), Error>,
    ) -> Result<(), Error> {
        layout.check_free()?;
        fs::create_dir_all(layout.root()).map_err(StorageError::io(layout.root(), "creating the directory"))?;
        let _lock = match WriterLock::take(layout) {
            Ok(lock) => lock,
            // Whoever holds the lock is making the index, or already writes to it.
            Err(locked) => return if wait_for(&layout.current()) { Ok(()) } else { Err(locked) },
        };
        if layout.current().exists() {
            return Ok(());
        }
        layout.check_free()?;
        let thread = LanceThread::start()?;
        let (mut header, words) = header(layout)?;
        crash::point("create: the words are there")?;
        let documents = Table::create(layout.documents(), documents_schema(&header.schema), &thread)?;
        crash::point("create: one table is there")?;
        let passages =
            Table::create(layout.passages(), passages_schema(header.vocabulary.is_some(), header.vectors.width()), &thread)?;
        header.documents_version = documents.version();
        header.passages_version = passages.version();
        let words_root = layout.words(header.words.epoch);
        let tables = [&documents, &passages];
        let files = tables.iter().flat_map(|table| table.files().into_iter().map(|file| table.path().join(file)));
        let directories = tables.iter().flat_map(|table| table.directories());
        let directories = directories.chain([words_root.clone(), layout.root().to_path_buf()]).collect();
        flush(&files.collect::<Vec<_>>(), &directories)?;
        if let Some(parent) = layout.root().parent() {
            sync_directory(parent)?;
        }
        header.files = FileList {
            documents: record_part(documents.path(), &documents.files(), &[])?,
            passages: record_part(passages.path(), &passages.files(), &[])?,
            words: record_part(&words_root, &words, &[])?,
        };
        header.published = now();
        header.durable = true;
        Ok(header.publish(layout, Durability::EveryCommit)?)
    }

    /// Takes the lock and brings the tables back to what is committed. Also gives what is there, by key.
    pub(crate) fn open(root: &Path, settings: &WriterSettings) -> Result<(Self, Contents), Error> {
        let layout = Layout::new(root)?;
        // Before the lock, so that a directory without an index gets no lock file.
        Header::read_stored(&layout)?.check_writable(&layout)?;
        let lock = WriterLock::take(&layout)?;
        crash::point("open: locked")?;
        fall_back(&layout)?;
        let generation = Generation::open_for_writer(layout.root(), settings.sound.clone())?;
        let (keys, there) = generation.contents()?;
        let header = generation.header.clone();
        drop(generation);
        let mut writer = Self::with_lock(layout, header, lock, settings)?;
        writer.holds(there);
        Ok((writer, keys))
    }

    /// The numbers of what is in the index, from who opened or restored it.
    pub(crate) fn holds(&mut self, there: NumberSet) {
        self.there = Some(there);
        self.forgetting.begin();
    }

    /// For somebody who has the lock; the files of the tables are taken as they are.
    pub(super) fn with_lock(
        layout: Layout,
        header: Header,
        lock: WriterLock,
        settings: &WriterSettings,
    ) -> Result<Self, StorageError> {
        let thread = LanceThread::start()?;
        Table::forget_uncommitted(&layout.documents(), header.documents_version)?;
        crash::point("open: one table is rolled back")?;
        Table::forget_uncommitted(&layout.passages(), header.passages_version)?;
        crash::point("open: both tables are rolled back")?;
        let documents = Table::open(layout.documents(), header.documents_version, &thread)?;
        let passages = Table::open(layout.passages(), header.passages_version, &thread)?;
        let mut writer = Self {
            layout,
            header,
            documents,
            passages,
            thread,
            durability: settings.durability,
            housekeeping: settings.housekeeping,
            sound: settings.sound.clone(),
            flushes: true,
            last_flush: Instant::now(),
            unflushed: HashSet::new(),
            directories: HashSet::new(),
            superseded: BTreeMap::new(),
            dead: Vec::new(),
            there: None,
            forgetting: Forgetting::default(),
            added_documents: 0,
            added_passages: 0,
            dead_passages: 0,
            broken: false,
            _lock: lock,
        };
        writer.remove_damaged_codes();
        let files: Vec<PathBuf> = writer.all_files().collect();
        if writer.header.durable {
            writer.directories = files.iter().filter_map(|file| file.parent()).map(Path::to_path_buf).collect();
        } else {
            writer.unflushed = files.into_iter().collect();
        }
        Ok(writer)
    }

    /// Whether anything was written or deleted since the last commit.
    pub(crate) fn is_changed(&self) -> bool {
        self.added_documents > 0 || self.added_passages > 0 || !self.dead.is_empty()
    }

    /// What is committed.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn housekeeping(&self) -> &Housekeeping {
        &self.housekeeping
    }

    /// Writes documents with their passages; nobody sees them before the commit.
    pub(crate) fn append(&mut self, documents: &[DocumentRow], passages: &[PassageRow]) -> Result<(), StorageError> {
        self.check_usable()?;
        check_room(self.documents.path(), "documents", self.header.documents + self.added_documents, documents.len())?;
        check_room(self.passages.path(), "passages", self.header.passages + self.added_passages, passages.len())?;
        if !documents.is_empty() {
            let batch = documents_batch(&self.header.schema, documents).map_err(invalid(&self.documents))?;
            self.documents.append(batch)?;
            self.added_documents += documents.len() as u64;
            if let Some(there) = &mut self.there {
                documents.iter().for_each(|row| there.insert(row.content.number));
            }
        }
        crash::point("append: the documents")?;
        if !passages.is_empty() {
            let (tokens, dimension) = (self.header.vocabulary.is_some(), self.header.vectors.width());
            let batch = passages_batch(tokens, dimension, passages).map_err(invalid(&self.passages))?;
            self.passages.append(batch)?;
            self.added_passages += passages.len() as u64;
            self.code();
        }
        crash::point("append: the passages")
    }

    /// Notes a document to be deleted by the next commit.
    pub(crate) fn delete(&mut self, number: u64) {
        self.dead.push(number);
    }

    /// Step 1 of a commit: deletes what is to be deleted.
    pub(crate) fn prepare(&mut self) -> Result<(), StorageError> {
        self.check_usable()?;
        if !self.dead.is_empty() {
            self.documents.delete(NUMBER, &self.dead)?;
            crash::point("commit: documents are deleted")?;
            let before = self.passages.count()?;
            self.passages.delete(NUMBER, &self.dead)?;
            self.dead_passages = before - self.passages.count()?;
            crash::point("commit: passages are deleted")?;
        }
        self.flushes = self.durability == Durability::EveryCommit || self.last_flush.elapsed() >= UNFLUSHED;
        Ok(())
    }

    /// Steps 3 to 5, the commit itself: records what the tables consist of now, and the given state of the words, which consists of
    /// these files; makes all of it durable; publishes it.
    pub(crate) fn publish(&mut self, words: WordsState, word_files: &[String], next_document: u64) -> Result<(), StorageError> {
        let changed = Header {
            next_document,
            documents: self.header.documents + self.added_documents - self.dead.len() as u64,
            passages: self.header.passages + self.added_passages - self.dead_passages,
            words,
            ..self.header.clone()
        };
        self.publish_changed(changed, word_files, Keep::AsSet)?;
        if !self.dead.is_empty() {
            self.forgetting.begin();
        }
        for number in self.dead.drain(..) {
            if let Some(there) = &mut self.there {
                there.remove(number);
            }
        }
        (self.added_documents, self.added_passages, self.dead_passages) = (0, 0, 0);
        Ok(())
    }

    /// Which files are known to be sound.
    pub(crate) fn sound(&self) -> &SoundFiles {
        &self.sound
    }

    /// Publishes a header whose tables are those at hand.
    fn publish_changed(&mut self, changed: Header, word_files: &[String], keep: Keep) -> Result<(), StorageError> {
        self.code();
        let files = self.record(changed.words.epoch, word_files)?;
        crash::point("commit: everything is durable")?;
        let flushed = self.flushes && self.unflushed.is_empty();
        let fallback = match (flushed, self.header.durable) {
            (true, _) => None,
            (false, true) => Some(self.header.generation),
            (false, false) => self.header.fallback,
        };
        let durability = if flushed { Durability::EveryCommit } else { Durability::System };
        let generation = self.header.generation + 1;
        let kept = self.still_kept(&self.header.tags, Some(keep));
        if kept.last() == Some(&self.header.generation) || fallback == Some(self.header.generation) {
            self.header.keep(&self.layout, Durability::EveryCommit)?;
        }
        crash::point("commit: before publishing")?;
        let header = Header {
            generation,
            published: now(),
            durable: flushed,
            fallback,
            documents_version: self.documents.version(),
            passages_version: self.passages.version(),
            kept,
            files,
            ..changed
        };
        let published = header.publish(&self.layout, durability);
        if !is_in_place(&published) {
            return published;
        }
        // Everybody sees it, durable or not: so does this writer.
        if flushed && published.is_ok() {
            self.last_flush = Instant::now();
        }
        let superseded = std::mem::replace(&mut self.header, header);
        self.superseded.insert(superseded.generation, superseded);
        published
    }

    fn check_usable(&self) -> Result<(), StorageError> {
        if !self.broken {
            return Ok(());
        }
        let fact = "a step failed and could not be taken back; drop the writer and take a new one".to_owned();
        Err(StorageError::Inconsistent { path: self.layout.root().to_path_buf(), fact })
    }

    /// The files of the tables as they are and of the words, with their checksums; those that the last generation had are not read again.
    /// Where this commit flushes, all that may not be on the disk yet is flushed, and the directories of what is new.
    fn record(&mut self, epoch: u64, word_files: &[String]) -> Result<FileList, StorageError> {
        let words_known = if epoch == self.header.words.epoch { &self.header.files.words[..] } else { &[] };
        let parts = [
            (self.layout.documents(), self.documents.files(), &self.header.files.documents[..]),
            (self.layout.passages(), self.passages.files(), &self.header.files.passages[..]),
            (self.layout.words(epoch), word_files.to_vec(), words_known),
        ];
        let (mut to_flush, mut directories) = (Vec::new(), HashSet::new());
        for (root, paths, known) in &parts {
            let known: HashSet<&str> = known.iter().map(|record| record.path.as_str()).collect();
            for relative in paths {
                let path = root.join(relative);
                if !known.contains(relative.as_str()) || self.unflushed.contains(&path) {
                    directories.extend(path.parent().map(Path::to_path_buf));
                    to_flush.push(path);
                }
            }
            if directories.iter().any(|directory| directory.starts_with(root) && !self.directories.contains(directory)) {
                directories.extend([root.clone(), self.layout.root().to_path_buf()]);
            }
        }
        if self.flushes {
            // Generations that are kept may need files that this one does not.
            let others: Vec<PathBuf> =
                self.unflushed.iter().filter(|path| !to_flush.contains(path) && path.exists()).cloned().collect();
            directories.extend(others.iter().filter_map(|path| path.parent()).map(Path::to_path_buf));
            to_flush.extend(others);
            flush(&to_flush, &directories)?;
            self.directories.extend(directories);
        }
        let [documents, passages, words] = parts.map(|(root, paths, known)| record_part(&root, &paths, known));
        let files = FileList { documents: documents?, passages: passages?, words: words? };
        if self.flushes {
            self.unflushed.clear();
        } else {
            self.unflushed.extend(to_flush);
        }
        Ok(files)
    }

    /// The paths of all files of the current generation.
    fn all_files(&self) -> impl Iterator<Item = PathBuf> {
        let parts = self.header.parts(&self.layout);
        parts.into_iter().flat_map(|(root, files)| files.iter().map(move |file| root.join(&file.path)))
    }
}

/// Records of these files; those that are known are not read again.
fn record_part(root: &Path, paths: &[String], known: &[FileRecord]) -> Result<Vec<FileRecord>, StorageError> {
    let known: HashMap<&str, &FileRecord> = known.iter().map(|record| (record.path.as_str(), record)).collect();
    let record = |relative: &String| match known.get(relative.as_str()) {
        Some(record) => Ok((*record).clone()),
        None => FileRecord::measure(root, relative),
    };
    paths.iter().map(record).collect()
}

/// Refuses rows that a table would have no numbers for.
fn check_room(path: &Path, what: &'static str, there: u64, more: usize) -> Result<(), StorageError> {
    if there + more as u64 <= MOST { Ok(()) } else { Err(StorageError::Full { path: path.to_path_buf(), what, most: MOST }) }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Whether the file appears within a second.
fn wait_for(file: &Path) -> bool {
    (0..50).any(|_| {
        if file.exists() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
        false
    })
}

fn invalid(table: &Table) -> impl FnOnce(ArrowError) -> StorageError {
    let path = table.path().to_path_buf();
    move |error| StorageError::Table { path, doing: "forming columns", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_than_there_are_numbers_for_are_refused() {
        let room = |there, more| check_room(Path::new("passages"), "passages", there, more);
        assert!(room(MOST - 2, 2).is_ok());
        let error = room(MOST - 1, 2).unwrap_err().to_string();
        assert!(error.contains("at most 2147483648 passages"), "{error}");
    }
}
