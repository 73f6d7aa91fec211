//! No damage goes unnoticed, none is answered with a wrong document, and repair brings back what can be brought back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fossick::{Error, Housekeeping, Index, Mode, Options, repair, verify};

use crate::common::{files, note, schema};

type Content = BTreeMap<String, String>;

/// Some thirty documents from several commits, with replacements and deletes, so that every kind of file is there.
fn make(path: &Path) -> Content {
    let housekeeping = Housekeeping { automatic: false, history: Some(1), ..Housekeeping::default() };
    let index = Index::open_or_create(path, Options::new().schema(schema()).own_vectors(2).housekeeping(housekeeping)).unwrap();
    let mut writer = index.writer().unwrap();
    for round in 0..4 {
        for key in 0..10 {
            let body = format!("everything about number {key} in round {round}. ").repeat(3);
            writer.add(note(&format!("k{round}{key}"), &format!("title{round}{key}"), &body).vector([1.0, key as f32])).unwrap();
        }
        writer.delete(&format!("k{round}3")).unwrap();
        writer.commit().unwrap();
    }
    writer.add(note("k05", "title again", "everything again").vector([1.0, 0.5])).unwrap();
    writer.delete("k17").unwrap();
    writer.commit().unwrap();
    drop(writer);
    content(path).unwrap()
}

/// Keys and titles, through a full scan, and held against what BM25 and vectors find.
fn content(path: &Path) -> Result<Content, Error> {
    let snapshot = Index::open(path, Options::new())?.snapshot()?;
    let mut content = Content::new();
    for key in snapshot.keys()? {
        let document = snapshot.document(&key)?.unwrap();
        let text = |field| document.get(field).and_then(|value| value.as_text()).unwrap_or_default().to_owned();
        content.insert(key, format!("{} | {}", text("title"), text("body")));
    }
    for mode in [Mode::Lexical, Mode::Semantic] {
        let response = snapshot.search("everything").vector([1.0, 1.0]).mode(mode).candidates(200).limit(200).run()?;
        let found: Content =
            response.hits.iter().map(|hit| (hit.key.clone(), format!("{} | {}", hit.text("title"), hit.text("body")))).collect();
        assert_eq!(found, content, "{mode:?}");
    }
    Ok(content)
}

/// A number that looks random, from a number.
fn mixed(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// `FOSSICK_CASES=20000` for more than the 2,000 of every run.
#[test]
fn no_flipped_bit_and_no_cut_end_is_answered_with_a_wrong_document() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let expected = make(&path);
    let files = files(&path);
    let cases = std::env::var("FOSSICK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let (mut noticed, mut refused, mut harmless) = (0, 0, BTreeMap::new());
    for case in 0..cases as u64 {
        let file = &files[case as usize % files.len()];
        let sound = fs::read(file).unwrap();
        if sound.is_empty() {
            continue;
        }
        let mut damaged = sound.clone();
        let at = (mixed(case) % sound.len() as u64) as usize;
        if mixed(case ^ 0xABCD).is_multiple_of(4) {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << (mixed(case ^ 0x1234) % 8);
        }
        fs::write(file, &damaged).unwrap();
        let name = file.strip_prefix(&path).unwrap().display().to_string();
        let report = verify(&path);
        let seen = report.is_err() || report.is_ok_and(|report| !report.is_sound());
        match content(&path) {
            // Nothing wrong is read, whether or not `verify` has something to tell.
            Ok(found) => assert_eq!(found, expected, "{name} at {at}"),
            Err(_) => refused += 1,
        }
        if seen {
            noticed += 1;
        } else {
            // Then nothing that anybody reads can have changed.
            assert_eq!(content(&path).unwrap(), expected, "{name} at {at}");
            *harmless.entry(name.split(['-', '/']).next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        fs::write(file, &sound).unwrap();
    }
    println!("{cases} cases: {noticed} noticed by verify, {refused} refused by the read itself; harmless: {harmless:?}");
    assert!(noticed > cases / 2);
    assert_eq!(content(&path).unwrap(), expected);
}

/// The first file whose path ends so and lies in that part.
fn find(root: &Path, part: &str, ending: &str) -> PathBuf {
    let wanted = |file: &PathBuf| {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        name.starts_with(part) && name.ends_with(ending)
    };
    files(root).into_iter().rev().find(wanted).unwrap_or_else(|| panic!("no {ending} in {part}"))
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_is_derived_or_has_a_copy_comes_back_whole() {
    let newest_manifest = |root: &Path, part: &str| -> PathBuf {
        let mut all: Vec<PathBuf> = files(root).into_iter().filter(|file| file.to_string_lossy().contains(part)).collect();
        all.retain(|file| file.to_string_lossy().ends_with(".manifest"));
        // Names count down.
        all.into_iter().min().unwrap()
    };
    type Choice<'a> = (&'a str, Box<dyn Fn(&Path) -> PathBuf + 'a>);
    let choices: Vec<Choice<'_>> = vec![
        ("CURRENT", Box::new(|root| root.join("CURRENT"))),
        ("a manifest of documents", Box::new(|root| newest_manifest(root, "documents.lance"))),
        ("a manifest of passages", Box::new(|root| newest_manifest(root, "passages.lance"))),
        ("the words", Box::new(|root| find(root, "words-0", ".term"))),
        ("the words' numbers", Box::new(|root| find(root, "words-0", ".fast"))),
    ];
    for (name, choose) in choices {
        for gone in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("index");
            let expected = make(&path);
            let file = choose(&path);
            if gone {
                fs::remove_file(&file).unwrap()
            } else {
                flip(&file)
            }
            let noticed = verify(&path).map_or(true, |report| !report.is_sound());
            assert!(noticed, "{name}");
            let repaired = repair(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!repaired.done.is_empty() && repaired.removed.is_empty(), "{name}: {repaired:?}");
            assert!(gone || repaired.set_aside.is_some(), "{name}: what was damaged is kept");
            let report = verify(&path).unwrap();
            assert!(report.is_sound(), "{name}: {:?}", report.problems);
            assert_eq!(content(&path).unwrap(), expected, "{name}");
            // It can be written to again.
            let mut writer = Index::open(&path, Options::new()).unwrap().writer().unwrap();
            writer.add(note("new", "", "everything new").vector([1.0, 0.0])).unwrap();
            writer.commit().unwrap();
            drop(writer);
            assert_eq!(content(&path).unwrap().len(), expected.len() + 1, "{name}");
            assert!(repair(&path).unwrap().done.is_empty(), "{name}: nothing is left to do");
        }
    }
}

#[test]
fn rows_in_a_damaged_file_are_lost_with_their_documents_and_what_can_be_read_is_written_down() {
    for part in ["documents.lance", "passages.lance"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let expected = make(&path);
        flip(&find(&path, &format!("{part}/data"), ".lance"));
        let report = verify(&path).unwrap();
        assert!(report.problems[0].to_string().contains(part), "{:?}", report.problems);
        let repaired = repair(&path).unwrap();
        let aside = repaired.set_aside.clone().unwrap();
        assert!(files(&aside).iter().any(|file| file.to_string_lossy().ends_with(".lance")), "the damaged file is kept");
        let report = verify(&path).unwrap();
        assert!(report.is_sound(), "{part}: {:?}", report.problems);
        let left = content(&path).unwrap();
        assert!(!left.is_empty() && left.len() < expected.len(), "{part}: {} of {}", left.len(), expected.len());
        assert!(left.iter().all(|(key, text)| expected.get(key) == Some(text)), "{part}");
        let lost = expected.len() - left.len();
        if part == "passages.lance" {
            assert_eq!(repaired.removed.len(), lost);
            let lines = fs::read_to_string(aside.join("documents.jsonl")).unwrap();
            for (line, key) in lines.lines().zip(&repaired.removed) {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(value["_id"].as_str(), Some(key.as_str()));
                assert_eq!(format!("{} | {}", value["title"].as_str().unwrap(), value["body"].as_str().unwrap()), expected[key]);
            }
        } else {
            let lines = fs::read_to_string(aside.join("passages.jsonl")).unwrap();
            assert!(lines.lines().count() >= lost, "{lines}");
        }
    }
}

#[test]
fn words_that_are_gone_are_made_again_by_the_next_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let expected = make(&path);
    fs::remove_dir_all(path.join("words-0")).unwrap();
    let index = Index::open(&path, Options::new()).unwrap();
    let message = index.snapshot().unwrap_err().to_string();
    assert!(message.contains("words-0") && message.contains("repair"), "{message}");
    drop(index.writer().unwrap());
    assert_eq!(content(&path).unwrap(), expected);
    // The generation before, which is kept, has no words any more.
    let repaired = repair(&path).unwrap();
    assert!(repaired.done[0].contains("is not kept any more"), "{repaired:?}");
    assert_eq!(content(&path).unwrap(), expected);
    assert!(verify(&path).unwrap().is_sound());
}

#[test]
fn a_sound_index_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    make(&path);
    let before: Vec<(PathBuf, Vec<u8>)> = files(&path).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    let repaired = repair(&path).unwrap();
    assert!(repaired.done.is_empty() && repaired.set_aside.is_none(), "{repaired:?}");
    // The lock says who has it; Lance's hint is no part of an index.
    let tables = |(file, _): &&(PathBuf, Vec<u8>)| !file.ends_with("LOCK") && !file.ends_with("latest_version_hint.json");
    let after: Vec<(PathBuf, Vec<u8>)> = files(&path).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    assert!(before.iter().filter(tables).all(|file| after.contains(file)));
}
