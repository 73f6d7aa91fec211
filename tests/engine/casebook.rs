//! The casebook is whole, its words are our own, and it answers.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use fossick::{Index, Options, Schema};
use serde_json::Value;

use crate::common::{encoder, judge, keys, repository, shared};

const RIGHT_ONES: [&str; 9] =
    ["us-425-219", "us-383-1", "us-550-398", "us-409-63", "us-437-584", "us-450-175", "us-564-91", "us-561-593", "usc-35-103"];

fn digests() -> Vec<Value> {
    let text = std::fs::read_to_string(repository().join("examples/casebook/casebook.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(digest: &'a Value, field: &str) -> &'a str {
    digest[field].as_str().unwrap_or_else(|| panic!("{digest} has no {field}"))
}

#[test]
fn there_are_240_digests_of_90_to_180_words() {
    let digests = digests();
    assert_eq!(digests.len(), 240);
    assert_eq!(digests.iter().map(|digest| text(digest, "id")).collect::<HashSet<_>>().len(), 240);
    for digest in &digests {
        for field in ["title", "citation", "court", "topic"] {
            assert!(!text(digest, field).trim().is_empty(), "{}: {field}", text(digest, "id"));
        }
        assert!(digest["year"].as_u64().is_some_and(|year| (1800..2030).contains(&year)));
        let words = text(digest, "text").split_whitespace().count();
        assert!((90..=180).contains(&words), "{}: {words} words", text(digest, "id"));
    }
}

#[test]
fn the_digests_are_those_of_the_list() {
    let Some(path) = shared("data/legal/casebook-ids.tsv") else { return };
    let list = std::fs::read_to_string(path).unwrap();
    let listed: HashSet<&str> = list.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    let digests = digests();
    assert_eq!(digests.iter().map(|digest| text(digest, "id")).collect::<HashSet<_>>(), listed);
}

/// Lower-case words without marks, as runs are compared.
fn words(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace(['\'', '’'], "");
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn no_eight_words_in_a_row_are_taken_from_the_sources() {
    const RUN: usize = 8;
    let mut sources: BTreeMap<String, HashSet<Vec<String>>> = BTreeMap::new();
    let digests = digests();
    let wanted: HashSet<&str> = digests.iter().map(|digest| text(digest, "id")).collect();
    for file in ["cases.jsonl.gz", "opinions-full.jsonl.gz"] {
        let Some(path) = shared(&format!("data/legal/{file}")) else { return };
        for line in BufReader::new(GzDecoder::new(std::fs::File::open(path).unwrap())).lines() {
            let source: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if wanted.contains(text(&source, "id")) {
                // Only runs that a digest could share are kept: those that begin with a run's first three words.
                let runs = words(text(&source, "text"));
                let digest = digests.iter().find(|digest| text(digest, "id") == text(&source, "id")).unwrap();
                let own = words(text(digest, "text"));
                let own: HashSet<&[String]> = own.windows(RUN).collect();
                let shared: HashSet<Vec<String>> =
                    runs.windows(RUN).filter(|run| own.contains(run)).map(<[String]>::to_vec).collect();
                sources.entry(text(&source, "id").to_owned()).or_default().extend(shared);
            }
        }
    }
    assert_eq!(sources.len(), 240);
    for (id, shared) in sources {
        assert!(shared.is_empty(), "{id} takes over {:?}", shared.iter().next().unwrap().join(" "));
    }
}

#[test]
fn the_casebook_answers() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().heading("title").text("text").build().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), Options::new().schema(schema).encoder(encoder())).unwrap();
    let mut writer = index.writer().unwrap();
    for digest in digests() {
        writer
            .add(
                fossick::Document::new(text(&digest, "id"))
                    .set("title", text(&digest, "title"))
                    .set("text", text(&digest, "text")),
            )
            .unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, least) in
        [("when is a computer program obvious over the prior art?", 3), ("software patent obviousness standard", 2)]
    {
        let response = snapshot.search(query).candidates(100).rerank(50, &judge()).limit(5).run().unwrap();
        let found = keys(&response).iter().filter(|key| RIGHT_ONES.contains(key)).count();
        assert!(found >= least, "{query}: {:?}", keys(&response));
    }
}
