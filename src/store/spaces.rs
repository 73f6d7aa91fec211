//! Which vectors are compared with which.

use super::codes::NO_FIELD;
use super::header::VectorSource;
use crate::schema::{Schema, Space};

/// The spaces of an index's vectors, and whose vectors are in which. Each vector has a place in one table, as wide as the widest: narrower ones
/// are filled up with zeros there, which changes no similarity.
#[derive(Clone, Debug)]
pub(crate) struct Spaces {
    /// Each once; the first is that of all fields that have none of their own.
    all: Vec<Space>,
    /// Components of the widest.
    width: usize,
    /// Of each field of the schema, the place of its own.
    of_fields: Vec<usize>,
}

impl Spaces {
    /// `None` in an index without vectors.
    pub(super) fn new(source: &VectorSource, schema: &Schema) -> Option<Self> {
        let mut all = vec![source.space()?];
        let of_field = |name: &str| {
            let space = source.space_of(Some(name)).unwrap_or(all[0]);
            let known = all.iter().position(|other| *other == space);
            known.unwrap_or_else(|| {
                all.push(space);
                all.len() - 1
            })
        };
        let of_fields = schema.fields().iter().map(|field| field.name()).map(of_field).collect();
        Some(Self { all, width: source.width()?, of_fields })
    }

    pub(crate) fn all(&self) -> &[Space] {
        &self.all
    }

    /// Components of each vector of the table.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The place of a space among all.
    pub(crate) fn place_of(&self, space: Space) -> usize {
        self.all.iter().position(|other| *other == space).unwrap_or_default()
    }

    /// The place of a field's space, by the field's place in the schema; that of vectors of no field is the first.
    pub(crate) fn of_field(&self, field: u64) -> usize {
        let place = usize::try_from(field).ok().and_then(|field| self.of_fields.get(field));
        place.copied().unwrap_or_default()
    }

    /// The fields whose vectors are in a space, vectors of no field included; `None` where all are.
    pub(crate) fn fields_of(&self, space: Space) -> Option<Vec<u64>> {
        let place = self.place_of(space);
        let all = (0..self.of_fields.len() as u64).chain([NO_FIELD]);
        (self.all.len() > 1).then(|| all.filter(|field| self.of_field(*field) == place).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Metric;

    #[test]
    fn fields_without_vectors_of_their_own_kind_share_the_first_space() {
        let schema = Schema::builder().text("body").stored("picture").stored("sound").stored("poster").build().unwrap();
        let (words, pictures, sounds) =
            (Space::new(4, Metric::Cosine), Space::new(6, Metric::Dot), Space::new(2, Metric::Euclidean));
        let fields = [("sound", sounds), ("picture", pictures), ("poster", pictures), ("body", words)];
        let source = VectorSource::application(words, fields.map(|(name, space)| (name.to_owned(), space)).to_vec());
        let spaces = Spaces::new(&source, &schema).unwrap();
        assert_eq!((spaces.all(), spaces.width()), (&[words, pictures, sounds][..], 6));
        assert_eq!([0, 1, 2, 3, 4, NO_FIELD].map(|field| spaces.of_field(field)), [0, 1, 2, 1, 0, 0]);
        assert_eq!(spaces.fields_of(words), Some(vec![0, NO_FIELD]));
        assert_eq!(spaces.fields_of(pictures), Some(vec![1, 3]));
        let of_one = Spaces::new(&VectorSource::application(words, vec![("body".to_owned(), words)]), &schema).unwrap();
        assert_eq!((of_one.all(), of_one.fields_of(words)), (&[words][..], None));
        assert!(Spaces::new(&VectorSource::Nothing, &schema).is_none());
    }
}
