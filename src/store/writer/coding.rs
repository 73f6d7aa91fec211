//! Codes of what was written: for each large fragment of the passages, the file that a search by vectors goes by.
//!
//! No step of a commit: a search that finds no codes reads the vectors themselves. So a failure here is logged, and tried again by the next
//! commit.

use std::collections::HashSet;
use std::fs;

use arrow::array::RecordBatch;
use arrow::datatypes::UInt64Type;

use super::super::codes::{self, CodeFile, GONE, Rows, Vectors};
use super::super::columns::{END, FIELD, NUMBER, START, VECTOR};
use super::super::deviations;
use super::super::lance_file::{Page, last_column};
use super::super::reader::{ADDRESS, fields_of, float_lists, primitive, spans_of};
use super::super::table::FragmentFile;
use super::super::{SoundFiles, Spaces};
use super::StoreWriter;
use crate::error::StorageError;
use crate::mapped::Mapped;

/// A fragment with fewer rows is read into memory by those who search it. Compaction joins such fragments before they are many. In the library's
/// unit tests few rows are enough.
pub(in crate::store) const LARGE: usize = if cfg!(test) { 16 } else { 2048 };

/// Rows of a page that are compared with what Lance reads.
const PROBES: u64 = 3;

impl StoreWriter {
    /// Writes the codes of large fragments that have none.
    pub(super) fn code(&self) {
        let Some(spaces) = self.header.spaces() else { return };
        for fragment in self.passages.fragments() {
            let Some(data) = fragment.data.as_deref().filter(|_| fragment.rows >= LARGE) else { continue };
            let path = codes::path_of(&self.layout.codes(), data);
            if path.exists() {
                continue;
            }
            if let Err(error) = self.code_fragment(&fragment, data, &spaces) {
                tracing::warn!(%error, "vectors are searched without codes until the next commit");
            }
        }
    }

    fn code_fragment(&self, fragment: &FragmentFile, data: &str, spaces: &Spaces) -> Result<(), StorageError> {
        let (passages, schema) = (&self.passages, &self.header.schema);
        let numbers = |batch: &RecordBatch| Ok(primitive::<UInt64Type>(passages, batch, NUMBER, "64-bit numbers")?.to_vec());
        let is_one = spaces.all().len() == 1;
        let kinds = |batch: &RecordBatch| match is_one {
            true => Ok(vec![0; batch.num_rows()]),
            false => Ok(fields_of(passages, schema, batch)?.into_iter().map(|field| spaces.of_field(field)).collect()),
        };
        let mut places = vec![GONE; fragment.rows];
        for row in self.rows_of(fragment, if is_one { &[NUMBER] } else { &[FIELD] }, kinds) {
            let (row, place) = row?;
            // One with more kinds than fit is searched without codes.
            let place = u16::try_from(place).ok().filter(|place| *place != GONE).ok_or_else(|| StorageError::Inconsistent {
                path: passages.path().to_path_buf(),
                fact: format!("its vectors are of {} kinds, and codes are for {GONE} at most", spaces.all().len()),
            })?;
            if let Some(of_row) = places.get_mut(row) {
                *of_row = place;
            }
        }
        let path = passages.path().join(data);
        let mapped = Mapped::open(&path).map_err(StorageError::io(&path, "reading the vectors"))?;
        let pages = last_column(&mapped, fragment.rows, 4 * spaces.width()).unwrap_or_default();
        let vectors = match self.are_vectors(fragment, &places, &mapped, &pages, spaces.width())? {
            true => Vectors::InPages(&mapped, pages),
            false => Vectors::Read(self.read_vectors(fragment, spaces.width())?),
        };
        // Documents and spans are read as they are written: those of all rows would take 32 bytes each.
        let documents = self.rows_of(fragment, &[NUMBER], numbers);
        let spans = self.rows_of(fragment, &[FIELD, START, END], |batch| spans_of(passages, schema, batch));
        codes::write(&codes::path_of(&self.layout.codes(), data), &path, &Rows { vectors, spaces, places }, documents, spans)
    }

    /// What some columns say of the fragment's rows that are there: the number of each in the fragment, and what `read` makes of it. They are read
    /// batch by batch, from when the first is asked for.
    fn rows_of<T>(
        &self,
        fragment: &FragmentFile,
        columns: &'static [&'static str],
        read: impl Fn(&RecordBatch) -> Result<Vec<T>, StorageError>,
    ) -> impl Iterator<Item = Result<(usize, T), StorageError>> {
        let (id, first) = (fragment.id, fragment.first_address());
        let batches = std::iter::once_with(move || self.passages.scan_fragments(&[id], columns)).flatten();
        batches.flat_map(move |batch| {
            let rows = batch.and_then(|batch| {
                let addresses = primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")?;
                let rows = addresses.iter().map(|address| (address - first) as usize);
                Ok(rows.zip(read(&batch)?).collect::<Vec<_>>())
            });
            let (rows, failed) = rows.map_or_else(|error| (Vec::new(), Some(Err(error))), |rows| (rows, None));
            rows.into_iter().map(Ok).chain(failed)
        })
    }

    /// Whether these pages are the fragment's vectors: some rows of each are compared with what Lance reads.
    fn are_vectors(
        &self,
        fragment: &FragmentFile,
        places: &[u16],
        data: &[u8],
        pages: &[Page],
        width: usize,
    ) -> Result<bool, StorageError> {
        let bytes = 4 * width;
        let ends = pages.iter().skip(1).map(|page| page.first).chain([fragment.rows as u64]);
        let rows_of = |(page, end): (&Page, u64)| {
            let (first, offset, last) = (page.first, page.offset as usize, end - page.first - 1);
            (0..PROBES).map(move |probe| probe * last / (PROBES - 1)).map(move |row| (first + row, offset + row as usize * bytes))
        };
        let mut probes: Vec<(u64, usize)> = pages.iter().zip(ends).flat_map(rows_of).collect();
        // Lance does not give rows that were deleted.
        probes.retain(|(row, _)| places.get(*row as usize).is_some_and(|place| *place != GONE));
        probes.dedup();
        if probes.is_empty() {
            return Ok(false);
        }
        let addresses: Vec<u64> = probes.iter().map(|(row, _)| fragment.first_address() + row).collect();
        let batch = self.passages.take(&addresses, &[VECTOR]);
        // A writer's next version has other files.
        self.passages.close_readers();
        let batch = batch?;
        let vectors: &[u8] = bytemuck::cast_slice(float_lists(&self.passages, &batch, VECTOR, width)?);
        Ok(probes.iter().zip(vectors.chunks_exact(bytes)).all(|((_, at), vector)| data.get(*at..at + bytes) == Some(vector)))
    }

    fn read_vectors(&self, fragment: &FragmentFile, width: usize) -> Result<Vec<f32>, StorageError> {
        let mut all = vec![0.0; fragment.rows * width];
        for batch in self.passages.scan_fragments(&[fragment.id], &[VECTOR]) {
            let batch = batch?;
            let addresses = primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")?;
            let vectors = float_lists(&self.passages, &batch, VECTOR, width)?;
            for (address, vector) in addresses.iter().zip(vectors.chunks_exact(width)) {
                let row = (address - fragment.first_address()) as usize;
                if let Some(place) = all.get_mut(row * width..(row + 1) * width) {
                    place.copy_from_slice(vector);
                }
            }
        }
        Ok(all)
    }

    /// Removes code files that cannot be used, so that they are written again.
    pub(super) fn remove_damaged_codes(&self) {
        let Some(spaces) = self.header.spaces() else { return };
        for fragment in self.passages.fragments() {
            let Some(data) = fragment.data.as_deref() else { continue };
            let path = codes::path_of(&self.layout.codes(), data);
            let data = self.passages.path().join(data);
            // Read once more, whatever was known of it.
            let unknown = SoundFiles::default();
            if path.exists() && CodeFile::open(&path, &data, &spaces, &unknown).is_none() {
                // Windows refuses while somebody has it open; the next writer tries again.
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Removes the codes of data files that no generation needs.
    pub(super) fn clean_codes(&self, needed: &HashSet<String>) {
        let directory = self.layout.codes();
        let mut wanted: HashSet<_> = needed.iter().map(|data| codes::path_of(&directory, data)).collect();
        wanted.insert(deviations::path_of(&directory));
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !wanted.contains(&entry.path())
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::debug!(%error, file = %entry.path().display(), "left for the next clean-up");
            }
        }
    }
}
