//! A crash, or a refusal of the disk, at every point of writing. Each is taken in a child process, which is this test binary again.
// A child tells its parent through standard output.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use crate::crash::on::{VARIABLE, passed};
use crate::{Document, Housekeeping, Index, Mode, Options, Schema, Writer, verify};

const DIRECTORY: &str = "FOSSICK_CRASH_DIRECTORY";
const PART: &str = "FOSSICK_CRASH_PART";

type Content = BTreeMap<&'static str, i64>;

/// What the index holds after each step of [`play`].
fn states() -> Vec<Content> {
    let tagged = Content::from([("a", 2), ("c", 1), ("d", 3)]);
    vec![
        Content::new(),
        Content::from([("a", 1), ("b", 1), ("c", 1)]),
        Content::from([("a", 2), ("c", 1)]),
        tagged.clone(),
        tagged.clone(),
        tagged.clone(),
        Content::from([("a", 2), ("c", 1), ("d", 3), ("e", 6)]),
        tagged,
        Content::from([("a", 2), ("c", 1), ("d", 3), ("f", 8)]),
    ]
}

fn open(path: &Path) -> Result<Index, crate::Error> {
    let schema = Schema::builder().heading("title").text("body").integer("step").build()?;
    let housekeeping = Housekeeping { fragments: 2, history: Some(1), ..Housekeeping::default() };
    Index::open_or_create(path, Options::new().schema(schema).own_vectors(2).housekeeping(housekeeping))
}

fn put(writer: &mut Writer, key: &str, step: i64) -> Result<(), crate::Error> {
    let document = Document::new(key).set("title", format!("step{step}")).set("body", "every one").set("step", step);
    writer.add(document.vector([1.0, step as f32]))
}

/// Writes, and tells each step that returned.
fn play(path: &Path) -> Result<(), crate::Error> {
    let done = |step: usize| println!("\ndone {step}");
    let index = open(path)?;
    done(0);
    let mut writer = index.writer()?;
    ["a", "b", "c"].into_iter().try_for_each(|key| put(&mut writer, key, 1))?;
    writer.commit()?;
    done(1);
    put(&mut writer, "a", 2)?;
    writer.delete("b")?;
    writer.commit()?;
    done(2);
    put(&mut writer, "d", 3)?;
    writer.commit()?;
    done(3);
    writer.compact()?;
    done(4);
    let tagged = writer.tag("here")?;
    done(5);
    put(&mut writer, "e", 6)?;
    writer.commit()?;
    done(6);
    writer.restore(tagged)?;
    done(7);
    put(&mut writer, "f", 8)?;
    writer.commit()?;
    done(8);
    Ok(())
}

/// Opens, adds one document, commits.
fn go_on(path: &Path) -> Result<(), crate::Error> {
    let index = open(path)?;
    let mut writer = index.writer()?;
    put(&mut writer, "z", 26)?;
    writer.commit()?;
    println!("\nwent on");
    Ok(())
}

/// The other side of the tests below; does nothing when it is run for itself.
#[test]
fn child() {
    let (Ok(path), Ok(part)) = (std::env::var(DIRECTORY), std::env::var(PART)) else { return };
    let path = Path::new(&path);
    match part.as_str() {
        "play" => {
            if let Err(error) = play(path) {
                println!("\nfailed {error}");
                // The disk has room again: the same process can go on.
                go_on(path).unwrap();
            }
            let names: Vec<&str> = passed();
            println!("\npassed {}", names.join("|"));
        }
        _ => go_on(path).unwrap(),
    }
}

fn run(path: &Path, part: &str, wish: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["index::crashing::child", "--exact", "--nocapture", "--test-threads", "1"]);
    command.env(DIRECTORY, path).env(PART, part).env(VARIABLE, wish).output().unwrap()
}

fn lines(output: &Output, beginning: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.strip_prefix(beginning).map(str::to_owned)).collect()
}

fn content(path: &Path) -> BTreeMap<String, i64> {
    open(path).unwrap();
    let report = verify(path).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    let snapshot = open(path).unwrap().snapshot().unwrap();
    let found: BTreeMap<String, i64> = snapshot
        .keys()
        .unwrap()
        .into_iter()
        .map(|key| {
            let document = snapshot.document(&key).unwrap().unwrap();
            let Some(crate::Value::Integer(step)) = document.get("step") else { panic!("{key} has no step") };
            (key, *step)
        })
        .collect();
    for mode in [Mode::Lexical, Mode::Semantic] {
        let hits = snapshot.search("every").vector([1.0, 1.0]).mode(mode).limit(50).run().unwrap().hits;
        let keys: BTreeSet<&str> = hits.iter().map(|hit| hit.key.as_str()).collect();
        assert_eq!(keys, found.keys().map(String::as_str).collect(), "{mode:?}");
    }
    found
}

fn is(found: &BTreeMap<String, i64>, state: &Content) -> bool {
    found.iter().map(|(key, step)| (key.as_str(), *step)).eq(state.iter().map(|(key, step)| (*key, *step)))
}

/// Each point with the times at which it is passed that are tried: the first and the last.
fn points() -> Vec<(String, usize)> {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&directory.path().join("index"), "play", "none 0 none");
    let all = lines(&output, "passed ").pop().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stdout)));
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    all.split('|').for_each(|name| *times.entry(name.to_owned()).or_default() += 1);
    assert!(times.len() > 20, "only {times:?}");
    times
        .into_iter()
        .flat_map(|(name, times)| BTreeSet::from([1, times]).into_iter().map(move |time| (name.clone(), time)))
        .collect()
}

#[test]
fn a_crash_at_any_point_leaves_what_was_promised_or_what_was_in_flight() {
    let states = states();
    for (at, (name, time)) in points().into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let output = run(&path, "play", &format!("die {time} {name}"));
        // How often tantivy replaces a file depends on which of its merges are done when.
        if output.status.success() && time > 1 && name == "words: a file is replaced" {
            continue;
        }
        assert!(!output.status.success(), "{name} ({time}) was not reached");
        let done = lines(&output, "done ").len();
        // Every other time, recovery dies as well.
        if at % 2 == 0 {
            for point in [
                "open: locked",
                "open: one table is rolled back",
                "open: both tables are rolled back",
                "words: meta.json is restored",
            ] {
                run(&path, "go on", &format!("die 1 {point}"));
            }
        }
        let found = content(&path);
        let allowed = &states[done.saturating_sub(1)..(done + 1).min(states.len())];
        assert!(allowed.iter().any(|state| is(&found, state)), "{name} ({time}): {done} steps were done, found {found:?}");
        let output = run(&path, "go on", "none 0 none");
        assert!(output.status.success(), "{name} ({time}): {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(content(&path).get("z"), Some(&26), "{name} ({time})");
    }
}

#[test]
fn a_refusal_of_the_disk_at_any_point_loses_nothing_and_the_process_goes_on() {
    let states = states();
    for (name, time) in points() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let output = run(&path, "play", &format!("fail {time} {name}"));
        assert!(output.status.success(), "{name} ({time}): {}", String::from_utf8_lossy(&output.stdout));
        let done = lines(&output, "done ").len();
        let failed = !lines(&output, "failed ").is_empty();
        let mut found = content(&path);
        if failed {
            assert_eq!(found.remove("z"), Some(26), "{name} ({time})");
        }
        let allowed = &states[done.saturating_sub(1)..(done + 1).min(states.len())];
        assert!(allowed.iter().any(|state| is(&found, state)), "{name} ({time}): {done} steps were done, found {found:?}");
    }
}
