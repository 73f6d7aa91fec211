//! From files to an index.

use std::io::Write;
#[cfg(unix)]
use std::process::Command;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int32Array, LargeStringArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fossick::PassageOptions;
use serde_json::json;

use crate::shell::{Shell, keys};

#[test]
fn beirs_corpus_is_taken_as_it_is() {
    let shell = Shell::new();
    shell.write(
        "corpus.jsonl",
        "{\"_id\": \"1\", \"title\": \"Wells\", \"text\": \"How to dig a well.\", \"metadata\": {\"url\": \"x\"}}\n{\"_id\": \"2\", \"title\": \"\", \"text\": \"Thatch.\", \"metadata\": {}}\n",
    );
    let ended = shell.run("index INDEX corpus.jsonl --words-only").succeeded();
    assert!(ended.err.contains("key _id, fields title:heading text:text"), "{}", ended.err);
    assert!(ended.err.contains("\"metadata\" is left out"), "{}", ended.err);
    assert!(ended.err.contains("2 added, 0 changed, 0 unchanged"), "{}", ended.err);
    let found = shell.run("search INDEX --rerank 0 --json digging").json();
    assert_eq!(keys(&found), ["1"]);
}

#[test]
fn a_second_run_takes_only_what_changed_and_prune_removes_what_is_gone() {
    let shell = Shell::new();
    shell.words_index(
        "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": \"b\", \"text\": \"two\"}\n{\"id\": \"c\", \"text\": \"three\"}\n",
    );
    let ended = shell.run("index INDEX corpus.jsonl").succeeded();
    assert!(
        ended.err.contains("0 added, 0 changed, 3 unchanged, 0 deleted") && ended.err.contains("generation 1"),
        "{}",
        ended.err
    );
    shell.write(
        "corpus.jsonl",
        "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": \"b\", \"text\": \"deux\"}\n{\"id\": \"d\", \"text\": \"four\"}\n",
    );
    shell.write("other.jsonl", "{\"id\": \"z\", \"text\": \"other\"}\n");
    let ended = shell.run("index INDEX other.jsonl --prune").succeeded();
    assert!(ended.err.contains("the index has none of these documents") && ended.err.contains("0 deleted"), "{}", ended.err);
    let ended = shell.run("index INDEX corpus.jsonl --prune").succeeded();
    assert!(ended.err.contains("1 added, 1 changed, 1 unchanged, 2 deleted"), "{}", ended.err);
    assert_eq!(shell.documents("INDEX"), 3);
    for (query, hits) in [("two", 0), ("deux", 1), ("three", 0), ("four", 1)] {
        assert_eq!(keys(&shell.run(&format!("search INDEX {query} --rerank 0 --json")).json()).len(), hits, "{query}");
    }
}

#[test]
fn nothing_is_deleted_when_a_record_was_refused() {
    let shell = Shell::new();
    shell.words_index("{\"id\": \"a\", \"text\": \"one\", \"n\": 1}\n{\"id\": \"b\", \"text\": \"two\", \"n\": 2}\n");
    shell.write(
        "corpus.jsonl",
        "{\"id\": \"a\", \"text\": \"one\", \"n\": \"many\"}\n{\"id\": \"c\", \"text\": \"three\", \"n\": 3}\n",
    );
    let ended = shell.run("index INDEX corpus.jsonl --prune --on-error skip");
    assert_eq!(ended.status, 3);
    assert!(ended.err.contains("nothing was deleted"), "{}", ended.err);
    assert_eq!(shell.documents("INDEX"), 3);
}

#[test]
fn an_index_keeps_its_fields_and_columns_can_be_ignored_for_a_run() {
    let shell = Shell::new();
    shell.words_index("{\"id\": \"a\", \"text\": \"one\", \"n\": 1}\n");
    shell.write("more.jsonl", "{\"id\": \"b\", \"text\": \"two\", \"n\": \"many\", \"extra\": 1}\n");
    shell.run("index INDEX more.jsonl").refused(1, &["\"n\" expects an integer", "--ignore"]);
    let ended = shell.run("index INDEX more.jsonl --ignore n --field text:text").succeeded();
    assert!(ended.err.contains("does not have are left out: extra"), "{}", ended.err);
    shell.run("index INDEX more.jsonl --ignore n --field text:keyword").refused(1, &["it is text", "make a new one"]);
    shell.run("index INDEX more.jsonl --ignore nothing").refused(1, &["no record has the column \"nothing\""]);
}

#[test]
fn files_of_several_inputs_are_told_apart_by_the_input() {
    let shell = Shell::new();
    shell
        .write("one/readme.md", "# First\n\nwalnut")
        .write("two/readme.md", "# Second\n\nwalnut")
        .write("c.jsonl", "{\"id\": \"x\", \"title\": \"Third\", \"text\": \"walnut\"}\n");
    shell.run("index INDEX one two two/readme.md c.jsonl --words-only").refused(1, &["\"two/readme.md\" is there already"]);
    shell.run("index INDEX one two c.jsonl --words-only").succeeded();
    let found = shell.run("search INDEX walnut --rerank 0 --json").json();
    let mut found = keys(&found);
    found.sort_unstable();
    assert_eq!(found, ["one/readme.md", "two/readme.md", "x"]);
}

#[test]
fn a_folder_gives_its_text_markdown_and_html_files() {
    let shell = Shell::new();
    shell
        .write("notes/lease.md", "# The lease\n\nUp in **May**.")
        .write("notes/deep/page.html", "<title>Roof</title><p>Thatch &amp; tiles</p><script>hidden()</script>")
        .write("notes/plain_words.txt", "Nothing special.")
        .write("notes/picture.png", [0, 159, 146, 150])
        .write("notes/.hidden/secret.txt", "hidden");
    let ended = shell.run("index INDEX notes --words-only").succeeded();
    assert!(ended.err.contains("notes: passed over 1 file that fossick does not read in a folder (1 .png)"), "{}", ended.err);
    assert_eq!(shell.documents("INDEX"), 3);
    let hit = &shell.run("search INDEX tiles --rerank 0 --json").json()["hits"][0];
    assert_eq!((hit["key"].as_str(), hit["fields"]["title"].as_str()), (Some("deep/page.html"), Some("Roof")));
    let hit = &shell.run("search INDEX may --rerank 0 --json").json()["hits"][0];
    assert_eq!(hit["fields"]["text"], "The lease\n\nUp in May.");
    let hit = &shell.run("search INDEX special --rerank 0 --json").json()["hits"][0];
    assert_eq!(hit["fields"]["title"], "plain words");
    assert!(keys(&shell.run("search INDEX hidden --rerank 0 --json").json()).is_empty());
}

#[test]
fn csv_columns_get_the_type_that_all_their_values_have() {
    let shell = Shell::new();
    shell.write("cases.csv", "id,title,year,zip,text\na,Graham,1966,01234,\"Obvious, or not\"\nb,Diehr,1981,99999,Rubber\n");
    let ended = shell.run("index INDEX cases.csv --words-only").succeeded();
    assert!(ended.err.contains("title:heading text:text year:integer zip:keyword"), "{}", ended.err);
    let hit = &shell.run("search INDEX rubber --rerank 0 --json").json()["hits"][0];
    assert_eq!(hit["fields"], json!({"title": "Diehr", "text": "Rubber", "year": 1981, "zip": "99999"}));
}

#[test]
fn parquet_and_arrow_files_are_read_with_their_types() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("title", DataType::Utf8, true),
        Field::new("body", DataType::LargeUtf8, false),
        Field::new("day", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int32Array::from(vec![7, 8])),
            Arc::new(StringArray::from(vec![Some("Wells"), None])),
            Arc::new(LargeStringArray::from(vec!["How to dig.", "How to thatch."])),
            Arc::new(TimestampMillisecondArray::from(vec![Some(200_102_400_000), None])),
        ],
    )
    .unwrap();
    let shell = Shell::new();
    let mut parquet = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut parquet, schema.clone(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    shell.write("a.parquet", parquet);
    let mut arrow = Vec::new();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut arrow, &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    shell.write("b.arrow", arrow);
    let mut stream = Vec::new();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut stream, &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    shell.write("c.arrow", stream);
    for file in ["a.parquet", "b.arrow", "c.arrow"] {
        shell.run(&format!("index {file}.index {file} --words-only")).succeeded();
        let hit = &shell.run(&format!("search {file}.index dig --rerank 0 --json")).json()["hits"][0];
        assert_eq!(hit["key"], "7", "{file}");
        assert_eq!(hit["fields"], json!({"title": "Wells", "body": "How to dig.", "day": "1976-05-05"}), "{file}");
    }
}

#[test]
fn packed_files_declared_fields_and_ignored_columns() {
    let shell = Shell::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"{\"name\": \"n1\", \"note\": \"short words\", \"extra\": 1, \"n\": 5}\n").unwrap();
    shell.write("notes.jsonl.gz", packed.finish().unwrap());
    let ended = shell
        .run("index INDEX notes.jsonl.gz --words-only --key name --field note:text --field n:float --ignore extra")
        .succeeded();
    assert!(ended.err.contains("key name, fields note:text n:float"), "{}", ended.err);
    let hit = &shell.run("search INDEX words --rerank 0 --json").json()["hits"][0];
    assert_eq!(hit["fields"], json!({"note": "short words", "n": 5.0}));
}

#[test]
fn an_index_with_vectors_answers_by_meaning() {
    let shell = Shell::new();
    shell.write("n.jsonl", "{\"id\": \"bread\", \"text\": \"The dough rests overnight before it is baked.\"}\n{\"id\": \"moon\", \"text\": \"The moon turns once around the earth in a month.\"}\n");
    let ended = shell.run("index INDEX n.jsonl").succeeded();
    assert!(ended.err.contains("2 passages embedded"), "{}", ended.err);
    let found = shell.run("search INDEX a satellite in orbit --mode semantic --rerank 0 --limit 1 --json").json();
    assert_eq!(keys(&found), ["moon"]);
    let found = shell.run("search INDEX a satellite in orbit --limit 1 --json").json();
    assert_eq!((found["judged"].as_u64(), found["mode"].as_str()), (Some(2), Some("hybrid")));
    assert!(found["hits"][0]["rerank"]["logit"].is_number());
    let info = shell.run("info INDEX --json").json();
    assert_eq!((info["dimension"].as_u64(), info["encoder"]["name"].as_str()), (Some(384), Some("bge-small-en-v1.5")));
}

fn committed(shell: &Shell) -> u64 {
    let ended = shell.run("info INDEX --json");
    if ended.status == 0 { ended.json()["documents"].as_u64().unwrap() } else { 0 }
}

fn wait_for_a_commit(shell: &Shell, child: &mut Child) {
    while committed(shell) == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was() {
    let shell = Shell::new();
    let line = |n: usize| format!("{{\"id\": \"d{n}\", \"text\": \"document number {n} of a long list of documents\"}}\n");
    shell.write("corpus.jsonl", (0..400).map(line).collect::<String>());
    let mut child = shell.command("index INDEX corpus.jsonl --commit-every 1").stderr(Stdio::null()).spawn().unwrap();
    wait_for_a_commit(&shell, &mut child);
    // It may have finished meanwhile; then everything is there.
    let _ = child.kill();
    child.wait().unwrap();
    let kept = committed(&shell);
    assert!(kept > 0);
    let ended = shell.run("index INDEX corpus.jsonl").succeeded();
    assert!(ended.err.contains(&format!("{} added, 0 changed, {kept} unchanged", 400 - kept)), "{}", ended.err);
    assert_eq!(shell.documents("INDEX"), 400);
}

/// Long documents, of which a few are seconds of work: commits must not wait for all that there are.
#[test]
#[cfg(unix)]
fn an_interrupted_run_commits_what_is_under_way_says_so_and_can_go_on() {
    // More than any machine does while this waits.
    const DOCUMENTS: usize = 4000;
    let shell = Shell::new();
    let text = "A sentence of a long opinion says little, and there are many of them. ".repeat(80);
    let lines =
        |count| (0..count).map(|n| format!("{{\"id\": \"d{n}\", \"text\": \"Opinion {n}. {text}\"}}\n")).collect::<String>();
    shell.write("corpus.jsonl", lines(DOCUMENTS));
    let mut child = shell.command("index INDEX corpus.jsonl --commit-every 1").stderr(Stdio::piped()).spawn().unwrap();
    wait_for_a_commit(&shell, &mut child);
    // A shell has a `kill` of its own.
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(told.contains("run the same command again to go on"), "{told}");
    let kept = committed(&shell) as usize;
    assert!(0 < kept && kept < DOCUMENTS, "{kept} were committed");
    assert!(shell.run("verify INDEX").status == 0);
    shell.write("corpus.jsonl", lines(kept + 3));
    let ended = shell.run("index INDEX corpus.jsonl").succeeded();
    assert!(ended.err.contains(&format!("3 added, 0 changed, {kept} unchanged")), "{}", ended.err);
}

#[test]
fn an_index_keeps_to_the_way_in_which_its_passages_are_cut() {
    let shell = Shell::new();
    shell.words_index("{\"id\": \"a\", \"text\": \"one\"}\n");
    shell.run("index INDEX corpus.jsonl --passage-tokens 96").succeeded();
    shell.run("index INDEX corpus.jsonl --passage-tokens 200").refused(1, &["--passage-tokens", "INDEX", "leave the option out"]);
    shell.run("index INDEX corpus.jsonl --boundary paragraph").refused(1, &["--boundary"]);
    let (help, usual) = (shell.run("index --help").succeeded().out, PassageOptions::default());
    for default in [usual.max_tokens, usual.overlap_tokens] {
        assert!(help.contains(&format!("[default: {default}]")), "{default} is not in:\n{help}");
    }
}

#[test]
fn a_new_index_has_its_words_in_the_language_that_was_named_and_keeps_to_it() {
    let shell = Shell::new();
    shell.write("c.jsonl", "{\"id\": \"a\", \"title\": \"Über Häuser\", \"text\": \"Die Verträge wurden gekündigt.\"}\n");
    let found = |index: &str, query: &str| keys(&shell.run(&format!("search {index} {query} --rerank 0 --json")).json()).len();
    let ended = shell.run("index GERMAN c.jsonl --words-only --language German").succeeded();
    assert!(ended.err.contains("fields title:heading (german) text:text (german)"), "{}", ended.err);
    shell.run("index ENGLISH c.jsonl --words-only").succeeded();
    shell.run("index PLAIN c.jsonl --words-only --language none").succeeded();
    // Inflected, and a word that says too little in German.
    for (query, german, english, plain) in [("Haus", 1, 0, 0), ("Vertrag", 1, 0, 0), ("Häuser", 1, 1, 1), ("die", 0, 1, 1)] {
        assert_eq!((found("GERMAN", query), found("ENGLISH", query), found("PLAIN", query)), (german, english, plain), "{query}");
    }
    let info = shell.run("info GERMAN --json").json();
    assert_eq!(info["fields"][0], json!({"name": "title", "type": "heading", "language": "german"}));

    shell.run("index GERMAN c.jsonl --language german").succeeded();
    shell.run("index GERMAN c.jsonl").succeeded();
    shell
        .run("index GERMAN c.jsonl --language french")
        .refused(1, &["--language french", "\"title\"", "GERMAN", "German", "leave the option out"]);
    shell.run("index NEW c.jsonl --language klingon").refused(2, &["--language", "klingon", "none", "german", "turkish"]);
    assert!(!shell.path("NEW").exists());
}
