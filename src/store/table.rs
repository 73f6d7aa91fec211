//! One Lance table: the few operations that fossick needs of it, each at a named version.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchIterator};
use arrow::datatypes::{DataType, SchemaRef};
use futures::TryStreamExt;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::cleanup::CleanupPolicy;
use lance::dataset::{Dataset, ProjectionRequest, WriteMode, WriteParams};
use lance::session::Session;

use super::layout::{sync_directory, sync_new_files};
use super::thread::LanceThread;
use crate::error::StorageError;

/// Row numbers in one `IN` list; Lance parses and plans each predicate, so lists are kept short enough to stay quick.
const DELETE_CHUNK: usize = 5_000;

/// A table at one version, and the means to make the next.
#[derive(Clone)]
pub(super) struct Table {
    path: PathBuf,
    dataset: Dataset,
    thread: LanceThread,
}

impl Table {
    /// Makes an empty table, in place of what an interrupted creation may have left.
    pub(super) fn create(path: PathBuf, schema: SchemaRef, thread: &LanceThread) -> Result<Self, StorageError> {
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(StorageError::io(&path, "removing an unfinished table"))?;
        }
        let uri = uri(&path)?;
        let dataset = thread.run(&path, "creating the table", move |runtime| {
            let nothing = RecordBatchIterator::new(std::iter::empty(), schema);
            let params = WriteParams { mode: WriteMode::Create, ..params() };
            runtime.block_on(Dataset::write(nothing, uri.as_str(), Some(params)))
        })?;
        Ok(Self { path, dataset, thread: thread.clone() })
    }

    pub(super) fn open(path: PathBuf, version: u64, thread: &LanceThread) -> Result<Self, StorageError> {
        let uri = uri(&path)?;
        let dataset = thread.run(&path, "opening the table", move |runtime| {
            // No index is ever asked of Lance; the caches of its metadata are kept small.
            let session = Arc::new(Session::new(1 << 20, 32 << 20, Arc::default()));
            runtime.block_on(DatasetBuilder::from_uri(uri).with_session(session).with_version(version).load())
        })?;
        Ok(Self { path, dataset, thread: thread.clone() })
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
            let hint = file.file_name().is_some_and(|name| name == "latest_version_hint.json");
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
            let batches = RecordBatchIterator::new([Ok(batch)], schema);
            runtime.block_on(dataset.append(batches, Some(WriteParams { mode: WriteMode::Append, ..params() })))?;
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

    /// All rows of some columns, with `_rowaddr`, in the table's order, batch by batch.
    pub(super) fn scan(&self, columns: &[&str]) -> Result<Vec<RecordBatch>, StorageError> {
        let dataset = self.dataset.clone();
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        self.thread.run(&self.path, "reading columns", move |runtime| {
            runtime.block_on(async {
                let mut scanner = dataset.scan();
                scanner.project(&columns)?.with_row_address();
                scanner.try_into_stream().await?.try_collect().await
            })
        })
    }

    /// The rows at these addresses, in this order. Addresses must differ.
    pub(super) fn take(&self, addresses: &[u64], columns: &[&str]) -> Result<RecordBatch, StorageError> {
        let dataset = self.dataset.clone();
        let (wanted, columns): (Vec<u64>, Vec<String>) =
            (addresses.to_vec(), columns.iter().map(|&name| name.to_owned()).collect());
        let batch = self.thread.run(&self.path, "reading rows", move |runtime| {
            let projection = ProjectionRequest::from_columns(&columns, dataset.schema());
            runtime.block_on(dataset.take_rows(&wanted, projection))
        })?;
        // Lance leaves out rows that do not exist, without a word.
        if batch.num_rows() != addresses.len() {
            let fact =
                format!("expected {} rows at the addresses that its own scan gave, found {}", addresses.len(), batch.num_rows());
            return Err(StorageError::Inconsistent { path: self.path.clone(), fact });
        }
        Ok(batch)
    }

    /// Removes versions before the given one and the files that only they use. Nobody else may be writing or reading them.
    pub(super) fn clean(&self, before: u64) -> Result<(), StorageError> {
        let dataset = self.dataset.clone();
        self.thread.run(&self.path, "removing old versions", move |runtime| {
            let policy = CleanupPolicy {
                before_version: Some(before),
                delete_unverified: true,
                error_if_tagged_old_versions: false,
                ..CleanupPolicy::default()
            };
            runtime.block_on(dataset.cleanup_with_policy(policy)).map(|_| ())
        })
    }

    /// Makes the files of this version durable; Lance does not.
    pub(super) fn sync(&self, done: &mut HashSet<PathBuf>) -> Result<(), StorageError> {
        sync_new_files(&self.path, done)
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

fn params() -> WriteParams {
    WriteParams { skip_auto_cleanup: true, auto_cleanup: None, enable_v2_manifest_paths: true, ..WriteParams::default() }
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
