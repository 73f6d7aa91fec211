//! A reader sees one committed generation, whole, whatever a writer does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use fossick::{Index, Mode, Options, Snapshot};
use proptest::prelude::*;

use crate::common::{copy_directory, keys, note, schema, size, vectors_index, words_index};

#[test]
fn nothing_is_seen_before_its_commit() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples")).unwrap();
    assert_eq!(index.snapshot().unwrap().document_count(), 0);
    assert_eq!(writer.commit().unwrap(), 1);
    assert_eq!(index.snapshot().unwrap().document_count(), 1);
    assert_eq!(writer.commit().unwrap(), 1, "a commit without a change makes no generation");
}

#[test]
fn a_writer_that_is_dropped_leaves_the_index_as_it_was() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    writer.add(note("b", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.delete("a").unwrap();
    drop(writer);
    assert_eq!(index.snapshot().unwrap().keys().unwrap(), ["a"]);
    // The next writer starts from what is committed.
    let mut writer = index.writer().unwrap();
    writer.add(note("c", "", "apples").vector([1.0, 0.0])).unwrap();
    assert_eq!(writer.commit().unwrap(), 2);
    assert_eq!(index.snapshot().unwrap().keys().unwrap(), ["a", "c"]);
}

#[test]
fn a_snapshot_stays_as_it_is_through_commits_and_clean_up() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("first", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for round in 0..30 {
        writer.add(note(&format!("later{round}"), "", "apples").vector([1.0, 0.0])).unwrap();
        writer.delete("first").unwrap();
        writer.commit().unwrap();
    }
    // Nothing of it was read before: all of it is read now.
    for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
        assert_eq!(keys(&snapshot.search("apples").vector([1.0, 0.0]).mode(mode).run().unwrap()), ["first"]);
    }
    assert_eq!(snapshot.generation(), 1);
    assert_eq!(index.snapshot().unwrap().document_count(), 30);
}

#[test]
fn what_no_reader_holds_is_removed() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    let body = "The same document again and again, long enough to be noticed. ".repeat(400);
    writer.add(note("a", "", &body)).unwrap();
    writer.commit().unwrap();
    let one = size(index.path());
    for _ in 0..20 {
        writer.add(note("a", "", &body)).unwrap();
        writer.commit().unwrap();
    }
    drop(writer);
    assert!(size(index.path()) < 4 * one, "{} bytes at first, {} after twenty replacements", one, size(index.path()));
}

#[test]
fn a_crash_before_the_commit_point_is_undone_by_the_next_writer() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    // What a crash between steps 3 and 4 leaves: tables and words of generation 2, and CURRENT of generation 1.
    let current = index.path().join("CURRENT");
    let first = fs::read(&current).unwrap();
    let _holds_the_files = index.snapshot().unwrap();
    writer.add(note("b", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    drop(writer);
    fs::write(&current, &first).unwrap();
    fs::write(index.path().join("CURRENT.tmp"), b"half a hea").unwrap();

    let check = |snapshot: &Snapshot, expected: &[&str]| {
        assert_eq!(snapshot.keys().unwrap(), expected);
        assert_eq!(keys(&snapshot.search("apples").mode(Mode::Lexical).run().unwrap()), expected);
        assert_eq!(keys(&snapshot.search("apples").vector([1.0, 0.0]).mode(Mode::Semantic).run().unwrap()), expected);
    };
    check(&index.snapshot().unwrap(), &["a"]);
    let mut writer = index.writer().unwrap();
    check(&index.snapshot().unwrap(), &["a"]);
    writer.add(note("c", "", "apples").vector([1.0, 0.0])).unwrap();
    assert_eq!(writer.commit().unwrap(), 2);
    check(&index.snapshot().unwrap(), &["a", "c"]);
}

#[test]
fn a_replacement_that_crashed_can_be_made_again() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    for key in ["a", "b"] {
        writer.add(note(key, "old", "apples").vector([1.0, 0.0])).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    let current = index.path().join("CURRENT");
    let first = fs::read(&current).unwrap();
    for _ in 0..3 {
        let mut writer = index.writer().unwrap();
        writer.add(note("a", "new", "apples").vector([1.0, 0.0])).unwrap();
        let holds_the_files = index.snapshot().unwrap();
        writer.commit().unwrap();
        drop((writer, holds_the_files));
        assert_eq!(index.snapshot().unwrap().search("apples").mode(Mode::Lexical).run().unwrap().hits.len(), 2);
        fs::write(&current, &first).unwrap();
    }
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document("a").unwrap().unwrap().get("title").unwrap().as_text(), Some("old"));
    assert_eq!(snapshot.search("old").mode(Mode::Lexical).run().unwrap().hits.len(), 2);
}

#[test]
fn a_torn_version_that_was_not_committed_is_no_obstacle() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    drop(writer);
    for table in ["documents.lance", "passages.lance"] {
        let versions = index.path().join(table).join("_versions");
        fs::write(versions.join(format!("{:020}.manifest", u64::MAX - 77)), b"").unwrap();
    }
    let mut writer = index.writer().unwrap();
    writer.add(note("b", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    assert_eq!(index.snapshot().unwrap().keys().unwrap(), ["a", "b"]);
}

#[test]
fn a_copy_of_the_directory_is_an_index() {
    let (directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let copy = directory.path().join("copy of it");
    copy_directory(index.path(), &copy);
    fs::remove_dir_all(index.path()).unwrap();
    let index = Index::open(&copy, Options::new().schema(schema())).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(note("b", "", "apples")).unwrap();
    writer.commit().unwrap();
    assert_eq!(index.snapshot().unwrap().document_count(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8),
    Delete(u8),
    Commit,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..12, any::<u8>()).prop_map(|(key, word)| Step::Add(key, word)),
        3 => (0u8..12).prop_map(Step::Delete),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

/// What a full scan, the words and the vectors show must be what a map kept outside shows.
fn compare(snapshot: &Snapshot, model: &BTreeMap<String, u8>) {
    let expected: BTreeSet<&str> = model.keys().map(String::as_str).collect();
    assert_eq!(snapshot.keys().unwrap().iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for mode in [Mode::Lexical, Mode::Semantic] {
        let response = snapshot.search("all").vector([1.0, 1.0]).mode(mode).limit(100).run().unwrap();
        assert_eq!(keys(&response).into_iter().collect::<BTreeSet<_>>(), expected, "{mode:?}");
        for hit in &response.hits {
            assert_eq!(hit.text("title"), format!("word{}", model[&hit.key]));
        }
    }
    for (key, word) in model {
        let response = snapshot.search(&format!("word{word}")).mode(Mode::Lexical).limit(100).run().unwrap();
        assert!(keys(&response).contains(&key.as_str()), "{key} is not found by its word");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_shows_what_was_committed(steps in prop::collection::vec(step(), 1..40)) {
        let (_directory, index) = vectors_index();
        let mut writer = Some(index.writer().unwrap());
        let (mut committed, mut pending) = (BTreeMap::new(), BTreeMap::new());
        let mut held: Vec<(Snapshot, BTreeMap<String, u8>)> = Vec::new();
        for step in steps {
            let open = writer.get_or_insert_with(|| index.writer().unwrap());
            match step {
                Step::Add(key, word) => {
                    let (key, vector) = (format!("k{key}"), [1.0, f32::from(word) / 255.0 + 0.01]);
                    open.add(note(&key, &format!("word{word}"), "all").vector(vector)).unwrap();
                    pending.insert(key, word);
                }
                Step::Delete(key) => {
                    let key = format!("k{key}");
                    prop_assert_eq!(open.delete(&key).unwrap(), pending.remove(&key).is_some());
                }
                Step::Commit => {
                    open.commit().unwrap();
                    committed.clone_from(&pending);
                    let snapshot = index.snapshot().unwrap();
                    compare(&snapshot, &committed);
                    held.push((snapshot, committed.clone()));
                }
                Step::Reopen => {
                    writer = None;
                    pending.clone_from(&committed);
                }
            }
        }
        drop(writer);
        compare(&index.snapshot().unwrap(), &committed);
        for (snapshot, model) in &held {
            compare(snapshot, model);
        }
    }
}
