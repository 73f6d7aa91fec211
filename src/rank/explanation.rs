//! Where a score comes from, as a tree.

use std::fmt;

/// How the value of an [`Explanation`] comes from its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Combination {
    /// It does not: it was measured or chosen; details, if there are any, say more about it.
    Given,
    /// Their sum.
    Sum,
    /// Their product.
    Product,
    /// The greatest of them.
    Greatest,
    /// Their mean.
    Mean,
    /// The first of them divided by the second.
    Quotient,
    /// As [`Given`](Self::Given); and it is no part of what it is listed under, but says more about it.
    Aside,
}

/// A number of a search, and the numbers that made it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// What it is.
    pub what: String,
    /// How much it is.
    pub value: f32,
    /// How that comes from the details.
    pub combination: Combination,
    /// What it comes from.
    pub details: Vec<Explanation>,
}

impl Explanation {
    pub(crate) fn given(what: impl Into<String>, value: f32) -> Self {
        Self { what: what.into(), value, combination: Combination::Given, details: Vec::new() }
    }

    /// What is listed with what it is about, and is no part of it.
    pub(crate) fn aside(what: impl Into<String>, value: f32) -> Self {
        Self { combination: Combination::Aside, ..Self::given(what, value) }
    }

    pub(crate) fn of(what: impl Into<String>, combination: Combination, details: Vec<Self>) -> Self {
        let mut made = Self { what: what.into(), value: 0.0, combination, details };
        made.value = made.recomputed().unwrap_or(0.0);
        made
    }

    /// More about a number that was given.
    pub(crate) fn with(mut self, details: impl IntoIterator<Item = Self>) -> Self {
        self.details.extend(details);
        self
    }

    /// With the value that was computed elsewhere, which differs from what the details make by rounding alone.
    pub(crate) fn valued(self, value: f32) -> Self {
        Self { value, ..self }
    }

    /// The value that the details make, asides left out; `None` where it was given.
    pub fn recomputed(&self) -> Option<f32> {
        let parts = || self.details.iter().filter(|detail| detail.combination != Combination::Aside);
        let values = || parts().map(|detail| detail.value);
        match self.combination {
            Combination::Given | Combination::Aside => None,
            Combination::Sum => Some(values().sum()),
            Combination::Product => Some(values().product()),
            Combination::Greatest => values().reduce(f32::max),
            Combination::Mean => Some(values().sum::<f32>() / parts().count().max(1) as f32),
            Combination::Quotient => values().reduce(|whole, part| whole / part),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let how = match self.combination {
            Combination::Given => "",
            Combination::Aside => ", beside it",
            Combination::Sum => ", the sum of",
            Combination::Product => ", the product of",
            Combination::Greatest => ", the greatest of",
            Combination::Mean => ", the mean of",
            Combination::Quotient => ", the first divided by the second of",
        };
        writeln!(f, "{:indent$}{:.6}  {}{how}", "", self.value, self.what, indent = 2 * depth)?;
        self.details.iter().try_for_each(|detail| detail.write(f, depth + 1))
    }
}

impl fmt::Display for Explanation {
    /// A line for each number, indented below what it belongs to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_computes_its_values_and_prints_them() {
        let product = Explanation::of(
            "weighted",
            Combination::Product,
            vec![Explanation::given("weight", 2.0), Explanation::given("value", 0.25)],
        );
        let sum = Explanation::of("all", Combination::Sum, vec![product, Explanation::given("other", 1.0)]);
        assert_eq!((sum.value, sum.recomputed()), (1.5, Some(1.5)));
        let text = sum.to_string();
        assert!(
            text.starts_with("1.500000  all, the sum of\n  0.500000  weighted, the product of\n    2.000000  weight\n"),
            "{text}"
        );
    }

    #[test]
    fn an_aside_is_listed_and_does_not_count() {
        let parts = vec![Explanation::aside("rank", 7.0), Explanation::given("score", 3.0), Explanation::given("greatest", 4.0)];
        for (combination, value) in [
            (Combination::Quotient, 0.75),
            (Combination::Product, 12.0),
            (Combination::Sum, 7.0),
            (Combination::Mean, 3.5),
            (Combination::Greatest, 4.0),
        ] {
            let tree = Explanation::of("value", combination, parts.clone());
            assert_eq!((tree.value, tree.recomputed()), (value, Some(value)));
            assert!(tree.to_string().contains("\n  7.000000  rank, beside it\n"), "{tree}");
        }
    }
}
