//! Tantivy's directory, kept to one commit.
//!
//! Tantivy keeps only its newest `meta.json` and deletes what that no longer needs. Here a reader gets the `meta.json` that
//! `CURRENT` holds, whatever is on disk, and deletes are written down instead of done: the writer obeys them when no older
//! generation is read any more.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, WatchCallback, WatchHandle, WritePtr};

pub(super) const META: &str = "meta.json";

#[derive(Clone)]
pub(super) struct CommittedDirectory {
    inner: MmapDirectory,
    meta: Option<Arc<[u8]>>,
    withheld: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Set when the writer is gone; held while a file is replaced.
    closed: Arc<Mutex<bool>>,
}

impl CommittedDirectory {
    /// For writing: `meta.json` is the one on disk.
    pub(super) fn for_writing(inner: MmapDirectory) -> Self {
        Self { inner, meta: None, withheld: Arc::default(), closed: Arc::default() }
    }

    /// For reading one state.
    pub(super) fn for_reading(inner: MmapDirectory, meta: &[u8]) -> Self {
        Self { inner, meta: Some(meta.into()), withheld: Arc::default(), closed: Arc::default() }
    }

    /// The files that tantivy wanted deleted; they are forgotten here.
    pub(super) fn take_withheld(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.withheld.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on no file is replaced, whichever thread of tantivy still wants to.
    pub(super) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Puts files back that could not be deleted yet.
    pub(super) fn withhold(&self, files: impl IntoIterator<Item = PathBuf>) {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
    }
}

impl fmt::Debug for CommittedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommittedDirectory({:?})", self.inner)
    }
}

impl Directory for CommittedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.inner.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.withhold([path.to_path_buf()]);
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.inner.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        match &self.meta {
            Some(meta) if path == Path::new(META) => Ok(meta.to_vec()),
            _ => self.inner.atomic_read(path),
        }
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match *closed {
            true => Err(io::Error::other("the writer is closed")),
            false => self.inner.atomic_write(path, data),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        // The index's own lock stands for tantivy's, and a reader on read-only media could not make a lock file.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
