//! Earlier generations, names for them, going back, and copies.

use std::fs;

use fossick::{Error, Housekeeping, Index, IngestError, Mode, OpenError, Options, Schema, Snapshot};

use crate::common::{keys, note, schema, vectors_index};

fn with_history(history: Option<u32>) -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let housekeeping = Housekeeping { history, ..Housekeeping::default() };
    let options = Options::new().schema(schema()).own_vectors(2).housekeeping(housekeeping);
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    (directory, index)
}

fn everywhere(snapshot: &Snapshot, expected: &[&str]) {
    assert_eq!(snapshot.keys().unwrap(), expected);
    for mode in [Mode::Lexical, Mode::Semantic] {
        let mut found: Vec<String> = snapshot
            .search("apples")
            .vector([1.0, 0.0])
            .mode(mode)
            .limit(100)
            .run()
            .unwrap()
            .hits
            .into_iter()
            .map(|hit| hit.key)
            .collect();
        found.sort();
        assert_eq!(found, expected, "{mode:?}");
    }
}

fn add(index: &Index, key: &str) -> u64 {
    let mut writer = index.writer().unwrap();
    writer.add(note(key, "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap()
}

#[test]
fn the_last_generations_of_the_history_can_be_opened_and_no_others() {
    let (_directory, index) = with_history(Some(2));
    let numbers: Vec<u64> = ["a", "b", "c", "d"].into_iter().map(|key| add(&index, key)).collect();
    let listed: Vec<u64> = index.generations().unwrap().iter().map(|one| one.generation).collect();
    assert_eq!(listed, numbers[1..]);
    everywhere(&index.snapshot_at(numbers[1]).unwrap(), &["a", "b"]);
    everywhere(&index.snapshot_at(numbers[2]).unwrap(), &["a", "b", "c"]);
    everywhere(&index.snapshot_at(numbers[3]).unwrap(), &["a", "b", "c", "d"]);
    let refused = index.snapshot_at(numbers[0]).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Open(OpenError::NoSuchGeneration { .. })), "{refused}");
    assert!(refused.to_string().contains(&format!("{}, {}, {}", numbers[1], numbers[2], numbers[3])), "{refused}");
}

#[test]
fn a_writer_that_wants_no_history_leaves_that_of_others_alone() {
    let (_directory, index) = with_history(Some(5));
    let numbers: Vec<u64> = ["a", "b", "c"].into_iter().map(|key| add(&index, key)).collect();
    let plain = Index::open(index.path(), Options::new()).unwrap();
    add(&plain, "d");
    let mut writer = plain.maintenance_writer().unwrap();
    writer.compact().unwrap();
    writer.tag("here").unwrap();
    drop(writer);
    everywhere(&index.snapshot_at(numbers[0]).unwrap(), &["a"]);
    everywhere(&index.snapshot_at(numbers[1]).unwrap(), &["a", "b"]);
    let none = Options::new().housekeeping(Housekeeping { history: Some(0), ..Housekeeping::default() });
    add(&Index::open(index.path(), none).unwrap(), "e");
    assert!(index.snapshot_at(numbers[0]).is_err(), "a history of none lets go of all that have no name");
    assert_eq!(index.generations().unwrap()[0].tags, ["here"]);
}

#[test]
fn a_name_keeps_a_generation_until_it_is_taken_away() {
    let (_directory, index) = with_history(None);
    add(&index, "a");
    let tagged = index.writer().unwrap().tag("before the move").unwrap();
    add(&index, "b");
    add(&index, "c");
    let listed = index.generations().unwrap();
    assert_eq!(
        listed.iter().map(|one| (one.generation, one.tags.clone())).collect::<Vec<_>>(),
        [(tagged, vec!["before the move".to_owned()]), (listed[1].generation, Vec::new()),]
    );
    everywhere(&index.snapshot_at(tagged).unwrap(), &["a"]);
    let mut writer = index.writer().unwrap();
    assert!(!writer.untag("another").unwrap());
    assert!(writer.untag("before the move").unwrap());
    drop(writer);
    assert!(index.snapshot_at(tagged).is_err());
    assert!(matches!(index.writer().unwrap().tag("a\nb").unwrap_err(), Error::Ingest(IngestError::Tag { .. })));
}

#[test]
fn going_back_makes_a_new_generation_and_leaves_those_between() {
    let (_directory, index) = with_history(Some(10));
    let first = add(&index, "a");
    add(&index, "b");
    let third = {
        let mut writer = index.writer().unwrap();
        writer.delete("a").unwrap();
        writer.add(note("b", "changed", "apples").vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap()
    };
    let mut writer = index.writer().unwrap();
    writer.add(note("pending", "", "apples").vector([1.0, 0.0])).unwrap();
    let refused = writer.restore(first).unwrap_err();
    assert!(matches!(refused, Error::Ingest(IngestError::Uncommitted { .. })), "{refused}");
    drop(writer);
    let mut writer = index.writer().unwrap();
    let back = writer.restore(first).unwrap();
    assert!(back > third);
    everywhere(&index.snapshot().unwrap(), &["a"]);
    everywhere(&index.snapshot_at(third).unwrap(), &["b"]);
    assert!(writer.contains("a") && !writer.contains("b"));
    // The same writer goes on from there, and so does the next.
    writer.add(note("c", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    drop(writer);
    add(&index, "d");
    everywhere(&index.snapshot().unwrap(), &["a", "c", "d"]);
    everywhere(&index.snapshot_at(third).unwrap(), &["b"]);
    assert!(index.verify().unwrap().is_sound());
    // And forward again.
    index.writer().unwrap().restore(third).unwrap();
    everywhere(&index.snapshot().unwrap(), &["b"]);
}

#[test]
fn a_copy_made_while_a_writer_works_is_a_whole_index() {
    let (directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    for round in 0..20 {
        writer.add(note(&format!("k{round:02}"), "", "apples").vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
        if round % 5 == 4 {
            writer.add(note("not committed", "", "apples").vector([1.0, 0.0])).unwrap();
            let to = directory.path().join(format!("copy {round}"));
            let copied = std::thread::scope(|scope| {
                let other = index.clone();
                let target = to.clone();
                let copying = scope.spawn(move || other.backup(&target).unwrap());
                writer.delete("not committed").unwrap();
                writer.add(note(&format!("also{round:02}"), "", "apples").vector([1.0, 0.0])).unwrap();
                writer.commit().unwrap();
                copying.join().unwrap()
            });
            let copy = Index::open(&to, Options::new()).unwrap();
            assert!(copy.verify().unwrap().is_sound());
            let snapshot = copy.snapshot().unwrap();
            assert_eq!(snapshot.generation(), copied);
            assert_eq!(
                snapshot.search("apples").mode(Mode::Lexical).limit(100).run().unwrap().hits.len() as u64,
                snapshot.document_count()
            );
            let generation = add(&copy, "written to the copy");
            assert!(generation > copied);
            assert!(matches!(index.backup(&to).unwrap_err(), Error::Open(OpenError::NotAnIndex { .. })));
        }
    }
}

#[test]
fn a_field_can_be_added_and_none_removed_or_retyped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let index = Index::open_or_create(&path, Options::new().schema(schema())).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(note("old", "a title", "apples")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let more = || Schema::builder().integer("year").heading("title").text("body").text("remarks").build().unwrap();
    let index = Index::open_or_create(&path, Options::new().schema(more())).unwrap();
    let mut writer = index.writer().unwrap();
    assert!(!writer.update(note("old", "a title", "apples")).unwrap(), "what is there has not changed");
    writer.add(note("new", "", "apples").set("year", 1976).set("remarks", "pears")).unwrap();
    writer.commit().unwrap();
    writer.compact().unwrap();
    drop(writer);
    let snapshot = index.snapshot().unwrap();
    assert_eq!(keys(&snapshot.search("pears").run().unwrap()), ["new"]);
    assert_eq!(snapshot.document("old").unwrap().unwrap().get("year"), None);
    assert_eq!(snapshot.document("new").unwrap().unwrap().get("year"), Some(&1976.into()));
    assert!(index.verify().unwrap().is_sound());
    // Opened again with the order of its own.
    let again = Index::open_or_create(&path, Options::new().schema(more()));
    assert!(again.is_ok(), "{:?}", again.err());
    for other in [
        Schema::builder().heading("title").text("body").build().unwrap(),
        Schema::builder().heading("title").text("body").text("remarks").float("year").build().unwrap(),
    ] {
        let refused = Index::open_or_create(&path, Options::new().schema(other)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Open(OpenError::OtherSchema { .. })), "{refused}");
    }
}

/// `tests/data/golden-5` was written by the first version of this format; whatever comes, it is opened.
#[test]
fn the_golden_index_of_format_5_is_read_and_written() {
    let golden = crate::common::repository().join("tests/data/golden-5");
    if std::env::var_os("FOSSICK_MAKE_GOLDEN").is_some() {
        let schema = Schema::builder().heading("title").text("body").keyword("court").integer("year").float("weight").date("day");
        let schema = schema.boolean("open").stored("note").build().unwrap();
        let index = Index::open_or_create(&golden, Options::new().schema(schema).own_vectors(4)).unwrap();
        let mut writer = index.writer().unwrap();
        let document = |key: &str, year: i64| {
            note(key, &format!("Title {key}"), "apples and pears").set("court", "first").set("year", year).vector([
                1.0,
                0.5,
                year as f32,
                0.1,
            ])
        };
        writer.add(document("one", 1)).unwrap();
        writer.add(document("two", 2)).unwrap();
        writer.commit().unwrap();
        writer.add(document("two", 22)).unwrap();
        writer.add(document("three", 3)).unwrap();
        writer.commit().unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    crate::common::copy_directory(&golden, &path);
    let _ = fs::remove_dir_all(path.join("readers"));
    let index = Index::open(&path, Options::new()).unwrap();
    let report = index.verify().unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.keys().unwrap(), ["one", "two", "three"]);
    assert_eq!(snapshot.document("two").unwrap().unwrap().get("year"), Some(&22.into()));
    assert_eq!(snapshot.search("pears").mode(Mode::Lexical).run().unwrap().hits.len(), 3);
    let nearest = snapshot.search("pears").vector([1.0, 0.5, 22.0, 0.1]).mode(Mode::Semantic).limit(1).run().unwrap();
    assert_eq!(keys(&nearest), ["two"]);
    let mut writer = index.writer().unwrap();
    writer.add(note("four", "", "apples").vector([1.0, 0.0, 0.0, 0.0])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document_count(), 4);
    // It has no words as they are written, so beginnings and edits are those of stems.
    for query in ["appl*", "apples*", "aple~1", "body:appl*"] {
        assert_eq!(snapshot.search(query).mode(Mode::Lexical).run().unwrap().hits.len(), 4, "{query}");
    }
}
