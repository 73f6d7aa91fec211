//! Filters mean the same in both legs, and are applied before the best are chosen.

use std::collections::{BTreeMap, HashMap, HashSet};

use fossick::{Date, Document, Filter, Fusion, Index, Mode, Options, Query, Response, Schema, Snapshot, Value};
use proptest::prelude::*;

const DIMENSION: usize = 4;
const WORDS: [&str; 6] = ["walnut", "oak", "ash", "elm", "lime", "yew"];
const COURTS: [&str; 4] = ["Supreme Court", "Tax Court", "naïve court", ""];

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

const FIELDS: [&str; 5] = ["court", "year", "weight", "decided", "open"];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..6).prop_map(|words| words.join(" "))
}

fn document() -> impl Strategy<Value = Document> {
    let values = FIELDS.map(|field| prop::option::weighted(0.8, value(field)));
    (text(), text(), values, prop::collection::vec(-1.0_f32..1.0, DIMENSION)).prop_map(|(title, body, values, mut vector)| {
        vector[0] += 2.0;
        let document = Document::new("").set("title", title).set("body", body).vector(vector);
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

fn ask(snapshot: &Snapshot, mode: Mode, filter: Option<&Filter>, candidates: usize) -> Response {
    ask_fused(snapshot, mode, filter, candidates, Fusion::default())
}

fn ask_fused(snapshot: &Snapshot, mode: Mode, filter: Option<&Filter>, candidates: usize, fusion: Fusion) -> Response {
    let search = snapshot.search("walnut oak elm").mode(mode).candidates(candidates).limit(candidates).fields([""; 0]);
    let search = search.fusion(fusion);
    let search = if mode == Mode::Lexical { search } else { search.vector([1.0, 0.2, -0.1, 0.3]) };
    let search = match filter {
        Some(filter) => search.filter(filter.clone()),
        None => search,
    };
    search.run().unwrap()
}

fn keys(response: &Response) -> Vec<String> {
    response.hits.iter().map(|hit| hit.key.clone()).collect()
}

fn scored(response: &Response) -> Vec<(String, f32)> {
    response.hits.iter().map(|hit| (hit.key.clone(), hit.score)).collect()
}

/// What the places of a leg's list with these scores are worth, weights included; leg 0 is the words', 1 the vectors'.
type Values = fn(usize, &[f64]) -> Vec<f64>;

/// Fusions, with how near to each other scores may be and count as equal, and with their values written down once more.
const FUSIONS: [(Fusion, f64, Values); 2] = [
    (Fusion::reciprocal_rank(), 1e-8, |_, scores| (1..=scores.len()).map(|rank| 1.0 / (60.0 + rank as f64)).collect()),
    (Fusion::convex(0.45, 0.55), 1e-6, |leg, scores| {
        let (greatest, least) = (scores.first().copied().unwrap_or(0.0), scores.last().copied().unwrap_or(0.0));
        let (weight, low) = [(0.45, 0.0), (0.55, least)][leg];
        scores.iter().map(|score| weight * if low < greatest { (score - low) / (greatest - low) } else { 1.0 }).collect()
    }),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_filtered_best_are_the_best_of_the_filtered_whole(
        documents in prop::collection::vec(document(), 1..40),
        later in prop::collection::vec((0..40_usize, document()), 0..8),
        filters in prop::collection::vec(filter(), 12),
        depth in 1..12_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().schema(schema()).own_vectors(DIMENSION);
        let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
        let mut writer = index.writer().unwrap();
        let mut there: HashMap<String, Document> = HashMap::new();
        let keyed = |key: &str, document: &Document, vector: [f32; DIMENSION]| {
            document.values().fold(Document::new(key), |all, (field, value)| all.set(field, value.clone())).vector(vector)
        };
        let vector = |at: usize| [2.0, (at as f32).sin(), (at as f32 * 1.7).cos(), (at % 3) as f32];
        for (at, document) in documents.iter().enumerate() {
            let document = keyed(&at.to_string(), document, vector(at));
            there.insert(at.to_string(), document.clone());
            writer.add(document).unwrap();
        }
        writer.commit().unwrap();
        // Replaced and deleted ones must not be found.
        for (at, document) in &later {
            let key = at.to_string();
            if at % 3 == 0 {
                writer.delete(&key).unwrap();
                there.remove(&key);
            } else {
                let document = keyed(&key, document, vector(at + 100));
                there.insert(key, document.clone());
                writer.add(document).unwrap();
            }
        }
        writer.commit().unwrap();
        drop(writer);
        let snapshot = index.snapshot().unwrap();
        let all = there.len().max(1);
        let whole = [Mode::Lexical, Mode::Semantic].map(|mode| (mode, scored(&ask(&snapshot, mode, None, all))));
        prop_assert_eq!(whole[1].1.len(), there.len());
        for filter in &filters {
            let matching = |query: &Query| -> HashSet<String> {
                let found = snapshot.search_query(query.clone()).mode(Mode::Lexical).candidates(all).limit(all).run().unwrap();
                keys(&found).into_iter().collect()
            };
            let mut known: Vec<(Query, HashSet<String>)> = Vec::new();
            let mut meets = |key: &str| {
                let document = &there[key];
                filter.accepts(key, |field| document.get(field), &mut |query| {
                    if let Some((_, found)) = known.iter().find(|(other, _)| other == query) {
                        return found.contains(key);
                    }
                    let found = matching(query);
                    let meets = found.contains(key);
                    known.push((query.clone(), found));
                    meets
                })
            };
            let mut legs: Vec<Vec<(String, f32)>> = Vec::new();
            for (mode, whole) in &whole {
                let mut expected: Vec<(String, f32)> = whole.iter().filter(|(key, _)| meets(key)).cloned().collect();
                expected.truncate(depth);
                prop_assert_eq!(&scored(&ask(&snapshot, *mode, Some(filter), depth)), &expected, "{} in {:?}", filter, mode);
                legs.push(expected);
            }
            prop_assert_eq!(FUSIONS[1].0, Fusion::default());
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
                fused.truncate(depth);
                let found = keys(&ask_fused(&snapshot, Mode::Hybrid, Some(filter), depth, fusion));
                let near = |key: &String, expected: f64| score.get(key.as_str()).is_some_and(|score| (score - expected).abs() < equal);
                let same = found.len() == fused.len() && found.iter().zip(&fused).all(|(key, (_, score))| near(key, *score));
                prop_assert!(same, "{filter} under {fusion}: {found:?} instead of {fused:?}");
            }
        }
    }
}

#[test]
fn the_best_few_are_the_first_of_the_best_many() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema())).unwrap();
    let mut writer = index.writer().unwrap();
    // Few words in many orders: the same sums of BM25, and sums that differ by little, are met again and again.
    let mut state = 7_u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    for at in 0..2_000_u32 {
        let words: Vec<&str> = (0..1 + next(9)).map(|_| WORDS[next(6) as usize]).collect();
        writer.add(Document::new(at.to_string()).set("body", words.join(" ")).set("year", i64::from(at % 2))).unwrap();
        if at % 700 == 0 {
            writer.commit().unwrap();
        }
    }
    writer.commit().unwrap();
    drop(writer);
    let snapshot = index.snapshot().unwrap();
    for query in [
        "walnut oak elm yew",
        "walnut ash ash lime oak yew",
        "(walnut oak) elm (ash^2.5 yew)",
        "body:walnut oak elm",
        "oak elm -yew",
        "walnut^2 oak^3 elm -teak",
        "walnut^2 oak^3 elm \"yew teak\"",
        "(+walnut) (+oak) elm yew",
        "walnut oak",
        "+walnut +oak",
        "walnut AND oak AND elm",
        "+walnut oak elm yew",
        "\"walnut oak\" elm ash",
        "wal* oak",
    ] {
        let ask = |limit: usize, filter: Option<Filter>| {
            let search = snapshot.search(query).mode(Mode::Lexical).candidates(limit).limit(limit).fields(["year"]);
            let search = match filter {
                Some(filter) => search.filter(filter),
                None => search,
            };
            search.run().unwrap()
        };
        let whole = ask(2_000, None);
        for limit in [1, 3, 10, 40, 170, 700] {
            assert_eq!(scored(&ask(limit, None)), scored(&whole)[..limit.min(whole.hits.len())], "{query}, {limit}");
            let even = |hit: &&fossick::Hit| hit.field("year") == Some(&Value::Integer(0));
            let expected: Vec<_> = whole.hits.iter().filter(even).take(limit).map(|hit| (hit.key.clone(), hit.score)).collect();
            assert_eq!(scored(&ask(limit, Some(Filter::equal("year", 0)))), expected, "{query}, {limit} of the even years");
        }
    }
}

fn cases() -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema())).unwrap();
    let mut writer = index.writer().unwrap();
    for (key, court, year) in [("a", "Supreme Court", 1976), ("b", "Tax Court", 1990), ("c", "Supreme Court", 2007), ("d", "", 0)]
    {
        let mut document = Document::new(key).set("title", "Walnut").set("body", "A walnut is a tree.");
        if !court.is_empty() {
            document = document.set("court", court).set("year", year);
        }
        writer.add(document).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

#[test]
fn a_filter_in_words_is_the_filter_that_is_built() {
    let (_directory, index) = cases();
    let snapshot = index.snapshot().unwrap();
    let written = Filter::parse(r#"court = "Supreme Court" AND year >= 1990 AND NOT key IN ("a")"#, snapshot.schema());
    let written = written
        .or_else(|_| Filter::parse(r#"court = "Supreme Court" AND year >= 1990 AND NOT _key IN ("a")"#, snapshot.schema()));
    let built = Filter::equal("court", "Supreme Court").and(Filter::at_least("year", 1990)).and(Filter::keys(["a"]).not());
    for filter in [written.unwrap(), built] {
        assert_eq!(keys(&snapshot.search("walnut").filter(filter).run().unwrap()), ["c"]);
    }
}

#[test]
fn facets_count_what_matches_and_pages_follow_each_other() {
    let (_directory, index) = cases();
    let snapshot = index.snapshot().unwrap();
    let response = snapshot.search("walnut").facet("court", 10).facet("year", 1).run().unwrap();
    assert_eq!(response.total, Some(4));
    assert_eq!(response.facets[0].values, [(Value::from("Supreme Court"), 2), (Value::from("Tax Court"), 1)]);
    assert_eq!((response.facets[0].without, response.facets[1].without), (1, 1));
    assert_eq!(response.facets[1].values, [(Value::Integer(1976), 1)], "of equally frequent ones the least");
    let filtered = snapshot.search("walnut").filter(Filter::greater("year", 1980)).facet("court", 10).run().unwrap();
    assert_eq!(filtered.facets[0].values, [(Value::from("Supreme Court"), 1), (Value::from("Tax Court"), 1)]);
    let nothing = snapshot.search("zebra").facet("court", 10).run().unwrap();
    assert_eq!((nothing.total, nothing.facets[0].values.len()), (Some(0), 0));
    let all = keys(&snapshot.search("walnut").run().unwrap());
    let pages: Vec<String> =
        (0..5).flat_map(|page| keys(&snapshot.search("walnut").offset(page).limit(1).run().unwrap())).collect();
    assert_eq!(pages, all);
    let second = snapshot.search("walnut").offset(2).limit(1).run().unwrap();
    assert_eq!(second.hits[0].rank, 3);
}

#[test]
fn a_field_can_take_the_place_of_relevance() {
    let (_directory, index) = cases();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(keys(&snapshot.search("walnut").sort_by("year").run().unwrap()), ["a", "b", "c", "d"]);
    assert_eq!(keys(&snapshot.search("walnut").sort_by_descending("year").run().unwrap()), ["c", "b", "a", "d"]);
    assert_eq!(keys(&snapshot.search("walnut").sort_by_descending("court").limit(2).run().unwrap()), ["b", "a"]);
    let refused = snapshot.search("walnut").sort_by("title").run().unwrap_err();
    assert!(refused.to_string().contains("title") && refused.to_string().contains("a heading"), "{refused}");
}

#[test]
fn conditions_alone_list_what_meets_them_and_one_that_nothing_meets_finds_nothing() {
    let (_directory, index) = cases();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(keys(&snapshot.search(r#"court:"Supreme Court""#).run().unwrap()), ["a", "c"]);
    assert_eq!(keys(&snapshot.search("*").filter(Filter::less("year", 1980)).run().unwrap()), ["a"]);
    let nothing = snapshot.search("walnut").filter(Filter::equal("year", 1)).facet("court", 10).run().unwrap();
    assert_eq!((nothing.hits.len(), nothing.total), (0, Some(0)));
    assert_eq!((nothing.facets[0].field.as_str(), nothing.facets[0].values.len(), nothing.facets[0].without), ("court", 0, 0));
    let refused = snapshot.search("walnut").filter(Filter::equal("year", "x")).run().unwrap_err();
    assert!(refused.to_string().contains("year"), "{refused}");
}

#[test]
fn a_field_that_is_added_can_be_filtered_by() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let small = Schema::builder().text("body").build().unwrap();
    let index = Index::open_or_create(&path, Options::new().schema(small)).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("old").set("body", "walnut")).unwrap();
    writer.commit().unwrap();
    drop((writer, index));
    let larger = Schema::builder().text("body").heading("title").integer("year").build().unwrap();
    let index = Index::open_or_create(&path, Options::new().schema(larger)).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("new").set("body", "walnut").set("title", "oak").set("year", 1990)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let snapshot = index.snapshot().unwrap();
    assert_eq!(keys(&snapshot.search("walnut").filter(Filter::exists("year")).run().unwrap()), ["new"]);
    assert_eq!(keys(&snapshot.search("walnut -year:1990").run().unwrap()), ["old"]);
    assert_eq!(keys(&snapshot.search("title:oak").run().unwrap()), ["new"]);
    assert_eq!(keys(&snapshot.search("body:walnut").run().unwrap()).len(), 2);
}
