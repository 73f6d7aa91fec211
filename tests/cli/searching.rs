//! Asking an index.

use crate::shell::{Shell, keys};

const NOTES: &str = "{\"id\": \"well\", \"title\": \"Wells\", \"text\": \"How to dig a well by hand.\", \"year\": 1901}\n\
    {\"id\": \"roof\", \"title\": \"Roofs\", \"text\": \"How to thatch a roof.\", \"year\": 1902}\n";

#[test]
fn a_page_shows_title_stages_passage_and_times() {
    let shell = Shell::new();
    shell.words_index(NOTES);
    let page = shell.run("search INDEX digging wells").succeeded().out;
    for part in ["1  Wells  well", "year 1901", "BM25 #1", "logit #1", "How to dig a well by hand.", "judging", "on cpu"] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    assert!(!page.contains('\u{1b}'), "colours in a pipe");

    let mut command = shell.command("search INDEX digging wells --rerank 0");
    let coloured = command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR").output().unwrap();
    let coloured = String::from_utf8(coloured.stdout).unwrap();
    assert!(coloured.contains("\u{1b}[1m\u{1b}[33mdig\u{1b}[0m"), "the query's words are marked: {coloured:?}");

    let page = shell.run("search INDEX digging --rerank 0 --offset 9").succeeded().out;
    assert!(page.contains("--offset 9 leaves out all of the 1 that were found"), "{page}");
    assert!(shell.run("search INDEX digging --rerank 0 --limit 0").succeeded().out.contains("no hits were asked for"));
}

#[test]
fn queries_come_from_a_pipe_one_a_line() {
    let shell = Shell::new();
    shell.words_index(NOTES);
    let answers = shell.run_with("search INDEX --rerank 0 --json --limit 1", "thatch\n\ndig\n").json_lines();
    assert_eq!(answers.len(), 3);
    assert_eq!((keys(&answers[0]), keys(&answers[1]).len(), keys(&answers[2])), (vec!["roof"], 0, vec!["well"]));
    assert_eq!(answers[0]["query"], "thatch");
    assert_eq!(answers[0]["hits"][0]["passage"]["text"], "How to thatch a roof.");
}

#[test]
fn modes_and_numbers_are_obeyed() {
    let shell = Shell::new();
    shell.words_index(NOTES);
    let found = shell.run("search INDEX how --mode lexical --rerank 1 --limit 9 --json").json();
    assert_eq!(found["mode"], "lexical");
    let found = shell.run("search INDEX dig thatch --candidates 1 --rerank 1 --json").json();
    assert_eq!(keys(&found).len(), 1);
    let found = shell.run("search INDEX dig thatch --candidates 1 --rerank 0 --json").json();
    assert_eq!(keys(&found).len(), 2, "words alone are listed to the end of the page");
    shell.run("search INDEX dig --mode semantic").refused(1, &["the index was made without vectors"]);
    // What was judged before needs no time.
    let found = shell.run("search INDEX how --mode lexical --rerank 1 --deadline 0 --json").json();
    assert_eq!((found["judged"].as_u64(), found["from_cache"].as_u64()), (Some(1), Some(1)));
    let found = shell.run("search INDEX how --rerank 9 --deadline 0 --no-cache --json").json();
    assert_eq!((found["judged"].as_u64(), found["to_judge"].as_u64() > Some(0)), (Some(0), true));
    assert!(found["notes"][0].as_str().unwrap().starts_with("the deadline came when 0 of"));
    assert!(shell.run("search INDEX zebra --rerank 0").succeeded().out.contains("nothing found"));
}

#[test]
fn conditions_counts_and_orders_are_those_of_the_library() {
    let shell = Shell::new();
    shell.words_index(NOTES);
    let found = shell.run("search INDEX how --rerank 0 --filter year>=1902 --json").json();
    assert_eq!(keys(&found), ["roof"]);
    shell.run("search INDEX how --filter yeer>=1902").refused(1, &["yeer", "year"]);
    let page = shell.run("search INDEX how --rerank 0 --facet year").succeeded().out;
    assert!(page.contains("year: 1901 1, 1902 1") && page.contains("2 documents match"), "{page}");
    assert_eq!(keys(&shell.run("search INDEX how --rerank 0 --sort year:desc --json").json()), ["roof", "well"]);
    assert_eq!(keys(&shell.run("search INDEX how --rerank 0 --sort year --offset 1 --json").json()), ["roof"]);
    shell.run("search INDEX how ( --rerank 0 --strict").refused(1, &["byte 4", "parenthesis"]);
    let forgiven = shell.run("search INDEX dig ( --rerank 0").succeeded().out;
    assert!(forgiven.contains("note:") && forgiven.contains("Wells"), "{forgiven}");
    let explained = shell.run("search INDEX dig --rerank 0 --explain").succeeded().out;
    assert!(explained.contains("BM25 of the word \"dig\""), "{explained}");
}

#[test]
fn whoever_stops_reading_gets_no_complaint() {
    let shell = Shell::new();
    shell.words_index(NOTES);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_fossick"))
        .args(["search", "INDEX", "--rerank", "0", "--json"])
        .current_dir(shell.path("."))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"dig\ndig\ndig\n");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", String::from_utf8_lossy(&output.stderr));
}
