//! Which segments become one, and when.

use std::collections::HashMap;

use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::MergeCandidate;
use tantivy::merge_policy::{LogMergePolicy, MergePolicy};

/// A segment is merged when more than this share of its documents is deleted.
const DEAD_SHARE: f32 = 0.25;
/// Documents that are merged into one segment at most: tantivy holds 16 bytes for each while it merges.
const MOST_MERGED: u64 = 1 << 20;

/// Tantivy's own policy, but for merges of too many documents, which are divided.
#[derive(Debug)]
pub(super) struct Bounded(LogMergePolicy);

impl Default for Bounded {
    fn default() -> Self {
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(DEAD_SHARE);
        // Large segments are looked at, too: what is deleted of them has to go some day.
        policy.set_max_docs_before_merge(usize::MAX);
        Self(policy)
    }
}

impl MergePolicy for Bounded {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let by_id: HashMap<SegmentId, &SegmentMeta> = segments.iter().map(|segment| (segment.id(), segment)).collect();
        let wanted = self.0.compute_merge_candidates(segments).into_iter();
        let groups = wanted.flat_map(|MergeCandidate(all)| groups(all.iter().map(|id| by_id[id])));
        let is_dead = |segment: &SegmentMeta| segment.num_deleted_docs() as f32 > DEAD_SHARE * segment.max_doc() as f32;
        groups.filter(|group| group.len() > 1 || group.iter().any(|segment| is_dead(segment))).map(candidate).collect()
    }
}

/// The next segments to merge until there are as few as there may be, without deleted documents.
pub(super) fn next_of_all(segments: &[SegmentMeta]) -> Option<Vec<SegmentId>> {
    let group = groups(segments.iter()).into_iter().find(|group| group.len() > 1 || group.iter().any(|one| one.has_deletes()));
    group.map(|group| candidate(group).0)
}

fn candidate(group: Vec<&SegmentMeta>) -> MergeCandidate {
    MergeCandidate(group.into_iter().map(SegmentMeta::id).collect())
}

/// The segments from the smallest on, as many together as may be merged into one. No two groups would fit into one.
fn groups<'a>(segments: impl Iterator<Item = &'a SegmentMeta>) -> Vec<Vec<&'a SegmentMeta>> {
    let mut ordered: Vec<&SegmentMeta> = segments.collect();
    ordered.sort_by_key(|segment| segment.num_docs());
    let mut groups: Vec<Vec<&SegmentMeta>> = Vec::new();
    let mut live = 0;
    for segment in ordered {
        live += u64::from(segment.num_docs());
        match groups.last_mut().filter(|_| live <= MOST_MERGED) {
            Some(group) => group.push(segment),
            None => {
                live = segment.num_docs().into();
                groups.push(vec![segment]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tantivy::Index;
    use tantivy::schema::Schema;

    use super::*;

    fn segments(sizes: &[u32]) -> Vec<SegmentMeta> {
        let index = Index::create_in_ram(Schema::builder().build());
        sizes.iter().map(|&documents| index.new_segment_meta(SegmentId::generate_random(), documents)).collect()
    }

    /// Segments after a merge, and the size of the one it made.
    fn merged(all: Vec<SegmentMeta>, group: &[SegmentId]) -> (Vec<SegmentMeta>, u32) {
        let (gone, mut kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|segment| group.contains(&segment.id()));
        assert_eq!(gone.len(), group.len());
        let size = gone.iter().map(SegmentMeta::num_docs).sum();
        kept.extend(segments(&[size]));
        (kept, size)
    }

    #[test]
    fn eight_segments_of_a_size_become_one_and_large_ones_stay() {
        let policy = Bounded::default();
        let wanted = |sizes: &[u32]| {
            let candidates = policy.compute_merge_candidates(&segments(sizes));
            candidates.into_iter().map(|candidate| candidate.0.len()).collect::<Vec<_>>()
        };
        assert_eq!(wanted(&[96_000; 7]), [0; 0]);
        assert_eq!(wanted(&[96_000; 8]), [8]);
        assert_eq!(wanted(&[300_000; 8]), [3, 3, 2]);
        assert_eq!(wanted(&[768_000; 20]), [0; 0]);
    }

    proptest! {
        #[test]
        fn no_merge_is_of_too_many_and_merging_all_ends_where_no_two_fit(sizes in prop::collection::vec(1_u32..1_500_000, 0..40)) {
            let total: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
            let policy = Bounded::default();
            let mut all = segments(&sizes);
            while let Some(candidate) = policy.compute_merge_candidates(&all).pop() {
                let size;
                (all, size) = merged(all, &candidate.0);
                prop_assert!(candidate.0.len() > 1 && u64::from(size) <= MOST_MERGED);
            }
            while let Some(group) = next_of_all(&all) {
                let size;
                (all, size) = merged(all, &group);
                prop_assert!(group.len() > 1 && u64::from(size) <= MOST_MERGED);
            }
            let mut sizes: Vec<u64> = all.iter().map(|segment| segment.num_docs().into()).collect();
            sizes.sort_unstable();
            prop_assert!(sizes.len() < 2 || sizes[0] + sizes[1] > MOST_MERGED);
            prop_assert_eq!(sizes.iter().sum::<u64>(), total);
        }
    }
}
