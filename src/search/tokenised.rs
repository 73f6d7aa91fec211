//! What a search has tokenised: the query, and nothing of passages whose tokens are kept.

use std::path::Path;

use crate::model::watched;
use crate::schema::{Document, Schema};
use crate::{CrossEncoder, Device, Encoder, Index, Options};

const QUESTION: &str = "where do wild horses live";

/// What is tokenised of the documents of such an index while a search judges them all.
fn tokenised(options: Options, judge: &CrossEncoder) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().heading("title").text("body").build().unwrap();
    let index = Index::open_or_create(directory.path().join("index"), options.schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    let word = watched::WORD;
    for (key, title, body) in [
        ("short", "Horses", format!("The {word} was a wild horse of the south.")),
        ("long", "Horses", format!("A {word} can be seen in the museum, and no wild horses. ").repeat(30)),
        // Of more bytes than a heading may have tokens.
        (
            "titled",
            &*format!("Of the {word}, and of other {}", "wild horses that live no longer, ".repeat(3)),
            format!("No {word} lives."),
        ),
    ] {
        writer.add(Document::new(key).set("title", title).set("body", body)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    let snapshot = index.snapshot().unwrap();
    watched::take();
    let response = snapshot.search(QUESTION).rerank(3, judge).run().unwrap();
    assert_eq!((response.judged, response.from_cache), (3, 0));
    watched::take()
}

#[test]
fn of_passages_whose_tokens_are_kept_no_text_is_tokenised() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let encoder = Encoder::load(models.join("bge-small-en-v1.5"), &Device::cpu()).unwrap();
    let judge = CrossEncoder::load(models.join("ms-marco-minilm-l-12-v2"), &Device::cpu()).unwrap();
    let found = tokenised(Options::new().encoder(encoder), &judge);
    assert!(
        found.len() == 1 && found[0].starts_with("Of the"),
        "only how much of a long heading is read is to be found out: {found:?}"
    );
    // Where no encoder made tokens, the passages are: two of the long document.
    let found = tokenised(Options::new(), &judge);
    assert_eq!(found.len(), 1 + 4, "{found:?}");
}
