//! Which fragments of a table are worth rewriting.
//!
//! Each commit adds a fragment, so without this a table would become as many files as there were commits. Fragments are joined like
//! the runs of a log-structured merge tree: when there are too many below a size, those are joined, for growing sizes; a row is so
//! rewritten once for each size. Fragments of which much was deleted are rewritten without the dead rows.

use lance_table::format::Fragment;

use super::Housekeeping;

/// No fragment becomes larger by being joined with others.
const LARGEST: u64 = 1 << 20;
/// A fragment of this size is left alone, so that those below it, joined until no more fit, reach it.
const FULL: u64 = LARGEST / 2;
/// Dead rows that are too few to be worth a rewrite of their own.
const FEW: u64 = 64;

/// What a table consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) fragments: u64,
    /// Rows that were deleted and still take space.
    pub(crate) dead_rows: u64,
}

/// When a table is compacted.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompactionLimits {
    /// So many fragments below a size are joined.
    fragments: u64,
    /// A fragment with more dead rows than this share is rewritten.
    dead_share: f64,
    few: u64,
    /// The first size that is looked at.
    first: u64,
}

impl CompactionLimits {
    pub(super) fn automatic(housekeeping: &Housekeeping) -> Self {
        Self {
            fragments: u64::from(housekeeping.fragments.max(2)),
            dead_share: f64::from(housekeeping.dead_share.clamp(0.01, 1.0)),
            few: FEW,
            first: u64::from(housekeeping.fragments.max(16)),
        }
    }

    /// Everything that can be gained.
    pub(super) fn everything() -> Self {
        Self { fragments: 2, dead_share: 0.0, few: 0, first: FULL }
    }

    /// The groups of fragments, neighbours in the table, that are to become one each.
    pub(super) fn tasks(&self, fragments: &[Fragment]) -> Vec<Vec<Fragment>> {
        let sizes: Vec<(u64, u64)> = fragments.iter().map(|fragment| (physical_rows(fragment), dead_rows(fragment))).collect();
        let groups = self.groups(&sizes);
        groups.into_iter().filter_map(|group| fragments.get(group).map(<[Fragment]>::to_vec)).collect()
    }

    /// The same for sizes: rows and dead rows of each fragment, in their order.
    fn groups(&self, sizes: &[(u64, u64)]) -> Vec<std::ops::Range<usize>> {
        let (mut above, mut limit) = (0, self.first.min(FULL));
        let joined = loop {
            // Only those of this size count, or the smaller ones would have the larger ones rewritten each time.
            if sizes.iter().filter(|(rows, _)| (above..limit).contains(rows)).count() as u64 >= self.fragments {
                break Some(limit);
            }
            if limit >= FULL {
                break None;
            }
            (above, limit) = (limit, (limit * self.first).min(FULL));
        };
        let dying = |&(rows, dead): &(u64, u64)| dead > self.few && dead as f64 > rows as f64 * self.dead_share;
        let wanted: Vec<bool> = sizes.iter().map(|size| joined.is_some_and(|limit| size.0 < limit) || dying(size)).collect();
        let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
        for at in (0..sizes.len()).filter(|&at| wanted[at]) {
            let rows = |group: &std::ops::Range<usize>| sizes[group.clone()].iter().map(|(rows, _)| rows).sum::<u64>();
            match groups.last_mut() {
                Some(group) if group.end == at && rows(group) + sizes[at].0 <= LARGEST => group.end = at + 1,
                _ => groups.push(at..at + 1),
            }
        }
        // One alone gains nothing, unless it is full of the dead.
        groups.retain(|group| group.len() > 1 || dying(&sizes[group.start]));
        groups
    }
}

fn physical_rows(fragment: &Fragment) -> u64 {
    fragment.physical_rows.unwrap_or(0) as u64
}

pub(super) fn dead_rows(fragment: &Fragment) -> u64 {
    fragment.deletion_file.as_ref().and_then(|file| file.num_deleted_rows).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn automatic() -> CompactionLimits {
        CompactionLimits::automatic(&Housekeeping::default())
    }

    /// Carries the groups out: their sums take their places.
    fn compacted(sizes: &[(u64, u64)], groups: &[std::ops::Range<usize>]) -> Vec<(u64, u64)> {
        let mut left: Vec<(usize, (u64, u64))> =
            (0..sizes.len()).filter(|at| !groups.iter().any(|group| group.contains(at))).map(|at| (at, sizes[at])).collect();
        left.extend(
            groups.iter().map(|group| (group.start, (sizes[group.clone()].iter().map(|(rows, dead)| rows - dead).sum(), 0))),
        );
        left.sort_unstable();
        left.into_iter().map(|(_, size)| size).collect()
    }

    #[test]
    fn ten_thousand_commits_leave_few_fragments_and_rewrite_a_row_a_few_times() {
        for each in [1, 3, 40, 700] {
            let (mut sizes, mut rewritten) = (Vec::new(), 0);
            for _ in 0..10_000 {
                sizes.push((each, 0));
                let groups = automatic().groups(&sizes);
                rewritten += groups.iter().flat_map(|group| &sizes[group.clone()]).map(|(rows, _)| rows).sum::<u64>();
                sizes = compacted(&sizes, &groups);
                assert!(sizes.len() <= 6 * 16, "{} fragments of commits of {each}", sizes.len());
            }
            assert!(rewritten <= 10_000 * each * 5, "{rewritten} rows rewritten for {}", 10_000 * each);
        }
    }

    #[test]
    fn a_fragment_full_of_dead_rows_is_rewritten_and_one_with_a_few_is_not() {
        assert_eq!(automatic().groups(&[(1000, 300), (1000, 100), (50, 40)]), vec![std::ops::Range { start: 0, end: 1 }]);
        assert_eq!(
            CompactionLimits::everything().groups(&[(1 << 20, 1), (1 << 20, 0)]),
            vec![std::ops::Range { start: 0, end: 1 }]
        );
        assert!(CompactionLimits::everything().groups(&[(1 << 20, 0), (5, 0)]).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_compacted_wholly_needs_nothing_more(sizes in prop::collection::vec((1u64..5000, 0u64..5000), 0..60)) {
            let sizes: Vec<(u64, u64)> = sizes.into_iter().map(|(rows, dead)| (rows, dead.min(rows - 1))).collect();
            let after = compacted(&sizes, &CompactionLimits::everything().groups(&sizes));
            prop_assert!(after.len() <= 1 || after.iter().all(|(_, dead)| *dead == 0));
            prop_assert!(CompactionLimits::everything().groups(&after).is_empty());
        }
    }
}
