//! The cross-encoder decides the order of what it judged, over any first stage.

use fossick::{DocumentLogit, FinalOrder, Index, Mode, Note, Options, PassageOptions};

use crate::common::{encoded_index, encoder, judge, keys, note, schema, vectors_index, words_index};

#[test]
fn judged_hits_come_first_by_logit_and_the_rest_keep_their_order() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let search = snapshot.search("how long does the moon take around the earth");
    let before = search.clone().run().unwrap();
    let after = search.rerank(3, &judge()).final_order(FinalOrder::Logit).run().unwrap();
    assert_eq!((after.judged, after.candidates), (3, 5));
    let logits: Vec<f32> = after.hits[..3].iter().map(|hit| hit.rerank.as_ref().unwrap().logit).collect();
    assert!(logits.is_sorted_by(|a, b| a >= b), "{logits:?}");
    for (at, hit) in after.hits.iter().enumerate() {
        assert_eq!((hit.rank, hit.rerank.as_ref().map(|judged| judged.rank)), (at + 1, (at < 3).then_some(at + 1)));
        let place = keys(&before).iter().position(|key| *key == hit.key).unwrap() + 1;
        assert_eq!(hit.fused.unwrap().rank, place);
    }
    assert_eq!(keys(&before)[3..], keys(&after)[3..]);
    assert_eq!(after.hits[0].key, "moon");
}

#[test]
fn any_first_stage_can_be_judged() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
        let response = snapshot.search("when is income tax due").mode(mode).rerank(10, &judge()).run().unwrap();
        assert_eq!(response.hits[0].key, "tax", "{mode:?}");
        assert_eq!(response.judged, response.candidates);
    }
}

#[test]
fn by_default_the_first_stage_tempers_the_judge_and_its_own_order_is_a_choice() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let judge = judge();
    let search = snapshot.search("when is income tax due").rerank(10, &judge);
    let by_logit = search.clone().final_order(FinalOrder::Logit).run().unwrap();
    let tempered = search.run().unwrap();
    for hit in &by_logit.hits {
        assert_eq!(hit.score, hit.rerank.as_ref().unwrap().logit);
    }
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt())
    };
    let fused: Vec<f64> = tempered.hits.iter().map(|hit| f64::from(hit.fused.unwrap().score)).collect();
    let logits: Vec<f64> = tempered.hits.iter().map(|hit| f64::from(hit.rerank.as_ref().unwrap().logit)).collect();
    let ((mean, deviation), (_, sigma)) = (spread(&fused), spread(&logits));
    for ((hit, score), logit) in tempered.hits.iter().zip(&fused).zip(&logits) {
        let expected = logit + 16.0 / sigma * (score - mean) / deviation;
        assert!((f64::from(hit.score) - expected).abs() < 1e-3, "{}: {}, expected {expected}", hit.key, hit.score);
    }
    assert!(tempered.hits.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn an_index_of_words_alone_can_be_judged() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    let filler = "This sentence is about nothing in particular and is here to fill the page. ".repeat(40);
    writer
        .add(note("long", "Household", &format!("{filler} The cat is fed twice a day, at seven and at six. {filler}")))
        .unwrap();
    writer.add(note("short", "Page", "A page with the word cat.")).unwrap();
    writer.commit().unwrap();
    let response = index.snapshot().unwrap().search("how often is the cat fed").rerank(10, &judge()).run().unwrap();
    assert_eq!(keys(&response), ["long", "short"]);
    assert!(response.hits[0].passage.as_ref().unwrap().text.contains("twice a day"), "the passage with the query's words won");
}

#[test]
fn the_winning_passage_is_the_one_that_answers_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().schema(schema()).encoder(encoder()).passages(PassageOptions {
        max_tokens: 40,
        overlap_tokens: 0,
        ..PassageOptions::default()
    });
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    let body = "The garden has apple trees and a pond with carp. The house was built of brick in the spring of a dry year. \
                The gate is painted green and squeaks. The pond is two metres deep and was dug in 1931 by the first owner. \
                Every autumn the leaves are raked and burned. The cellar holds wine and potatoes.";
    let mut writer = index.writer().unwrap();
    writer.add(note("house", "The old house", body)).unwrap();
    writer.commit().unwrap();
    assert!(index.snapshot().unwrap().passage_count() > 1);
    let response = index.snapshot().unwrap().search("how deep is the pond").rerank(1, &judge()).run().unwrap();
    let passage = response.hits[0].passage.as_ref().unwrap();
    assert!(passage.text.contains("two metres deep"), "{}", passage.text);
    assert_eq!(&body[passage.start..passage.end], passage.text);
    // A document's logit is its best passage's.
    let direct = judge().judge("how deep is the pond", &[format!("The old house\n{}", passage.text)]).unwrap()[0].logit;
    assert!((response.hits[0].rerank.as_ref().unwrap().logit - direct).abs() < 1e-4);
}

#[test]
fn a_passage_longer_than_the_judge_reads_is_judged_by_the_windows_that_promise_most() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    let filler = "This sentence is about nothing in particular. ".repeat(150);
    let body = format!("{filler}The cat is fed twice a day, at seven and at six. {filler}");
    writer.add(note("long", "Household", &body).vector([1.0, 0.0])).unwrap();
    writer.add(note("none", "", "").vector([0.5, 0.5])).unwrap();
    writer.commit().unwrap();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = snapshot.search("how often is the cat fed").vector([1.0, 0.0]).rerank(5, &judge);
    let response = search.clone().run().unwrap();
    // A document without text is found by its vector, and the judge is not asked about nothing.
    assert_eq!((keys(&response).as_slice(), response.judged), (&["long", "none"][..], 1));
    let passage = response.hits[0].passage.as_ref().unwrap();
    assert!(passage.text.contains("twice a day") && passage.text.len() < 3_000, "{passage:?}");
    assert_eq!(&body[passage.start..passage.end], passage.text);
    assert_eq!(response.hits[0].rerank.as_ref().unwrap().logits.len(), 2, "two passages may be spent, windows count");
    let [Note::WindowsLeft { read: 2, of }] = response.notes[..] else { panic!("{:?}", response.notes) };

    // With as many as there are, nothing is left; the beginning alone is a choice.
    let whole = search.clone().passages_per_document(of).run().unwrap();
    assert_eq!((whole.notes.len(), whole.hits[0].rerank.as_ref().unwrap().logits.len()), (0, of));
    let first = search.document_logit(DocumentLogit::First).run().unwrap();
    assert_eq!(first.hits[0].passage.as_ref().unwrap().start, 0);
    assert_eq!(first.notes, [Note::WindowsLeft { read: 1, of }]);
}

#[test]
fn what_even_a_window_cannot_hold_is_reported() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("long", "", &format!("{}piece", "x7q9z ".repeat(300))).vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    let response = index.snapshot().unwrap().search("piece").vector([1.0, 0.0]).rerank(5, &judge()).run().unwrap();
    assert!(response.notes.iter().any(|note| note.to_string().contains("only the beginning of 1 of 1")), "{:?}", response.notes);
}

#[test]
fn a_heading_longer_than_models_read_is_counted_where_it_is_indexed_and_reported_where_it_is_judged() {
    let (_directory, index) = encoded_index();
    let judge = judge();
    let ask = || index.snapshot().unwrap().search("how long should dough rest").rerank(10, &judge).run().unwrap();
    assert_eq!(ask().notes, []);
    let endless = "On dough and how it rests ".repeat(40);
    let mut writer = index.writer().unwrap();
    writer.add(note("long", &endless, "The dough rests.")).unwrap();
    // All heading, so that is its text, of which nothing is cut.
    writer.add(note("heading", &endless, "")).unwrap();
    writer.commit().unwrap();
    assert_eq!(writer.monitor().progress().headings_cut, 1);
    drop(writer);
    let response = ask();
    assert_eq!((response.to_judge, &response.notes[..]), (7, &[Note::HeadingsCut { count: 1, of: 7, most: 96 }][..]));
    let json = response.to_json();
    assert!(json.contains("of the headings of 1 of 7 documents the cross-encoder reads at most the first 96 tokens"), "{json}");

    // Models that read no heading cut none.
    let directory = tempfile::tempdir().unwrap();
    let cut = PassageOptions { with_heading: false, ..PassageOptions::default() };
    let options = Options::new().schema(schema()).encoder(encoder()).passages(cut);
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(note("long", &endless, "The dough rests.")).unwrap();
    writer.commit().unwrap();
    assert_eq!(writer.monitor().progress().headings_cut, 0);
    let response = index.snapshot().unwrap().search("dough").rerank(1, &judge).run().unwrap();
    assert_eq!((response.judged, response.notes), (1, vec![]));
}

#[test]
fn a_passage_of_the_body_is_cut_with_the_heading_that_is_read_before_it_whatever_comes_first() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    let title = "A title of the sort that goes on for some time before it ends ".repeat(6);
    // Of 372 words and some 496 tokens, which the judge reads; with the title before them it does not.
    let body = "This x7q sentence is about the cat and the x7q dog. ".repeat(31);
    writer.add(note("long", &title, &body).vector_of("title", [1.0, 0.0]).vector_of("body", [0.8, 0.6])).unwrap();
    writer.commit().unwrap();
    let response = index.snapshot().unwrap().search("cat").vector([1.0, 0.0]).rerank(1, &judge()).run().unwrap();
    let truncated = |note: &Note| matches!(note, Note::PassagesTruncated { .. });
    assert!(!response.notes.iter().any(truncated), "{:?}", response.notes);
    assert!(response.notes.iter().any(|note| matches!(note, Note::WindowsLeft { read: 1, .. })), "{:?}", response.notes);
}

#[test]
fn a_documents_logit_is_its_best_passages_or_their_mean_or_its_beginnings() {
    let directory = tempfile::tempdir().unwrap();
    let cut = PassageOptions { max_tokens: 24, overlap_tokens: 0, ..PassageOptions::default() };
    let options = Options::new().schema(schema()).encoder(encoder()).passages(cut);
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    let mut writer = index.writer().unwrap();
    let body = "This notebook was bought in the spring and smells of the kitchen and its many spices and herbs. \
                Income tax is due on the fifteenth of April of the year after that in which the income was earned. \
                A taxpayer who is abroad on that day has two further months in which to file and to pay what is due.";
    writer.add(note("tax", "Notes", body)).unwrap();
    writer.add(note("moon", "Notes", "The moon takes four weeks around the earth.")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let of = |logit: DocumentLogit| {
        let search = snapshot.search("when is income tax due").rerank(5, &judge).passages_per_document(3).document_logit(logit);
        let hit = search.run().unwrap().hits.into_iter().find(|hit| hit.key == "tax").unwrap();
        (hit.rerank.unwrap(), hit.passage.unwrap())
    };
    let (best, winner) = of(DocumentLogit::Best);
    assert_eq!(best.logits.len(), 3);
    assert_eq!(best.logit, best.logits.iter().copied().fold(f32::MIN, f32::max));
    assert!(winner.text.contains("fifteenth of April"));
    let (mean, passage) = of(DocumentLogit::Mean);
    assert!((mean.logit - best.logits.iter().sum::<f32>() / 3.0).abs() < 1e-5);
    assert_eq!(passage, winner, "the page shows the best passage all the same");
    let (first, passage) = of(DocumentLogit::First);
    assert_eq!(first.logits, [first.logit]);
    assert!(passage.text.contains("notebook") && first.logit < best.logit);
}
