//! Progress, cancellation, and texts of every kind on their way in.

use fossick::{Document, Error, Index, IngestError, Mode, Options, PassageOptions};

use crate::common::{encoded_index, encoder, keys, note, schema};

#[test]
fn progress_counts_what_was_done() {
    let (_directory, index) = encoded_index();
    let mut writer = index.writer().unwrap();
    let monitor = writer.monitor();
    for number in 0..5 {
        writer.add(note(&format!("n{number}"), "Title", "One short text.")).unwrap();
    }
    writer.commit().unwrap();
    let progress = monitor.progress();
    assert_eq!((progress.documents_added, progress.documents_written), (5, 5));
    assert_eq!((progress.passages_cut, progress.passages_embedded), (5, 5));
    drop(writer);
    assert!(!monitor.is_cancelled());
}

#[test]
fn a_cancelled_writer_commits_nothing_and_says_so() {
    let (_directory, index) = encoded_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("new", "", "text")).unwrap();
    writer.monitor().cancel();
    assert!(matches!(writer.commit(), Err(Error::Ingest(IngestError::Cancelled))));
    assert!(matches!(writer.add(note("more", "", "text")), Err(Error::Ingest(IngestError::Stopped { .. }))));
    assert!(matches!(writer.commit(), Err(Error::Ingest(IngestError::Stopped { .. }))));
    drop(writer);
    assert_eq!(index.snapshot().unwrap().document_count(), 5);
    index.writer().unwrap().add(note("new", "", "text")).unwrap();
}

#[test]
fn cancelling_from_another_thread_ends_a_long_run() {
    let (_directory, index) = encoded_index();
    let mut writer = index.writer().unwrap();
    let monitor = writer.monitor();
    let watcher = std::thread::spawn({
        let monitor = monitor.clone();
        move || {
            while monitor.progress().passages_embedded == 0 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            monitor.cancel();
        }
    });
    let body = "A sentence of some length that is repeated until it fills a passage or two. ".repeat(20);
    let result = (0..100_000).try_for_each(|number| writer.add(note(&number.to_string(), "", &body)));
    watcher.join().unwrap();
    assert!(matches!(result, Err(Error::Ingest(IngestError::Cancelled))), "{result:?}");
    assert!(monitor.progress().documents_added < 10_000, "the channels are bounded");
    assert!(monitor.is_cancelled());
}

#[test]
fn texts_of_every_kind_go_in() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().schema(schema()).encoder(encoder()).passages(PassageOptions {
        max_tokens: 32,
        overlap_tokens: 4,
        ..PassageOptions::default()
    });
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    let mut writer = index.writer().unwrap();
    let texts = [
        ("empty", String::new()),
        ("spaces", " \n\t ".to_owned()),
        ("controls", "\u{0}\u{1}\u{2}\u{7f}".to_owned()),
        ("one-word", "x".repeat(5_000)),
        ("no-spaces", "中文没有空格".repeat(40)),
        ("emoji", "👩‍👩‍👧‍👦🇪🇺".repeat(20)),
        ("combining", "e\u{301}".repeat(300)),
        ("one-sentence", "word ".repeat(300)),
        ("brackets", "[CLS] [SEP] [PAD] ##ing".to_owned()),
    ];
    for (key, text) in &texts {
        writer.add(note(key, "", text)).unwrap();
    }
    writer.add(Document::new("title-only").set("title", "A heading and nothing else")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document_count(), texts.len() as u64 + 1);
    let found = snapshot.search("heading").run().unwrap();
    assert_eq!(found.hits[0].key, "title-only");
    assert_eq!(found.hits[0].passage.as_ref().unwrap().field, "title");
    // Every passage is a piece of its field's text, at the place that it gives.
    let all = snapshot.search("word").mode(Mode::Semantic).limit(100).run().unwrap();
    assert!(!keys(&all).contains(&"empty") && !keys(&all).contains(&"spaces"), "a document without text has no passage");
    for hit in &all.hits {
        let passage = hit.passage.as_ref().unwrap();
        assert_eq!(hit.text(&passage.field)[passage.start..passage.end], passage.text, "{}", hit.key);
        assert!(!passage.text.trim().is_empty());
    }
}
