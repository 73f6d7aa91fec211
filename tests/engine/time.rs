//! Judging ends when it has to, and shows what it has until then. Counted by what was judged and asked, not by clocks.

use std::ops::ControlFlow;
use std::time::Duration;

use fossick::{CancelToken, Document, Index, Note, Response, Search, Snapshot};

use crate::common::{judge, keys, words_index};

/// Enough for several batches, whose least size is one passage a thread.
fn count() -> usize {
    60.max(8 * std::thread::available_parallelism().map_or(1, usize::from))
}

/// Notes that all have words of the query; the last ones answer it.
fn notes() -> (tempfile::TempDir, Index) {
    let (directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    for at in 0..count() {
        let body = match at {
            50..60 => format!("To dig a well by hand, mark a circle, dig down {at} feet and line the shaft with stones."),
            _ => {
                format!(
                    "Entry {at}: the hand well dig dig was discussed, and nothing was decided. {}",
                    "Rain again. ".repeat(at % 60)
                )
            }
        };
        writer.add(Document::new(format!("note-{at}")).set("title", format!("Note {at}")).set("body", body)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

fn search(snapshot: &Snapshot) -> Search<'_> {
    snapshot.search("how do I dig a well by hand").candidates(count()).logit_cache(false)
}

fn first_stage(snapshot: &Snapshot) -> Response {
    search(snapshot).run().unwrap()
}

fn is_whole(response: &Response) {
    let mut found = keys(response);
    assert_eq!(found.len(), 10);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 10, "a document twice: {response:?}");
    for (at, hit) in response.hits.iter().enumerate() {
        assert!(hit.rank == at + 1 && hit.passage.is_some() && hit.fields.len() == 2);
    }
    let judged = response.hits.iter().map(|hit| hit.rerank.is_some()).collect::<Vec<_>>();
    assert!(judged.is_sorted_by(|a, b| a >= b), "what was judged comes first: {judged:?}");
}

fn late(response: &Response) -> Note {
    let Response { judged, to_judge: of, passages_judged: passages, passages_to_judge: of_passages, .. } = *response;
    Note::DeadlineReached { judged, of, passages, of_passages }
}

fn cancelled(response: &Response) -> Note {
    let Response { judged, to_judge: of, passages_judged: passages, passages_to_judge: of_passages, .. } = *response;
    Note::Cancelled { judged, of, passages, of_passages }
}

#[test]
fn lists_get_better_in_place_and_end_in_what_run_gives() {
    let (_directory, index) = notes();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = search(&snapshot).rerank(count(), &judge);
    let lists: Vec<Response> = search.clone().progressive().unwrap().collect::<Result<_, _>>().unwrap();
    lists.iter().for_each(is_whole);
    assert!(lists.len() >= 3, "{} lists", lists.len());
    assert_eq!((lists[0].judged, lists[0].to_judge), (0, count()));
    assert_eq!(keys(&lists[0]), keys(&first_stage(&snapshot)));
    assert!(lists.is_sorted_by(|a, b| a.judged <= b.judged));
    let (last, all) = (lists.last().unwrap(), search.run().unwrap());
    assert_eq!((last.judged, all.judged), (count(), count()));
    assert_eq!(keys(last), keys(&all));
    for (a, b) in last.hits.iter().zip(&all.hits) {
        assert_eq!((a.score, &a.rerank, &a.passage), (b.score, &b.rerank, &b.passage));
    }
    assert!(last.notes.is_empty(), "{:?}", last.notes);
}

#[test]
fn what_is_dropped_is_not_worked_on() {
    let (_directory, index) = notes();
    let (snapshot, judge, token) = (index.snapshot().unwrap(), judge(), CancelToken::new());
    let mut lists = search(&snapshot).rerank(count(), &judge).cancel(&token).progressive().unwrap();
    assert_eq!(lists.next().unwrap().unwrap().judged, 0);
    assert_eq!(token.checks(), 0, "the first list waits for no judge");
    let second = lists.next().unwrap().unwrap();
    let checks = token.checks();
    assert!(checks >= 1 && second.judged >= 1 && second.judged < count());
    drop(lists);
    assert_eq!(token.checks(), checks);
}

#[test]
fn a_function_sees_every_list_and_can_stop_the_search() {
    let (_directory, index) = notes();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = search(&snapshot).rerank(count(), &judge);
    let mut seen = Vec::new();
    let stopped = search.clone().run_with(|response| {
        seen.push(response.judged);
        if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let stopped = stopped.unwrap();
    is_whole(&stopped);
    assert_eq!(seen, [0, stopped.judged]);
    assert!(stopped.judged < count());
    assert_eq!(search.run_with(|_| ControlFlow::Continue(())).unwrap().judged, count());
}

#[test]
fn a_cancelled_search_gives_what_it_has() {
    let (_directory, index) = notes();
    let (snapshot, judge, token) = (index.snapshot().unwrap(), judge(), CancelToken::new());
    let search = search(&snapshot).rerank(count(), &judge).cancel(&token);
    let complete = search.clone().run().unwrap();
    assert_eq!((complete.judged, complete.notes.len()), (count(), 0));
    assert_eq!(complete.passages_judged, complete.passages_to_judge);
    assert!(token.checks() > 1, "one question a batch: {}", token.checks());

    let mut lists = search.clone().progressive().unwrap();
    lists.next().unwrap().unwrap();
    let before = lists.next().unwrap().unwrap();
    token.cancel();
    let (checks, after) = (token.checks(), lists.next().unwrap().unwrap());
    is_whole(&after);
    assert_eq!(token.checks(), checks + 1, "it ends at the next question");
    assert_eq!((after.judged, keys(&after)), (before.judged, keys(&before)));
    assert_eq!(after.notes, [cancelled(&after)]);
    assert!(after.passages_judged >= after.judged && after.passages_judged < after.passages_to_judge);
    assert!(lists.next().is_none());

    // Cancelled before it began, it is a search without a judge.
    let none = search.run().unwrap();
    assert_eq!((none.judged, none.to_judge), (0, count()));
    assert_eq!(keys(&none), keys(&first_stage(&snapshot)));
    assert_eq!(none.notes, [cancelled(&none)]);
}

#[test]
fn a_deadline_ends_judging_and_says_how_far_it_came() {
    let (_directory, index) = notes();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = search(&snapshot).rerank(count(), &judge);
    let at_once = search.clone().deadline(Duration::ZERO).run().unwrap();
    is_whole(&at_once);
    assert_eq!(keys(&at_once), keys(&first_stage(&snapshot)));
    assert_eq!(at_once.notes, [late(&at_once)]);
    assert!(at_once.notes[0].to_string().contains(&format!("0 of {}", count())), "{}", at_once.notes[0]);

    let ample = search.clone().deadline(Duration::from_secs(600)).run().unwrap();
    assert_eq!((ample.judged, ample.notes.len()), (count(), 0));
    assert_eq!(keys(&ample), keys(&search.clone().run().unwrap()));

    // Whatever the machine, and whatever else it does: a time in which some are judged and not all, found by halving.
    for attempt in 0..36 {
        let time = ample.timings.judge / 2u32.pow(1 + attempt / 3);
        let some = search.clone().deadline(time).run().unwrap();
        is_whole(&some);
        if some.judged > 0 && some.judged < count() {
            assert_eq!(some.notes, [late(&some)]);
            // What was judged is what the first stage put first.
            let mut judged: Vec<usize> =
                some.hits.iter().filter(|hit| hit.rerank.is_some()).map(|hit| hit.first_stage().unwrap().rank).collect();
            judged.sort_unstable();
            assert!(judged.iter().all(|rank| *rank <= some.judged), "{judged:?}");
            return;
        }
    }
    panic!("no deadline ended the judging on its way");
}

/// Two passages of a document are judged: when all candidates are judged by one, there is still something left, and the answer says so.
#[test]
fn a_search_that_ends_among_the_second_passages_says_so() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    for at in 0..count() / 2 {
        let half = format!("The hand well of entry {at} was discussed. {}", "Rain fell again on the hills that day. ".repeat(18));
        writer.add(Document::new(format!("long-{at}")).set("title", "A note").set("body", format!("{half} {half}"))).unwrap();
    }
    writer.commit().unwrap();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = snapshot.search("dig a well by hand").rerank(count(), &judge).logit_cache(false);
    let all = search.clone().run().unwrap();
    assert_eq!((all.judged, all.to_judge, all.passages_to_judge), (count() / 2, count() / 2, count() / 2 * 2));
    assert_eq!((all.passages_judged, all.notes.len()), (all.passages_to_judge, 0));
    // The second half of the time is that of the second passages, on a machine that does nothing else; on others it is looked for.
    for attempt in 0..120 {
        let some = search.clone().deadline(all.timings.total * (40 + attempt % 60) / 100).run().unwrap();
        if some.judged == some.to_judge && some.passages_judged < some.passages_to_judge {
            assert!(some.passages_judged >= some.judged);
            assert_eq!(some.notes, [late(&some)]);
            let told = some.notes[0].to_string();
            assert!(told.contains(&format!("by {} of {} passages", some.passages_judged, some.passages_to_judge)), "{told}");
            return;
        }
    }
    panic!("no deadline came among the second passages");
}

#[test]
fn what_a_search_judged_before_it_was_left_is_kept() {
    let (_directory, index) = notes();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let mut lists =
        snapshot.search("how do I dig a well by hand").candidates(count()).rerank(count(), &judge).progressive().unwrap();
    lists.next().unwrap().unwrap();
    let left = lists.next().unwrap().unwrap();
    assert!(left.judged > 0 && left.judged < count());
    drop(lists);
    assert!(std::fs::metadata(index.path().join("logits")).unwrap().len() > 28 * left.judged as u64);
}

/// A pace that was measured while the machine was busy with others, or with shaders, must not keep later searches from judging at all.
#[test]
fn a_deadline_is_enough_for_a_first_batch_whatever_was_measured_before() {
    let (_directory, index) = notes();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = search(&snapshot).rerank(count(), &judge).deadline(Duration::from_millis(400));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| (0..3).for_each(|_| drop(search.clone().run().unwrap())));
        }
    });
    assert!((0..3).any(|_| search.clone().run().unwrap().judged > 0));
}
