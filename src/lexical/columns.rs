//! Values of the documents that match: counted for facets, and sorted by.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{EnableScoring, Query};
use tantivy::{DocId, Searcher, SegmentReader};

use crate::numbers::NumberSet;
use crate::schema::{Date, FieldType, Value};

/// How often each value of a field is there, most frequent first, and how many documents have none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) values: Vec<(Value, u64)>,
    pub(crate) without: u64,
}

/// A field as tantivy has it.
pub(super) struct ValueColumn<'a> {
    pub(super) name: &'a str,
    pub(super) kind: FieldType,
}

/// The values of one field in one segment.
enum Values {
    Keywords(Option<StrColumn>),
    Numbers(Column<i64>),
    Floats(Column<f64>),
    Booleans(Column<bool>),
}

impl Values {
    fn open(segment: &SegmentReader, column: &ValueColumn<'_>) -> tantivy::Result<Self> {
        let fields = segment.fast_fields();
        Ok(match column.kind {
            FieldType::Integer | FieldType::Date => Self::Numbers(fields.i64(column.name)?),
            FieldType::Float => Self::Floats(fields.f64(column.name)?),
            FieldType::Boolean => Self::Booleans(fields.bool(column.name)?),
            _ => Self::Keywords(fields.str(column.name)?),
        })
    }

    /// A number that orders the segment's documents as their values do.
    fn rank(&self, document: DocId) -> Option<u64> {
        match self {
            Self::Keywords(column) => column.as_ref()?.ords().first(document),
            Self::Numbers(column) => column.first(document).map(|number| (number as u64) ^ (1 << 63)),
            Self::Floats(column) => column.first(document).map(|number| {
                let bits = number.to_bits();
                if bits >> 63 == 0 { bits ^ (1 << 63) } else { !bits }
            }),
            Self::Booleans(column) => column.first(document).map(u64::from),
        }
    }

    /// The value of that rank.
    fn value(&self, rank: u64, kind: FieldType) -> tantivy::Result<Value> {
        Ok(match self {
            Self::Keywords(column) => {
                let mut text = String::new();
                if let Some(column) = column {
                    column.ord_to_str(rank, &mut text)?;
                }
                Value::Text(text)
            }
            Self::Numbers(_) => {
                let number = (rank ^ (1 << 63)) as i64;
                if kind == FieldType::Date { Value::Date(Date::from_micros(number)) } else { Value::Integer(number) }
            }
            Self::Floats(_) => {
                let bits = if rank >> 63 == 1 { rank ^ (1 << 63) } else { !rank };
                Value::Float(f64::from_bits(bits))
            }
            Self::Booleans(_) => Value::Boolean(rank == 1),
        })
    }
}

/// The documents that match a query.
pub(super) struct Matches<'a> {
    pub(super) searcher: &'a Searcher,
    pub(super) query: &'a dyn Query,
    /// The number of each document, by segment.
    pub(super) numbers: &'a [Box<[u64]>],
    /// Those that count; all where it is not given.
    pub(super) among: Option<&'a NumberSet>,
}

impl Matches<'_> {
    /// Calls `each` with every one: its segment's place, its place there, and its number.
    pub(super) fn each(&self, mut each: impl FnMut(usize, DocId, u64)) -> tantivy::Result<()> {
        self.some_at_a_time(|place, documents| {
            self.counted(place, documents).for_each(|(document, number)| each(place, document, number));
        })
    }

    /// The numbers of all.
    pub(super) fn numbers(&self) -> tantivy::Result<NumberSet> {
        let mut all = NumberSet::default();
        self.some_at_a_time(|place, documents| all.extend(self.counted(place, documents).map(|(_, number)| number)))?;
        Ok(all)
    }

    /// Calls `each` with some documents of a segment, whether they count or not, until it was given all that match.
    fn some_at_a_time(&self, mut each: impl FnMut(usize, &[DocId])) -> tantivy::Result<()> {
        let weight = self.query.weight(EnableScoring::disabled_from_searcher(self.searcher))?;
        let mut segments = self.searcher.segment_readers().iter().enumerate();
        segments.try_for_each(|(place, segment)| weight.for_each_no_score(segment, &mut |documents| each(place, documents)))
    }

    /// Those of a segment's documents that count, with their numbers.
    fn counted<'b>(&'b self, place: usize, documents: &'b [DocId]) -> impl Iterator<Item = (DocId, u64)> {
        let (alive, numbers) = (self.searcher.segment_readers()[place].alive_bitset(), &self.numbers[place]);
        let alive = documents.iter().filter(move |&&document| alive.is_none_or(|alive| alive.is_alive(document)));
        let numbered = alive.filter_map(|&document| Some((document, *numbers.get(document as usize)?)));
        numbered.filter(|(_, number)| self.among.is_none_or(|among| among.contains(*number)))
    }

    /// Calls `each` with those of every segment.
    fn by_segment(&self, mut each: impl FnMut(&SegmentReader, &[(DocId, u64)]) -> tantivy::Result<()>) -> tantivy::Result<()> {
        let mut found: Vec<Vec<(DocId, u64)>> = vec![Vec::new(); self.numbers.len()];
        self.each(|segment, document, number| found[segment].push((document, number)))?;
        self.searcher.segment_readers().iter().zip(found).try_for_each(|(segment, found)| each(segment, &found))
    }
}

/// Values with their numbers, and documents without one.
type Counting = (HashMap<Key, (Value, u64)>, u64);

/// How many documents match, and for each column the `most` most frequent values; equally frequent ones ascending.
pub(super) fn count(matches: &Matches<'_>, columns: &[(ValueColumn<'_>, usize)]) -> tantivy::Result<(u64, Vec<Counts>)> {
    let mut total = 0;
    let mut counted: Vec<Counting> = columns.iter().map(|_| (HashMap::new(), 0)).collect();
    matches.by_segment(|segment, documents| {
        total += documents.len() as u64;
        for ((column, _), (counts, without)) in columns.iter().zip(&mut counted) {
            let values = Values::open(segment, column)?;
            let mut ranks: HashMap<u64, u64> = HashMap::new();
            for (document, _) in documents {
                match values.rank(*document) {
                    Some(rank) => *ranks.entry(rank).or_default() += 1,
                    None => *without += 1,
                }
            }
            for (rank, count) in ranks {
                let value = values.value(rank, column.kind)?;
                counts.entry(Key::of(&value)).or_insert_with(|| (value, 0)).1 += count;
            }
        }
        Ok(())
    })?;
    let finish = |((counts, without), (_, most)): (Counting, &(ValueColumn<'_>, usize))| {
        let mut values: Vec<(Value, u64)> = counts.into_values().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| compare(&a.0, &b.0)));
        values.truncate(*most);
        Counts { values, without }
    };
    Ok((total, counted.into_iter().zip(columns).map(finish).collect()))
}

/// The first `limit` documents that match, by the values of a column; those without a value last, and equal ones in the order of
/// `rank_of_equals`, which must be a total order on documents.
pub(super) fn sorted<K: Ord>(
    matches: &Matches<'_>,
    column: &ValueColumn<'_>,
    descending: bool,
    limit: usize,
    rank_of_equals: impl Fn(u64) -> K,
) -> tantivy::Result<Vec<u64>> {
    let mut all: Vec<(Option<Rc<Value>>, K, u64)> = Vec::new();
    matches.by_segment(|segment, documents| {
        let values = Values::open(segment, column)?;
        let mut ranked = documents.iter().map(|(document, number)| (values.rank(*document), *number)).collect();
        cut(&mut ranked, limit, |a, b| valueless_last(a, b, descending, u64::cmp), &rank_of_equals);
        // A keyword's text has to be looked up, and many documents may have the same.
        let mut known: HashMap<u64, Rc<Value>> = HashMap::new();
        for (rank, number) in ranked {
            let value = match rank.map(|rank| (rank, known.entry(rank))) {
                None => None,
                Some((_, Entry::Occupied(value))) => Some(Rc::clone(value.get())),
                Some((rank, Entry::Vacant(place))) => Some(Rc::clone(place.insert(Rc::new(values.value(rank, column.kind)?)))),
            };
            all.push((value, rank_of_equals(number), number));
        }
        Ok(())
    })?;
    let by_value = |a: &Option<Rc<Value>>, b: &Option<Rc<Value>>| {
        valueless_last(a.as_deref(), b.as_deref(), descending, |a, b| compare(a, b))
    };
    all.sort_unstable_by(|a, b| by_value(&a.0, &b.0).then_with(|| (&a.1, a.2).cmp(&(&b.1, b.2))));
    all.truncate(limit);
    Ok(all.into_iter().map(|(_, _, number)| number).collect())
}

/// The order of two documents by their values.
fn valueless_last<V>(a: Option<V>, b: Option<V>, descending: bool, order: impl Fn(&V, &V) -> Ordering) -> Ordering {
    match (&a, &b) {
        (Some(a), Some(b)) if descending => order(b, a),
        (Some(a), Some(b)) => order(a, b),
        _ => b.is_some().cmp(&a.is_some()),
    }
}

/// Leaves the first `limit` of some documents, equal ones in the order of `rank_of_equals`, which is asked only of those that are
/// equal to the last. In no order.
fn cut<K: Ord>(
    ranked: &mut Vec<(Option<u64>, u64)>,
    limit: usize,
    order: impl Fn(Option<u64>, Option<u64>) -> Ordering,
    rank_of_equals: impl Fn(u64) -> K,
) {
    if ranked.len() <= limit {
        return;
    }
    let Some(last) = limit.checked_sub(1) else { return ranked.clear() };
    let (_, (last, _), _) = ranked.select_nth_unstable_by(last, |a, b| order(a.0, b.0));
    let last = *last;
    let mut equal: Vec<(K, u64)> = Vec::new();
    ranked.retain(|&(rank, number)| {
        let place = order(rank, last);
        if place.is_eq() {
            equal.push((rank_of_equals(number), number));
        }
        place.is_lt()
    });
    let left = limit - ranked.len();
    if left < equal.len() {
        equal.select_nth_unstable(left);
        equal.truncate(left);
    }
    ranked.extend(equal.into_iter().map(|(_, number)| (last, number)));
}

/// A value that can be counted.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Text(String),
    Bits(u64),
}

impl Key {
    fn of(value: &Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.clone()),
            Value::Integer(number) => Self::Bits(*number as u64),
            Value::Float(number) => Self::Bits(number.to_bits()),
            Value::Date(date) => Self::Bits(date.micros() as u64),
            Value::Boolean(truth) => Self::Bits(u64::from(*truth)),
        }
    }
}

/// The order of two values of one type.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_are_those_of_all_in_order_and_keys_are_asked_for_where_they_decide(
            ranks in prop::collection::vec(prop::option::of(0u64..4), 0..60), limit in 0usize..70, descending: bool,
        ) {
            // Keys that are in another order than numbers.
            let key = |number: u64| (number * 37) % 61;
            let order = |a: Option<u64>, b: Option<u64>| valueless_last(a, b, descending, u64::cmp);
            let all: Vec<(Option<u64>, u64)> = ranks.iter().copied().zip(0..).collect();
            let in_order = |mut list: Vec<(Option<u64>, u64)>| {
                list.sort_by(|a, b| order(a.0, b.0).then_with(|| key(a.1).cmp(&key(b.1))));
                list
            };
            let (mut first, asked) = (all.clone(), Cell::new(0));
            cut(&mut first, limit, order, |number| {
                asked.set(asked.get() + 1);
                key(number)
            });
            let mut expected = in_order(all.clone());
            expected.truncate(limit);
            let last = expected.last().filter(|_| limit < all.len()).map(|last| last.0);
            prop_assert_eq!(asked.get(), all.iter().filter(|one| last == Some(one.0)).count());
            prop_assert_eq!(in_order(first), expected);
        }
    }
}
