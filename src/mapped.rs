//! Files mapped into memory for reading, and hints for it, with the unsafe code that this needs.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// Has the processor fetch bytes that are read soon, so that it need not wait for them then: rows at random places of a large file would be
/// waited for one after the other, and of what lies in order it fetches by itself no more than to the end of a page (`fossick bench --search`).
#[inline]
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes.len()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, for an address inside the slice; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// The bytes of a file, or of a part of one.
#[derive(Debug)]
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Only for files that are written once: by a model's installer, by Lance, or whole under another name before they get theirs.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: memmap2 asks that nobody changes the file while it is mapped. Nobody writes to such files a second time, and what a
        // generation that is read consists of is not removed.
        unsafe { Mmap::map(&file) }.map(Self)
    }

    /// A part of a file that only this process can reach, and that nobody writes to again.
    pub(crate) fn written(file: &File, start: u64, length: usize) -> io::Result<Self> {
        // SAFETY: as above; the file has no name, so nobody else opens it, and its one writer, `store/scratch.rs`, only adds to its end.
        unsafe { MmapOptions::new().offset(start).len(length).map(file) }.map(Self)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
