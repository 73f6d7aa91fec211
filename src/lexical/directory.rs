//! Tantivy's directory, kept to one commit.
//!
//! Tantivy keeps only its newest `meta.json` and deletes what that no longer needs. Here a reader gets the `meta.json` that
//! `CURRENT` holds, whatever is on disk, and deletes are written down instead of done: the writer obeys them when no older
//! generation is read any more. Nothing is flushed here: the commit flushes the files that its generation names, and no others
//! matter.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite, WatchCallback, WatchHandle,
    WritePtr,
};

use crate::crash;

pub(super) const META: &str = "meta.json";
/// Tantivy's list of its files.
pub(super) const MANAGED: &str = ".managed.json";

#[derive(Clone)]
pub(super) struct CommittedDirectory {
    root: Arc<Path>,
    inner: MmapDirectory,
    meta: Option<Arc<[u8]>>,
    withheld: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Set when the writer is gone; held while a file is replaced.
    closed: Arc<Mutex<bool>>,
}

impl CommittedDirectory {
    /// For writing: `meta.json` is the one on disk.
    pub(super) fn for_writing(root: &Path, inner: MmapDirectory) -> Self {
        Self { root: root.into(), inner, meta: None, withheld: Arc::default(), closed: Arc::default() }
    }

    /// For reading one state.
    pub(super) fn for_reading(root: &Path, inner: MmapDirectory, meta: &[u8]) -> Self {
        Self { root: root.into(), inner, meta: Some(meta.into()), withheld: Arc::default(), closed: Arc::default() }
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

/// A file that is flushed by the commit, or never.
struct Unflushed(File);

impl Write for Unflushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TerminatingWrite for Unflushed {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.flush()
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
        let full = self.root.join(path);
        match File::options().write(true).create_new(true).open(&full) {
            Ok(file) => Ok(BufWriter::new(Box::new(Unflushed(file)))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(OpenWriteError::FileAlreadyExists(path.to_path_buf())),
            Err(e) => Err(OpenWriteError::wrap_io_error(e, path.to_path_buf())),
        }
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
            false => {
                crash::point("words: a file is replaced").map_err(io::Error::other)?;
                let path = self.root.join(path);
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".tmp");
                let temporary = path.with_file_name(name);
                fs::write(&temporary, data)?;
                fs::rename(&temporary, &path)
            }
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        // The index's own lock stands for tantivy's, and a reader on read-only media could not make a lock file.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
