//! Adding, replacing and deleting by key, and what comes back.

use fossick::{Date, Document, Error, FieldType, Index, IngestError, Mode, Options, Schema, SchemaError, Value};

use crate::common::{keys, note, vectors_index, words_index};

#[test]
fn every_type_of_value_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder()
        .heading("title")
        .text("body")
        .keyword("court")
        .integer("year")
        .float("weight")
        .date("decided")
        .boolean("open")
        .stored("raw")
        .build()
        .unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema.clone())).unwrap();
    let decided: Date = "1976-04-27T10:11:12.131415Z".parse().unwrap();
    let document = Document::new("κλειδί 'quoted' \"twice\"; DROP")
        .set("title", "Título")
        .set("body", "Körper\n\nmit Absatz")
        .set("court", "")
        .set("year", i64::MIN)
        .set("weight", -0.5)
        .set("decided", decided)
        .set("open", true)
        .set("raw", "{\"any\": 1}");
    let mut writer = index.writer().unwrap();
    writer.add(document.clone()).unwrap();
    writer.add(Document::new("bare")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document(document.key()).unwrap(), Some(document.clone()));
    assert_eq!(snapshot.document("bare").unwrap(), Some(Document::new("bare")));
    assert_eq!(snapshot.document("absent").unwrap(), None);
    let response = snapshot.search("Körper").run().unwrap();
    assert_eq!(response.hits[0].fields.len(), schema.fields().len());
    assert_eq!(response.hits[0].field("year"), Some(&Value::Integer(i64::MIN)));
    assert_eq!(schema.field("decided").unwrap().kind(), FieldType::Date);
}

#[test]
fn a_document_with_a_known_key_replaces_the_old_one_in_every_part() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "old", "walnut").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    writer.add(note("a", "new", "hazelnut").vector([0.0, 1.0])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!((snapshot.document_count(), snapshot.passage_count()), (1, 1));
    assert!(snapshot.search("walnut").mode(Mode::Lexical).run().unwrap().hits.is_empty());
    let hit = &snapshot.search("hazelnut").vector([0.0, 1.0]).run().unwrap().hits[0];
    assert_eq!((hit.text("title"), hit.semantic.unwrap().score), ("new", 1.0));
}

#[test]
fn replacing_within_one_commit_keeps_the_last() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    for round in 0..50 {
        writer.add(note("a", "", &format!("round{round}"))).unwrap();
        writer.add(note(&format!("b{round}"), "", "other")).unwrap();
    }
    assert!(writer.delete("b7").unwrap());
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document_count(), 50);
    assert_eq!(snapshot.document("a").unwrap().unwrap().get("body"), Some(&Value::Text("round49".into())));
    assert!(snapshot.search("round48").run().unwrap().hits.is_empty());
    assert_eq!(keys(&snapshot.search("round49").run().unwrap()), ["a"]);
}

#[test]
fn a_deleted_document_is_gone_from_every_stage() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "walnut").vector([1.0, 0.0])).unwrap();
    writer.add(note("b", "", "hazelnut").vector([0.9, 0.1])).unwrap();
    writer.commit().unwrap();
    assert!(writer.delete("a").unwrap());
    assert!(!writer.delete("a").unwrap(), "deleting twice finds nothing the second time");
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.keys().unwrap(), ["b"]);
    for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
        let response = snapshot.search("walnut hazelnut").vector([1.0, 0.0]).mode(mode).run().unwrap();
        assert_eq!(keys(&response), ["b"], "{mode:?}");
    }
}

#[test]
fn a_document_that_contradicts_the_schema_changes_nothing_and_the_writer_goes_on() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("good", "", "apples")).unwrap();
    assert!(matches!(writer.add(Document::new("bad").set("body", 7)), Err(Error::Schema(SchemaError::WrongType { .. }))));
    assert!(matches!(writer.add(Document::new("bad").set("bdoy", "x")), Err(Error::Schema(SchemaError::UnknownField { .. }))));
    assert!(matches!(writer.add(note("", "", "x")), Err(Error::Schema(SchemaError::Key { .. }))));
    assert!(matches!(writer.add(note("bad", "", "x").vector([1.0])), Err(Error::Ingest(IngestError::VectorRefused { .. }))));
    writer.commit().unwrap();
    assert_eq!(index.snapshot().unwrap().keys().unwrap(), ["good"]);
}

#[test]
fn vectors_that_cannot_be_compared_are_refused() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    for vector in [vec![1.0], vec![1.0, f32::NAN], vec![f32::INFINITY, 0.0], vec![0.0, 0.0], vec![]] {
        assert!(matches!(writer.add(note("a", "", "x").vector(vector)), Err(Error::Schema(SchemaError::Vector { .. }))));
    }
    assert!(matches!(writer.add(note("a", "", "x")), Err(Error::Ingest(IngestError::VectorRequired { .. }))));
    assert_eq!(writer.commit().unwrap(), 0, "nothing was taken, so nothing is committed");
}

#[test]
fn an_update_adds_only_what_is_not_there_with_the_same_values() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    assert!(writer.update(note("a", "one", "walnut")).unwrap());
    assert!(!writer.update(note("a", "one", "walnut")).unwrap(), "before the commit");
    writer.commit().unwrap();
    drop(writer);
    let mut writer = index.writer().unwrap();
    assert!(!writer.update(note("a", "one", "walnut")).unwrap(), "by a later writer");
    assert_eq!(writer.commit().unwrap(), 1, "nothing has changed, so no generation was made");
    assert!(writer.update(note("a", "two", "walnut")).unwrap());
    assert!(writer.update(note("b", "one", "walnut")).unwrap());
    assert!(writer.contains("b") && !writer.contains("c"));
    writer.delete("a").unwrap();
    assert!(writer.update(note("a", "two", "walnut")).unwrap(), "it was deleted in between");
    assert_eq!(writer.commit().unwrap(), 2);
    let mut found: Vec<&str> = writer.keys().collect();
    found.sort_unstable();
    assert_eq!(found, ["a", "b"]);
    let hits = index.snapshot().unwrap().search("walnut").run().unwrap();
    assert_eq!(keys(&hits), ["a", "b"]);
}

#[test]
fn documents_are_found_by_any_of_many_keys() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    for number in (0..200).rev() {
        writer.add(note(&format!("key {number}"), "", &format!("body {number}"))).unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for number in 0..200 {
        let document = snapshot.document(&format!("key {number}")).unwrap().unwrap();
        assert_eq!(document.get("body"), Some(&Value::Text(format!("body {number}"))));
    }
    assert_eq!(snapshot.document("key 200").unwrap(), None);
}
