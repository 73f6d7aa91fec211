//! Gives passages their vectors, in windows sorted by length.

use super::Monitor;
use super::prepare::Prepared;
use crate::error::Error;
use crate::model::Encoder;

/// Passages that are collected before they are sorted by length and embedded: enough for even batches.
pub(super) const WINDOW: usize = 256;

/// Bytes that are collected at most, where documents are large.
pub(super) const WINDOW_BYTES: usize = 16 << 20;

/// Passages between two looks at the cancel flag.
const STEP: usize = 32;

/// Fills in the vectors of all passages that lack one.
pub(super) fn embed(encoder: &Encoder, window: &mut [Prepared], monitor: &Monitor) -> Result<(), Error> {
    let places =
        window.iter().enumerate().flat_map(|(at, document)| (0..document.passages.len()).map(move |passage| (at, passage)));
    let mut places: Vec<(usize, usize)> = places.collect();
    places.sort_by_key(|&(at, passage)| std::cmp::Reverse(window[at].passages[passage].tokens.len()));
    for step in places.chunks(STEP) {
        monitor.check()?;
        let inputs: Vec<&[u32]> = step.iter().map(|&(at, passage)| window[at].passages[passage].tokens.as_slice()).collect();
        let embeddings = encoder.encode_tokens(&inputs)?;
        monitor.truncated(embeddings.iter().filter(|embedding| embedding.truncated).count() as u64);
        for (&(at, passage), embedding) in step.iter().zip(embeddings) {
            window[at].passages[passage].vector = Some(embedding.vector);
        }
        monitor.embedded(step.len() as u64);
    }
    Ok(())
}
