//! Vectors that an application brings.

use std::fmt;

use bincode::{Decode, Encode};

use crate::error::SchemaError;

/// How two vectors are compared; fixed when an index is created.
// The order of the variants is part of the file format: add at the end only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[non_exhaustive]
pub enum Metric {
    /// By the cosine of the angle between them, -1 to 1; lengths do not count.
    #[default]
    Cosine,
    /// By their inner product.
    Dot,
    /// By their distance; the score is its square with a minus, so that the nearest has the greatest.
    Euclidean,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot product",
            Self::Euclidean => "Euclidean distance",
        })
    }
}

/// Vectors that are compared with each other: of so many components, by one metric.
// The order of the fields is part of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Space {
    dimension: u32,
    metric: Metric,
}

impl Space {
    /// The most components that a vector may have.
    const MOST: usize = 1 << 16;

    /// Of 1 to 65,536 components; a number beyond is taken for the nearest of those.
    pub(crate) fn new(dimension: usize, metric: Metric) -> Self {
        Self { dimension: dimension.clamp(1, Self::MOST) as u32, metric }
    }

    pub(crate) fn dimension(self) -> usize {
        self.dimension as usize
    }

    pub(crate) fn metric(self) -> Metric {
        self.metric
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dimensions, compared by {}", self.dimension, self.metric)
    }
}

/// A vector that can be compared: of the right size, finite, not all zero.
pub(crate) fn check_vector(what: &str, vector: &[f32], space: Space) -> Result<(), SchemaError> {
    let (expected, metric) = (space.dimension(), space.metric());
    let problem = if vector.len() != expected {
        format!("has {} components", vector.len())
    } else if let Some(at) = vector.iter().position(|value| !value.is_finite()) {
        format!("holds {} at position {at}", vector[at])
    } else if vector.iter().all(|&value| value == 0.0) {
        "is all zero, and so has no direction".to_owned()
    } else if metric != Metric::Cosine && vector.iter().map(|value| value * value).sum::<f32>() > 1e30 {
        format!("is too long to be compared by {metric}, longer than 1e15")
    } else {
        return Ok(());
    };
    Err(SchemaError::Vector { what: what.to_owned(), problem, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_refused_with_its_place() {
        let problem =
            |vector: &[f32]| check_vector("document \"a\"", vector, Space::new(3, Metric::Cosine)).map_err(|e| e.to_string());
        assert!(problem(&[0.0, 1.0, 0.0]).is_ok());
        assert!(problem(&[1.0]).unwrap_err().contains("document \"a\": the vector has 1 components"));
        assert!(problem(&[1.0, f32::NAN, 0.0]).unwrap_err().contains("NaN at position 1"));
        assert!(problem(&[1.0, 0.0, f32::INFINITY]).unwrap_err().contains("inf at position 2"));
        assert!(problem(&[0.0; 3]).unwrap_err().contains("all zero"));
        let long = [1e20, 0.0, 1.0];
        assert!(problem(&long).is_ok(), "a cosine needs its direction alone");
        assert!(check_vector("a", &long, Space::new(3, Metric::Dot)).unwrap_err().to_string().contains("too long"));
    }
}
