//! What people type into a search box, and what it finds.

use fossick::{Document, Error, Index, Language, Mode, Note, Options, Query, Schema, Snapshot};

use crate::common::{keys, note, vectors_index, words_index};

fn notes() -> (tempfile::TempDir, Index) {
    let (directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    for (key, title, body) in [
        ("patent", "Software patents", "The obviousness standard of software patents, and the prior art."),
        ("order", "Orders", "Standard obviousness is another order of these words; patents are mentioned, software is not far."),
        ("tax", "Income tax", "Taxation of software companies."),
        ("color", "Colours", "The colour of a walnut."),
    ] {
        writer.add(note(key, title, body)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

fn found(snapshot: &Snapshot, query: &str) -> Vec<String> {
    let response = snapshot.search(query).mode(Mode::Lexical).run().unwrap();
    assert!(response.notes.is_empty(), "{query}: {:?}", response.notes);
    let mut keys: Vec<String> = keys(&response).into_iter().map(str::to_owned).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn operators_mean_what_people_know_of_them() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("software", &["order", "patent", "tax"][..]),
        (r#""obviousness standard""#, &["patent"]),
        (r#""standard obviousness""#, &["order"]),
        (r#""obviousness patents"~3"#, &["patent"]),
        ("software -patents", &["tax"]),
        ("+software +walnut", &[]),
        ("software AND taxation", &["tax"]),
        ("walnut OR taxation", &["color", "tax"]),
        ("software AND NOT tax", &["order", "patent"]),
        ("title:software", &["patent"]),
        ("title:(income colours)", &["color", "tax"]),
        ("obvi*", &["order", "patent"]),
        ("wallnut~", &["color"]),
        ("walnit~1", &["color"]),
        ("(walnut OR taxation) AND colour", &["color"]),
        ("*", &["color", "order", "patent", "tax"]),
        ("-software", &["color"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
}

#[test]
fn a_boost_moves_what_it_boosts_to_the_front() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    for (query, first) in [("walnut^10 taxation", "color"), ("walnut taxation^10", "tax")] {
        assert_eq!(keys(&snapshot.search(query).run().unwrap())[0], first, "{query}");
    }
}

#[test]
fn whatever_is_typed_finds_something_sensible_and_says_what_was_left_out() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    for query in [
        r#"walnut ""#,
        "walnut (",
        "walnut AND",
        "AND walnut",
        "walnut ~",
        "NOT walnut OR",
        "walnut^x",
        "nofield:walnut",
        "w+a-l walnut",
    ] {
        let response = snapshot.search(query).run().unwrap();
        assert!(!response.hits.is_empty(), "{query}");
        if let Err(Error::Query(error)) = snapshot.search(query).strict().run() {
            assert!(error.position().is_some() || error.to_string().contains("byte"), "{error}");
        }
    }
    let response = snapshot.search("walnut year:[x").run().unwrap();
    assert!(response.hits.iter().any(|hit| hit.key == "color"));
    let unbalanced = snapshot.search("walnut (").run().unwrap();
    assert!(
        unbalanced.notes.iter().any(|note| matches!(note, Note::QueryIgnored(ignored) if ignored.at.start == 7)),
        "{:?}",
        unbalanced.notes
    );
    assert!(snapshot.search("walnut (").strict().run().is_err());
}

#[test]
fn plain_text_has_no_operators() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    let response = snapshot.search("software -patents").plain().run().unwrap();
    assert_eq!(keys(&response)[0], "patent");
}

#[test]
fn what_is_required_or_excluded_holds_for_the_vectors_too() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("near", "", "oak").vector([1.0, 0.0])).unwrap();
    writer.add(note("far", "", "walnut").vector([0.0, 1.0])).unwrap();
    writer.add(note("middle", "", "walnut and oak").vector([0.7, 0.7])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let found = |query: &str| -> Vec<String> {
        keys(&snapshot.search(query).vector([1.0, 0.0]).run().unwrap()).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(found("walnut").len(), 3, "words alone restrict nothing");
    assert!(!found("walnut -oak").contains(&"near".to_owned()));
    assert_eq!(found("+walnut").len(), 2);
    assert_eq!(found("walnut AND oak"), ["middle"]);
}

#[test]
fn a_tree_that_is_built_finds_what_its_text_finds() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    let built = Query::phrase("obviousness standard")
        .or(Query::words("walnut").boost(3.0))
        .and_not(Query::words("tax").in_field("title"));
    let by_tree = snapshot.search_query(built.clone()).run().unwrap();
    let by_text = snapshot.search(&built.to_string()).strict().run().unwrap();
    assert_eq!(keys(&by_tree), keys(&by_text));
    assert!(!by_tree.hits.is_empty());
    assert!(snapshot.search_query(Query::words("x").in_field("nofield")).run().is_err());
}

#[test]
fn each_field_has_its_language_and_text_without_spaces_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("english").text_in("german", Language::German).text_in("japanese", Language::Neutral);
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema.build().unwrap())).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("en").set("english", "The running houses")).unwrap();
    writer.add(Document::new("de").set("german", "Die Häuser am Fluss, mit Katzen")).unwrap();
    writer.add(Document::new("ja").set("japanese", "全文検索エンジンを作る")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("house", "en"),
        ("Katze", "de"),
        ("german:Haus", "de"),
        ("検索", "ja"),
        (r#""検索エンジン""#, "ja"),
        (r#"german:"Häuser am Fluss""#, "de"),
    ] {
        let response = snapshot.search(query).run().unwrap();
        assert_eq!(keys(&response), [expected], "{query}");
    }
    let hit = &snapshot.search("検索エンジン").run().unwrap().hits[0];
    let passage = hit.passage.as_ref().unwrap();
    let marked: Vec<&str> = passage.highlights.iter().map(|range| &passage.text[range.clone()]).collect();
    assert_eq!(marked, ["検索エンジン"]);
    let other = Schema::builder().text("english").text("german").text_in("japanese", Language::Neutral).build().unwrap();
    let refused = Index::open(directory.path().join("i"), Options::new().schema(other)).err().unwrap();
    assert!(refused.to_string().contains("German"), "{refused}");
}

#[test]
fn what_is_required_of_stop_words_is_passed_over_and_beginnings_find_what_begins_so() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("body").text_in("name", Language::Neutral).build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("a").set("body", "Computing studies of in-house patents.")).unwrap();
    writer.add(Document::new("b").set("body", "全文検索エンジンを作る")).unwrap();
    writer.add(Document::new("c").set("body", "nothing of that")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("+the +patent", "a"),
        ("IT AND patent", "a"),
        ("patent AND of", "a"),
        ("computing*", "a"),
        ("studies*", "a"),
        ("comp*", "a"),
        ("in-hous*", "a"),
        ("検索エ*", "b"),
    ] {
        assert_eq!(keys(&snapshot.search(query).run().unwrap()), [expected], "{query}");
    }
    let refused = snapshot.search("  patent (").strict().run().map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("byte 9"), "places are those of what was typed: {refused}");
}

#[test]
fn everything_is_listed_quickly_and_conditions_alone_leave_the_order_to_the_vector() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("body").keyword("kind").build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema).own_vectors(2)).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..9_000_u32 {
        let angle = number as f32 / 9_000.0;
        let document = Document::new(format!("{number:05}")).set("body", "walnut").set("kind", "tree");
        writer.add(document.vector([angle.cos(), angle.sin()])).unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let begun = std::time::Instant::now();
    let all = snapshot.search("*").mode(Mode::Lexical).run().unwrap();
    assert_eq!(keys(&all)[..2], ["00000", "00001"]);
    assert!(begun.elapsed().as_secs() < 5, "ties must not cost more than they are");
    let near = snapshot.search("kind:tree").vector([2.0_f32.cos(), 2.0_f32.sin()]).candidates(usize::MAX).limit(2).run().unwrap();
    assert_eq!(keys(&near), ["08999", "08998"]);
}
