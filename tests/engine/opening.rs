//! What is opened is an index, of a known format, with the encoder and the schema that it was made with.

use std::fs;
use std::process::Command;

use fossick::{Encoder, Error, Index, IngestError, Mode, OpenError, Options, Schema, SearchError};

use crate::common::{copy_directory, encoded_index, encoder, keys, note, repository, schema, words_index};

fn open_error(result: Result<Index, Error>) -> OpenError {
    match result {
        Err(Error::Open(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_that_does_not_exist_holds_no_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nowhere");
    assert!(matches!(open_error(Index::open(&path, Options::new())), OpenError::NotFound { .. }));
    assert!(matches!(open_error(Index::open_or_create(&path, Options::new())), OpenError::SchemaRequired { .. }));
    assert!(!path.exists(), "a refused call leaves nothing behind");
}

#[test]
fn a_directory_with_other_things_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear reader").unwrap();
    let error = open_error(Index::open_or_create(directory.path(), Options::new().schema(schema())));
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let file = directory.path().join("letter.txt");
    assert!(matches!(open_error(Index::open(&file, Options::new())), OpenError::NotAnIndex { .. }));
}

#[test]
fn what_a_desktop_leaves_in_a_directory_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".DS_Store"), "x").unwrap();
    let index = Index::open_or_create(directory.path(), Options::new().schema(schema())).unwrap();
    for place in ["", "readers", "words-0"] {
        fs::create_dir_all(directory.path().join(place)).unwrap();
        fs::write(directory.path().join(place).join(".DS_Store"), "x").unwrap();
    }
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples")).unwrap();
    writer.commit().unwrap();
    assert_eq!(keys(&index.snapshot().unwrap().search("apples").run().unwrap()), ["a"]);
}

#[test]
fn a_file_of_another_program_is_told_from_a_damaged_index() {
    let (_directory, index) = words_index();
    let current = index.path().join("CURRENT");
    let sound = fs::read(&current).unwrap();
    fs::write(&current, b"SQLite format 3\0").unwrap();
    assert!(matches!(open_error(Index::open(index.path(), Options::new())), OpenError::NotAnIndex { .. }));
    let mut flipped = sound.clone();
    flipped[40] ^= 1;
    fs::write(&current, flipped).unwrap();
    let error = open_error(Index::open(index.path(), Options::new()));
    assert!(matches!(error, OpenError::Damaged { .. }) && error.to_string().contains("CURRENT"), "{error}");
    // `open_or_create` must not take damage for absence.
    assert!(matches!(
        open_error(Index::open_or_create(index.path(), Options::new().schema(schema()))),
        OpenError::Damaged { .. }
    ));
    fs::write(&current, sound).unwrap();
    Index::open(index.path(), Options::new()).unwrap();
}

#[test]
fn an_index_that_lost_its_commit_point_is_not_taken_for_a_new_one() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let current = index.path().join("CURRENT");
    let kept = fs::read(&current).unwrap();
    fs::remove_file(&current).unwrap();
    let error = open_error(Index::open_or_create(index.path(), Options::new().schema(schema())));
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    fs::write(&current, kept).unwrap();
    assert_eq!(keys(&index.snapshot().unwrap().search("apples").run().unwrap()), ["a"]);
}

#[test]
fn a_creation_that_was_cut_short_is_made_anew() {
    let (_directory, index) = words_index();
    fs::remove_file(index.path().join("CURRENT")).unwrap();
    fs::write(index.path().join("CURRENT.tmp"), b"half").unwrap();
    let index = Index::open_or_create(index.path(), Options::new().schema(schema())).unwrap();
    assert_eq!(index.snapshot().unwrap().document_count(), 0);
}

#[test]
fn a_newer_and_an_older_format_are_refused() {
    let (_directory, index) = words_index();
    let current = index.path().join("CURRENT");
    let refused = |version: u32| {
        let mut bytes = fs::read(&current).unwrap();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let end = bytes.len() - 4;
        let checksum = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        fs::write(&current, bytes).unwrap();
        open_error(Index::open(index.path(), Options::new()))
    };
    assert!(matches!(refused(6), OpenError::NewerFormat { found: 6, known: 5, .. }));
    assert!(matches!(refused(4), OpenError::OlderFormat { found: 4, known: 5, .. }));
}

#[test]
fn another_schema_is_refused_with_the_difference() {
    let (_directory, index) = words_index();
    let other = Schema::builder().heading("title").text("body").integer("year").build().unwrap();
    let error = open_error(Index::open(index.path(), Options::new().schema(other)));
    assert!(matches!(&error, OpenError::OtherSchema { difference, .. } if difference.contains("\"year\"")), "{error}");
}

#[test]
fn another_encoder_is_refused_and_a_moved_one_is_not() {
    let (_directory, index) = encoded_index();
    let copy = tempfile::tempdir().unwrap();
    copy_directory(&repository().join("models/bge-small-en-v1.5"), copy.path());
    let moved = Encoder::load(copy.path(), encoder().device()).unwrap();
    Index::open(index.path(), Options::new().encoder(moved)).unwrap();

    // One bit in one weight makes another model.
    let weights = copy.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let other = Encoder::load(copy.path(), encoder().device()).unwrap();
    let error = open_error(Index::open(index.path(), Options::new().encoder(other)));
    assert!(matches!(error, OpenError::OtherEncoder { .. }), "{error}");
    assert!(matches!(open_error(Index::open(index.path(), Options::new().own_vectors(384))), OpenError::OtherEncoder { .. }));

    let (_directory, words) = words_index();
    assert!(matches!(open_error(Index::open(words.path(), Options::new().encoder(encoder()))), OpenError::OtherEncoder { .. }));
}

#[test]
fn without_its_encoder_an_index_is_searched_by_words_and_not_written() {
    let (_directory, index) = encoded_index();
    let bare = Index::open(index.path(), Options::new()).unwrap();
    let snapshot = bare.snapshot().unwrap();
    assert_eq!(keys(&snapshot.search("dough").mode(Mode::Lexical).run().unwrap()), ["bread"]);
    let error = snapshot.search("dough").run().unwrap_err();
    assert!(
        matches!(error, Error::Search(SearchError::NoQueryVector { .. })) && error.to_string().contains("bge-small"),
        "{error}"
    );
    assert!(matches!(bare.writer(), Err(Error::Ingest(IngestError::EncoderRequired { .. }))));
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let (_directory, index) = words_index();
    let writer = index.writer().unwrap();
    let error = index.writer().unwrap_err();
    assert!(matches!(error, Error::Open(OpenError::Locked { .. })), "{error}");
    if cfg!(unix) {
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    }
    drop(writer);
    index.writer().unwrap();
}

#[test]
fn another_process_reads_while_this_one_writes() {
    // This test starts its own binary again; the child comes in here with the directory in its environment.
    const CHILD: &str = "FOSSICK_TEST_INDEX";
    if let Some(path) = std::env::var_os(CHILD) {
        let index = Index::open(path, Options::new()).unwrap();
        assert_eq!(keys(&index.snapshot().unwrap().search("apples").run().unwrap()), ["committed"]);
        assert!(matches!(index.writer(), Err(Error::Open(OpenError::Locked { .. }))));
        return;
    }
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("committed", "", "apples")).unwrap();
    writer.commit().unwrap();
    writer.add(note("pending", "", "apples")).unwrap();
    let test = "opening::another_process_reads_while_this_one_writes";
    let child = Command::new(std::env::current_exe().unwrap()).args(["--exact", test]).env(CHILD, index.path()).output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
#[cfg(unix)]
fn a_directory_that_cannot_be_written_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "apples")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    fs::remove_dir_all(index.path().join("readers")).unwrap_or_default();
    let allow = |mode| fs::set_permissions(index.path(), fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    let found = Index::open(index.path(), Options::new()).unwrap().snapshot().unwrap().search("apples").run();
    allow(0o755);
    assert_eq!(keys(&found.unwrap()), ["a"]);
}
