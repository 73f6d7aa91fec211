//! The best documents that have any of some words, by BM25.
//!
//! MaxScore (Turtle and Flood 1995, section 4) over postings whose blocks have known maxima (Ding and Suel 2011): the words stand in falling order
//! of the most that they can give. Those at the end that together cannot bring a document among the best are looked for only in documents
//! that have one of the others, the essential ones; and of these, stretches of documents are passed over in which they cannot give enough, by the maxima of
//! blocks that are at least as long as the stretch.
//!
//! Scores are added in f64 and always in that order, so a document's does not depend on what else was found or asked for: the sum is exact, or
//! off by the same bit.

use tantivy::{DocId, Score, TERMINATED};

use super::best::{Best, Place};
use super::compile::Weighted;
use super::cursor::{Cursor, known};

/// The most documents whose sums are held at once.
const WINDOW: usize = 2048;

/// Documents that are summed over at once even where blocks are shorter, but for a word that stands alone.
const LEAST: DocId = 1024;

/// The `limit` documents with the best sums over the words, as (number, score), and all others that tie with the last of them; in no order.
pub(super) fn best_of_any(place: &Place<'_>, words: &[Weighted], limit: usize) -> tantivy::Result<Vec<(u64, Score)>> {
    let mut best = Best::new(limit, 0.0);
    let words = known(place, words)?;
    let mut sums = Sums { start: 0, of: Box::new([0.0; WINDOW]), touched: [0; WINDOW / 64] };
    for (at, segment) in place.searcher.segment_readers().iter().enumerate() {
        let cursors = words.iter().filter_map(|word| word.cursor(segment, at).transpose()).collect::<tantivy::Result<_>>()?;
        let eligible = place.eligible(at, segment);
        let union = Union { cursors, documents: segment.max_doc(), best: &mut best, eligible };
        if place.few { union.offer_all::<true>(&mut sums) } else { union.offer_all::<false>(&mut sums) }
    }
    Ok(best.into_found())
}

/// Sums for some documents, all 0 between uses.
struct Sums {
    /// The first of the documents.
    start: DocId,
    of: Box<[f64; WINDOW]>,
    /// A bit for each document that has a sum: it has an essential word, and still may be among the best.
    touched: [u64; WINDOW / 64],
}

impl Sums {
    /// Adds what documents before `end` get of a word, those that are wanted, of which this is asked for each and whether it has a sum already.
    fn add(&mut self, word: &mut Cursor, end: DocId, wanted: impl Fn(DocId, bool) -> bool) {
        while word.document() < end {
            let count = word.before(end);
            let postings = word.next..word.next + count;
            for (&document, &frequency) in word.postings.docs()[postings.clone()].iter().zip(&word.postings.freqs()[postings]) {
                let at = document.wrapping_sub(self.start) as usize % WINDOW;
                let touched = self.touched[at / 64] >> (at % 64) & 1 == 1;
                if wanted(document, touched) {
                    self.of[at] += word.score(document, frequency);
                    self.touched[at / 64] |= 1 << (at % 64);
                }
            }
            word.pass(count);
        }
    }

    /// Goes through the documents that are left: `next` gives a document's new sum, or drops it.
    fn each(&mut self, end: DocId, mut next: impl FnMut(DocId, f64) -> Option<f64>) -> usize {
        let mut left = 0;
        let width = (end - self.start) as usize;
        for part in 0..width.div_ceil(64).min(self.touched.len()) {
            let mut bits = self.touched[part];
            while bits != 0 {
                let at = part * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                match next(self.start + at as DocId, self.of[at]) {
                    Some(sum) => {
                        self.of[at] = sum;
                        left += 1;
                    }
                    None => {
                        self.of[at] = 0.0;
                        self.touched[part] &= !(1 << (at % 64));
                    }
                }
            }
        }
        left
    }
}

/// The words' postings in one segment, and where what they find goes.
struct Union<'a, E> {
    /// In falling order of `most`.
    cursors: Vec<Cursor>,
    /// How many documents the segment has.
    documents: DocId,
    best: &'a mut Best,
    /// The number of a document that may be found.
    eligible: E,
}

impl<E: Fn(DocId) -> Option<u64>> Union<'_, E> {
    /// Offers whatever can be among the best. Where few may be eligible (`FILTERED`), a document is asked for that before its scores are computed.
    fn offer_all<const FILTERED: bool>(mut self, sums: &mut Sums) {
        let mut rest = bounds(&self.cursors);
        let mut essential = self.cursors.len();
        loop {
            while essential > 0 && rest[essential - 1] <= self.best.threshold() {
                essential -= 1;
            }
            let (mut start, mut end) = (TERMINATED, TERMINATED);
            for at in 0..essential {
                let document = self.cursors[at].document();
                if document == TERMINATED && self.cursors[at].most > 0.0 {
                    self.cursors[at].most = 0.0;
                    rest = bounds(&self.cursors);
                }
                start = start.min(document);
                end = end.min(self.cursors[at].block_end());
            }
            if start == TERMINATED {
                return;
            }
            // A word in few documents is read a block at a time.
            let one_by_one = essential == 1 && (self.cursors.len() == 1 || end - start > WINDOW as DocId);
            if !one_by_one {
                end = end.clamp(start + LEAST, start + WINDOW as DocId).min(TERMINATED);
            }
            let words = &mut self.cursors[..essential];
            let most: f64 = words.iter_mut().map(|word| word.most_before(end)).sum();
            if most + rest[essential] <= self.best.threshold() {
                words.iter_mut().for_each(|word| word.pass_until(end));
            } else if one_by_one {
                self.offer_of_one::<FILTERED>(end, &rest);
            } else {
                sums.start = start;
                self.offer_of_many::<FILTERED>(essential, end, &rest, sums);
            }
        }
    }

    /// Offers documents before `end` of the first word alone, whose block does not end before.
    fn offer_of_one<const FILTERED: bool>(&mut self, end: DocId, rest: &[f64]) {
        let Self { cursors, best, eligible, .. } = self;
        let Some((word, others)) = cursors.split_first_mut() else { return };
        let count = word.before(end);
        let postings = word.next..word.next + count;
        for (&document, &frequency) in word.postings.docs()[postings.clone()].iter().zip(&word.postings.freqs()[postings]) {
            if FILTERED && eligible(document).is_none() {
                continue;
            }
            let mut sum = word.score(document, frequency);
            if sum + rest[1] <= best.threshold() {
                continue;
            }
            let Some(number) = eligible(document) else { continue };
            let enough = others.iter_mut().zip(&rest[1..]).all(|(other, rest)| {
                let enough = sum + rest > best.threshold();
                if enough {
                    sum += other.find(document).unwrap_or_default();
                }
                enough
            });
            if enough {
                best.offer(number, sum as Score);
            }
        }
        word.pass(count);
    }

    /// Offers documents before `end` of the first words.
    fn offer_of_many<const FILTERED: bool>(&mut self, essential: usize, end: DocId, rest: &[f64], sums: &mut Sums) {
        let Self { cursors, best, eligible, documents } = self;
        let (words, others) = cursors.split_at_mut(essential);
        words.iter_mut().for_each(|word| sums.add(word, end, |document, _| !FILTERED || eligible(document).is_some()));
        for (word, rest) in others.iter_mut().zip(&rest[essential..]) {
            let left = sums.each(end, |_, sum| (sum + rest > best.threshold()).then_some(sum));
            if left == 0 {
                return;
            }
            if word.is_read_for(left, end - sums.start, *documents) {
                word.seek(sums.start);
                sums.add(word, end, |_, touched| touched);
            } else {
                sums.each(end, |document, sum| Some(sum + word.find(document).unwrap_or_default()));
            }
        }
        sums.each(end, |document, sum| {
            if sum > best.threshold()
                && let Some(number) = eligible(document)
            {
                best.offer(number, sum as Score);
            }
            None
        });
    }
}

/// What the words from each on can give together.
fn bounds(cursors: &[Cursor]) -> Vec<f64> {
    let mut bounds = vec![0.0; cursors.len() + 1];
    for (at, cursor) in cursors.iter().enumerate().rev() {
        bounds[at] = bounds[at + 1] + cursor.most;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tantivy::indexer::NoMergePolicy;
    use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery};
    use tantivy::schema::{Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
    use tantivy::{DocSet, Index, IndexWriter, Searcher, SegmentReader, Term, doc};

    use super::super::intersection::best_of_all;
    use super::*;
    use crate::numbers::NumberSet;

    /// An index of one field with a segment for each list of texts; documents are numbered through.
    fn indexed(segments: &[Vec<String>], is_dead: impl Fn(u64) -> bool) -> (Searcher, Field) {
        let mut schema = Schema::builder();
        let number = schema.add_u64_field("number", NumericOptions::default().set_indexed().set_fast());
        let indexing =
            TextFieldIndexing::default().set_tokenizer("whitespace").set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let words = schema.add_text_field("words", TextOptions::default().set_indexing_options(indexing));
        let index = Index::create_in_ram(schema.build());
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let mut next = 0_u64;
        for texts in segments {
            for text in texts {
                writer.add_document(doc!(number => next, words => text.as_str())).unwrap();
                next += 1;
            }
            writer.commit().unwrap();
        }
        (0..next).filter(|number| is_dead(*number)).for_each(|dead| {
            writer.delete_term(Term::from_field_u64(number, dead));
        });
        writer.commit().unwrap();
        let searcher = index.reader().unwrap().searcher();
        assert_eq!(searcher.segment_readers().len(), segments.len());
        (searcher, words)
    }

    /// The numbers of the documents, by segment; tantivy has the largest segment first.
    fn numbers(searcher: &Searcher) -> Vec<Box<[u64]>> {
        let of = |segment: &SegmentReader| {
            let column = segment.fast_fields().u64("number").unwrap();
            (0..segment.max_doc()).map(|document| column.first(document).unwrap()).collect()
        };
        searcher.segment_readers().iter().map(of).collect()
    }

    /// Texts of `different` words, early ones more often; each segment has its own length of texts. A few are short and say one word again and
    /// again, so that whole blocks without one of those can be passed over.
    fn texts(lengths: &[u64], different: u64, seed: u64) -> Vec<Vec<String>> {
        let mut state = seed;
        let mut uniform = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut segments = Vec::new();
        for &length in lengths {
            let mut segment = Vec::new();
            for at in 0..100 + uniform(3000) {
                let rich = (uniform(150) == 0).then(|| 2 + uniform(6) as usize);
                let mut word =
                    || (uniform(different) * uniform(different) * uniform(different) / (different * different)).to_string() + " ";
                segment.push(match rich {
                    Some(times) => word().repeat(times) + &word(),
                    None => (0..1 + at % 3 * length + length / 2).map(|_| word()).collect(),
                });
            }
            segments.push(segment);
        }
        segments
    }

    fn word(field: Field, word: &str, boost: f32) -> Weighted {
        Weighted { term: Term::from_field_text(field, word), boost }
    }

    /// What each document that counts gets of each word, looked at one by one.
    fn plainly(place: &Place<'_>, words: &[Weighted]) -> Vec<(u64, Vec<Option<f32>>)> {
        let mut all = Vec::new();
        for (at, segment) in place.searcher.segment_readers().iter().enumerate() {
            let mut of_segment = vec![vec![None; words.len()]; segment.max_doc() as usize];
            for (place_of_word, word) in words.iter().enumerate() {
                let query = TermQuery::new(word.term.clone(), IndexRecordOption::WithFreqs);
                let weight = query.weight(EnableScoring::enabled_from_searcher(place.searcher)).unwrap();
                let mut scorer = weight.scorer(segment, word.boost).unwrap();
                while scorer.doc() != TERMINATED {
                    of_segment[scorer.doc() as usize][place_of_word] = Some(scorer.score());
                    scorer.advance();
                }
            }
            let eligible = place.eligible(at, segment);
            let numbered = (0..).zip(of_segment).filter_map(|(document, scores)| Some((eligible(document)?, scores)));
            all.extend(numbered);
        }
        all
    }

    /// The first `limit` by the sums of their scores, and those that tie with the last.
    fn first(mut found: Vec<(u64, f32)>, limit: usize) -> Vec<(u64, f32)> {
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if let Some((_, last)) = found.get(limit - 1).copied() {
            found.retain(|(_, score)| *score >= last);
        }
        found
    }

    fn sum(scores: &[Option<f32>]) -> f32 {
        scores.iter().flatten().map(|score| f64::from(*score)).sum::<f64>() as f32
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn the_best_are_those_of_all_documents_looked_at_one_by_one(
            lengths in prop::collection::vec(1_u64..40, 1..4),
            different in prop::sample::select(vec![3_u64, 30]),
            seed in any::<u64>(),
            asked in prop::collection::vec((0_u64..30, prop::sample::select(vec![1.0_f32, 1.0, 2.0, 0.1])), 1..8),
            limit in prop::sample::select(vec![1_usize, 3, 10, 50]),
            every in prop::sample::select(vec![1_u64, 2, 50]),
        ) {
            let (searcher, field) = indexed(&texts(&lengths, different, seed), |number| number % 7 == 0 && seed % 2 == 0);
            let numbers = numbers(&searcher);
            let some: NumberSet = (0..10_000).step_by(every as usize).collect();
            let place = Place::new(&searcher, &numbers, (every > 1).then_some(&some));
            let words: Vec<Weighted> = asked.iter().map(|(asked, boost)| word(field, &(asked % different).to_string(), *boost)).collect();
            prop_assert_eq!(first(best_of_any(&place, &words, limit).unwrap(), limit), expected(&place, &words, limit));

            let expected = expected_of_all(&place, &words, limit);
            prop_assert_eq!(&first(best_of_all(&place, &words, limit).unwrap(), limit), &expected);

            // Tantivy's own way, where all words have to be there.
            let required = |word: &Weighted| -> (Occur, Box<dyn Query>) {
                let term = TermQuery::new(word.term.clone(), IndexRecordOption::WithFreqs);
                (Occur::Must, Box::new(BoostQuery::new(Box::new(term), word.boost)))
            };
            let found = place.best(&BooleanQuery::new(words.iter().map(required).collect()), limit).unwrap();
            for (number, score) in expected {
                let theirs = found.iter().find(|(found, _)| *found == number);
                prop_assert!(theirs.is_some_and(|(_, theirs)| (theirs - score).abs() <= 1e-5 * score), "{number}: {score}, {theirs:?}");
            }
        }
    }

    /// What is to be found, from a look at every document.
    fn expected(place: &Place<'_>, words: &[Weighted], limit: usize) -> Vec<(u64, f32)> {
        let any = plainly(place, words).into_iter().filter(|(_, scores)| scores.iter().any(Option::is_some));
        first(any.map(|(number, scores)| (number, sum(&scores))).collect(), limit)
    }

    /// As [`expected`], of documents with all of the words.
    fn expected_of_all(place: &Place<'_>, words: &[Weighted], limit: usize) -> Vec<(u64, f32)> {
        let all = plainly(place, words).into_iter().filter(|(_, scores)| scores.iter().all(Option::is_some));
        first(all.map(|(number, scores)| (number, sum(&scores))).collect(), limit)
    }

    /// Asks for the best documents in both ways, ours and tantivy's.
    fn both(searcher: &Searcher, words: &[Weighted], limit: usize) -> [Vec<(u64, f32)>; 2] {
        let numbers = numbers(searcher);
        let place = Place::new(searcher, &numbers, None);
        let clause = |word: &Weighted| -> (Occur, Box<dyn Query>) {
            (Occur::Should, Box::new(TermQuery::new(word.term.clone(), IndexRecordOption::WithFreqs)))
        };
        let query = BooleanQuery::new(words.iter().map(clause).collect());
        [best_of_any(&place, words, limit).unwrap(), place.best(&query, limit).unwrap()].map(|found| first(found, limit))
    }

    #[test]
    fn a_block_that_was_written_among_short_texts_keeps_what_is_good_among_long_ones() {
        // Among its like a text of one word is better than one that has it twice in three; among long ones the latter is.
        let long =
            |at: usize| if at.is_multiple_of(150) { "w w w w w w w ".to_owned() + &"x ".repeat(53) } else { "x ".repeat(60) };
        let short = |at: usize| if at == 50 { "w w x" } else { "w" }.to_owned();
        let (searcher, field) = indexed(&[(0..300).map(long).collect(), (0..200).map(short).collect()], |_| false);
        for found in both(&searcher, &[word(field, "w", 1.0)], 1) {
            assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [350], "{found:?}");
        }
    }

    #[test]
    fn a_text_of_one_word_may_have_it_more_often_than_its_length_is_noted() {
        let text = |at: usize| match at {
            0..3 => "w ".repeat(1100),
            299 => "w ".repeat(1175),
            _ => "w ".to_owned() + &"x ".repeat(59),
        };
        let (searcher, field) = indexed(&[(0..300).map(text).collect()], |_| false);
        for found in both(&searcher, &[word(field, "w", 1.0)], 1) {
            assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [299], "{found:?}");
        }
    }

    #[test]
    fn a_stretch_of_several_blocks_is_not_judged_by_its_first() {
        let text = |at: usize| match at {
            500 => "a a a b b b x".to_owned(),
            1900 => "a a a a b b b b x".to_owned(),
            _ => "a b ".to_owned() + &"x ".repeat(60),
        };
        let (searcher, field) = indexed(&[(0..3000).map(text).collect()], |_| false);
        for found in both(&searcher, &[word(field, "a", 1.0), word(field, "b", 1.0)], 1) {
            assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1900], "{found:?}");
        }
    }

    #[test]
    fn a_word_that_was_not_needed_for_a_while_is_found_again() {
        // Of those that tie every one has to have its second word; of the long texts between them none is looked at.
        let text = |at: usize| match (at % 2, (WINDOW..3 * WINDOW).contains(&at)) {
            (0, false) => "a b".to_owned(),
            (0, true) => "a b ".to_owned() + &"x ".repeat(50),
            _ => "b".to_owned(),
        };
        let (searcher, field) = indexed(&[(0..4 * WINDOW).map(text).collect()], |_| false);
        let numbers = numbers(&searcher);
        let place = Place::new(&searcher, &numbers, None);
        let words = [word(field, "a", 1.0), word(field, "b", 1.0)];
        let expected = expected(&place, &words, 5);
        assert_eq!(expected.len(), WINDOW);
        assert_eq!(first(best_of_any(&place, &words, 5).unwrap(), 5), expected);
    }

    #[test]
    fn a_rare_word_is_gone_through_by_itself_and_others_are_looked_up() {
        let text = |at: usize| {
            let rare =
                if at.is_multiple_of(40) { "rare ".repeat(1 + usize::from(at.is_multiple_of(3000))) } else { String::new() };
            rare + if at.is_multiple_of(3) { "b b c" } else { "b c x" } + &" x".repeat(at % 7)
        };
        let (searcher, field) = indexed(&[(0..30_000).map(text).collect()], |number| number % 6000 == 0);
        let numbers = numbers(&searcher);
        let words: Vec<Weighted> = ["c", "rare", "b"].iter().map(|asked| word(field, asked, 1.0)).collect();
        for every in [1, 3, 100] {
            let some: NumberSet = (0..30_000).step_by(every).collect();
            let place = Place::new(&searcher, &numbers, (every > 1).then_some(&some));
            let found = first(best_of_any(&place, &words, 20).unwrap(), 20);
            assert_eq!(found, expected(&place, &words, 20), "one in {every}");
            let all = first(best_of_all(&place, &words, 20).unwrap(), 20);
            assert_eq!(all, expected_of_all(&place, &words, 20), "all, of one in {every}");
        }
    }

    #[test]
    fn postings_may_end_with_a_block() {
        for documents in [127, 128, 129, 256, 384] {
            let text = |at: usize| {
                "a ".repeat(1 + at % 5) + if at.is_multiple_of(3) { "b " } else { "c " } + if at < 128 { "d" } else { "e" }
            };
            let (searcher, field) = indexed(&[(0..documents).map(text).collect()], |_| false);
            let numbers = numbers(&searcher);
            let place = Place::new(&searcher, &numbers, None);
            for asked in [&["a"][..], &["d"], &["a", "b"], &["d", "b"], &["a", "b", "d", "e"]] {
                let words: Vec<Weighted> = asked.iter().map(|asked| word(field, asked, 1.0)).collect();
                let found = first(best_of_any(&place, &words, 10).unwrap(), 10);
                assert_eq!(found, expected(&place, &words, 10), "{documents} {asked:?}");
                let all = first(best_of_all(&place, &words, 10).unwrap(), 10);
                assert_eq!(all, expected_of_all(&place, &words, 10), "all of {documents} {asked:?}");
            }
        }
    }

    #[test]
    fn words_that_no_document_has_find_nothing() {
        let (searcher, field) = indexed(&texts(&[5], 30, 1), |_| false);
        let numbers = numbers(&searcher);
        let place = Place::new(&searcher, &numbers, None);
        assert_eq!(best_of_any(&place, &[word(field, "absent", 1.0)], 10).unwrap(), []);
        assert_eq!(best_of_all(&place, &[word(field, "0", 1.0), word(field, "absent", 1.0)], 10).unwrap(), []);
        assert_eq!(best_of_any(&place, &[], 10).unwrap(), []);
    }
}
