//! The shapes of batches that a GPU sees: a bounded number of them, and none that it has no room for.
//!
//! Each new shape may cost a shader's compilation, a run of autotuning and memory of a new size. So a batch's length and its number
//! of sequences are filled up to steps. **Invariant:** whatever comes, there are at most [`lengths`] × [`COUNTS`] shapes.

use std::cmp::Reverse;
use std::ops::Range;

use super::DeviceInfo;
use super::config::Config;
use crate::error::ModelError;

/// Tokens from one step of the length to the next.
const LENGTH_STEP: usize = 32;

/// What a batch costs beside its tokens, launches and the way to the device and back, in tokens. A guess: see `docs/gpu.md`.
const BATCH_COST: f64 = 256.0;

/// What a batch is filled up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) count: usize,
    pub(super) length: usize,
}

impl Shape {
    /// The smallest that has room for so many sequences of at most so many tokens.
    pub(super) fn of(count: usize, longest: usize) -> Self {
        Self { count: count_step(count), length: longest.max(1).next_multiple_of(LENGTH_STEP) }
    }

    /// Tokens, padding included.
    pub(super) fn tokens(self) -> usize {
        self.count * self.length
    }

    /// Work, in tokens of a short sequence; attention grows with the square of the length.
    fn cost(self) -> f64 {
        self.tokens() as f64 * (1.0 + self.length as f64 / 1000.0) + BATCH_COST
    }
}

/// 1, 2, 3, 4, 6, 8, 12, 16 and so on: powers of two and what lies in the middle.
fn count_step(count: usize) -> usize {
    let power = count.max(1).next_power_of_two();
    if power >= 4 && count <= power / 4 * 3 { power / 4 * 3 } else { power }
}

/// Groups sequences, given by length, into batches of at most `budget` tokens with their padding, so that the least work comes out.
///
/// Neighbours in length share a batch; the longest come first. A sequence longer than the budget is a batch of its own. Returns
/// indices into `lengths`; each is in one batch.
pub(super) fn pack(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| (Reverse(lengths[index]), index));
    // The least cost of the first sequences, and where the last batch of that solution begins.
    let mut least: Vec<(f64, usize)> = vec![(0.0, 0)];
    for end in 1..=order.len() {
        let mut found = (f64::INFINITY, end - 1);
        for begin in (0..end).rev() {
            let shape = Shape::of(end - begin, lengths[order[begin]]);
            if shape.tokens() > budget && end - begin > 1 {
                break;
            }
            let cost = least[begin].0 + shape.cost();
            if cost < found.0 {
                found = (cost, begin);
            }
        }
        least.push(found);
    }
    let mut batches = Vec::new();
    let mut end = order.len();
    while end > 0 {
        let begin = least[end].1;
        batches.push(order[begin..end].to_vec());
        end = begin;
    }
    batches.reverse();
    batches
}

/// What a device has room for, with one model.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Bytes that one tensor may have.
    limit: u64,
    positions: usize,
    /// The widest row of numbers that a token has.
    widest: usize,
    heads: usize,
}

/// Bytes of a number. Activations and tables are f32 in each precision.
const NUMBER: u64 = 4;

impl Room {
    /// # Errors
    /// [`ModelError::DeviceTooSmall`] when a weight, or what one sequence of full length makes, is larger than the device allows.
    pub(super) fn new(config: &Config, device: &DeviceInfo) -> Result<Self, ModelError> {
        let room = Self {
            limit: device.largest_tensor.unwrap_or(u64::MAX),
            positions: config.positions,
            widest: config.intermediate.max(config.hidden),
            heads: config.heads,
        };
        let hidden = config.hidden as u64;
        let one = Shape { count: 1, length: config.positions };
        let needs = [
            ("the table of word embeddings", config.vocabulary as u64 * hidden * NUMBER),
            ("the table of position embeddings", config.positions as u64 * hidden * NUMBER),
            ("a feed-forward weight", config.intermediate as u64 * hidden * NUMBER),
            ("the activation of one sequence of full length", room.activation(one)),
            ("the attention of one sequence of full length", room.attention(one)),
        ];
        match needs.into_iter().find(|(_, needed)| *needed > room.limit) {
            None => Ok(room),
            Some((what, needed)) => {
                Err(ModelError::DeviceTooSmall { device: device.to_string(), what, needed, limit: room.limit })
            }
        }
    }

    fn activation(&self, shape: Shape) -> u64 {
        shape.tokens() as u64 * self.widest as u64 * NUMBER
    }

    fn attention(&self, shape: Shape) -> u64 {
        shape.tokens() as u64 * shape.length as u64 * self.heads as u64 * NUMBER
    }

    fn fits(&self, shape: Shape) -> bool {
        self.activation(shape).max(self.attention(shape)) <= self.limit
    }

    /// The shape of a batch; no longer than the model has positions.
    pub(super) fn shape(&self, count: usize, longest: usize) -> Shape {
        let shape = Shape::of(count, longest);
        Shape { length: shape.length.min(self.positions), ..shape }
    }

    /// Cuts a batch, given by its sequences' lengths, into parts that the device has room for.
    pub(super) fn parts(&self, lengths: &[usize]) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut longest = 0;
        for (at, &length) in lengths.iter().enumerate() {
            match parts.last_mut() {
                Some(part) if self.fits(self.shape(at + 1 - part.start, longest.max(length))) => {
                    part.end = at + 1;
                    longest = longest.max(length);
                }
                _ => {
                    parts.push(at..at + 1);
                    longest = length;
                }
            }
        }
        parts
    }

    /// The shapes worth preparing: for each length one sequence alone, as a query is, and as many as a batch of `budget` tokens
    /// holds; the largest first, so that memory is asked for once.
    pub(super) fn likely(&self, longest: usize, budget: usize) -> Vec<Shape> {
        let lengths = (1..=longest.min(self.positions).div_ceil(LENGTH_STEP)).rev();
        lengths
            .flat_map(|step| {
                let full = (1..=budget / (step * LENGTH_STEP)).rev().map(|count| self.shape(count, step * LENGTH_STEP));
                let full = full.filter(|shape| shape.tokens() <= budget && self.fits(*shape)).max_by_key(|shape| shape.count);
                full.into_iter().filter(|shape| shape.count > 1).chain([self.shape(1, step * LENGTH_STEP)])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::DeviceKind;
    use super::*;

    fn minilm() -> Config {
        let json = br#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512}"#;
        Config::parse(std::path::Path::new("config.json"), json).unwrap()
    }

    fn with_limit(limit: u64) -> DeviceInfo {
        let kind = DeviceKind::IntegratedGpu;
        DeviceInfo { name: "UHD".to_owned(), kind, api: "Vulkan", largest_tensor: Some(limit), ..DeviceInfo::cpu() }
    }

    #[test]
    fn steps_are_few_and_waste_little() {
        let counts: Vec<usize> = (0..=20).map(count_step).collect();
        assert_eq!(counts, [1, 1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16, 24, 24, 24, 24]);
        let shapes: HashSet<Shape> = (1..=512).flat_map(|count| (1..=512).map(move |length| Shape::of(count, length))).collect();
        assert_eq!(shapes.len(), 16 * 18);
    }

    #[test]
    fn a_device_whose_buffers_are_too_small_is_refused_with_the_figures() {
        let error = Room::new(&minilm(), &with_limit(1 << 25)).unwrap_err().to_string();
        assert!(error.contains("word embeddings") && error.contains("46881792") && error.contains("33554432"), "{error}");
        assert!(Room::new(&minilm(), &with_limit(1 << 27)).is_ok(), "the least that Vulkan promises");
        assert!(Room::new(&minilm(), &DeviceInfo::cpu()).is_ok());
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // One part is meant.
    fn a_batch_is_cut_where_attention_would_not_fit() {
        let room = Room::new(&minilm(), &with_limit(1 << 27)).unwrap();
        assert_eq!(room.parts(&[512; 20]), [0..8, 8..16, 16..20], "8 sequences of 512 take 96 MiB, 12 take 144");
        assert_eq!(room.parts(&[128; 100]), [0..100]);
        assert!(room.parts(&[]).is_empty());
        let roomy = Room::new(&minilm(), &with_limit(1 << 31)).unwrap();
        assert_eq!(roomy.parts(&[512; 20]), [0..20]);
    }

    #[test]
    fn what_is_prepared_is_what_comes() {
        let room = Room::new(&minilm(), &with_limit(1 << 27)).unwrap();
        let likely = room.likely(512, 16_384);
        assert_eq!(likely.first(), Some(&Shape { count: 8, length: 512 }));
        assert!(likely.contains(&Shape { count: 1, length: 32 }) && likely.contains(&Shape { count: 128, length: 128 }));
        assert_eq!(likely.len(), 32);
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_batch_within_the_budget(lengths in prop::collection::vec(0usize..600, 0..80), budget in 1usize..8192) {
            let batches = pack(&lengths, budget);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                let longest = batch.iter().map(|&index| lengths[index]).max().unwrap();
                prop_assert!(batch.len() == 1 || Shape::of(batch.len(), longest).tokens() <= budget);
            }
        }

        #[test]
        fn parts_are_the_batch_in_order_and_fit(lengths in prop::collection::vec(1usize..=512, 0..200)) {
            let room = Room::new(&minilm(), &with_limit(1 << 27)).unwrap();
            let parts = room.parts(&lengths);
            prop_assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..lengths.len()).collect::<Vec<_>>());
            for part in parts {
                let longest = lengths[part.clone()].iter().max().unwrap();
                prop_assert!(room.fits(room.shape(part.len(), *longest)));
            }
        }
    }
}
