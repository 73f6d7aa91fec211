//! Checking, repairing, copying and going back, from a shell.

use crate::shell::Shell;

const THREE: &str =
    "{\"id\": \"a\", \"text\": \"apples\"}\n{\"id\": \"b\", \"text\": \"pears\"}\n{\"id\": \"c\", \"text\": \"plums\"}\n";

#[test]
fn verify_says_sound_and_repair_finds_nothing_to_do() {
    let shell = Shell::new();
    shell.words_index(THREE);
    let out = shell.run("verify INDEX").succeeded().out;
    assert!(out.contains("sound: generation 1, 3 documents"), "{out}");
    assert_eq!(shell.run("verify INDEX --json").json()["problems"], serde_json::json!([]));
    assert!(shell.run("repair INDEX").succeeded().out.contains("nothing was wrong"));
    shell.run("verify nothing").refused(1, &["nothing: there is no index here"]);
    shell.write("folder/file.txt", "text");
    shell.run("repair folder").refused(1, &["folder"]);
}

#[test]
fn a_damaged_file_is_named_and_repaired() {
    let shell = Shell::new();
    shell.words_index(THREE);
    let words = std::fs::read_dir(shell.path("INDEX/words-0")).unwrap().flatten().map(|entry| entry.path());
    let terms = words.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "term")).unwrap();
    let mut bytes = std::fs::read(&terms).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&terms, bytes).unwrap();
    let ended = shell.run("verify INDEX");
    assert_eq!(ended.status, 1);
    assert!(ended.out.contains(".term: expected crc32c") && ended.out.contains("fossick repair INDEX"), "{}", ended.out);
    shell.run("search INDEX apples").refused(1, &[".term", "is damaged", "fossick repair"]);
    let out = shell.run("repair INDEX").succeeded().out;
    assert!(out.contains("the words were made again") && out.contains("set-aside-1"), "{out}");
    shell.run("verify INDEX").succeeded();
    assert!(shell.run("search INDEX apples").succeeded().out.contains('a'));
}

#[test]
fn a_backup_is_an_index_and_goes_to_an_empty_place_only() {
    let shell = Shell::new();
    shell.words_index(THREE);
    assert!(shell.run("backup INDEX COPY").succeeded().out.contains("generation 1"));
    assert_eq!(shell.documents("COPY"), 3);
    shell.run("verify COPY").succeeded();
    shell.run("backup INDEX COPY").refused(1, &["COPY", "empty"]);
}

#[test]
fn a_generation_is_tagged_restored_and_untagged() {
    let shell = Shell::new();
    shell.words_index(THREE);
    let out = shell.run("generations INDEX --tag before").succeeded().out;
    assert!(out.contains("3 documents") && out.contains("\"before\""), "{out}");
    shell.write("more.jsonl", "{\"id\": \"d\", \"text\": \"figs\"}\n");
    shell.run("index INDEX more.jsonl").succeeded();
    let listed = shell.run("generations INDEX --json").json();
    let listed = listed["generations"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0]["documents"].as_u64(), listed[1]["documents"].as_u64()), (Some(3), Some(4)));
    shell.run("generations INDEX --restore 99").refused(1, &["generation 99 is not kept"]);
    shell.run(&format!("generations INDEX --restore {}", listed[0]["generation"])).succeeded();
    assert_eq!(shell.documents("INDEX"), 3);
    shell.run("generations INDEX --untag other").refused(1, &["no generation is called \"other\""]);
    shell.run("generations INDEX --untag before").succeeded();
    assert!(shell.run("compact INDEX").succeeded().out.contains("became"));
    shell.run("verify INDEX").succeeded();
}

#[test]
fn info_tells_what_lives_and_what_is_dead() {
    let shell = Shell::new();
    shell.words_index(THREE);
    let info = shell.run("info INDEX --json").json();
    assert!(info["live_bytes"].as_u64().unwrap() > 0);
    assert_eq!(info["generations"].as_array().unwrap().len(), 1);
    assert_eq!(info["tables"]["documents"]["version"].as_u64(), Some(2), "{info}");
    let out = shell.run("info INDEX").succeeded().out;
    assert!(out.contains("live") && out.contains("segments of words"), "{out}");
}

#[test]
fn verify_measures_what_searches_by_vectors_find() {
    let shell = Shell::new();
    shell.run("bench --search --rows 50 --dims 4 --seconds 0.05 --keep kept --json").succeeded();
    let verified = shell.run("verify kept/50-4.fossick --recall=5 --json").json();
    let recall = &verified["recall"];
    assert_eq!((recall["k"].as_u64(), recall["queries"].as_u64()), (Some(100), Some(5)), "{recall}");
    assert_eq!((recall["recall"].as_f64(), recall["target"].as_f64()), (Some(1.0), Some(0.95)), "{recall}");
    assert_eq!((recall["compares_all"].as_bool(), recall["widened"].as_bool()), (Some(true), Some(false)), "{recall}");
    let out = shell.run("verify --recall kept/50-4.fossick").succeeded().out;
    assert!(out.contains("sound") && out.contains("recall@100: 1.0000 for 50 of") && out.contains("0.95"), "{out}");
    assert_eq!(shell.run("verify kept/50-4.fossick --json").json()["recall"], serde_json::Value::Null);
    shell.run("verify kept/50-4.fossick --recall=0").refused(1, &["1 or more"]);
    assert_eq!(shell.run("info kept/50-4.fossick --json").json()["code_deviations"].as_u64(), Some(3));
    assert!(shell.run("info kept/50-4.fossick").succeeded().out.contains("3 deviations above what codes say"));
    shell.words_index(THREE);
    shell.run("verify INDEX --recall").refused(1, &["INDEX", "keeps none"]);
    assert_eq!(shell.run("info INDEX --json").json()["code_deviations"].as_u64(), Some(0));
}
