//! Opinions of up to 700,000 characters go in whole.

use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use fossick::{Index, Options};

use crate::common::{note, schema, shared};

/// Words alone: the vectors of all 19 MB take too long for a test (`examples/measure_ingest.rs` measures them).
#[test]
fn every_opinion_goes_in_and_every_passage_is_where_it_says() {
    let Some(path) = shared("data/legal/opinions-full.jsonl.gz") else { return };
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema())).unwrap();
    let mut writer = index.writer().unwrap();
    let (mut count, mut longest) = (0, (String::new(), 0));
    for line in BufReader::new(GzDecoder::new(std::fs::File::open(path).unwrap())).lines() {
        let opinion: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |field: &str| opinion[field].as_str().unwrap();
        if text("text").len() > longest.1 {
            longest = (text("id").to_owned(), text("text").len());
        }
        writer.add(note(text("id"), text("title"), text("text"))).unwrap();
        count += 1;
    }
    writer.commit().unwrap();
    drop(writer);
    assert!(longest.1 > 600_000);
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document_count(), count);
    assert!(snapshot.passage_count() > 10_000);
    let document = snapshot.document(&longest.0).unwrap().unwrap();
    assert_eq!(document.get("body").unwrap().as_text().unwrap().len(), longest.1);
    let response = snapshot.search("exclusive privilege of a toll bridge over the Charles River").limit(20).run().unwrap();
    assert_eq!(response.hits[0].key, "us-36-420");
    for hit in &response.hits {
        let passage = hit.passage.as_ref().unwrap();
        assert_eq!(hit.text("body")[passage.start..passage.end], passage.text);
    }
}
