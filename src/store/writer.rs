//! The writing side of the directory: new versions of the tables, and the commit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::error::ArrowError;

use super::columns::{
    DocumentRow, NUMBER, PassageRow, documents_batch, documents_schema, new_columns, passages_batch, passages_schema,
};
use super::compaction::CompactionLimits;
use super::files::{FileList, FileRecord, SoundFiles, damaged};
use super::layout::{flush, sync_directory};
use super::lock::{ReaderPin, WriterLock};
use super::logits::forget_documents;
use super::table::Table;
use super::thread::LanceThread;
use super::{Content, Durability, Generation, Header, Housekeeping, Layout, Tag, WordsState, copies};
use crate::crash;
use crate::error::{Error, OpenError, StorageError};
use crate::schema::Schema;

/// How long commits may go unflushed under [`Durability::System`].
const UNFLUSHED: Duration = Duration::from_secs(5);

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
    /// Document numbers that commits deleted and whose logits may still be kept.
    gone: HashSet<u64>,
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
            Table::create(layout.passages(), passages_schema(header.vocabulary.is_some(), header.vectors.dimension()), &thread)?;
        header.documents_version = documents.version();
        header.passages_version = passages.version();
        let record = |root: &Path, paths: &[String]| -> Result<Vec<FileRecord>, StorageError> {
            paths.iter().map(|path| FileRecord::measure(root, path)).collect()
        };
        let tables = [&documents, &passages];
        let files = tables.iter().flat_map(|table| table.files().into_iter().map(|file| table.path().join(file)));
        flush(&files.collect::<Vec<_>>(), &HashSet::new())?;
        header.files = FileList {
            documents: record(documents.path(), &documents.files())?,
            passages: record(passages.path(), &passages.files())?,
            words: record(&layout.words(header.words.epoch), &words)?,
        };
        let tables = documents.directories().into_iter().chain(passages.directories());
        tables.chain([layout.words(header.words.epoch)]).try_for_each(|directory| sync_directory(&directory))?;
        sync_directory(layout.root())?;
        if let Some(parent) = layout.root().parent() {
            sync_directory(parent)?;
        }
        header.published = now();
        header.durable = true;
        header.publish(layout, Durability::EveryCommit)?;
        copies::write(layout, &header.files);
        Ok(())
    }

    /// Takes the lock and brings the tables back to what is committed. Also gives what is there, by key.
    pub(crate) fn open(root: &Path, settings: &WriterSettings) -> Result<(Self, HashMap<Box<str>, Content>), Error> {
        let layout = Layout::new(root)?;
        // Before the lock, so that a directory without an index gets no lock file.
        Header::read_stored(&layout)?.check_writable(&layout)?;
        let lock = WriterLock::take(&layout)?;
        crash::point("open: locked")?;
        fall_back(&layout)?;
        let generation = Generation::open_for_writer(layout.root(), settings.sound.clone())?;
        let keys = generation.contents()?;
        let header = generation.header.clone();
        drop(generation);
        Ok((Self::with_lock(layout, header, lock, settings)?, keys))
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
            gone: HashSet::new(),
            added_documents: 0,
            added_passages: 0,
            dead_passages: 0,
            broken: false,
            _lock: lock,
        };
        let files: Vec<PathBuf> = writer.all_files().collect();
        if writer.header.durable {
            writer.directories = files.iter().filter_map(|file| file.parent()).map(Path::to_path_buf).collect();
        } else {
            writer.unflushed = files.into_iter().collect();
        }
        Ok(writer)
    }

    /// The tables as they are now, committed or not, with nothing held against a checksum.
    pub(crate) fn view(&self) -> Result<Generation, StorageError> {
        let header = Header {
            documents: self.documents.count()?,
            passages: self.passages.count()?,
            files: FileList::default(),
            ..self.header.clone()
        };
        Ok(Generation::unchecked(self.layout.clone(), header, self.documents.clone(), self.passages.clone()))
    }

    /// Leaves out the fragments whose files cannot be trusted; the next commit makes it so. For repair.
    pub(super) fn drop_damaged(&mut self, documents: &HashSet<String>, passages: &HashSet<String>) -> Result<(), StorageError> {
        for (table, files) in [(&mut self.documents, documents), (&mut self.passages, passages)] {
            let lost = table.fragments_of(files);
            if !lost.is_empty() {
                table.drop_fragments(&lost)?;
            }
        }
        Ok(())
    }

    /// The files of the fragments to which any of these files belongs, by their full paths. For repair.
    pub(super) fn files_beside(&self, documents: &HashSet<String>, passages: &HashSet<String>) -> Vec<PathBuf> {
        let of = |table: &Table, files| -> Vec<PathBuf> {
            let lost = table.fragments_of(files);
            table.files_of(&lost).into_iter().map(|file| table.path().join(file)).collect()
        };
        [of(&self.documents, documents), of(&self.passages, passages)].concat()
    }

    /// Deletes documents and passages by their numbers, whether or not both tables have them. For repair.
    pub(crate) fn remove(&mut self, gone: &[u64]) -> Result<(), StorageError> {
        self.documents.delete(NUMBER, gone)?;
        self.passages.delete(NUMBER, gone)
    }

    /// Publishes the tables as they are, whatever was counted before, with these words. For repair.
    pub(crate) fn publish_rest(&mut self, words: WordsState, word_files: &[String]) -> Result<(), Error> {
        self.flushes = true;
        let (documents, passages) = (self.documents.count()?, self.passages.count()?);
        let changed = Header { documents, passages, words, ..self.header.clone() };
        self.publish_changed(changed, word_files, Keep::No)
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
        if !documents.is_empty() {
            let batch = documents_batch(&self.header.schema, documents).map_err(invalid(&self.documents))?;
            self.documents.append(batch)?;
            self.added_documents += documents.len() as u64;
        }
        crash::point("append: the documents")?;
        if !passages.is_empty() {
            let (tokens, dimension) = (self.header.vocabulary.is_some(), self.header.vectors.dimension());
            let batch = passages_batch(tokens, dimension, passages).map_err(invalid(&self.passages))?;
            self.passages.append(batch)?;
            self.added_passages += passages.len() as u64;
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
    pub(crate) fn publish(&mut self, words: WordsState, word_files: &[String], next_document: u64) -> Result<&Header, Error> {
        let changed = Header {
            next_document,
            documents: self.header.documents + self.added_documents - self.dead.len() as u64,
            passages: self.header.passages + self.added_passages - self.dead_passages,
            words,
            ..self.header.clone()
        };
        self.publish_changed(changed, word_files, Keep::AsSet)?;
        self.gone.extend(self.dead.drain(..));
        (self.added_documents, self.added_passages, self.dead_passages) = (0, 0, 0);
        Ok(&self.header)
    }

    /// Whether the tables are worth compacting.
    pub(crate) fn wants_compaction(&self) -> bool {
        let limits = CompactionLimits::automatic(&self.housekeeping);
        self.housekeeping.automatic && (self.documents.could_gain(&limits) || self.passages.could_gain(&limits))
    }

    /// Compacts the tables and publishes that as a generation with the same content; `all` takes everything that can be gained.
    /// Between commits only. When it fails, the tables are what they were.
    pub(crate) fn compact(&mut self, all: bool, words: WordsState, word_files: &[String]) -> Result<bool, Error> {
        let limits = if all { CompactionLimits::everything() } else { CompactionLimits::automatic(&self.housekeeping) };
        let changed = words != self.header.words;
        let result = self.try_compact(&limits, changed, words, word_files);
        self.go_back_unless_done(&result)?;
        result
    }

    fn try_compact(
        &mut self,
        limits: &CompactionLimits,
        words_changed: bool,
        words: WordsState,
        word_files: &[String],
    ) -> Result<bool, Error> {
        self.check_usable()?;
        // What is damaged must not be copied into a file that looks sound.
        for (table, files) in [(&self.documents, &self.header.files.documents), (&self.passages, &self.header.files.passages)] {
            let read = table.files_to_compact(limits);
            let read: Vec<FileRecord> = files.iter().filter(|file| read.contains(&file.path)).cloned().collect();
            if let Some(fault) = damaged(table.path(), &read)?.into_iter().next() {
                return Err(StorageError::from(fault).into());
            }
        }
        let documents = self.documents.compact(limits)?;
        crash::point("compact: the documents")?;
        let passages = self.passages.compact(limits)?;
        crash::point("compact: the passages")?;
        if !(documents || passages || words_changed) {
            return Ok(false);
        }
        self.flushes = self.durability == Durability::EveryCommit;
        let changed = Header { words, ..self.header.clone() };
        // The content is the same: it takes no place in the history.
        self.publish_changed(changed, word_files, Keep::No)?;
        Ok(true)
    }

    /// Adds fields without values to the schema, and publishes that. Between commits only.
    pub(crate) fn extend_schema(&mut self, schema: &Schema) -> Result<(), Error> {
        let added = new_columns(&self.header.schema, schema);
        // Another process may have done it since the caller looked.
        if added.fields().is_empty() {
            return Ok(());
        }
        self.documents.add_columns(added)?;
        self.flushes = true;
        let words: Vec<String> = self.header.files.words.iter().map(|file| file.path.clone()).collect();
        let changed = Header { schema: self.header.schema.extended(schema), ..self.header.clone() };
        self.publish_changed(changed, &words, Keep::AsSet)
    }

    /// Publishes the newest generation once more, flushed, where it was not; for the end of a writer. Only with nothing uncommitted.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if self.header.durable || self.is_changed() || self.broken {
            return Ok(());
        }
        self.flushes = true;
        let words: Vec<String> = self.header.files.words.iter().map(|file| file.path.clone()).collect();
        self.publish_changed(self.header.clone(), &words, Keep::No)
    }

    /// Gives a name to the newest generation, so that it is kept; takes it away from the one that had it. Between commits only.
    pub(crate) fn tag(&mut self, name: &str) -> Result<(), Error> {
        let mut tags: Vec<Tag> = self.header.tags.iter().filter(|tag| tag.name != name).cloned().collect();
        tags.push(Tag { name: name.to_owned(), generation: self.header.generation });
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        self.retag(tags)
    }

    /// Takes a name away; false where there is none.
    pub(crate) fn untag(&mut self, name: &str) -> Result<bool, Error> {
        let tags: Vec<Tag> = self.header.tags.iter().filter(|tag| tag.name != name).cloned().collect();
        if tags.len() == self.header.tags.len() {
            return Ok(false);
        }
        self.retag(tags)?;
        Ok(true)
    }

    /// The content does not change, so neither does the generation.
    fn retag(&mut self, tags: Vec<Tag>) -> Result<(), Error> {
        self.check_usable()?;
        let mut kept = self.still_kept(&tags, None);
        if self.housekeeping.history.is_none() {
            // Who takes the last name away means the generation, too.
            let named = |tags: &[Tag], generation: u64| tags.iter().any(|tag| tag.generation == generation);
            kept.retain(|generation| named(&tags, *generation) || !named(&self.header.tags, *generation));
        }
        let header = Header { tags, kept, ..self.header.clone() };
        let published = header.publish(&self.layout, Durability::EveryCommit);
        // With `NotDurable` it is in place.
        if matches!(published, Ok(()) | Err(Error::Storage(StorageError::NotDurable { .. }))) {
            self.header = header;
        }
        published
    }

    /// Makes the content of a kept generation that of a new one. The words are copied by the caller, to the epoch in `words`.
    /// Between commits only.
    pub(crate) fn restore(&mut self, earlier: &Header, words: WordsState, word_files: &[String]) -> Result<&Header, Error> {
        let result = self.try_restore(earlier, words, word_files);
        self.go_back_unless_done(&result)?;
        result?;
        Ok(&self.header)
    }

    fn try_restore(&mut self, earlier: &Header, words: WordsState, word_files: &[String]) -> Result<(), Error> {
        self.check_usable()?;
        self.sound.check(self.documents.path(), &earlier.files.documents)?;
        self.sound.check(self.passages.path(), &earlier.files.passages)?;
        self.documents.restore(earlier.documents_version)?;
        crash::point("restore: the documents")?;
        self.passages.restore(earlier.passages_version)?;
        crash::point("restore: the passages")?;
        self.flushes = true;
        let changed = Header {
            documents: earlier.documents,
            passages: earlier.passages,
            words,
            schema: earlier.schema.clone(),
            ..self.header.clone()
        };
        // Whoever goes back may want to come back.
        self.publish_changed(changed, word_files, Keep::Yes)
    }

    /// The header of a kept generation, or of the newest.
    pub(crate) fn kept(&self, generation: u64) -> Result<Header, Error> {
        if generation == self.header.generation {
            return Ok(self.header.clone());
        }
        if !self.header.kept.contains(&generation) {
            return Err(OpenError::no_such_generation(&self.layout, &self.header, generation).into());
        }
        Header::read_file(&self.layout, &self.layout.kept(generation))
    }

    /// Step 6: removes what only older generations use, unless one is kept or read. Gives the files of the current words'
    /// directory that are needed, or nothing where that cannot be told.
    /// A failure is logged and left for the next commit: the commit has happened.
    pub(crate) fn clean(&mut self) -> Option<HashSet<String>> {
        if !self.gone.is_empty() && forget_documents(&self.layout, |number| !self.gone.contains(&number)) {
            self.gone.clear();
        }
        let read = ReaderPin::older(&self.layout, self.header.generation)?;
        self.superseded.retain(|generation, _| read.contains(generation));
        let mut kept = self.header.kept.clone();
        // The generation to fall back to when the system has not flushed yet.
        kept.extend(self.header.fallback);
        let mut needed = Needed::default();
        needed.add(&self.header);
        for generation in kept.iter().chain(&read) {
            match self.superseded.get(generation) {
                Some(header) => {
                    needed.add(header);
                    // So that a later writer knows what this reader needs.
                    if !self.layout.kept(*generation).exists() {
                        header.keep(&self.layout, Durability::System).ok()?;
                    }
                }
                None => match Header::read_file(&self.layout, &self.layout.kept(*generation)) {
                    Ok(header) => needed.add(&header),
                    Err(error) => {
                        tracing::warn!(generation, %error, "nothing is cleaned up while it is not known what this generation needs");
                        return None;
                    }
                },
            }
        }
        crash::abort_at("clean: before");
        Table::remove_all_but(self.documents.path(), &needed.documents);
        crash::abort_at("clean: between");
        Table::remove_all_but(self.passages.path(), &needed.passages);
        self.sound.keep(self.documents.path(), &needed.documents);
        self.sound.keep(self.passages.path(), &needed.passages);
        for epoch in self.layout.words_epochs() {
            if !needed.words.contains_key(&epoch) {
                remove_tree(&self.layout.words(epoch));
            }
        }
        for entry in fs::read_dir(self.layout.kept_directory()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let generation = name.to_str().and_then(|name| name.parse::<u64>().ok());
            if !generation.is_some_and(|generation| kept.contains(&generation) || read.contains(&generation)) {
                remove_file(&entry.path());
            }
        }
        crash::abort_at("clean: after");
        needed.words.remove(&self.header.words.epoch)
    }

    /// The settings, for opening another part of the same index.
    pub(crate) fn sound(&self) -> &SoundFiles {
        &self.sound
    }

    /// Publishes a header whose tables are those at hand.
    fn publish_changed(&mut self, changed: Header, word_files: &[String], keep: Keep) -> Result<(), Error> {
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
        if !matches!(published, Ok(()) | Err(Error::Storage(StorageError::NotDurable { .. }))) {
            return published;
        }
        // It is in place, durable or not, and everybody sees it: so does this writer.
        copies::write(&self.layout, &header.files);
        if flushed && published.is_ok() {
            self.last_flush = Instant::now();
        }
        let superseded = std::mem::replace(&mut self.header, header);
        self.superseded.insert(superseded.generation, superseded);
        published
    }

    /// The earlier generations that are kept beside the newest one, or, where one is about to take its place, beside that.
    fn still_kept(&self, tags: &[Tag], superseded: Option<Keep>) -> Vec<u64> {
        let tagged = |generation: &u64| tags.iter().any(|tag| tag.generation == *generation);
        let newest = self.header.generation;
        let mut untagged: Vec<u64> = self.header.kept.iter().copied().filter(|generation| !tagged(generation)).collect();
        let adds = match superseded {
            None | Some(Keep::No) => false,
            Some(Keep::AsSet) => self.housekeeping.history.is_some(),
            Some(Keep::Yes) => true,
        };
        if adds && !tagged(&newest) {
            untagged.push(newest);
        }
        if let (Some(history), false) = (self.housekeeping.history, matches!(superseded, Some(Keep::Yes))) {
            untagged.drain(..untagged.len().saturating_sub(history as usize));
        }
        let named = self.header.kept.iter().copied().chain(superseded.map(|_| newest)).filter(tagged);
        let mut kept: Vec<u64> = untagged.into_iter().chain(named).collect();
        kept.sort_unstable();
        kept
    }

    fn check_usable(&self) -> Result<(), StorageError> {
        if !self.broken {
            return Ok(());
        }
        let fact = "a step failed and could not be taken back; drop the writer and take a new one".to_owned();
        Err(StorageError::Inconsistent { path: self.layout.root().to_path_buf(), fact })
    }

    /// After something between commits that failed: the tables as they were.
    fn go_back_unless_done<T>(&mut self, result: &Result<T, Error>) -> Result<(), StorageError> {
        if result.is_ok() {
            return Ok(());
        }
        let gone_back = self.go_back();
        self.broken |= gone_back.is_err();
        gone_back
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

    /// Drops what was done to the tables and not published.
    fn go_back(&mut self) -> Result<(), StorageError> {
        Table::forget_uncommitted(self.documents.path(), self.header.documents_version)?;
        Table::forget_uncommitted(self.passages.path(), self.header.passages_version)?;
        self.documents = Table::open(self.layout.documents(), self.header.documents_version, &self.thread)?;
        self.passages = Table::open(self.layout.passages(), self.header.passages_version, &self.thread)?;
        Ok(())
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

/// The files that some generations need, by part; of the words by epoch.
#[derive(Default)]
struct Needed {
    documents: HashSet<String>,
    passages: HashSet<String>,
    words: HashMap<u64, HashSet<String>>,
}

impl Needed {
    fn add(&mut self, header: &Header) {
        let paths = |files: &[FileRecord]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        self.documents.extend(paths(&header.files.documents));
        self.passages.extend(paths(&header.files.passages));
        self.words.entry(header.words.epoch).or_default().extend(paths(&header.files.words));
    }
}

/// Goes back to the last flushed generation where a power cut has taken rows of the newest, which was not flushed; tells whether it
/// did. Only under the writer's lock. (Words can be made again, so they are no reason.)
pub(super) fn fall_back(layout: &Layout) -> Result<bool, Error> {
    let header = Header::read(layout)?;
    let (false, Some(fallback)) = (header.durable, header.fallback) else { return Ok(false) };
    let mut lost = false;
    for (root, files) in header.parts(layout).into_iter().take(2) {
        lost |= !damaged(&root, files)?.is_empty();
    }
    if !lost {
        return Ok(false);
    }
    tracing::warn!(generation = header.generation, fallback, "files were not flushed before a power cut; going back");
    let earlier = Header::read_file(layout, &layout.kept(fallback))?;
    let header = Header {
        // Neither number has been seen with another content.
        generation: header.generation + 1,
        next_document: header.next_document,
        published: now(),
        kept: header.kept.into_iter().filter(|generation| *generation <= fallback).collect(),
        tags: header.tags.into_iter().filter(|tag| tag.generation <= fallback).collect(),
        ..earlier
    };
    header.publish(layout, Durability::EveryCommit)?;
    copies::write(layout, &header.files);
    Ok(true)
}

/// Whether the generation that a new one takes the place of is kept; a tag keeps it in any case.
#[derive(Clone, Copy, Debug)]
enum Keep {
    AsSet,
    Yes,
    No,
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(%error, file = %path.display(), "left for the next clean-up");
    }
}

fn remove_tree(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::debug!(%error, directory = %path.display(), "left for the next clean-up");
    }
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
