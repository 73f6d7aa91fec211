//! Fusion: the words' list and the vectors' list become one.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::final_order::spread;

/// How the words' list and the vectors' list become one. [`Convex`](Self::Convex) unless set.
///
/// A document's score is the sum of weight × value over the lists that have it; a list that lacks it adds 0. A list of weight 0
/// adds nothing, and its documents are found all the same, with a score of 0 where the other list lacks them.
///
/// What can be used: weights that are not negative, not both 0, and together at most 1e30; and a k that is finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fusion {
    /// By scores, from the least that each could be: the value of a document in the words' list is its share of the greatest score, BM25
    /// having 0 for a document without any of the words; in the vectors' list it is 0 for the least score, 1 for the greatest, and linear
    /// between them. A convex combination with a known lower bound (Bruch, Gai and Ingber 2023, *An analysis of fusion functions for hybrid
    /// retrieval*), which they found ahead of reciprocal ranks; of vectors, whose least similarity no text ever has, the least of the list
    /// stands for the bound.
    ///
    /// Where all scores of a list are equal, or none is above 0 among the words', each is worth 1.
    Convex {
        /// The weight of the words' list.
        words: f32,
        /// The weight of the vectors' list.
        vectors: f32,
    },
    /// By places alone: the value is 1 / (k + rank), the rank counted from 1 (Cormack, Clarke and Büttcher 2009, section 2).
    ReciprocalRank {
        /// How little the first places stand out: with 0 the first is worth twice the second, with the authors' 60 hardly more.
        k: f32,
        /// The weight of the words' list.
        words: f32,
        /// The weight of the vectors' list.
        vectors: f32,
    },
    /// By scores: the value is 0 for the list's least score, 1 for its greatest, and linear between them (Lee 1997, *Analyses of
    /// multiple evidence combination*).
    ///
    /// The last document of a list gets 0 from it, as does one that the list lacks. Where all scores of a list are equal, each is
    /// the greatest and gets 1, so that having been found counts.
    MinMax {
        /// The weight of the words' list.
        words: f32,
        /// The weight of the vectors' list.
        vectors: f32,
    },
    /// By scores: the value is 0 at three standard deviations below the list's mean, 1 at three above it, and linear between them
    /// (distribution-based score fusion, Mazzeschi 2023). What lies above that is worth more than 1, or the first few of a list with a
    /// long tail, as BM25's are, would all be worth the same; what lies below is worth 0. One score far from the others spoils their values
    /// less than it does with [`MinMax`](Self::MinMax).
    ///
    /// The mean of every list is worth 0.5. So is each score where all of them are equal, since all of them are the mean.
    Distribution {
        /// The weight of the words' list.
        words: f32,
        /// The weight of the vectors' list.
        vectors: f32,
    },
}

impl fmt::Display for Fusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, vectors) = self.both_weights();
        write!(f, "{}, words {words}, vectors {vectors}", self.method())?;
        match self {
            Self::ReciprocalRank { k, .. } => write!(f, ", k {k}"),
            _ => Ok(()),
        }
    }
}

impl Default for Fusion {
    fn default() -> Self {
        Self::convex(0.45, 0.55)
    }
}

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    Words,
    Vectors,
}

impl Fusion {
    /// [`Convex`](Self::Convex) with these weights.
    pub const fn convex(words: f32, vectors: f32) -> Self {
        Self::Convex { words, vectors }
    }

    /// [`ReciprocalRank`](Self::ReciprocalRank) with its authors' k of 60, and both lists counting the same.
    pub const fn reciprocal_rank() -> Self {
        Self::ReciprocalRank { k: 60.0, words: 1.0, vectors: 1.0 }
    }

    /// [`MinMax`](Self::MinMax) with these weights.
    pub const fn min_max(words: f32, vectors: f32) -> Self {
        Self::MinMax { words, vectors }
    }

    /// [`Distribution`](Self::Distribution) with these weights.
    pub const fn distribution(words: f32, vectors: f32) -> Self {
        Self::Distribution { words, vectors }
    }

    /// The same method with these weights.
    #[must_use]
    pub const fn weights(self, words: f32, vectors: f32) -> Self {
        match self {
            Self::ReciprocalRank { k, .. } => Self::ReciprocalRank { k, words, vectors },
            Self::Convex { .. } => Self::Convex { words, vectors },
            Self::MinMax { .. } => Self::MinMax { words, vectors },
            Self::Distribution { .. } => Self::Distribution { words, vectors },
        }
    }

    /// Whether it can be used, and else what is wrong with it. Under a fusion that passes, every score is finite: no value is
    /// greater than the square root of the length of its list.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if let Self::ReciprocalRank { k, .. } = *self
            && !(k.is_finite() && k >= 0.0)
        {
            return Err("k must be a finite number that is not negative");
        }
        let (words, vectors) = self.both_weights();
        if !(words >= 0.0 && vectors >= 0.0) {
            return Err("a weight must be a number that is not negative");
        }
        match words + vectors {
            0.0 => Err("one of the weights must be greater than 0"),
            sum if sum <= 1e30 => Ok(()),
            _ => Err("the weights together must not be greater than 1e30"),
        }
    }

    /// The method's name, as the command line has it.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Convex { .. } => "convex",
            Self::ReciprocalRank { .. } => "reciprocal-rank",
            Self::MinMax { .. } => "min-max",
            Self::Distribution { .. } => "distribution",
        }
    }

    /// The weights of the words' list and of the vectors'.
    pub(crate) fn both_weights(&self) -> (f32, f32) {
        match *self {
            Self::ReciprocalRank { words, vectors, .. }
            | Self::Convex { words, vectors }
            | Self::MinMax { words, vectors }
            | Self::Distribution { words, vectors } => (words, vectors),
        }
    }

    /// By what a list with these scores is measured.
    pub(crate) fn scale(&self, leg: Leg, scores: &[f32]) -> Scale {
        let finite = || scores.iter().copied().filter(|score| score.is_finite());
        let greatest = || finite().fold(f32::NEG_INFINITY, f32::max).into();
        match *self {
            Self::ReciprocalRank { k, .. } => Scale::Ranks { k },
            Self::Convex { .. } if leg == Leg::Words => Scale::Between { low: 0.0, high: greatest() },
            Self::Convex { .. } | Self::MinMax { .. } => {
                Scale::Between { low: finite().fold(f32::INFINITY, f32::min).into(), high: greatest() }
            }
            Self::Distribution { .. } => {
                let (mean, deviation) = spread(finite());
                Scale::Spread { mean, deviation }
            }
        }
    }

    /// What each place of a list with these scores is worth, 0 or more.
    fn values(&self, leg: Leg, scores: &[f32]) -> Vec<f32> {
        let scale = self.scale(leg, scores);
        (1..).zip(scores).map(|(rank, score)| scale.value(rank, *score)).collect()
    }
}

/// By what the scores of one list become values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Not by them, but by their ranks: 1 / (k + rank).
    Ranks { k: f32 },
    /// 0 at `low` and 1 at `high`.
    Between { low: f64, high: f64 },
    /// 0 at three deviations below the mean and 1 at three above it.
    Spread { mean: f64, deviation: f64 },
}

impl Scale {
    /// What a score is worth, 0 or more. One that is not finite is worth 0 and moves no other's value; where ranks alone count it
    /// keeps its place.
    fn value(&self, rank: usize, score: f32) -> f32 {
        let of_equals = match self {
            Self::Ranks { k } => return (1.0 / (f64::from(*k) + rank as f64)) as f32,
            Self::Between { .. } => 1.0,
            Self::Spread { .. } => 0.5,
        };
        let (low, high) = self.ends();
        match score {
            score if !score.is_finite() => 0.0,
            score if low < high => ((f64::from(score) - low) / (high - low)).max(0.0) as f32,
            _ => of_equals,
        }
    }

    /// The scores that are worth 0 and 1; equal where all are.
    fn ends(&self) -> (f64, f64) {
        match *self {
            Self::Ranks { .. } => (0.0, 0.0),
            Self::Between { low, high } => (low, high),
            Self::Spread { mean, deviation } => (mean - 3.0 * deviation, mean + 3.0 * deviation),
        }
    }

    /// Whether scores make a difference.
    pub(crate) fn tells_apart(&self) -> bool {
        let (low, high) = self.ends();
        low < high
    }
}

/// A document after fusion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fused {
    pub(crate) document: u64,
    /// The sum of both lists' contributions, 0 for a list that lacks the document, computed in `f32`. Whoever sums them in `f64`
    /// and rounds the result to `f32` has the same, since `f64` has more than twice the digits.
    pub(crate) score: f32,
    pub(crate) words: Option<Term>,
    pub(crate) vectors: Option<Term>,
}

/// What one list said of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Term {
    /// The place in the list, from 1.
    pub(crate) rank: usize,
    /// The list's own score.
    pub(crate) score: f32,
    /// What rank or score are worth, 0 or more.
    pub(crate) value: f32,
    /// The list's weight.
    pub(crate) weight: f32,
}

impl Term {
    /// The part of the fused score that is this list's.
    pub(crate) fn contribution(&self) -> f32 {
        self.weight * self.value
    }
}

/// Joins both lists, each from the best. The fusion must have passed its [check](Fusion::check).
///
/// Best first; equal scores in the order of `rank_of_equals`, which is called once for each document whose score another has, and
/// for no other. A document that a list has twice counts at its better place, as if the other were not there.
pub(crate) fn fuse<O: Ord>(
    fusion: &Fusion,
    words: &[(u64, f32)],
    vectors: &[(u64, f32)],
    rank_of_equals: impl Fn(u64) -> O,
) -> Vec<Fused> {
    let mut found: HashMap<u64, (Option<Term>, Option<Term>)> = HashMap::with_capacity(words.len() + vectors.len());
    let (weight_of_words, weight_of_vectors) = fusion.both_weights();
    for (document, term) in terms(fusion, Leg::Words, words, weight_of_words) {
        found.entry(document).or_default().0 = Some(term);
    }
    for (document, term) in terms(fusion, Leg::Vectors, vectors, weight_of_vectors) {
        found.entry(document).or_default().1 = Some(term);
    }
    let contribution = |term: &Option<Term>| term.as_ref().map_or(0.0, Term::contribution);
    let mut fused: Vec<Fused> = found
        .into_iter()
        .map(|(document, (words, vectors))| Fused {
            document,
            score: contribution(&words) + contribution(&vectors),
            words,
            vectors,
        })
        .collect();
    fused.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    for equals in fused.chunk_by_mut(|a, b| a.score == b.score) {
        // The number is there for what `rank_of_equals` cannot tell apart: a hash map has no order to fall back on.
        equals.sort_by_cached_key(|hit| (rank_of_equals(hit.document), hit.document));
    }
    fused
}

/// A list's documents, each once, with what the list says of them.
fn terms(fusion: &Fusion, leg: Leg, list: &[(u64, f32)], weight: f32) -> impl Iterator<Item = (u64, Term)> {
    let mut seen = HashSet::with_capacity(list.len());
    let (documents, scores): (Vec<u64>, Vec<f32>) = list.iter().filter(|(document, _)| seen.insert(*document)).copied().unzip();
    let values = fusion.values(leg, &scores);
    let terms = scores.into_iter().zip(values).enumerate();
    documents.into_iter().zip(terms.map(move |(position, (score, value))| Term { rank: position + 1, score, value, weight }))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type List = Vec<(u64, f32)>;

    /// The documents in order, where equal scores are in the order of their numbers.
    fn order(fusion: Fusion, words: &[(u64, f32)], vectors: &[(u64, f32)]) -> Vec<u64> {
        fuse(&fusion, words, vectors, |document| document).iter().map(|hit| hit.document).collect()
    }

    fn scores(fusion: Fusion, words: &[(u64, f32)], vectors: &[(u64, f32)]) -> List {
        fuse(&fusion, words, vectors, |document| document).iter().map(|hit| (hit.document, hit.score)).collect()
    }

    const METHODS: [Fusion; 4] =
        [Fusion::reciprocal_rank(), Fusion::convex(1.0, 1.0), Fusion::min_max(1.0, 1.0), Fusion::distribution(1.0, 1.0)];

    #[test]
    fn agreement_goes_before_one_good_rank() {
        let words = [(1, 9.0), (2, 8.0), (3, 7.0)];
        let vectors = [(4, 0.9), (3, 0.8), (2, 0.7)];
        let fused = scores(Fusion::reciprocal_rank(), &words, &vectors);
        assert_eq!(fused.iter().map(|hit| hit.0).collect::<Vec<_>>(), [2, 3, 1, 4]);
        assert!((fused[0].1 - (1.0 / 62.0 + 1.0 / 63.0)).abs() < 1e-7);
    }

    #[test]
    fn one_list_keeps_its_order_by_rank() {
        assert_eq!(order(Fusion::reciprocal_rank(), &[(3, 0.1), (1, 0.1)], &[]), [3, 1]);
    }

    #[test]
    fn equal_scores_have_one_order() {
        for fusion in METHODS {
            assert_eq!(order(fusion, &[(7, 1.0)], &[(5, 1.0)]), [5, 7], "{fusion:?}");
        }
    }

    #[test]
    fn a_small_k_sets_the_first_places_apart() {
        let values = |k| Fusion::ReciprocalRank { k, words: 1.0, vectors: 1.0 }.values(Leg::Vectors, &[0.0; 3]);
        assert_eq!(values(0.0), [1.0, 1.0 / 2.0, 1.0 / 3.0]);
        assert_eq!(values(60.0), [1.0 / 61.0, 1.0 / 62.0, 1.0 / 63.0]);
    }

    #[test]
    fn min_max_reaches_from_the_least_score_to_the_greatest() {
        let fused =
            fuse(&Fusion::min_max(0.25, 0.75), &[(1, 30.0), (2, 15.0), (3, 10.0)], &[(2, 0.5), (1, -0.5)], |document| document);
        let shown: Vec<_> = fused.iter().map(|hit| (hit.document, hit.score)).collect();
        assert_eq!(shown, [(2, 0.25 * 0.25 + 0.75), (1, 0.25), (3, 0.0)]);
        assert_eq!(fused[0].words, Some(Term { rank: 2, score: 15.0, value: 0.25, weight: 0.25 }));
        assert_eq!(fused[0].vectors, Some(Term { rank: 1, score: 0.5, value: 1.0, weight: 0.75 }));
        assert_eq!(fused[2].vectors, None);
    }

    #[test]
    fn convex_begins_at_nothing_for_words_and_at_the_least_for_vectors() {
        let fused =
            fuse(&Fusion::convex(0.25, 0.75), &[(1, 30.0), (2, 15.0), (3, 6.0)], &[(2, 0.5), (1, -0.5)], |document| document);
        let shown: Vec<_> = fused.iter().map(|hit| (hit.document, hit.score)).collect();
        assert_eq!(shown, [(2, 0.25 * 0.5 + 0.75), (1, 0.25), (3, 0.25 * 0.2)]);
    }

    #[test]
    fn words_that_are_worth_nothing_count_as_found() {
        for scores in [&[0.0; 3][..], &[-1.0, -1.0]] {
            assert!(Fusion::convex(1.0, 1.0).values(Leg::Words, scores).iter().all(|&value| value == 1.0), "{scores:?}");
        }
    }

    #[test]
    fn distribution_reaches_three_deviations_to_either_side_of_the_mean() {
        // Mean 5, deviation 2: the textbook's example.
        let values = Fusion::distribution(1.0, 1.0).values(Leg::Vectors, &[9.0, 7.0, 5.0, 5.0, 4.0, 4.0, 4.0, 2.0]);
        assert_eq!(values, [10.0, 8.0, 6.0, 6.0, 5.0, 5.0, 5.0, 3.0].map(|twelfths: f32| twelfths / 12.0));
    }

    #[test]
    fn scores_beyond_three_deviations_keep_their_order() {
        let mut far = vec![0.0; 40];
        (far[0], far[1]) = (1000.0, 900.0);
        let values = Fusion::distribution(1.0, 1.0).values(Leg::Vectors, &far);
        assert!(values[0] > values[1] && values[1] > 1.0, "{values:?}");
        assert!(values[2] < 0.5);
    }

    #[test]
    fn scores_that_are_all_equal_are_the_greatest_or_the_mean() {
        for scores in [&[2.5][..], &[0.1; 7], &[0.0; 3], &[-4.0, -4.0]] {
            assert!(Fusion::min_max(1.0, 1.0).values(Leg::Vectors, scores).iter().all(|&value| value == 1.0), "{scores:?}");
            assert!(Fusion::distribution(1.0, 1.0).values(Leg::Vectors, scores).iter().all(|&value| value == 0.5), "{scores:?}");
        }
    }

    #[test]
    fn a_score_that_is_not_finite_is_worth_nothing_and_moves_no_other() {
        let broken = [f32::INFINITY, 3.0, f32::NAN, 2.0, 1.0, f32::NEG_INFINITY];
        for (fusion, leg) in METHODS[1..].iter().flat_map(|fusion| [(fusion, Leg::Words), (fusion, Leg::Vectors)]) {
            let [high, middle, low] = fusion.values(leg, &[3.0, 2.0, 1.0])[..] else { panic!("three scores have three values") };
            assert_eq!(fusion.values(leg, &broken), [0.0, high, 0.0, middle, low, 0.0], "{fusion:?}");
            assert_eq!(fusion.values(leg, &[f32::NAN; 2]), [0.0, 0.0], "{fusion:?}");
        }
    }

    #[test]
    fn a_list_without_weight_adds_nothing_and_is_found_all_the_same() {
        let words = [(1, 9.0), (2, 8.0), (3, 7.0)];
        let vectors = [(5, 0.9), (2, 0.8), (4, 0.7)];
        for fusion in METHODS {
            let fused = scores(fusion.weights(0.0, 2.0), &words, &vectors);
            assert_eq!(fused[..2].iter().map(|hit| hit.0).collect::<Vec<_>>(), [5, 2], "{fusion:?}");
            assert_eq!(fused.len(), 5, "{fusion:?}");
            assert!(fused.iter().all(|&(document, score)| score == 0.0 || [5, 2, 4].contains(&document)), "{fusion:?}");
        }
    }

    #[test]
    fn empty_lists_make_an_empty_one() {
        for fusion in METHODS {
            assert!(order(fusion, &[], &[]).is_empty(), "{fusion:?}");
        }
    }

    #[test]
    fn only_documents_with_equal_scores_are_asked_for_their_rank_and_each_once() {
        let asked = RefCell::new(Vec::new());
        let rank = |document| {
            asked.borrow_mut().push(document);
            document
        };
        fuse(&Fusion::reciprocal_rank(), &[(1, 3.0), (2, 2.0), (3, 1.0)], &[(1, 3.0), (5, 2.0), (4, 1.0)], rank);
        let mut asked = asked.into_inner();
        asked.sort_unstable();
        assert_eq!(asked, [2, 3, 4, 5]);
    }

    #[test]
    fn what_the_rank_of_equals_cannot_tell_apart_has_one_order_too() {
        let list: List = (0..50).map(|document| (document, 1.0)).collect();
        let fused = fuse(&Fusion::min_max(1.0, 1.0), &list, &[], |_| ());
        assert!(fused.is_sorted_by_key(|hit| hit.document));
    }

    #[test]
    fn weights_and_k_are_checked() {
        for fusion in METHODS {
            assert_eq!(fusion.check(), Ok(()));
            for (words, vectors) in [(0.0, 1.0), (1.0, 0.0), (0.3, 0.7), (1e30, 1e-30)] {
                assert_eq!(fusion.weights(words, vectors).check(), Ok(()), "{words} {vectors}");
            }
            for bad in [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(fusion.weights(bad, 1.0).check().is_err(), "{bad}");
                assert!(fusion.weights(1.0, bad).check().is_err(), "{bad}");
            }
            assert!(fusion.weights(0.0, -0.0).check().is_err());
            assert!(fusion.weights(f32::MAX, f32::MAX).check().is_err());
        }
        for k in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(Fusion::ReciprocalRank { k, words: 1.0, vectors: 1.0 }.check().is_err(), "{k}");
        }
        assert_eq!(Fusion::ReciprocalRank { k: 0.0, words: 1.0, vectors: 1.0 }.check(), Ok(()));
    }

    fn any_fusion() -> impl Strategy<Value = Fusion> {
        let weight = || prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..10.0];
        let method = prop_oneof![
            prop_oneof![Just(0.0f32), Just(60.0), 0.0f32..100.0].prop_map(|k| Fusion::ReciprocalRank {
                k,
                words: 1.0,
                vectors: 1.0
            }),
            Just(Fusion::convex(1.0, 1.0)),
            Just(Fusion::min_max(1.0, 1.0)),
            Just(Fusion::distribution(1.0, 1.0)),
        ];
        (method, weight(), weight())
            .prop_map(|(method, words, vectors)| method.weights(words, vectors))
            .prop_filter("a usable fusion", |fusion| fusion.check().is_ok())
    }

    /// A list with any scores whatever, in which documents may be twice.
    fn any_list() -> impl Strategy<Value = List> {
        prop::collection::vec((0u64..60, any::<f32>()), 0..40)
    }

    /// A list as a search has it: from the best, each document once. The scores are whole, so that they are exact when scaled and
    /// shifted, and few, so that many are equal.
    fn ranked_list() -> impl Strategy<Value = List> {
        prop::collection::btree_map(0u64..60, -20i16..20, 0..40).prop_map(|scores| {
            let mut list: List = scores.into_iter().map(|(document, score)| (document, score.into())).collect();
            list.sort_by(|a, b| b.1.total_cmp(&a.1));
            list
        })
    }

    proptest! {
        #[test]
        fn every_document_is_there_once_from_the_best_with_a_score_that_is_the_sum_of_its_terms(fusion in any_fusion(), words in any_list(), vectors in any_list()) {
            let fused = fuse(&fusion, &words, &vectors, |document| document);
            let documents: BTreeSet<u64> = words.iter().chain(&vectors).map(|hit| hit.0).collect();
            prop_assert_eq!(fused.iter().map(|hit| hit.document).collect::<BTreeSet<_>>(), documents);
            prop_assert!(fused.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.document < b.document)));
            for hit in fused {
                let terms = || hit.words.iter().chain(&hit.vectors);
                prop_assert!(hit.score.is_finite() && terms().all(|term| term.value >= 0.0 && term.value < 100.0));
                prop_assert_eq!(hit.score, terms().map(Term::contribution).sum::<f32>());
                prop_assert_eq!(hit.score, terms().map(|term| f64::from(term.contribution())).sum::<f64>() as f32);
                for (list, term) in [(&words, hit.words), (&vectors, hit.vectors)] {
                    let first = list.iter().find(|entry| entry.0 == hit.document).map(|entry| entry.1.to_bits());
                    prop_assert_eq!(first, term.map(|term| term.score.to_bits()));
                }
            }
        }

        #[test]
        fn a_documents_second_place_in_a_list_does_not_count(fusion in any_fusion(), list in ranked_list(), again in prop::collection::vec((0usize..40, 0usize..40), 0..10)) {
            let mut longer = list.clone();
            for (of, at) in again {
                let Some(&(document, score)) = list.get(of) else { continue };
                let place = longer.iter().position(|entry| entry.0 == document).unwrap();
                longer.insert((place + 1 + at).min(longer.len()), (document, score - at as f32));
            }
            let rank = |document| document;
            prop_assert_eq!(fuse(&fusion, &longer, &[], rank), fuse(&fusion, &list, &[], rank));
        }

        #[test]
        fn the_lists_change_places_with_their_weights(fusion in any_fusion(), words in any_list(), vectors in any_list()) {
            // Convex alone asks whose list it is.
            prop_assume!(!matches!(fusion, Fusion::Convex { .. }));
            let (of_words, of_vectors) = fusion.both_weights();
            prop_assert_eq!(scores(fusion.weights(of_vectors, of_words), &vectors, &words), scores(fusion, &words, &vectors));
        }

        #[test]
        fn reciprocal_ranks_look_at_ranks_alone(k in 0.0f32..100.0, words in ranked_list(), vectors in ranked_list(), others in prop::collection::vec(any::<f32>(), 40)) {
            let fusion = Fusion::ReciprocalRank { k, words: 1.0, vectors: 0.5 };
            let rescored: List = words.iter().zip(others).map(|(&(document, _), score)| (document, score)).collect();
            prop_assert_eq!(scores(fusion, &rescored, &vectors), scores(fusion, &words, &vectors));
        }

        #[test]
        fn by_scores_it_does_not_matter_in_which_order_equals_come(words in ranked_list(), vectors in ranked_list()) {
            let mut turned = words.clone();
            turned.chunk_by_mut(|a, b| a.1 == b.1).for_each(<[_]>::reverse);
            for fusion in [Fusion::convex(0.4, 0.6), Fusion::min_max(0.4, 0.6), Fusion::distribution(0.4, 0.6)] {
                prop_assert_eq!(scores(fusion, &turned, &vectors), scores(fusion, &words, &vectors));
            }
        }

        #[test]
        fn by_scores_a_lists_scale_and_origin_do_not_matter(words in ranked_list(), vectors in ranked_list(), power in -8i32..8, shift in -1000i16..1000) {
            let moved: List = words.iter().map(|&(document, score)| (document, score * 2f32.powi(power) + f32::from(shift))).collect();
            let min_max = Fusion::min_max(0.4, 0.6);
            prop_assert_eq!(scores(min_max, &moved, &vectors), scores(min_max, &words, &vectors));
            // For convex it is the vectors' that does not.
            let convex = Fusion::convex(0.4, 0.6);
            prop_assert_eq!(scores(convex, &vectors, &moved), scores(convex, &vectors, &words));
            // The mean of moved scores is rounded elsewhere, so what is equal but for rounding may change places.
            let distribution = Fusion::distribution(0.4, 0.6);
            let before: HashMap<u64, f32> = scores(distribution, &words, &vectors).into_iter().collect();
            let after = scores(distribution, &moved, &vectors);
            prop_assert!(after.iter().all(|(document, score)| (score - before[document]).abs() < 1e-6));
            prop_assert!(after.is_sorted_by(|a, b| before[&a.0] > before[&b.0] - 1e-6));
        }

        #[test]
        fn a_list_alone_keeps_its_order(fusion in any_fusion(), list in ranked_list()) {
            let fused = scores(fusion.weights(0.0, 1.0), &[], &list);
            let own: HashMap<u64, f32> = list.iter().copied().collect();
            // What lies three deviations below the mean is worth 0, all of it.
            prop_assert!(fused.is_sorted_by(|a, b| own[&a.0] >= own[&b.0] || (a.1, b.1) == (0.0, 0.0)));
        }
    }
}
