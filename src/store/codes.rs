//! Files of compact codes, one for each data file of the passages table that is large enough.
//!
//! Derived from that file, which never changes, so a code file is right or it is of no use: it is no part of any generation, names the file
//! that it is of, carries its own checksum, is written whole under another name first, and may be deleted at any time. Where there is none,
//! the rows are read into memory. `storage-format.md` has every byte.

use std::fs;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytemuck::cast_slice;
use rayon::prelude::*;

use super::lance_file::Page;
use super::{SoundFiles, Spaces};
use crate::codes::{BLOCK, Blocks, Coder, Rotation, STRIPE, block_bytes};
use crate::error::StorageError;
use crate::mapped::{Mapped, prefetch};
use crate::parallel;
use crate::schema::{Metric, Space};

const MAGIC: [u8; 16] = *b"fossick codes 3\n";
/// Magic, checksum of all that follows, and seven numbers of 8 bytes.
const HEADER: usize = 16 + 8 + 7 * 8;
/// Where parts of the file begin; a processor reads lines of this size.
const ALIGNMENT: usize = 64;
/// In place of the document of a row that was deleted before the file was written.
pub(super) const DEAD: u64 = u64::MAX;
/// In place of such a row's space.
pub(super) const GONE: u16 = u16::MAX;
/// Vectors whose length differs by no more from 1 are taken as they are.
const UNIT: f32 = 1e-5;

/// The rows of a data file, as they were when it was written.
pub(super) struct Rows<'a> {
    pub(super) vectors: Vectors<'a>,
    pub(super) spaces: &'a Spaces,
    /// The place of each row's space, or [`GONE`].
    pub(super) places: Vec<u16>,
}

/// In place of the field of a passage that is from none: its document has no text, and a vector of its own.
pub(super) const NO_FIELD: u64 = u64::MAX;

/// Where the text of a passage is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The field, by its place in the schema; [`NO_FIELD`] for a vector of none.
    pub(crate) field: u64,
    /// Byte offsets in that field's text.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Span {
    /// Whether there is no text: the passage is a vector's alone.
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Where vectors are.
pub(super) enum Vectors<'a> {
    /// In the data file, as they are.
    InPages(&'a [u8], Vec<Page>),
    /// In memory, one after the other; the code file will have them.
    Read(Vec<f32>),
}

impl Rows<'_> {
    fn vector(&self, row: usize) -> &[f32] {
        let width = self.spaces.width();
        match &self.vectors {
            Vectors::InPages(data, pages) => in_page(data, pages, row, width),
            Vectors::Read(vectors) => &vectors[row * width..(row + 1) * width],
        }
    }

    /// The place of a row's space; `None` where it was deleted, and nobody knows any more.
    fn place(&self, row: usize) -> Option<usize> {
        Some(self.places[row]).filter(|place| *place != GONE).map(usize::from)
    }

    /// Whether a row is there and only its vector's direction counts.
    fn by_angle(&self, row: usize) -> bool {
        self.place(row).is_some_and(|place| self.spaces.all()[place].metric() == Metric::Cosine)
    }

    /// A vector as it is coded: of length 1 where the angle counts.
    fn scaled(&self, row: usize) -> Vec<f32> {
        let mut vector = self.vector(row).to_vec();
        if self.by_angle(row) {
            normalize(&mut vector);
        }
        vector
    }

    /// What brings a row's vector to length 1, where that is asked for; `None` where such a number, or its square, is lost to rounding.
    fn inverse(&self, row: usize) -> Option<f32> {
        if !self.by_angle(row) {
            return Some(1.0);
        }
        match length(self.vector(row)) {
            length if (length - 1.0).abs() <= UNIT => Some(1.0),
            length if (1e-15..1e15).contains(&length) => Some(1.0 / length),
            _ => self.vector(row).iter().all(|value| *value == 0.0).then_some(1.0),
        }
    }

    /// What the codes of each space are made about, one after the other: means of vectors spread over the file.
    fn centers(&self) -> Vec<f32> {
        let center = |place: usize| {
            let mine = || (0..self.places.len()).filter(|&row| self.place(row) == Some(place));
            let sample = mine().step_by(mine().count().div_ceil(MOST_FOR_CENTER).max(1));
            let (mut sums, mut count) = (vec![0.0_f64; self.spaces.width()], 0_usize);
            for row in sample {
                sums.iter_mut().zip(self.scaled(row)).for_each(|(sum, value)| *sum += f64::from(value));
                count += 1;
            }
            sums.into_iter().map(move |sum| (sum / count.max(1) as f64) as f32)
        };
        (0..self.spaces.all().len()).flat_map(center).collect()
    }
}

/// A vector where it is in the data file.
fn in_page<'a>(data: &'a [u8], pages: &[Page], row: usize, width: usize) -> &'a [f32] {
    let page = pages[pages.partition_point(|page| page.first <= row as u64) - 1];
    let start = page.offset as usize + (row - page.first as usize) * 4 * width;
    cast_slice(&data[start..start + 4 * width])
}

/// An opened code file, with the data file that has the vectors.
pub(crate) struct CodeFile {
    codes: Mapped,
    data: Mapped,
    width: usize,
    rows: usize,
    /// Where the vectors are in the data file; none where they are in this one.
    pages: Vec<Page>,
    parts: Parts,
}

/// Where the parts of a code file are.
#[derive(Clone)]
struct Parts {
    centers: Range<usize>,
    pages: Range<usize>,
    documents: Range<usize>,
    spans: Range<usize>,
    inverses: Range<usize>,
    blocks: Range<usize>,
    vectors: Range<usize>,
}

impl Parts {
    /// `scaled`: how many rows have a factor of their own, all or none.
    fn new(spaces: &Spaces, rows: usize, pages: usize, scaled: usize) -> Option<Self> {
        let width = spaces.width();
        let padded = Rotation::padded_of(width);
        let mut end = HEADER;
        let mut part = |bytes: usize| {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            end = start.checked_add(bytes)?;
            Some(start..end)
        };
        let inline = if pages == 0 { rows.checked_mul(4 * width)? } else { 0 };
        Some(Self {
            centers: part(4 * width * spaces.all().len())?,
            pages: part(pages.checked_mul(16)?)?,
            documents: part(rows.checked_mul(8)?)?,
            spans: part(rows.checked_mul(SPAN)?)?,
            inverses: part(scaled.checked_mul(4)?)?,
            blocks: part(rows.div_ceil(BLOCK).checked_mul(block_bytes(padded))?)?,
            vectors: part(inline)?,
        })
    }
}

impl CodeFile {
    /// Opens the codes of a data file with vectors of these spaces; `None` where there are none, or not of this file. Its checksum
    /// is looked at unless `sound` has it.
    pub(super) fn open(path: &Path, data: &Path, spaces: &Spaces, sound: &SoundFiles) -> Option<Self> {
        let codes = Mapped::open(path).ok()?;
        let is_sound = |body: &[u8], checksum: u32| {
            let is_sound = sound.knows(path, checksum) || crc32c::crc32c(body) == checksum;
            if is_sound {
                sound.learn(path, checksum);
            }
            is_sound
        };
        let file = Self::parse(codes, Mapped::open(data).ok()?, spaces, is_sound);
        if file.is_none() {
            tracing::warn!(file = %path.display(), "codes that are damaged, of another file or of another version are passed over");
        }
        file
    }

    fn parse(codes: Mapped, data: Mapped, spaces: &Spaces, is_sound: impl Fn(&[u8], u32) -> bool) -> Option<Self> {
        let (checksum, body) = codes.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
        if !is_sound(body, u32::try_from(u64::from_le_bytes(*checksum)).ok()?) {
            return None;
        }
        let (numbers, _) = body.as_chunks::<8>();
        let number = |at: usize| numbers.get(at).and_then(|bytes| usize::try_from(u64::from_le_bytes(*bytes)).ok());
        let (rows, pages, scaled) = (number(2)?, number(3)?, number(6)?);
        let width = spaces.width();
        let is_of = number(0)? == width
            && number(1)? == Rotation::padded_of(width)
            && number(4)? == data.len()
            && number(5)? as u64 == kind(spaces)
            && (scaled == 0 || scaled == rows);
        let parts = Parts::new(spaces, rows, pages, scaled).filter(|parts| is_of && parts.vectors.end == codes.len())?;
        let pages = cast_slice::<u8, [u64; 2]>(codes.get(parts.pages.clone())?);
        let pages: Vec<Page> = pages.iter().map(|&[first, offset]| Page { first, offset }).collect();
        let file = Self { codes, data, width, rows, pages, parts };
        file.pages_are_inside().then_some(file)
    }

    /// Whether each row's vector is inside of the data file, where a float can be.
    fn pages_are_inside(&self) -> bool {
        let ends = self.pages.iter().skip(1).map(|page| page.first).chain([self.rows as u64]);
        self.pages.first().is_none_or(|page| page.first == 0)
            && self.pages.iter().zip(ends).all(|(page, end)| {
                let rows = end.checked_sub(page.first);
                let bytes = rows.and_then(|rows| rows.checked_mul(4 * self.width as u64));
                let inside = bytes.and_then(|bytes| page.offset.checked_add(bytes));
                page.offset % 4 == 0 && inside.is_some_and(|end| end <= self.data.len() as u64)
            })
    }

    /// Rows, those included that were deleted.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// What the codes of the space at a place were made about.
    pub(crate) fn center(&self, space: usize) -> &[f32] {
        let centers: &[f32] = cast_slice(&self.codes[self.parts.centers.clone()]);
        &centers[space * self.width..(space + 1) * self.width]
    }

    /// The document of each row.
    pub(crate) fn documents(&self) -> &[u64] {
        cast_slice(&self.codes[self.parts.documents.clone()])
    }

    /// Where the text of a row is from.
    pub(crate) fn span(&self, row: usize) -> Span {
        let spans: &[[u64; 3]] = cast_slice(&self.codes[self.parts.spans.clone()]);
        let [field, start, end] = spans[row];
        Span { field, start, end }
    }

    /// The codes of the rows.
    pub(crate) fn blocks(&self) -> Blocks<'_> {
        Blocks::new(&self.codes[self.parts.blocks.clone()], Rotation::padded_of(self.width))
    }

    /// The vector of a row, and what brings it to length 1.
    pub(crate) fn vector(&self, row: usize) -> (&[f32], f32) {
        (self.as_stored(row), self.inverses().get(row).copied().unwrap_or(1.0))
    }

    /// Has the processor fetch what is read of a row that is compared, without waiting for any of it here.
    pub(crate) fn prefetch(&self, row: usize) {
        prefetch(cast_slice(self.as_stored(row)));
        prefetch(cast_slice(self.inverses().get(row..=row).unwrap_or_default()));
        prefetch(cast_slice(&self.documents()[row..=row]));
    }

    fn as_stored(&self, row: usize) -> &[f32] {
        match &self.pages[..] {
            [] => {
                let bytes = 4 * self.width;
                cast_slice(&self.codes[self.parts.vectors.start + row * bytes..][..bytes])
            }
            pages => in_page(&self.data, pages, row, self.width),
        }
    }

    /// None where each would be 1.
    fn inverses(&self) -> &[f32] {
        cast_slice(&self.codes[self.parts.inverses.clone()])
    }
}

/// Writes the codes of a data file. `documents` and `spans`: of the rows that are there, in their order, whose each is and where its text is
/// from.
pub(super) fn write(
    path: &Path,
    data: &Path,
    rows: &Rows<'_>,
    documents: impl Iterator<Item = Result<(usize, u64), StorageError>>,
    spans: impl Iterator<Item = Result<(usize, Span), StorageError>>,
) -> Result<(), StorageError> {
    let (width, count) = (rows.spaces.width(), rows.places.len());
    let inverses = || (0..count).into_par_iter().map(|row| rows.inverse(row));
    // Files with a vector whose length is lost to rounding keep vectors of length 1 of their own.
    let extreme = parallel::run(|| inverses().any(|inverse| inverse.is_none()));
    let scaled = !extreme && parallel::run(|| inverses().any(|inverse| inverse != Some(1.0)));
    let pages = match &rows.vectors {
        Vectors::InPages(_, pages) if !extreme => &pages[..],
        _ => &[],
    };
    let inconsistent = |fact: &str| StorageError::Inconsistent { path: data.to_path_buf(), fact: fact.to_owned() };
    let factors = if scaled { count } else { 0 };
    let parts = Parts::new(rows.spaces, count, pages.len(), factors).ok_or_else(|| inconsistent("it is too large for codes"))?;
    let length_of_data = fs::metadata(data).map_err(StorageError::io(data, "reading the vectors"))?.len();

    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).map_err(StorageError::io(directory, "creating the directory"))?;
    let temporary = path.with_extension("tmp");
    let centers = rows.centers();
    let rotation = Rotation::new(width);
    let stripe = STRIPE * block_bytes(rotation.padded());
    let coded = |first: usize, stripe: &mut [u8]| {
        let spaces = rows.spaces.all().iter().zip(centers.chunks_exact(width));
        let coder = |(space, center): (&Space, _)| Coder::new(&rotation, center, space.metric() == Metric::Euclidean);
        let mut coders: Vec<Coder<'_>> = spaces.map(coder).collect();
        let stripe_rows = first..count.min(first + STRIPE * BLOCK);
        // What a deleted row's codes say is never looked at.
        stripe_rows.for_each(|row| coders[rows.place(row).unwrap_or_default()].write(&rows.scaled(row), stripe, row - first));
    };

    let [wide, padded, rows_of_it, pages_of_it, factors_of_it] =
        [width, rotation.padded(), count, pages.len(), factors].map(|number| number as u64);
    let numbers = [wide, padded, rows_of_it, pages_of_it, length_of_data, kind(rows.spaces), factors_of_it];
    let table: Vec<[u64; 2]> = pages.iter().map(|page| [page.first, page.offset]).collect();
    let mut out = Output::create(&temporary)?;
    out.add(cast_slice(&numbers))?;
    out.put(parts.centers.start, cast_slice(&centers))?;
    out.put(parts.pages.start, cast_slice(&table))?;
    let is_in_order = |is: bool| is.then_some(()).ok_or_else(|| inconsistent("its rows were not read in their order"));
    out.put(parts.documents.start, &[])?;
    for document in documents {
        let (row, document) = document?;
        let at = parts.documents.start + row * 8;
        is_in_order(row < count && at >= out.written)?;
        out.fill(at, &DEAD.to_le_bytes())?;
        out.add(cast_slice(&[document]))?;
    }
    out.fill(parts.documents.end, &DEAD.to_le_bytes())?;
    out.put(parts.spans.start, &[])?;
    for span in spans {
        let (row, span) = span?;
        let at = parts.spans.start + row * SPAN;
        is_in_order(row < count && at >= out.written)?;
        out.put(at, cast_slice(&[span.field, span.start, span.end]))?;
    }
    out.put(parts.spans.end, &[])?;
    out.put(parts.inverses.start, &[])?;
    for first in (0..factors).step_by(AT_ONCE) {
        let some = (first..count.min(first + AT_ONCE)).into_par_iter().map(|row| rows.inverse(row).unwrap_or(1.0));
        out.add(cast_slice(&parallel::run(|| some.collect::<Vec<f32>>())))?;
    }
    out.put(parts.blocks.start, &[])?;
    for first in (0..count).step_by(AT_ONCE) {
        let mut bytes = vec![0_u8; (count - first).min(AT_ONCE).div_ceil(BLOCK) * block_bytes(rotation.padded())];
        let stripes = bytes.par_chunks_mut(stripe).enumerate();
        parallel::run(|| stripes.for_each(|(at, stripe)| coded(first + at * STRIPE * BLOCK, stripe)));
        out.add(&bytes)?;
    }
    out.put(parts.vectors.start, &[])?;
    for row in 0..parts.vectors.len() / (4 * width) {
        let own;
        out.add(cast_slice(if extreme {
            own = rows.scaled(row);
            &own
        } else {
            rows.vector(row)
        }))?;
    }
    out.finish()?;
    fs::rename(&temporary, path).map_err(StorageError::io(path, "writing codes"))
}

/// Bytes of a span.
const SPAN: usize = 3 * 8;

/// Rows whose codes are in memory at a time while a file is written: whole stripes.
const AT_ONCE: usize = 16 * STRIPE * BLOCK;

/// A code file that is being written from its beginning to its end.
struct Output {
    file: BufWriter<fs::File>,
    path: PathBuf,
    written: usize,
    checksum: u32,
}

impl Output {
    fn create(path: &Path) -> Result<Self, StorageError> {
        let file = BufWriter::new(fs::File::create(path).map_err(StorageError::io(path, "writing codes"))?);
        let mut out = Self { file, path: path.to_path_buf(), written: 0, checksum: 0 };
        out.add(&MAGIC)?;
        out.add(&[0; 8])?;
        out.checksum = 0;
        Ok(out)
    }

    /// Bytes that belong at a place, after zeros up to it.
    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), StorageError> {
        self.fill(at, &[0; ALIGNMENT])?;
        self.add(bytes)
    }

    /// The same bytes over and over, up to a place.
    fn fill(&mut self, to: usize, with: &[u8]) -> Result<(), StorageError> {
        while self.written < to {
            self.add(&with[..(to - self.written).min(with.len())])?;
        }
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        self.written += bytes.len();
        self.file.write_all(bytes).map_err(|error| StorageError::io(&self.path, "writing codes")(error))
    }

    fn finish(mut self) -> Result<(), StorageError> {
        let checksum = u64::from(self.checksum).to_le_bytes();
        let mut write = || {
            self.file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
            self.file.write_all(&checksum)?;
            self.file.flush()
        };
        write().map_err(StorageError::io(&self.path, "writing codes"))
    }
}

/// What a file says of the spaces that it was made for: the first one's metric, and how many there are beside it.
fn kind(spaces: &Spaces) -> u64 {
    let metric = match spaces.all()[0].metric() {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::Euclidean => 2,
    };
    metric | (spaces.all().len() as u64 - 1) << 8
}

/// Vectors that a centre is the mean of, at most.
const MOST_FOR_CENTER: usize = 4096;

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}

/// Brings a vector to length 1; one that has it to rounding is left as it is.
pub(crate) fn normalize(vector: &mut [f32]) {
    if (length(vector) - 1.0).abs() <= UNIT {
        return;
    }
    // Squares of very large and very small components leave the range of f32.
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 {
        vector.iter_mut().for_each(|value| *value /= largest);
        let length = length(vector);
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

/// Whether there is a file of codes as this version writes them; what is in it is not looked at.
pub(super) fn is_there(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == MAGIC
}

/// The code file of a data file, by the name of that.
pub(super) fn path_of(directory: &Path, data: &str) -> PathBuf {
    let stem = Path::new(data).file_stem().unwrap_or_default();
    directory.join(stem).with_extension("codes")
}
