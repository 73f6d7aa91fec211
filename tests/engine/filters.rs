//! Filters and the best few. That both legs mean the same by every filter, `src/index/filtering.rs` tries.

use fossick::{Document, Filter, Index, Mode, Options, Response, Schema, Value};

const WORDS: [&str; 6] = ["walnut", "oak", "ash", "elm", "lime", "yew"];

fn schema() -> Schema {
    let builder = Schema::builder().heading("title").text("body").keyword("court").integer("year");
    builder.float("weight").date("decided").boolean("open").stored("note").build().unwrap()
}

fn keys(response: &Response) -> Vec<String> {
    response.hits.iter().map(|hit| hit.key.clone()).collect()
}

fn scored(response: &Response) -> Vec<(String, f32)> {
    response.hits.iter().map(|hit| (hit.key.clone(), hit.score)).collect()
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
