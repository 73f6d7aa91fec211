//! Reciprocal rank fusion.

use std::collections::HashMap;

/// The constant k of the formula, as its authors chose it.
const K: f64 = 60.0;

/// Joins ranked lists: a document's score is the sum of 1 / (k + rank) over the lists that have it, rank from 1 and k = 60
/// (Cormack, Clarke and Büttcher 2009, section 2).
///
/// Best first; equal scores in the order of `rank_of_equals`. A document must not be twice in one list.
pub(crate) fn reciprocal_rank_fusion<O: Ord>(lists: &[&[(u64, f32)]], rank_of_equals: impl Fn(u64) -> O) -> Vec<(u64, f32)> {
    let mut scores: HashMap<u64, f64> = HashMap::new();
    for list in lists {
        for (position, (document, _)) in list.iter().enumerate() {
            *scores.entry(*document).or_default() += 1.0 / (K + position as f64 + 1.0);
        }
    }
    let mut fused: Vec<(u64, f64)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| rank_of_equals(a.0).cmp(&rank_of_equals(b.0))));
    fused.into_iter().map(|(document, score)| (document, score as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_goes_before_one_good_rank() {
        let lexical = [(1, 9.0), (2, 8.0), (3, 7.0)];
        let semantic = [(4, 0.9), (3, 0.8), (2, 0.7)];
        let fused = reciprocal_rank_fusion(&[&lexical, &semantic], |document| document);
        assert_eq!(fused.iter().map(|hit| hit.0).collect::<Vec<_>>(), [2, 3, 1, 4]);
        assert!((fused[0].1 - (1.0 / 62.0 + 1.0 / 63.0)).abs() < 1e-7);
    }

    #[test]
    fn equal_scores_have_one_order() {
        let fused = reciprocal_rank_fusion(&[&[(7, 1.0)], &[(5, 1.0)]], |document| document);
        assert_eq!(fused.iter().map(|hit| hit.0).collect::<Vec<_>>(), [5, 7]);
    }

    #[test]
    fn one_list_keeps_its_order() {
        let fused = reciprocal_rank_fusion(&[&[(3, 0.1), (1, 0.1)]], |document| document);
        assert_eq!(fused.iter().map(|hit| hit.0).collect::<Vec<_>>(), [3, 1]);
    }
}
