//! Vectors: which passages are nearest to a query's vector.
//!
//! Exact: every vector is compared, in parallel, in memory. Similarity is the cosine. **Invariant:** this room is the truth
//! of nothing; the store's vectors are.

use rayon::prelude::*;

use crate::parallel;

/// Vectors in one piece of work for a thread.
const CHUNK: usize = 1024;

/// All passages' vectors, brought to length 1.
pub(crate) struct VectorTable {
    dimension: usize,
    vectors: Vec<f32>,
}

impl VectorTable {
    /// `vectors` one after the other, each of `dimension` components.
    pub(crate) fn new(mut vectors: Vec<f32>, dimension: usize) -> Self {
        // Not in parallel: this runs while others wait for it, and a thread that waits for rayon may be given their work.
        vectors.chunks_exact_mut(dimension).for_each(normalize);
        Self { dimension, vectors }
    }

    /// The cosine of the query with every vector, in their order; -1 to 1.
    pub(crate) fn similarities(&self, query: &[f32]) -> Vec<f32> {
        let mut query = query.to_vec();
        normalize(&mut query);
        let score = |block: &[f32]| block.chunks_exact(self.dimension).map(|vector| dot(vector, &query)).collect::<Vec<_>>();
        parallel::run(|| self.vectors.par_chunks(CHUNK * self.dimension).flat_map_iter(score).collect())
    }
}

fn normalize(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt();
    // A vector of length 1 to rounding is left as it is, so that what was stored is what is compared.
    if (norm - 1.0).abs() <= 1e-5 {
        return;
    }
    // Squares of very large and very small components leave the range of f32.
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 {
        vector.iter_mut().for_each(|value| *value /= largest);
        let norm = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|value| *value /= norm);
    }
}

/// Sums in sixteen lanes, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<16>();
    let (b_lanes, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_cosine_does_not_depend_on_lengths() {
        let table = VectorTable::new(vec![2.0, 0.0, 0.0, 3.0, -1.0, 0.0], 2);
        assert_eq!(table.similarities(&[5.0, 0.0]), [1.0, 0.0, -1.0]);
    }

    #[test]
    fn components_of_any_size_are_compared() {
        let table = VectorTable::new(vec![1e20, 0.0, 1e-30, 1e-30, 3e38, 3e38], 2);
        for (found, expected) in table.similarities(&[1e30, 0.0]).iter().zip([1.0, 0.5_f32.sqrt(), 0.5_f32.sqrt()]) {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_plain_one(pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..100)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let plain: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - plain).abs() < 1e-4);
        }
    }
}
