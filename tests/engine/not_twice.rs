//! What was judged is not judged again, by this process or a later one, and is never taken for another thing's logit.

use fossick::{Index, Options, Response, Search};

use crate::common::{encoded_index, encoder, exact_judge, judge, keys, note};

const QUERY: &str = "how long should dough rest";

fn reopened(index: &Index, bytes: u64) -> Index {
    Index::open(index.path(), Options::new().encoder(encoder()).logit_cache(bytes)).unwrap()
}

/// What matters of an answer, with all digits.
fn verdicts(response: &Response) -> Vec<(String, f32, Vec<f32>, String)> {
    let of =
        |hit: &fossick::Hit| (hit.key.clone(), hit.score, hit.rerank.clone().unwrap().logits, hit.passage.clone().unwrap().text);
    response.hits.iter().map(of).collect()
}

#[test]
fn a_question_is_judged_once_in_this_process_and_in_a_later_one() {
    let (_directory, index) = encoded_index();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = snapshot.search(QUERY).rerank(5, &judge);
    let first = search.clone().run().unwrap();
    let (known, again) = (first.from_cache, search.clone().run().unwrap());
    assert_eq!((known, again.from_cache, again.judged), (0, 5, 5));
    assert_eq!(verdicts(&first), verdicts(&again));

    let later = reopened(&index, 1 << 20);
    let response = later.snapshot().unwrap().search(QUERY).rerank(5, &judge).run().unwrap();
    assert_eq!((response.from_cache, verdicts(&response)), (5, verdicts(&first)));
    assert!(response.to_json().contains(r#""from_cache":5"#));

    // The first list of a progressive search is the last one then, and a deadline that has passed is no matter.
    assert_eq!(search.clone().progressive().unwrap().count(), 1);
    let late = search.clone().deadline(std::time::Duration::ZERO).run().unwrap();
    assert_eq!((late.judged, late.notes.len(), verdicts(&late)), (5, 0, verdicts(&first)));

    let measured = search.logit_cache(false).run().unwrap();
    assert_eq!((measured.from_cache, verdicts(&measured)), (0, verdicts(&first)));
}

#[test]
fn what_was_judged_in_part_is_judged_for_the_rest() {
    let (_directory, index) = encoded_index();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = |rerank| snapshot.search(QUERY).rerank(rerank, &judge);
    assert_eq!(search(2).run().unwrap().judged, 2);
    let all = search(5).run().unwrap();
    assert_eq!((all.from_cache, all.judged), (2, 5));
    assert_eq!(verdicts(&all), verdicts(&search(5).logit_cache(false).run().unwrap()));
}

#[test]
fn another_query_model_precision_or_text_is_judged() {
    let (_directory, index) = encoded_index();
    let (judge, exact) = (judge(), exact_judge());
    let snapshot = index.snapshot().unwrap();
    let known = |search: Search<'_>| search.run().unwrap().from_cache;
    assert_eq!(known(snapshot.search(QUERY).rerank(5, &judge)), 0);
    assert_eq!(known(snapshot.search("how long should a dough rest").rerank(5, &judge)), 0);
    assert_eq!(known(snapshot.search(QUERY).rerank(5, &exact)), 0);

    let mut writer = index.writer().unwrap();
    writer.add(note("bread", "Sourdough", "The dough rests for twelve hours.")).unwrap();
    writer.commit().unwrap();
    let response = index.snapshot().unwrap().search(QUERY).rerank(5, &judge).run().unwrap();
    assert_eq!((response.from_cache, keys(&response)[0]), (4, "bread"));
}

#[test]
fn logits_go_with_their_documents_and_the_file_may_go_at_any_time() {
    let (_directory, index) = encoded_index();
    let file = index.path().join("logits");
    let judge = judge();
    let ask = |index: &Index| index.snapshot().unwrap().search(QUERY).rerank(5, &judge).run().unwrap().from_cache;
    assert_eq!((ask(&index), file.exists()), (0, true));
    let length = || std::fs::metadata(&file).unwrap().len();
    let before = length();
    let mut writer = index.writer().unwrap();
    writer.delete("moon").unwrap();
    writer.delete("cat").unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert!(length() < before, "two of five are gone: {} of {before} bytes", length());
    assert_eq!(ask(&reopened(&index, 1 << 20)), 3);

    std::fs::remove_file(&file).unwrap();
    assert_eq!(ask(&index), 3, "from memory");
    assert_eq!(ask(&reopened(&index, 1 << 20)), 0);
    assert_eq!(ask(&reopened(&index, 1 << 20)), 3);

    std::fs::remove_file(&file).unwrap();
    let without = reopened(&index, 0);
    assert_eq!((ask(&without), ask(&without), file.exists()), (0, 0, false));
}

#[test]
fn logits_that_an_earlier_generation_adds_of_deleted_documents_go_with_the_next_commit_or_writer() {
    let (_directory, index) = encoded_index();
    let (file, judge) = (index.path().join("logits"), judge());
    let ask = |snapshot: &fossick::Snapshot, query: &str| snapshot.search(query).rerank(5, &judge).run().unwrap().from_cache;
    let earlier = index.snapshot().unwrap();
    let mut writer = index.writer().unwrap();
    writer.delete("moon").unwrap();
    writer.delete("cat").unwrap();
    writer.commit().unwrap();
    let length = || std::fs::metadata(&file).unwrap().len();
    assert_eq!((ask(&earlier, QUERY), earlier.document_count()), (0, 5));
    let of_five = length();
    writer.add(note("new", "", "text")).unwrap();
    writer.commit().unwrap();
    let of_three = length();
    assert!(of_three < of_five, "{of_three} of {of_five} bytes");
    drop(writer);
    assert_eq!(ask(&reopened(&index, 1 << 20).snapshot().unwrap(), QUERY), 3, "and what is there stays");

    ask(&earlier, "another question");
    let of_all = length();
    drop(index.writer().unwrap());
    assert!(length() < of_all, "a writer that opens drops them, too");
    assert_eq!(ask(&reopened(&index, 1 << 20).snapshot().unwrap(), "another question"), 3);
}
