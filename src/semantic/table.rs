//! The passages of a snapshot: whose they are, where they are, and how near.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU32, Ordering as AtomicOrdering};

use super::nearest::{Coded, Rows, Sizes, best_of_each, nearest, similarities};
use super::similarity::{dot, square_of_distance};
use crate::codes::{BLOCK, CodedQuery, Rotation};
use crate::numbers::NumberSet;
use crate::parallel;
use crate::schema::{Metric, Space};
use crate::store::{CodedPart, PassagePart, Spaces, Span, normalize};

/// How far above what its code says a similarity is looked for, in standard deviations: of a hundred nearest, one in some thousands is
/// missed (`fossick bench --search`).
const DEVIATIONS: u32 = 3;

/// As far as it is looked for at most, whatever a check of the recall says; beyond that nothing is gained.
const MOST_DEVIATIONS: u32 = 9;

/// A query's vector, as wide as those of the table, and of length 1 where the angle counts.
pub(crate) struct Direction {
    vector: Vec<f32>,
    /// The one that its passages are in.
    space: Space,
}

/// Which passages may be found; all where nothing is said.
#[derive(Clone, Copy, Default)]
pub(crate) struct Eligible<'a> {
    /// Those of these documents.
    pub(crate) documents: Option<&'a NumberSet>,
    /// Those from these fields, by their places in the schema.
    pub(crate) fields: Option<&'a [u64]>,
}

/// All passages of a generation, those included that were deleted, at positions from 0.
pub(crate) struct PassageTable {
    /// None in an index without vectors.
    spaces: Option<Spaces>,
    parts: Vec<OrderedPart>,
    rows: usize,
    rotation: Option<Rotation>,
    /// [`DEVIATIONS`], or more where a check found that they do not do.
    deviations: AtomicU32,
    sizes: Sizes,
}

struct OrderedPart {
    part: PassagePart,
    /// The position of its first row.
    base: usize,
    /// The rows in the order of their documents, where that is not their own.
    order: Option<Vec<u32>>,
    /// The document of the first row, where the documents' numbers follow each other from there: each has one passage, and none was deleted before
    /// the codes were written.
    first: Option<u64>,
}

impl OrderedPart {
    fn new(part: PassagePart, base: usize) -> Self {
        let documents = part.documents();
        let follows = |(at, document): (usize, &u64)| documents[0].checked_add(at as u64) == Some(*document);
        let first = documents.first().copied().filter(|_| documents.iter().enumerate().all(follows));
        // A document's rows are written together and its number grows, so this is the order nearly always. Deleted rows may not have kept their number.
        let in_order = first.is_some() || documents.is_sorted();
        let order = (!in_order).then(|| {
            let mut order: Vec<u32> = (0..documents.len() as u32).collect();
            order.sort_by_key(|&row| documents[row as usize]);
            order
        });
        Self { part, base, order, first }
    }

    /// The row at a place in the order of documents.
    fn row_at(&self, at: usize) -> usize {
        self.order.as_ref().map_or(at, |order| order[at] as usize)
    }

    /// The first place from `from` on whose row is of that document, or of a later one.
    fn place_of(&self, document: u64, from: usize) -> usize {
        let documents = self.part.documents();
        if let Some(first) = self.first {
            let place = usize::try_from(document.saturating_sub(first)).unwrap_or(usize::MAX);
            return place.max(from).min(documents.len());
        }
        let before = |at: usize| documents[self.row_at(at)] < document;
        // By steps that grow, since the next of several documents is near.
        let (mut low, mut step) = (from, 1);
        while low + step < documents.len() && before(low + step) {
            low += step;
            step *= 2;
        }
        let mut high = documents.len().min(low + step);
        while low < high {
            let middle = low.midpoint(high);
            if before(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The rows of a document that were not deleted, in their order.
    fn rows_of(&self, document: u64) -> impl Iterator<Item = usize> {
        let documents = self.part.documents();
        let rows = (self.place_of(document, 0)..documents.len()).map(|at| self.row_at(at));
        let mine = rows.take_while(move |&row| documents[row] == document);
        mine.filter(|&row| self.part.is_live(row))
    }

    /// Whether a row was not deleted and is from one of these fields.
    fn may_be_found(&self, row: usize, fields: Option<&[u64]>) -> bool {
        self.part.is_live(row) && fields.is_none_or(|fields| fields.contains(&self.part.span(row).field))
    }

    /// The positions of its passages that may be found.
    fn found<'a>(&'a self, eligible: Eligible<'a>) -> impl Iterator<Item = usize> {
        let documents = self.part.documents();
        let wanted = move |row: &usize| {
            let of_document = eligible.documents.is_none_or(|among| among.contains(documents[*row]));
            of_document && self.may_be_found(*row, eligible.fields)
        };
        (0..documents.len()).filter(wanted).map(|row| self.base + row)
    }

    /// The rows of some documents that may be found.
    fn rows_among(&self, among: &NumberSet, fields: Option<&[u64]>) -> Vec<usize> {
        let documents = self.part.documents();
        let (mut rows, mut at) = (Vec::new(), 0);
        for document in among.iter() {
            at = self.place_of(document, at);
            while at < documents.len() && documents[self.row_at(at)] == document {
                rows.push(self.row_at(at));
                at += 1;
            }
        }
        rows.retain(|&row| self.may_be_found(row, fields));
        rows
    }

    /// By the metric of the query's space, in its units.
    fn similarity(&self, row: usize, query: &Direction) -> f32 {
        let (vector, inverse) = self.part.vector(row);
        match query.space.metric() {
            Metric::Cosine | Metric::Dot => dot(vector, &query.vector) * inverse,
            Metric::Euclidean => -square_of_distance(vector, &query.vector),
        }
    }
}

impl PassageTable {
    /// `kept`: the deviations that an earlier check found to be needed, if any did.
    pub(crate) fn new(parts: Vec<PassagePart>, spaces: Option<Spaces>, kept: Option<u32>) -> Self {
        let mut rows = 0;
        let ordered = |part: PassagePart| {
            let base = rows;
            rows += part.rows();
            OrderedPart::new(part, base)
        };
        let parts = parts.into_iter().map(ordered).collect();
        Self {
            parts,
            rows,
            rotation: spaces.as_ref().map(|spaces| Rotation::new(spaces.width())),
            spaces,
            deviations: AtomicU32::new(Self::deviations_of(kept)),
            sizes: if cfg!(test) { Sizes::SMALL } else { Sizes::SHIPPED },
        }
    }

    /// How many deviations above what codes say searches look, where a check has left these.
    pub(crate) fn deviations_of(kept: Option<u32>) -> u32 {
        kept.unwrap_or(DEVIATIONS).clamp(DEVIATIONS, MOST_DEVIATIONS)
    }

    /// How many deviations above what codes say searches of this snapshot look.
    pub(crate) fn deviations(&self) -> u32 {
        self.deviations.load(AtomicOrdering::Relaxed)
    }

    /// A vector as the passages of its space are compared with it.
    pub(crate) fn direction(&self, mut vector: Vec<f32>, space: Space) -> Direction {
        vector.resize(self.spaces.as_ref().map_or(0, Spaces::width), 0.0);
        if space.metric() == Metric::Cosine {
            normalize(&mut vector);
        }
        Direction { vector, space }
    }

    fn part(&self, position: usize) -> &OrderedPart {
        &self.parts[self.parts.partition_point(|part| part.base <= position) - 1]
    }

    /// Where the passage at a position is in its table, and its text in its field.
    pub(crate) fn place(&self, position: usize) -> (u64, Span) {
        let part = self.part(position);
        let row = position - part.base;
        (part.part.address(row), part.part.span(row))
    }

    /// The positions of a document's passages, in their order in the document.
    pub(crate) fn of_document(&self, document: u64) -> impl Iterator<Item = usize> {
        self.parts.iter().flat_map(move |part| part.rows_of(document).map(|row| part.base + row))
    }

    /// How near a passage of the query's space is.
    pub(crate) fn similarity(&self, position: usize, query: &Direction) -> f32 {
        let part = self.part(position);
        part.similarity(position - part.base, query)
    }

    /// The positions of a document's `most` best passages by `score`, best first; equal ones in the document's order.
    ///
    /// Before the score counts how well a passage suits at all.
    pub(crate) fn best_of(&self, document: u64, most: usize, score: impl Fn(usize) -> (u8, f32)) -> Vec<usize> {
        let mut scored: Vec<((u8, f32), usize)> =
            self.of_document(document).map(|position| (score(position), position)).collect();
        scored.sort_by(|(a, _), (b, _)| b.0.cmp(&a.0).then_with(|| b.1.total_cmp(&a.1)));
        scored.truncate(most);
        scored.into_iter().map(|(_, position)| position).collect()
    }

    /// The `limit` documents whose best passage that may be found is nearest, best first, with the score of that by the metric; equal ones in the
    /// order of `rank_of_equals`. Only passages of the query's space may be eligible.
    pub(crate) fn nearest<K: Ord>(
        &self,
        query: &Direction,
        limit: usize,
        eligible: Eligible<'_>,
        rank_of_equals: impl Fn(u64) -> K,
    ) -> Vec<(u64, f32)> {
        // Asked for more than there are, nothing may be reserved for them.
        let limit = limit.min(self.rows);
        let mut documents = match eligible.documents {
            _ if limit == 0 => Vec::new(),
            Some(among) if self.are_few(among) => {
                let rows = |part: &OrderedPart| {
                    part.rows_among(among, eligible.fields).into_iter().map(|row| part.base + row).collect::<Vec<_>>()
                };
                self.exact(self.parts.iter().flat_map(rows), query)
            }
            _ if self.rows <= self.sizes.few => self.exact(self.all_of(eligible), query),
            _ => self.by_codes(query, limit, eligible),
        };
        let better = |a: &(u64, f32), b: &(u64, f32)| -> Ordering {
            b.1.total_cmp(&a.1).then_with(|| rank_of_equals(a.0).cmp(&rank_of_equals(b.0)))
        };
        if limit < documents.len() {
            documents.select_nth_unstable_by(limit, better);
            documents.truncate(limit);
        }
        documents.sort_by(better);
        documents
    }

    /// The mean vector of a document's passages, of those from some fields where those are named, all in one space; `None` without any, and where it
    /// has no direction and the metric goes by that.
    pub(crate) fn mean_of(&self, document: u64, fields: Option<&[u64]>, metric: Metric) -> Option<Vec<f32>> {
        let (mut mean, mut count) = (Vec::<f32>::new(), 0_usize);
        let asked = |position: &usize| fields.is_none_or(|fields| fields.contains(&self.place(*position).1.field));
        for position in self.of_document(document).filter(asked) {
            let vector = self.vector(position);
            mean.resize(vector.len(), 0.0);
            mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            count += 1;
        }
        mean.iter_mut().for_each(|value| *value /= count as f32);
        let tells = count > 0 && (metric == Metric::Euclidean || mean.iter().any(|value| *value != 0.0));
        tells.then_some(mean)
    }

    /// The vector of a passage, of length 1 where the angle counts.
    fn vector(&self, position: usize) -> Vec<f32> {
        let part = self.part(position);
        let (vector, inverse) = part.part.vector(position - part.base);
        vector.iter().map(|value| value * inverse).collect()
    }

    /// How many of the `limit` documents nearest to each of `sample` passages, taken evenly from all, are found: the share, and of how many
    /// passages.
    pub(crate) fn recall(&self, limit: usize, sample: usize) -> (f64, usize) {
        let Some(spaces) = &self.spaces else { return (1.0, 0) };
        let live: Vec<usize> = self.all_of(Eligible::default()).collect();
        let fields: Vec<_> = spaces.all().iter().map(|space| spaces.fields_of(*space)).collect();
        let sample = sample.min(live.len());
        let (mut found, mut of) = (0, 0);
        for at in 0..sample {
            let position = live[at * live.len() / sample];
            let place = spaces.of_field(self.place(position).1.field);
            let query = self.direction(self.vector(position), spaces.all()[place]);
            let eligible = Eligible { documents: None, fields: fields[place].as_deref() };
            let best = |all: Vec<(u64, f32)>| -> Vec<f32> {
                let mut best: Vec<f32> = all.into_iter().map(|(_, similarity)| similarity).collect();
                best.sort_by(|a, b| b.total_cmp(a));
                best.truncate(limit);
                best
            };
            let right = best(self.exact(self.all_of(eligible), &query));
            let mine = self.nearest(&query, limit, eligible, |number| number).into_iter();
            let mine: Vec<f32> = mine.map(|(_, similarity)| similarity).collect();
            // Similarities are exact, so each that is at least the last of the right ones belongs to one of them, or to its equal.
            let last = right.last().copied().unwrap_or(f32::MAX);
            found += mine.iter().filter(|similarity| **similarity >= last).count().min(right.len());
            of += right.len();
        }
        (if of == 0 { 1.0 } else { found as f64 / of as f64 }, sample)
    }

    /// Looks further above what codes say from now on; false where it would be of no use.
    pub(crate) fn widen(&self) -> bool {
        let now = self.deviations();
        let wider = now < MOST_DEVIATIONS && !self.compares_all(None);
        if wider {
            self.deviations.store(now + 1, AtomicOrdering::Relaxed);
        }
        wider
    }

    /// Whether [`PassageTable::nearest`] compares all passages with the query.
    pub(crate) fn compares_all(&self, among: Option<&NumberSet>) -> bool {
        self.rows <= self.sizes.few || among.is_some_and(|among| self.are_few(among))
    }

    /// Whether comparing all passages of these documents takes no longer than a scan over all codes. Of a part of the documents the nearest
    /// are further away, where codes tell less.
    fn are_few(&self, among: &NumberSet) -> bool {
        among.len() <= self.sizes.few.max(self.rows / 64)
    }

    /// The positions of all passages that may be found.
    fn all_of<'a>(&'a self, eligible: Eligible<'a>) -> impl Iterator<Item = usize> {
        self.parts.iter().flat_map(move |part| part.found(eligible))
    }

    /// The best similarity of each document at these positions.
    fn exact(&self, positions: impl Iterator<Item = usize>, query: &Direction) -> Vec<(u64, f32)> {
        let positions: Vec<u32> = positions.map(|position| position as u32).collect();
        let compared = Compared { table: self, query, wanted: Eligible::default() };
        let similarities = parallel::run(|| similarities(&positions, &compared));
        let pairs = positions.into_iter().zip(similarities);
        let mut found: Vec<(u64, f32)> =
            pairs.map(|(position, similarity)| (compared.document(position as usize), similarity)).collect();
        best_of_each(&mut found);
        found
    }

    fn by_codes(&self, query: &Direction, limit: usize, wanted: Eligible<'_>) -> Vec<(u64, f32)> {
        let (Some(rotation), Some(spaces)) = (&self.rotation, &self.spaces) else { return Vec::new() };
        let deviations = self.deviations() as f32;
        let (space, by_distance) = (spaces.place_of(query.space), query.space.metric() == Metric::Euclidean);
        let (mut parts, mut without) = (Vec::with_capacity(self.parts.len()), Vec::new());
        for (at, ordered) in self.parts.iter().enumerate() {
            match &ordered.part {
                PassagePart::Coded(CodedPart { file, .. }) => {
                    let query = CodedQuery::new(rotation, file.center(space), &query.vector, deviations, by_distance);
                    parts.push(Coded { query, blocks: file.blocks(), rows: file.rows(), part: at, base: ordered.base });
                }
                PassagePart::Read(_) => without.extend(ordered.found(wanted)),
            }
        }
        parallel::run(|| {
            let compared = self.exact(without.into_iter(), query);
            nearest(&parts, &Compared { table: self, query, wanted }, limit, self.sizes, compared)
        })
    }
}

/// A table that is being compared with a query.
struct Compared<'a> {
    table: &'a PassageTable,
    query: &'a Direction,
    wanted: Eligible<'a>,
}

impl Rows for Compared<'_> {
    fn eligible(&self, part: usize, row: usize) -> u32 {
        let OrderedPart { part, first, .. } = &self.table.parts[part];
        let mut live = part.live_among(row);
        if let Some(fields) = self.wanted.fields {
            let rows = row..part.rows().min(row + BLOCK);
            let bits = rows.enumerate().map(|(at, row)| u32::from(fields.contains(&part.span(row).field)) << at);
            live &= bits.fold(0, |all, bit| all | bit);
        }
        match (self.wanted.documents, first) {
            (None, _) => live,
            // Nothing has to be read for it.
            (Some(among), Some(first)) => live & among.bits_from(first + row as u64),
            (Some(among), None) => {
                let documents = &part.documents()[row..];
                let documents = &documents[..documents.len().min(BLOCK)];
                // In most blocks they follow each other where most documents have one passage.
                let first = documents.first().copied().unwrap_or_default();
                let gaps =
                    documents.iter().enumerate().fold(0, |gaps, (at, document)| gaps | document ^ first.wrapping_add(at as u64));
                let each = || {
                    let bits = documents.iter().enumerate().map(|(at, document)| u32::from(among.contains(*document)) << at);
                    bits.fold(0, |all, bit| all | bit)
                };
                live & if gaps == 0 && documents.len() == BLOCK { among.bits_from(first) } else { each() }
            }
        }
    }

    fn document(&self, position: usize) -> u64 {
        let part = self.table.part(position);
        part.part.documents()[position - part.base]
    }

    fn prefetch(&self, position: usize) {
        let part = self.table.part(position);
        part.part.prefetch(position - part.base);
    }

    fn similarity(&self, position: usize) -> f32 {
        self.table.similarity(position, self.query)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::store::{Generation, SoundFiles};
    use crate::{Document, Durability, Index, Options, Schema};

    /// Numbers with about a normal distribution.
    fn noise(seed: u64, count: usize) -> impl Iterator<Item = f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..count).map(move |_| (0..4).map(|_| uniform()).sum::<f32>() - 2.0)
    }

    /// A thousand vectors of a cluster have a cosine of about 0.5, as those of `fossick bench --search`.
    fn vector(number: u64, clusters: u64, dimension: usize) -> Vec<f32> {
        let centre = noise(number % clusters + 1_000_000_007, dimension);
        centre.zip(noise(number + 1, dimension)).map(|(centre, noise)| centre + noise).collect()
    }

    /// `cargo test --lib comparing_all_and_going_by_codes -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement, which no machine can fail"]
    #[allow(clippy::print_stdout)]
    fn comparing_all_and_going_by_codes() {
        println!("   rows  components  clusters  compared, ms  by codes, ms");
        for (dimension, one_cluster) in [(384, false), (384, true), (1024, false)] {
            for rows in [2048, 4096, 8192, 16_384, 32_768_u64] {
                let clusters = if one_cluster { 1 } else { rows / 1000 };
                let directory = tempfile::tempdir().unwrap();
                let options = Options::new().schema(Schema::builder().text("body").build().unwrap()).own_vectors(dimension);
                let index =
                    Index::open_or_create(directory.path().join("index"), options.durability(Durability::System)).unwrap();
                let mut writer = index.writer().unwrap();
                for number in 0..rows {
                    writer.add(Document::new(number.to_string()).vector(vector(number, clusters, dimension))).unwrap();
                }
                writer.commit().unwrap();
                drop(writer);
                let generation = Generation::open(index.path(), SoundFiles::default()).unwrap();
                let parts = generation.passage_parts().unwrap();
                assert!(parts.iter().all(|part| matches!(part, PassagePart::Coded(_))));
                let table = PassageTable::new(parts, generation.header.spaces(), None);
                let table = PassageTable { sizes: Sizes::SHIPPED, ..table };
                let (mut compared, mut by_codes) = (Vec::new(), Vec::new());
                for at in 0..150 {
                    let query = vector(u64::from(u32::MAX) + at, clusters, dimension);
                    let query = table.direction(query, Space::new(dimension, Metric::Cosine));
                    let begun = Instant::now();
                    let all = table.exact(table.all_of(Eligible::default()), &query);
                    let exact = begun.elapsed();
                    let begun = Instant::now();
                    let found = table.by_codes(&query, 100, Eligible::default());
                    assert!(all.len() as u64 == rows && found.len() >= 100);
                    // The first ones warm up.
                    if at >= 50 {
                        compared.push(exact);
                        by_codes.push(begun.elapsed());
                    }
                }
                let milliseconds = |times: &mut Vec<Duration>| {
                    times.sort_unstable();
                    times[times.len() / 2].as_secs_f64() * 1e3
                };
                let (compared, by_codes) = (milliseconds(&mut compared), milliseconds(&mut by_codes));
                println!("{rows:7}  {dimension:10}  {clusters:8}  {compared:12.2}  {by_codes:12.2}");
            }
        }
    }
}
