//! One Lance table: the few operations that fossick needs of it, each at a named version.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchIterator};
use arrow::datatypes::{DataType, SchemaRef};
use futures::TryStreamExt;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::optimize::{CompactionMetrics, CompactionOptions, IgnoreRemap, RewriteResult, commit_compaction};
use lance::dataset::transaction::Operation;
use lance::dataset::{Dataset, InsertBuilder, NewColumnTransform, WriteMode, WriteParams};
use lance::session::Session;
use lance_datafusion::exec::{LanceExecutionOptions, execute_plan};
use lance_table::format::Fragment;
use lance_table::io::deletion::relative_deletion_file_path;

use super::compaction::{CompactionLimits, Extent, dead_rows};
use super::layout::sync_directory;
use super::rows::OpenReaders;
use super::thread::{Answers, LanceThread};
use crate::error::StorageError;

/// Row numbers in one `IN` list; Lance parses and plans each predicate, so lists are kept short enough to stay quick.
const DELETE_CHUNK: usize = 5_000;

/// Rows of a batch when rows are rewritten, and bytes that are read ahead then and when columns are read: Lance's own 8,192 and 2 GiB would have much
/// of a table in memory.
const ROWS_AT_ONCE: usize = 1024;
const READ_AHEAD: u64 = 8 << 20;

/// Bytes of a column that are kept until they are written as a page. Of Lance's own 8 MiB a column, those of small columns would grow with the table up
/// to a million rows.
const COLUMN_AT_ONCE: u64 = 2 << 20;

/// Where Lance notes the newest version.
const HINT: &str = "latest_version_hint.json";

/// A table at one version, and the means to make the next.
#[derive(Clone)]
pub(super) struct Table {
    path: PathBuf,
    dataset: Dataset,
    readers: Arc<OpenReaders>,
    thread: LanceThread,
}

/// One fragment of a table.
#[derive(Clone, Debug)]
pub(super) struct FragmentFile {
    /// The upper half of its rows' addresses.
    pub(super) id: u64,
    /// Its data file, the path from the table's directory; `None` where it has several.
    pub(super) data: Option<String>,
    /// Rows, those included that were deleted.
    pub(super) rows: usize,
    /// Whether any were.
    pub(super) has_dead: bool,
}

impl FragmentFile {
    /// The address of its first row.
    pub(super) fn first_address(&self) -> u64 {
        self.id << 32
    }
}

impl Table {
    /// Makes an empty table, in place of what an interrupted creation may have left.
    pub(super) fn create(path: PathBuf, schema: SchemaRef, thread: &LanceThread) -> Result<Self, StorageError> {
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(StorageError::io(&path, "removing an unfinished table"))?;
        }
        let uri = uri(&path)?;
        let dataset = thread.run(&path, "creating the table", move |runtime| {
            let params = params(WriteMode::Create, schema.fields().len());
            let nothing = RecordBatchIterator::new(std::iter::empty(), schema);
            runtime.block_on(Dataset::write(nothing, uri.as_str(), Some(params)))
        })?;
        Ok(Self { path, dataset, thread: thread.clone(), readers: Arc::default() })
    }

    pub(super) fn open(path: PathBuf, version: u64, thread: &LanceThread) -> Result<Self, StorageError> {
        let uri = uri(&path)?;
        let dataset = thread.run(&path, "opening the table", move |runtime| {
            runtime.block_on(DatasetBuilder::from_uri(uri).with_session(session()).with_version(version).load())
        })?;
        Ok(Self { path, dataset, thread: thread.clone(), readers: Arc::default() })
    }

    pub(super) fn version(&self) -> u64 {
        self.dataset.version_id()
    }

    /// The number of rows.
    pub(super) fn count(&self) -> Result<u64, StorageError> {
        let dataset = self.dataset.clone();
        self.thread
            .run(&self.path, "counting rows", move |runtime| runtime.block_on(dataset.count_rows(None)))
            .map(|rows| rows as u64)
    }

    /// Forgets the versions beyond the committed one that a writer left who died: their manifests are removed, and clean-up
    /// then removes what only they use. Not by Lance's `restore`, which would have to read the newest of them, and a power
    /// cut may have torn it. Only under the writer's lock; nobody reads what was not committed.
    pub(super) fn forget_uncommitted(path: &Path, committed: u64) -> Result<(), StorageError> {
        let versions = path.join("_versions");
        let mut removed = false;
        for entry in std::fs::read_dir(&versions).map_err(StorageError::io(&versions, "listing the directory"))? {
            let file = entry.map_err(StorageError::io(&versions, "listing the directory"))?.path();
            // The hint tells the newest version, which it may no longer be; Lance does without.
            let hint = file.file_name().is_some_and(|name| name == HINT);
            if hint || version_of(&file).is_some_and(|version| version > committed) {
                std::fs::remove_file(&file).map_err(StorageError::io(&file, "removing an uncommitted version"))?;
                removed = true;
            }
        }
        if removed { sync_directory(&versions) } else { Ok(()) }
    }

    /// Adds rows; makes a new version.
    pub(super) fn append(&mut self, batch: RecordBatch) -> Result<(), StorageError> {
        let mut dataset = self.dataset.clone();
        self.dataset = self.thread.run(&self.path, "appending rows", move |runtime| {
            let schema = batch.schema();
            let params = params(WriteMode::Append, schema.fields().len());
            let batches = RecordBatchIterator::new([Ok(batch)], schema);
            runtime.block_on(dataset.append(batches, Some(params)))?;
            Ok(dataset)
        })?;
        Ok(())
    }

    /// Deletes the rows in which `column` is one of `numbers`; makes new versions.
    pub(super) fn delete(&mut self, column: &'static str, numbers: &[u64]) -> Result<(), StorageError> {
        for chunk in numbers.chunks(DELETE_CHUNK) {
            let list = chunk.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            let mut dataset = self.dataset.clone();
            self.dataset = self.thread.run(&self.path, "deleting rows", move |runtime| {
                runtime.block_on(dataset.delete(&format!("{column} IN ({list})")))?;
                Ok(dataset)
            })?;
        }
        Ok(())
    }

    /// All rows of some columns, with `_rowaddr`, in the table's order, batch by batch. What is done with a batch must ask nothing of this table's
    /// thread, which is at the next and which a writer's tables share.
    pub(super) fn scan(&self, columns: &[&str]) -> Answers<'_, RecordBatch> {
        self.scan_some(None, columns)
    }

    /// The same for some fragments alone.
    pub(super) fn scan_fragments(&self, fragments: &[u64], columns: &[&str]) -> Answers<'_, RecordBatch> {
        let wanted = self.dataset.fragments().iter().filter(|fragment| fragments.contains(&fragment.id));
        self.scan_some(Some(wanted.cloned().collect()), columns)
    }

    fn scan_some(&self, fragments: Option<Vec<Fragment>>, columns: &[&str]) -> Answers<'_, RecordBatch> {
        let dataset = self.dataset.clone();
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        self.thread.stream(&self.path, "reading columns", move |runtime, give| {
            runtime.block_on(async {
                let mut scanner = dataset.scan();
                scanner.project(&columns)?.with_row_address().io_buffer_size(READ_AHEAD);
                if let Some(fragments) = fragments {
                    scanner.with_fragments(fragments);
                }
                let mut batches = scanner.try_into_stream().await?;
                while let Some(batch) = batches.try_next().await? {
                    if !give(batch) {
                        break;
                    }
                }
                Ok(())
            })
        })
    }

    /// The fragments, in the table's order.
    pub(super) fn fragments(&self) -> Vec<FragmentFile> {
        let file = |fragment: &Fragment| FragmentFile {
            id: fragment.id,
            data: match &fragment.files[..] {
                [file] => Some(format!("data/{}", file.path)),
                _ => None,
            },
            rows: fragment.physical_rows.unwrap_or(0),
            has_dead: fragment.deletion_file.is_some(),
        };
        self.dataset.fragments().iter().map(file).collect()
    }

    /// The rows at these addresses, in this order. Addresses must differ.
    pub(super) fn take(&self, addresses: &[u64], columns: &[&str]) -> Result<RecordBatch, StorageError> {
        let (dataset, readers) = (self.dataset.clone(), self.readers.clone());
        let (wanted, columns): (Vec<u64>, Vec<String>) =
            (addresses.to_vec(), columns.iter().map(|&name| name.to_owned()).collect());
        let batch = self
            .thread
            .run(&self.path, "reading rows", move |runtime| runtime.block_on(readers.take(&dataset, &wanted, &columns)))?;
        // Lance leaves out rows that do not exist, without a word.
        let found = batch.as_ref().map_or(0, RecordBatch::num_rows);
        match batch {
            Some(batch) if found == addresses.len() => Ok(batch),
            _ => {
                let fact = format!("expected {} rows at the addresses that its own scan gave, found {found}", addresses.len());
                Err(StorageError::Inconsistent { path: self.path.clone(), fact })
            }
        }
    }

    /// Closes the files that [`Table::take`] has opened.
    pub(super) fn close_readers(&self) {
        self.readers.close();
    }

    /// What this version is made of: paths from the table's directory, its manifest first. Lance also writes a file for each transaction,
    /// which nothing reads once its version is there.
    pub(super) fn files(&self) -> Vec<String> {
        let mut files = vec![manifest_name(self.version())];
        files.extend(self.dataset.fragments().iter().flat_map(fragment_files));
        files
    }

    /// Fragments, and rows that were deleted and still take space.
    pub(super) fn extent(&self) -> Extent {
        let fragments = self.dataset.fragments();
        Extent { fragments: fragments.len() as u64, dead_rows: fragments.iter().map(dead_rows).sum() }
    }

    /// The files that [`Table::compact`] would read.
    pub(super) fn files_to_compact(&self, limits: &CompactionLimits) -> HashSet<String> {
        let fragments: HashSet<u64> =
            limits.tasks(self.dataset.fragments()).iter().flatten().map(|fragment| fragment.id).collect();
        self.files_of(&fragments).into_iter().collect()
    }

    /// The data files of some fragments and their lists of deleted rows.
    pub(super) fn files_of(&self, fragments: &HashSet<u64>) -> Vec<String> {
        let wanted = self.dataset.fragments().iter().filter(|fragment| fragments.contains(&fragment.id));
        wanted.flat_map(fragment_files).collect()
    }

    /// Whether [`Table::compact`] would do anything.
    pub(super) fn could_gain(&self, limits: &CompactionLimits) -> bool {
        !limits.tasks(self.dataset.fragments()).is_empty()
    }

    /// Joins small fragments and drops dead rows, as `limits` say; makes a new version where something was to be done, and tells
    /// whether it was. The contents stay the same, the addresses of rows do not.
    pub(super) fn compact(&mut self, limits: &CompactionLimits) -> Result<bool, StorageError> {
        let tasks = limits.tasks(self.dataset.fragments());
        if tasks.is_empty() {
            return Ok(false);
        }
        let mut dataset = self.dataset.clone();
        self.dataset = self.thread.run(&self.path, "compacting", move |runtime| {
            runtime.block_on(async {
                let mut done = Vec::new();
                for fragments in tasks {
                    done.push(rewritten(&dataset, fragments).await?);
                }
                commit_compaction(&mut dataset, done, Arc::new(IgnoreRemap {}), &CompactionOptions::default()).await?;
                Ok(dataset)
            })
        })?;
        Ok(true)
    }

    /// Makes the rows of an earlier version the newest version's; nothing is copied.
    pub(super) fn restore(&mut self, version: u64) -> Result<(), StorageError> {
        let dataset = self.dataset.clone();
        self.dataset = self.thread.run(&self.path, "going back to an earlier version", move |runtime| {
            runtime.block_on(async {
                let mut earlier = dataset.checkout_version(version).await?;
                earlier.restore().await?;
                Ok(earlier)
            })
        })?;
        Ok(())
    }

    /// Adds columns without values.
    pub(super) fn add_columns(&mut self, columns: SchemaRef) -> Result<(), StorageError> {
        let mut dataset = self.dataset.clone();
        self.dataset = self.thread.run(&self.path, "adding columns", move |runtime| {
            runtime.block_on(dataset.add_columns(NewColumnTransform::AllNulls(columns), None, None))?;
            Ok(dataset)
        })?;
        Ok(())
    }

    /// Leaves out fragments, whose files cannot be read; makes a new version.
    pub(super) fn drop_fragments(&mut self, lost: &HashSet<u64>) -> Result<(), StorageError> {
        let (uri, read) = (uri(&self.path)?, self.version());
        let operation = Operation::Delete {
            updated_fragments: Vec::new(),
            deleted_fragment_ids: lost.iter().copied().collect(),
            predicate: "damaged".to_owned(),
        };
        self.dataset = self.thread.run(&self.path, "leaving out damaged fragments", move |runtime| {
            runtime.block_on(Dataset::commit(uri.as_str(), operation, Some(read), None, None, session(), true))
        })?;
        Ok(())
    }

    /// The fragments to which any of these files belongs.
    pub(super) fn fragments_of(&self, files: &HashSet<String>) -> HashSet<u64> {
        let fragments = self.dataset.fragments().iter();
        let touched = fragments.filter(|fragment| fragment_files(fragment).iter().any(|file| files.contains(file)));
        touched.map(|fragment| fragment.id).collect()
    }

    /// Removes every file that is not needed. Only under the writer's lock, and while nothing is uncommitted. What cannot be removed
    /// now, as Windows has it with files that are open, is left for the next time.
    pub(super) fn remove_all_but(path: &Path, needed: &HashSet<String>) {
        for directory in ["_versions", "_transactions", "_deletions", "data"] {
            let entries = std::fs::read_dir(path.join(directory)).into_iter().flatten().flatten();
            for entry in entries {
                let Some(name) = entry.file_name().to_str().map(|name| format!("{directory}/{name}")) else { continue };
                // The hint tells the newest version and is no part of any.
                if !needed.contains(&name)
                    && !name.ends_with(HINT)
                    && let Err(error) = std::fs::remove_file(entry.path())
                {
                    tracing::debug!(%error, file = %entry.path().display(), "left for the next clean-up");
                }
            }
        }
    }

    /// The table's directory and those in it.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let below = ["_versions", "_transactions", "_deletions", "data"].map(|name| self.path.join(name));
        below.into_iter().filter(|path| path.is_dir()).chain([self.path.clone()]).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// That a column of a batch has the type that the format says.
    pub(super) fn wrong_column(&self, column: &str, expected: &str, found: Option<&DataType>) -> StorageError {
        let found = found.map_or_else(|| "none".to_owned(), DataType::to_string);
        StorageError::Inconsistent {
            path: self.path.clone(),
            fact: format!("column {column}: expected {expected}, found {found}"),
        }
    }
}

/// No index is ever asked of Lance, and readers that stay open have what they need: the caches of its metadata are kept small, each a part of
/// a writer's memory that would grow with the table.
fn session() -> Arc<Session> {
    Arc::new(Session::new(1 << 20, 4 << 20, Arc::default()))
}

fn params(mode: WriteMode, columns: usize) -> WriteParams {
    let mut params = WriteParams {
        mode,
        skip_auto_cleanup: true,
        auto_cleanup: None,
        enable_v2_manifest_paths: true,
        ..WriteParams::default()
    };
    params.file_writer_options.get_or_insert_default().data_cache_bytes = Some(COLUMN_AT_ONCE * columns as u64);
    params
}

/// Writes the live rows of some fragments as new ones, which are not committed. Lance's own compaction does the same, but for the bytes of a column
/// that are kept before they are written, which it cannot be told.
async fn rewritten(dataset: &Dataset, fragments: Vec<Fragment>) -> lance::Result<RewriteResult> {
    let mut scanner = dataset.scan();
    scanner.batch_size(ROWS_AT_ONCE).io_buffer_size(READ_AHEAD).with_fragments(fragments.clone()).scan_in_order(true);
    let options = LanceExecutionOptions { batch_size: Some(ROWS_AT_ONCE), ..LanceExecutionOptions::default() };
    let rows = execute_plan(scanner.create_plan().await?, options)?;
    let params = params(WriteMode::Append, dataset.schema().fields.len());
    let written = InsertBuilder::new(Arc::new(dataset.clone())).with_params(&params).execute_uncommitted_stream(rows).await?;
    let Operation::Append { fragments: new_fragments } = written.operation else {
        return Err(lance::Error::internal(format!("rows were written for {} and not to be appended", written.operation)));
    };
    Ok(RewriteResult {
        metrics: CompactionMetrics::default(),
        new_fragments,
        read_version: dataset.version_id(),
        original_fragments: fragments,
        row_addrs: None,
    })
}

/// The files of a fragment: paths from the table's directory.
fn fragment_files(fragment: &Fragment) -> Vec<String> {
    let data = fragment.files.iter().map(|file| format!("data/{}", file.path));
    let deletions = fragment.deletion_file.iter().map(|file| relative_deletion_file_path(fragment.id, file));
    data.chain(deletions).collect()
}

/// Where the manifest of a version is.
pub(super) fn manifest_name(version: u64) -> String {
    format!("_versions/{:020}.manifest", u64::MAX - version)
}

/// The version that a manifest is of. Lance names it by the 20 digits of 2^64 - 1 less the version, so that the newest comes
/// first in a listing, or in older tables by the version itself.
fn version_of(manifest: &Path) -> Option<u64> {
    let stem = manifest.file_name()?.to_str()?.strip_suffix(".manifest")?;
    let number: u64 = stem.parse().ok()?;
    Some(if stem.len() == 20 { u64::MAX - number } else { number })
}

/// Lance takes a path as text.
fn uri(path: &Path) -> Result<String, StorageError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StorageError::Inconsistent {
        path: path.to_path_buf(),
        fact: "the path is not valid Unicode, which the tables need; choose another directory".to_owned(),
    })
}
