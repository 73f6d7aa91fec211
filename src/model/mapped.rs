//! A file mapped into memory for reading: the one place of this crate with unsafe code.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::error::ModelError;

/// The bytes of a file.
pub(super) struct Mapped(Mmap);

impl Mapped {
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let failed = |source| ModelError::File { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        // SAFETY: memmap2 asks that nobody changes the file while it is mapped. Weights are read once while a model is
        // loaded, copied to the device, and unmapped; nobody but an installer writes them.
        unsafe { Mmap::map(&file) }.map(Self).map_err(failed)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
