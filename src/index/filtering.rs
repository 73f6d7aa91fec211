//! The best under a filter are the best of the whole that meet it: in every mode, under every fusion and metric, whichever way vectors are searched,
//! with one vector a document and with several, of one size and metric or of two. A few dozen documents have codes here, since the library's own tests call few rows many.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use crate::store::{Generation, SoundFiles};
use crate::{
    Date, Document, Durability, Filter, Fusion, Housekeeping, Index, Metric, Mode, Options, Query, Response, Schema, Snapshot,
    Value,
};

/// So few that nine deviations are certain: no code of 64 components, to which they are filled up, errs by more than the square root of 63.
const DIMENSION: usize = 4;
const CERTAIN: u32 = 9;
const WORDS: [&str; 6] = ["walnut", "oak", "ash", "elm", "lime", "yew"];
const COURTS: [&str; 4] = ["Supreme Court", "Tax Court", "naïve court", ""];
const FIELDS: [&str; 5] = ["court", "year", "weight", "decided", "open"];

/// How vectors are searched.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// All are compared.
    Few,
    /// Those of the first commit by their codes.
    Coded,
    /// As many as have codes otherwise, and they were removed.
    Uncoded,
}

/// The vectors of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Brought {
    /// One of its own.
    One,
    /// Some of its fields', and sometimes one of its own.
    Several,
    /// The same, those of `note` with a size and a metric that others have not.
    OfTwoKinds,
}

/// Components of the vectors of `note` where they are of another kind.
const OTHER_DIMENSION: usize = 3;

fn other(metric: Metric) -> Metric {
    match metric {
        Metric::Cosine => Metric::Euclidean,
        Metric::Dot => Metric::Cosine,
        Metric::Euclidean => Metric::Dot,
    }
}

fn schema() -> Schema {
    let builder = Schema::builder().heading("title").text("body").keyword("court").integer("year");
    builder.float("weight").date("decided").boolean("open").stored("note").build().unwrap()
}

fn value(field: &'static str) -> BoxedStrategy<Value> {
    match field {
        "court" => prop::sample::select(&COURTS[..]).prop_map(Value::from).boxed(),
        "year" => prop_oneof![1970_i64..1980, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::from).boxed(),
        "weight" => prop::sample::select(vec![-1.5, -0.0, 0.0, 0.5, 2.0, 1e300]).prop_map(Value::Float).boxed(),
        "decided" => (-3_i64..3).prop_map(|micros| Value::Date(Date::from_micros(micros))).boxed(),
        _ => any::<bool>().prop_map(Value::Boolean).boxed(),
    }
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..6).prop_map(|words| words.join(" "))
}

fn document() -> impl Strategy<Value = Document> {
    let values = FIELDS.map(|field| prop::option::weighted(0.8, value(field)));
    (text(), text(), values).prop_map(|(title, body, values)| {
        let document = Document::new("").set("title", title).set("body", body);
        let set = |document: Document, (field, value): (&str, Option<Value>)| match value {
            Some(value) => document.set(field, value),
            None => document,
        };
        FIELDS.into_iter().zip(values).fold(document, set)
    })
}

fn query() -> BoxedStrategy<Query> {
    let word = || prop::sample::select(&WORDS[..]);
    prop_oneof![
        word().prop_map(Query::words),
        (word(), word()).prop_map(|(a, b)| Query::phrase(format!("{a} {b}"))),
        word().prop_map(|word| Query::words(word).in_field("title")),
        word().prop_map(|word| Query::prefix(&word[..2])),
        (word(), word()).prop_map(|(a, b)| Query::words(a).and_not(Query::words(b))),
    ]
    .boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    let compare = prop::sample::select(&FIELDS[..]).prop_flat_map(|field| {
        let ordered = field != "open";
        (value(field), 0..if ordered { 6 } else { 2 }).prop_map(move |(value, comparison)| match comparison {
            0 => Filter::equal(field, value),
            1 => Filter::not_equal(field, value),
            2 => Filter::less(field, value),
            3 => Filter::at_most(field, value),
            4 => Filter::greater(field, value),
            _ => Filter::at_least(field, value),
        })
    });
    let among = prop::sample::select(&FIELDS[..])
        .prop_flat_map(|field| prop::collection::vec(value(field), 0..3).prop_map(move |values| Filter::one_of(field, values)));
    let keys = prop::collection::vec(0..60_u32, 0..6).prop_map(|keys| Filter::keys(keys.iter().map(u32::to_string)));
    let exists = prop::sample::select(&FIELDS[..]).prop_map(Filter::exists);
    let leaf = prop_oneof![4 => compare, 1 => among, 1 => keys, 1 => exists, 2 => query().prop_map(Filter::matches)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(Filter::not),
        ]
    })
    .boxed()
}

/// What is put into an index, and what it is asked.
#[derive(Clone, Debug)]
struct Case {
    documents: Vec<Document>,
    /// What is replaced, added or deleted by the next commit.
    later: Vec<(usize, Document)>,
    compacted: bool,
    filters: Vec<Filter>,
    depth: usize,
    vector: [f32; DIMENSION],
    /// The fields whose vectors are compared; all where none is named.
    fields: Vec<&'static str>,
}

fn case(kind: Kind, brought: Brought) -> impl Strategy<Value = Case> {
    let most = match (kind, brought) {
        (Kind::Few, Brought::One) => 1..8_usize,
        (Kind::Few, _) => 1..4,
        _ => 40..80,
    };
    let fields = match brought {
        Brought::One => vec![vec![]],
        Brought::Several => vec![vec![], vec![], vec!["title"], vec!["body"], vec!["body", "note"]],
        Brought::OfTwoKinds => vec![vec![], vec!["note"], vec!["note"], vec!["title", "body"]],
    };
    let later = most.end + 4;
    (
        prop::collection::vec(document(), most),
        prop::collection::vec((0..later, document()), 0..8),
        any::<bool>(),
        prop::collection::vec(filter(), 6),
        prop_oneof![3 => 1..12_usize, 1 => 12..100_usize],
        prop::array::uniform4(-3.0_f32..3.0),
        prop::sample::select(fields),
    )
        .prop_map(|(documents, later, compacted, filters, depth, vector, fields)| Case {
            documents,
            later,
            compacted,
            filters,
            depth,
            vector,
            fields,
        })
}

/// The vectors of a document, with their fields. Some are the same, lengths differ.
fn vectors(number: usize, brought: Brought) -> Vec<(Option<&'static str>, Vec<f32>)> {
    let vector = |seed: usize| {
        let at = (seed % 41) as f32;
        vec![2.0, at.sin(), (at * 1.7).cos(), (seed % 3) as f32]
    };
    if brought == Brought::One {
        return vec![(None, vector(number))];
    }
    let other = |mut vector: Vec<f32>| {
        // Far away from the others, so that their centres are.
        vector.iter_mut().for_each(|value| *value = 40.0 * *value + 100.0);
        vector.truncate(OTHER_DIMENSION);
        vector
    };
    let of_note = |vector| if brought == Brought::OfTwoKinds { other(vector) } else { vector };
    let mut all = vec![(Some("title"), vector(3 * number))];
    all.extend((!number.is_multiple_of(3)).then(|| (Some("body"), vector(3 * number + 1))));
    // So many of the other kind that not all are compared at first.
    let has_note = number.is_multiple_of(4) != (brought == Brought::OfTwoKinds);
    all.extend(has_note.then(|| (Some("note"), of_note(vector(3 * number + 2)))));
    all.extend(number.is_multiple_of(5).then(|| (None, vector(5 * number))));
    all
}

fn keyed(key: &str, content: &Document, number: usize, brought: Brought) -> Document {
    let document = content.values().fold(Document::new(key), |all, (field, value)| all.set(field, value.clone()));
    vectors(number, brought).into_iter().fold(document, |document, (field, vector)| match field {
        Some(field) => document.vector_of(field, vector),
        None => document.vector(vector),
    })
}

/// How near a document is.
fn nearness(document: &Document, case: &Case, metric: Metric, brought: Brought) -> Option<f64> {
    let asked_other = brought == Brought::OfTwoKinds && case.fields.contains(&"note");
    let metric = if asked_other { other(metric) } else { metric };
    let first_text = ["body", "title"]
        .into_iter()
        .find(|field| document.get(field).and_then(Value::as_text).is_some_and(|text| !text.is_empty()));
    let asked = |field: Option<&str>| match &case.fields[..] {
        [] => brought != Brought::OfTwoKinds || field != Some("note"),
        fields => field.or(first_text).is_some_and(|field| fields.contains(&field)),
    };
    let vectors = document.own_vectors().filter(|(field, _)| asked(*field));
    let near = |vector: &[f32]| {
        let pairs = || vector.iter().zip(&case.vector).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let dot = pairs().map(|(a, b)| a * b).sum::<f64>();
        match metric {
            Metric::Dot => dot,
            Metric::Euclidean => -pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>(),
            Metric::Cosine => {
                let squares = pairs().fold((0.0, 0.0), |(one, other), (a, b)| (one + a * a, other + b * b));
                dot / (squares.0 * squares.1).sqrt()
            }
        }
    };
    vectors.map(|(_, vector)| near(vector)).reduce(f64::max)
}

fn ask(snapshot: &Snapshot, case: &Case, mode: Mode, filter: Option<&Filter>, depth: usize, fusion: Fusion) -> Response {
    let search = snapshot.search("walnut oak elm").mode(mode).candidates(depth).limit(depth).fields([""; 0]).fusion(fusion);
    let kind = case.fields.first().and_then(|field| snapshot.vectors_of(field));
    let dimension = kind.map_or(DIMENSION, |(dimension, _)| dimension);
    let search = if mode == Mode::Lexical { search } else { search.vector(&case.vector[..dimension]) };
    let search = if mode == Mode::Lexical || case.fields.is_empty() { search } else { search.vector_fields(case.fields.clone()) };
    let search = match filter {
        Some(filter) => search.filter(filter.clone()),
        None => search,
    };
    search.run().unwrap()
}

fn scored(response: &Response) -> Vec<(String, f32)> {
    response.hits.iter().map(|hit| (hit.key.clone(), hit.score)).collect()
}

/// What the places of a leg's list with these scores are worth, weights included; leg 0 is the words', 1 the vectors'.
type Values = fn(usize, &[f64]) -> Vec<f64>;

/// Fusions, with how near to each other scores may be and count as equal, and with their values written down once more.
const FUSIONS: [(Fusion, f64, Values); 4] = [
    (Fusion::reciprocal_rank(), 1e-8, |_, scores| (1..=scores.len()).map(|rank| 1.0 / (60.0 + rank as f64)).collect()),
    (Fusion::convex(0.45, 0.55), 1e-6, |leg, scores| {
        between([0.45, 0.55][leg], scores, [0.0, least(scores)][leg], greatest(scores), 1.0)
    }),
    (Fusion::min_max(0.3, 0.7), 1e-6, |leg, scores| between([0.3, 0.7][leg], scores, least(scores), greatest(scores), 1.0)),
    (Fusion::distribution(0.6, 0.4), 1e-6, |leg, scores| {
        let count = scores.len().max(1) as f64;
        let mean = scores.iter().sum::<f64>() / count;
        let deviation = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt();
        between([0.6, 0.4][leg], scores, mean - 3.0 * deviation, mean + 3.0 * deviation, 0.5)
    }),
];

fn greatest(scores: &[f64]) -> f64 {
    scores.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn least(scores: &[f64]) -> f64 {
    scores.iter().copied().fold(f64::INFINITY, f64::min)
}

fn between(weight: f64, scores: &[f64], low: f64, high: f64, of_equals: f64) -> Vec<f64> {
    let value = |score: &f64| if low < high { ((score - low) / (high - low)).max(0.0) } else { of_equals };
    scores.iter().map(|score| weight * value(score)).collect()
}

/// Puts the documents of a case into an index; gives those that are there in the end.
fn write(index: &Index, case: &Case, brought: Brought) -> HashMap<String, Document> {
    let mut writer = index.writer().unwrap();
    let mut there = HashMap::new();
    for (number, content) in case.documents.iter().enumerate() {
        let document = keyed(&number.to_string(), content, number, brought);
        there.insert(number.to_string(), document.clone());
        writer.add(document).unwrap();
    }
    writer.commit().unwrap();
    // Replaced and deleted ones must not be found.
    for (number, content) in &case.later {
        let key = number.to_string();
        if number.is_multiple_of(3) {
            writer.delete(&key).unwrap();
            there.remove(&key);
        } else {
            let document = keyed(&key, content, number + 100, brought);
            there.insert(key, document.clone());
            writer.add(document).unwrap();
        }
    }
    writer.commit().unwrap();
    if case.compacted {
        writer.compact().unwrap();
    }
    there
}

fn holds(directory: &Path, metric: Metric, kind: Kind, brought: Brought, case: &Case) -> TestCaseResult {
    let housekeeping = Housekeeping { automatic: false, ..Housekeeping::default() };
    let options = Options::new().schema(schema()).own_vectors(DIMENSION).metric(metric).housekeeping(housekeeping);
    let options = match brought {
        Brought::OfTwoKinds => options.own_vectors_of("note", OTHER_DIMENSION, other(metric)),
        _ => options,
    };
    let index = Index::open_or_create(directory.join("index"), options.durability(Durability::System)).unwrap();
    let there = write(&index, case, brought);
    if kind == Kind::Uncoded {
        fs::remove_dir_all(index.path().join("codes")).unwrap();
    }
    let usual = index.snapshot().unwrap();
    let is_coded = usual.storage().uncoded_passages < usual.passage_count();
    prop_assert!(kind == Kind::Few || is_coded == (kind == Kind::Coded));
    let list = |snapshot: &Snapshot, mode, filter, depth| scored(&ask(snapshot, case, mode, filter, depth, Fusion::default()));
    // What a snapshot has searched with once, it stays with.
    list(&usual, Mode::Semantic, None, 1);
    Generation::open(index.path(), SoundFiles::default()).unwrap().keep_deviations(CERTAIN).unwrap();
    let snapshot = index.snapshot().unwrap();
    let deviations = [&usual, &snapshot].map(|snapshot| snapshot.storage().code_deviations);
    // Where all were deleted, nothing was searched.
    prop_assert!(there.is_empty() || deviations == [3, CERTAIN], "{deviations:?}");

    let all = there.len().max(1);
    let whole = [Mode::Lexical, Mode::Semantic].map(|mode| list(&snapshot, mode, None, all));
    let near: BTreeMap<&str, f64> =
        there.iter().filter_map(|(key, document)| Some((key.as_str(), nearness(document, case, metric, brought)?))).collect();
    prop_assert_eq!(whole[1].len(), near.len());
    for (key, score) in &whole[1] {
        let right = near[key.as_str()];
        prop_assert!((f64::from(*score) - right).abs() < 1e-4 * right.abs().max(1.0), "{key}: {score} instead of {right}");
    }
    for filter in &case.filters {
        let mut known: Vec<(Query, HashSet<String>)> = Vec::new();
        let mut meets = |key: &str| {
            let document = &there[key];
            filter.accepts(key, |field| document.get(field), &mut |query| {
                if let Some((_, found)) = known.iter().find(|(other, _)| other == query) {
                    return found.contains(key);
                }
                let matching = snapshot.search_query(query.clone()).mode(Mode::Lexical).candidates(all).limit(all).run().unwrap();
                let found: HashSet<String> = matching.hits.iter().map(|hit| hit.key.clone()).collect();
                let meets = found.contains(key);
                known.push((query.clone(), found));
                meets
            })
        };
        let mut legs: Vec<Vec<(String, f32)>> = Vec::new();
        for (mode, whole) in [Mode::Lexical, Mode::Semantic].into_iter().zip(&whole) {
            let meeting: Vec<(String, f32)> = whole.iter().filter(|(key, _)| meets(key)).cloned().collect();
            let expected = &meeting[..case.depth.min(meeting.len())];
            prop_assert_eq!(&list(&snapshot, mode, Some(filter), case.depth), expected, "{} in {:?}", filter, mode);
            // What may be missed by three deviations is replaced by the next ones, and nothing else is different.
            let found = list(&usual, mode, Some(filter), case.depth);
            let mut rest = meeting.iter();
            prop_assert!(
                found.len() == expected.len() && found.iter().all(|hit| rest.any(|other| other == hit)),
                "{filter} in {mode:?}"
            );
            legs.push(expected.to_vec());
        }
        for (fusion, equal, values) in FUSIONS {
            let mut score: BTreeMap<&str, f64> = BTreeMap::new();
            for (leg, list) in legs.iter().enumerate() {
                let scores: Vec<f64> = list.iter().map(|(_, score)| f64::from(*score)).collect();
                for ((key, _), value) in list.iter().zip(values(leg, &scores)) {
                    *score.entry(key.as_str()).or_default() += value;
                }
            }
            let mut fused: Vec<(&str, f64)> = score.iter().map(|(key, score)| (*key, *score)).collect();
            fused.sort_by(|a, b| b.1.total_cmp(&a.1));
            fused.truncate(case.depth);
            let found = scored(&ask(&snapshot, case, Mode::Hybrid, Some(filter), case.depth, fusion));
            let near = |key: &str, expected: f64| score.get(key).is_some_and(|score| (score - expected).abs() < equal);
            let same = found.len() == fused.len() && found.iter().zip(&fused).all(|((key, _), (_, score))| near(key, *score));
            prop_assert!(same, "{filter} under {fusion}: {found:?} instead of {fused:?}");
        }
    }
    Ok(())
}

fn the_filtered_best_are_the_best_of_the_filtered_whole(metric: Metric) {
    assert!(FUSIONS.iter().any(|(fusion, ..)| *fusion == Fusion::default()));
    for kind in [Kind::Few, Kind::Coded, Kind::Uncoded] {
        for brought in [Brought::One, Brought::Several, Brought::OfTwoKinds] {
            let config =
                ProptestConfig { cases: 6, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() };
            let outcome = TestRunner::new(config).run(&case(kind, brought), |case| {
                let directory = tempfile::tempdir().unwrap();
                holds(directory.path(), metric, kind, brought, &case)
            });
            outcome.unwrap_or_else(|failure| panic!("{metric}, {kind:?}, {brought:?}: {failure}"));
        }
    }
}

#[test]
fn the_filtered_best_are_the_best_of_the_filtered_whole_by_cosine() {
    the_filtered_best_are_the_best_of_the_filtered_whole(Metric::Cosine);
}

#[test]
fn the_filtered_best_are_the_best_of_the_filtered_whole_by_inner_product() {
    the_filtered_best_are_the_best_of_the_filtered_whole(Metric::Dot);
}

#[test]
fn the_filtered_best_are_the_best_of_the_filtered_whole_by_distance() {
    the_filtered_best_are_the_best_of_the_filtered_whole(Metric::Euclidean);
}
