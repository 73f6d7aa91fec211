//! How sure a mean and a difference are.

/// Resamples of a bootstrap, and random sign changes of a test.
const ROUNDS: usize = 10_000;

/// A mean with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The 2.5th percentile of the resampled means.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// The mean of values with the percentile bootstrap's interval (Efron and Tibshirani 1993, section 13.3): 10,000 samples with
/// replacement, from a fixed seed, so that the same values give the same interval. All zero without values.
pub fn bootstrap(values: &[f64]) -> Interval {
    let mean = mean(values);
    let mut random = SplitMix64(values.len() as u64);
    let mut means: Vec<f64> = (0..ROUNDS)
        .map(|_| sum((0..values.len()).map(|_| values[random.below(values.len())])) / values.len().max(1) as f64)
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    Interval { mean, low: means[ROUNDS * 25 / 1000], high: means[ROUNDS * 975 / 1000 - 1] }
}

/// The two-sided p-value of the mean of paired differences, by Fisher's randomization test (Smucker, Allan and Carterette 2007,
/// section 3.1): how often random signs give a mean at least as far from zero, in 10,000 rounds from a fixed seed. 1 without a difference.
pub fn randomization_test(differences: &[f64]) -> f64 {
    let observed = differences.iter().sum::<f64>().abs();
    let mut random = SplitMix64(differences.len() as u64);
    let mut signed = || -> f64 {
        let (mut sum, mut bits) = (0.0, 0);
        for (at, difference) in differences.iter().enumerate() {
            if at % 64 == 0 {
                bits = random.next();
            }
            sum += if bits >> (at % 64) & 1 == 1 { *difference } else { -difference };
        }
        sum
    };
    // Sums of the same numbers in another order of signs differ by rounding.
    let slack = 1e-9 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let as_far = (0..ROUNDS).filter(|_| signed().abs() >= observed - slack).count();
    (as_far + 1) as f64 / (ROUNDS + 1) as f64
}

pub(super) fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / values.len().max(1) as f64
}

/// The sum, which of nothing is zero: the standard library's has a minus then, and is written with it.
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// Steele, Lea and Flood 2014, figure 17: enough for resampling.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound` - 1, by multiplication (Lemire 2019); the bias at such bounds is far below the noise.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_normal_approximation_for_many_values() {
        let values: Vec<f64> = (0..1000).map(|at| f64::from(at % 2)).collect();
        let interval = bootstrap(&values);
        let half = 1.96 * (0.25_f64 / 1000.0).sqrt();
        assert_eq!(interval.mean, 0.5);
        assert!((interval.low - (0.5 - half)).abs() < 0.003 && (interval.high - (0.5 + half)).abs() < 0.003, "{interval:?}");
    }

    #[test]
    fn equal_values_leave_no_doubt_and_none_give_zero() {
        assert_eq!(bootstrap(&[0.25; 7]), Interval { mean: 0.25, low: 0.25, high: 0.25 });
        assert_eq!(bootstrap(&[]), Interval { mean: 0.0, low: 0.0, high: 0.0 });
    }

    #[test]
    fn a_steady_gain_is_significant_and_a_mixed_one_is_not() {
        assert!(randomization_test(&[0.1; 20]) < 0.001);
        let mixed: Vec<f64> = (0..20).map(|at| if at % 2 == 0 { 0.3 } else { -0.29 }).collect();
        assert!(randomization_test(&mixed) > 0.5);
        assert_eq!(randomization_test(&[0.0; 5]), 1.0);
        assert_eq!(randomization_test(&[]), 1.0);
    }

    #[test]
    fn a_small_sample_has_the_exact_p_value() {
        // All eight signs of three equal differences: two are as far from zero as the observed.
        let p = randomization_test(&[1.0, 1.0, 1.0]);
        assert!((p - 0.25).abs() < 0.02, "{p}");
    }
}
