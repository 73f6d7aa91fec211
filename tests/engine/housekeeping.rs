//! A directory that is written to for long stays small and quick, without anybody's asking.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use fossick::{Durability, Housekeeping, Index, Mode, Options, Writer};

use crate::common::{copy_directory, keys, note, schema, size, vectors_index};

/// `FOSSICK_COMMITS=10000` for the long one.
#[test]
fn many_small_commits_stay_small_and_the_last_are_as_fast_as_the_first() {
    let commits = std::env::var("FOSSICK_COMMITS").ok().and_then(|commits| commits.parse().ok()).unwrap_or(600);
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    let body = "a text of some length, as a note or a message has it. ".repeat(20);
    let mut times = Vec::new();
    let mut largest = 0.0f64;
    for commit in 0..commits {
        // Two of three are new, one takes the place of an earlier one.
        let key = if commit % 3 == 2 { commit / 2 } else { commit };
        writer.add(note(&format!("k{key}"), &format!("title{commit}"), &body).vector([1.0, commit as f32])).unwrap();
        let begun = Instant::now();
        writer.commit().unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        if commit >= 100 && commit % 50 == 0 {
            largest = largest.max(size(index.path()) as f64 / index.snapshot().unwrap().storage().live_bytes as f64);
        }
    }
    // The time within which one of ten is done, since what else the machine does slows some of them down and speeds up none.
    let quickest = |times: &[f64]| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 10]
    };
    let tenth = times.len() / 10;
    let (first, last) = (quickest(&times[..tenth]), quickest(&times[times.len() - tenth..]));
    let storage = index.snapshot().unwrap().storage();
    println!(
        "{commits} commits: {first:.1} ms at first, {last:.1} ms at last; at most {largest:.2} times the live size; {storage:?}"
    );
    assert!(storage.document_fragments < 100 && storage.passage_fragments < 100 && storage.word_segments < 40, "{storage:?}");
    assert!(largest < 3.0, "the directory was {largest} times as large as what lives in it");
    assert!(last < 2.0 * first + 5.0, "{first} ms at first, {last} ms at last");
    drop(writer);
    assert!(index.verify().unwrap().is_sound());
}

#[test]
fn programs_that_open_commit_and_close_are_compacted_too() {
    let (_directory, index) = vectors_index();
    for round in 0..80 {
        let mut writer = index.writer().unwrap();
        writer.add(note(&format!("k{round}"), "", "apples").vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
    }
    let snapshot = index.snapshot().unwrap();
    let storage = snapshot.storage();
    assert!(storage.document_fragments <= 32 && storage.word_segments <= 20, "{storage:?}");
    assert_eq!(snapshot.search("apples").mode(Mode::Lexical).limit(100).run().unwrap().hits.len(), 80);
}

#[test]
fn compacting_drops_what_was_deleted_and_changes_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let by_hand = Housekeeping { automatic: false, ..Housekeeping::default() };
    let options = Options::new().schema(schema()).own_vectors(2).housekeeping(by_hand);
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    let mut writer = index.writer().unwrap();
    for round in 0..30 {
        for key in 0..4 {
            writer.add(note(&format!("k{round}-{key}"), "", "apples").vector([1.0, key as f32])).unwrap();
        }
        writer.commit().unwrap();
    }
    for round in 0..30 {
        writer.delete(&format!("k{round}-1")).unwrap();
    }
    writer.commit().unwrap();
    let before = index.snapshot().unwrap();
    assert!(before.storage().document_fragments == 30 && before.storage().dead_documents == 30, "{:?}", before.storage());
    let ask = |snapshot: &fossick::Snapshot, mode| {
        snapshot
            .search("apples")
            .vector([1.0, 2.0])
            .mode(mode)
            .limit(40)
            .run()
            .unwrap()
            .hits
            .iter()
            .map(|hit| hit.key.clone())
            .collect::<Vec<_>>()
    };
    let answers = [Mode::Lexical, Mode::Semantic, Mode::Hybrid].map(|mode| ask(&before, mode));
    writer.compact().unwrap();
    let after = index.snapshot().unwrap();
    let storage = after.storage();
    assert_eq!((storage.document_fragments, storage.passage_fragments, storage.word_segments), (1, 1, 1), "{storage:?}");
    assert_eq!((storage.dead_documents, storage.dead_passages), (0, 0));
    assert!(storage.live_bytes < before.storage().live_bytes);
    assert_eq!([Mode::Lexical, Mode::Semantic, Mode::Hybrid].map(|mode| ask(&after, mode)), answers);
    // The reader of before goes on reading.
    assert_eq!([Mode::Lexical, Mode::Semantic, Mode::Hybrid].map(|mode| ask(&before, mode)), answers);
    writer.add(note("later", "", "apples").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    assert!(index.verify().unwrap().is_sound());
}

#[test]
fn a_reader_that_stays_keeps_its_own_files_and_no_others() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    let body = "a text that is long enough to be noticed on the disk. ".repeat(2000);
    writer.add(note("a", "", &body).vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    let one = size(index.path());
    let held = index.snapshot().unwrap();
    for _ in 0..20 {
        writer.add(note("a", "", &body).vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
    }
    assert!(size(index.path()) < 4 * one, "{one} bytes at first, {} now", size(index.path()));
    // Another writer does not know the generation from its own work.
    drop(writer);
    let mut writer = index.writer().unwrap();
    for _ in 0..5 {
        writer.add(note("a", "", &body).vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
    }
    assert!(size(index.path()) < 4 * one, "{one} bytes at first, {} now", size(index.path()));
    assert_eq!(keys(&held.search("noticed").mode(Mode::Lexical).run().unwrap()), ["a"]);
    assert_eq!(held.document("a").unwrap().unwrap().get("body").unwrap().as_text(), Some(body.as_str()));
}

#[test]
fn commits_that_nobody_waits_for_are_made_together_and_all_of_them() {
    for durability in [Durability::EveryCommit, Durability::System] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().schema(schema()).own_vectors(2).durability(durability);
        let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
        let mut writer = index.writer().unwrap();
        let mut pending = Vec::new();
        for key in 0..100 {
            writer.add(note(&format!("k{key:03}"), "", "apples").vector([1.0, 0.0])).unwrap();
            pending.push(writer.commit_soon().unwrap());
        }
        writer.add(note("never committed", "", "apples").vector([1.0, 0.0])).unwrap();
        let generations: Vec<u64> = pending.into_iter().map(|commit| commit.wait().unwrap()).collect();
        assert!(generations.is_sorted());
        let mut different = generations.clone();
        different.dedup();
        println!("{durability:?}: 100 commits in {} generations", different.len());
        assert!(different.len() < 100);
        drop(writer);
        let snapshot = index.snapshot().unwrap();
        assert_eq!(snapshot.document_count(), 100);
        assert!(index.verify().unwrap().is_sound());
        // Numbers were not given twice.
        let mut writer = index.writer().unwrap();
        writer.add(note("next", "", "apples").vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
        assert_eq!(index.snapshot().unwrap().document_count(), 101);
    }
}

#[test]
fn a_commit_after_one_that_nobody_waited_for_waits_for_both() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples").vector([1.0, 0.0])).unwrap();
    let pending = writer.commit_soon().unwrap();
    let generation = writer.commit().unwrap();
    assert_eq!(index.snapshot().unwrap().document_count(), 1);
    assert_eq!(pending.done(), Some(generation));
    assert_eq!(pending.wait().unwrap(), generation);
}

/// An index with a commit that was flushed and two that were not, its writer still open, and the files of passages that were there before those two.
fn flushed_once() -> (tempfile::TempDir, Index, Writer, Vec<OsString>) {
    loop {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let index = Index::open_or_create(&path, Options::new().schema(schema()).own_vectors(2)).unwrap();
        let mut writer = index.writer().unwrap();
        writer.add(note("flushed", "", "apples").vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
        drop(writer);
        let before = fs::read_dir(path.join("passages.lance/data")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        let index = Index::open(&path, Options::new().durability(Durability::System)).unwrap();
        let begun = Instant::now();
        let mut writer = index.writer().unwrap();
        for key in ["one", "two"] {
            writer.add(note(key, "", "apples").vector([1.0, 0.0])).unwrap();
            writer.commit().unwrap();
        }
        // After five seconds a commit is flushed.
        if begun.elapsed() < Duration::from_secs(4) {
            return (directory, index, writer, before);
        }
    }
}

/// A power cut under [`Durability::System`]: files of the newest generation are gone, `CURRENT` is there.
#[test]
fn what_was_not_flushed_may_go_and_what_was_flushed_stays() {
    let (directory, index, writer, before) = flushed_once();
    // What lies on the disk while the writer lives; a writer that is dropped flushes.
    let images = ["opened", "repaired"].map(|name| directory.path().join(name));
    images.iter().for_each(|image| copy_directory(index.path(), image));
    drop(writer);
    assert_eq!(index.snapshot().unwrap().document_count(), 3, "without a power cut nothing is lost");
    for image in images {
        for entry in fs::read_dir(image.join("passages.lance/data")).unwrap().flatten() {
            if !before.contains(&entry.file_name()) {
                fs::write(entry.path(), b"").unwrap();
            }
        }
        let index = Index::open(&image, Options::new()).unwrap();
        assert!(index.snapshot().is_err());
        if image.ends_with("repaired") {
            let repaired = fossick::repair(&image).unwrap();
            assert!(repaired.done[0].contains("before they were flushed") && repaired.removed.is_empty(), "{repaired:?}");
        }
        let mut writer = index.writer().unwrap();
        assert_eq!(index.snapshot().unwrap().keys().unwrap(), ["flushed"]);
        writer.add(note("after", "", "apples").vector([1.0, 0.0])).unwrap();
        writer.commit().unwrap();
        assert_eq!(index.snapshot().unwrap().keys().unwrap(), ["flushed", "after"]);
        assert!(index.verify().unwrap().is_sound());
    }
}
