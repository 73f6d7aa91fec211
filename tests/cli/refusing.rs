//! Bad input: a message that says where, what and what to do; nothing lost, nothing half done.

use crate::shell::Shell;

const GOOD: &str = "{\"id\": \"a\", \"text\": \"one\"}\n";

#[test]
fn a_line_that_is_not_json_stops_everything_or_is_skipped() {
    let shell = Shell::new();
    shell.write("c.jsonl", format!("{GOOD}not json\n{{\"id\": \"b\", \"text\": \"two\"}}\n"));
    shell
        .run("index INDEX c.jsonl --words-only")
        .refused(1, &["c.jsonl, line 2: is not JSON", "nothing was indexed", "--on-error skip"]);
    assert!(!shell.path("INDEX").exists());
    let ended = shell.run("index INDEX c.jsonl --words-only --on-error skip");
    assert_eq!(ended.status, 3, "{}", ended.err);
    assert!(ended.err.contains("line 2") && ended.err.contains("2 added") && ended.err.contains("1 refused"), "{}", ended.err);
    assert_eq!(shell.documents("INDEX"), 2);
}

#[test]
fn what_was_there_is_kept_when_a_file_is_refused() {
    let shell = Shell::new();
    shell.words_index(GOOD);
    shell.write("more.jsonl", "{\"id\": \"b\", \"text\": \"two\"}\n{\"id\": \"c\", \"text\": 3}\n");
    shell.run("index INDEX more.jsonl").refused(1, &["more.jsonl, line 2", "\"text\" expects a text, found an integer 3"]);
    assert_eq!(shell.documents("INDEX"), 1);
}

#[test]
fn a_key_twice_is_named_with_both_its_places() {
    let shell = Shell::new();
    shell.write("c.jsonl", format!("{GOOD}{{\"id\": \"b\", \"text\": \"x\"}}\n{{\"id\": \"a\", \"text\": \"again\"}}\n"));
    shell.run("index INDEX c.jsonl --words-only").refused(1, &["c.jsonl, line 3", "\"a\" is there already, at c.jsonl, line 1"]);
    let ended = shell.run("index INDEX c.jsonl --words-only --on-error skip");
    assert_eq!((ended.status, shell.documents("INDEX")), (3, 2));
}

#[test]
fn a_missing_key_a_missing_text_and_a_key_that_is_none() {
    let shell = Shell::new();
    shell.write("c.jsonl", format!("{GOOD}{{\"text\": \"no key\"}}\n{{\"id\": \"c\"}}\n{{\"id\": [1], \"text\": \"x\"}}\n"));
    shell.run("index INDEX c.jsonl --words-only").refused(
        1,
        &[
            "line 2: has no column \"id\"",
            "line 3: has none of the fields that are searched (text)",
            "line 4: expected a text or an integer as key",
            "3 of 4 records",
        ],
    );
    shell.write("d.jsonl", "{\"text\": \"x\"}\n");
    shell.run("index INDEX d.jsonl --words-only").refused(1, &["no column is the key", "--key COLUMN"]);
    shell.run("index INDEX c.jsonl --words-only --key nothing").refused(1, &["no record has the column \"nothing\""]);
    shell.run("index INDEX c.jsonl --words-only --field nothing:text").refused(1, &["no record has the column \"nothing\""]);
}

#[test]
fn empty_and_binary_files() {
    let shell = Shell::new();
    shell.write("empty.jsonl", "").write("binary.jsonl", [0x80, 0, 0xff, b'\n', 1, 2]).write("binary.txt", [b'a', 0, b'b']);
    shell.write("blank.csv", "").write("x.parquet", "PAR1 not really").write("x.arrow", "no");
    shell.run("index INDEX empty.jsonl --words-only").refused(1, &["empty.jsonl: holds no record"]);
    shell.run("index INDEX blank.csv --words-only").refused(1, &["blank.csv: holds no record"]);
    shell
        .run("index INDEX binary.jsonl --words-only")
        .refused(1, &["binary.jsonl, line 1: is not JSON", "no record can be taken"]);
    shell.run("index INDEX binary.txt --words-only").refused(1, &["binary.txt: holds NUL characters"]);
    shell.run("index INDEX x.parquet --words-only").refused(1, &["x.parquet: is not a Parquet file"]);
    shell.run("index INDEX x.arrow --words-only").refused(1, &["x.arrow: is neither an Arrow file nor an Arrow stream"]);
    assert!(!shell.path("INDEX").exists());
}

#[test]
fn a_damaged_parquet_file_is_refused_where_the_damage_begins() {
    use std::sync::Arc;
    let column: arrow::array::ArrayRef =
        Arc::new(arrow::array::StringArray::from_iter_values((0..1000).map(|n| format!("text {n}"))));
    let batch = arrow::array::RecordBatch::try_from_iter([("id", column.clone()), ("text", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes[4..2000].fill(0);
    let shell = Shell::new();
    shell.write("x.parquet", bytes);
    shell.run("index INDEX x.parquet --words-only").refused(1, &["x.parquet, row 1: cannot be read from here on"]);
}

#[test]
fn paths_endings_and_indexes_that_are_none() {
    let shell = Shell::new();
    shell.write("picture.png", "x").write("notindex/file.txt", "x");
    shell.run("index INDEX absent.jsonl").refused(1, &["absent.jsonl: there is no such file or folder"]);
    shell.run("index INDEX picture.png").refused(1, &["picture.png", "expected .jsonl"]);
    #[cfg(unix)]
    {
        assert!(std::process::Command::new("mkfifo").arg(shell.path("pipe.jsonl")).status().unwrap().success());
        shell.run("index INDEX pipe.jsonl").refused(1, &["pipe.jsonl: is no regular file"]);
    }
    shell.run("search ABSENT query").refused(1, &["there is no index here"]);
    shell.write("c.jsonl", GOOD);
    shell.run("index notindex c.jsonl --words-only").refused(1, &["is not an index directory"]);
    shell.run("info notindex").refused(1, &["is not an index"]);
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let shell = Shell::new();
    assert_eq!(shell.run("index").status, 2);
    assert_eq!(shell.run("search INDEX x --limit many").status, 2);
    assert_eq!(shell.run("index INDEX c.jsonl --field year:number").status, 2);
    assert_eq!(shell.run("nonsense").status, 2);
    assert_eq!(shell.run("index INDEX c.jsonl --passage-tokens 0").status, 2);
    assert_eq!(shell.run("search INDEX x --candidates 0").status, 2);
    assert_eq!(shell.run("--version").succeeded().out.trim(), format!("fossick {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let shell = Shell::new();
    shell.words_index(GOOD);
    shell.run("search INDEX one --judge nowhere").refused(1, &["nowhere", "config.json"]);
    shell.run("models --models nowhere").refused(1, &["nowhere"]);
    shell.run("search INDEX one --device nosuchthing").refused(1, &["\"nosuchthing\"", "cpu"]);
}
