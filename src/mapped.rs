//! Files mapped into memory for reading, with the unsafe code that this needs.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file.
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Only for files that are written once: by a model's installer, by Lance, or whole under another name before they get theirs.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: memmap2 asks that nobody changes the file while it is mapped. Nobody writes to such files a second time, and what a
        // generation that is read consists of is not removed.
        unsafe { Mmap::map(&file) }.map(Self)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
