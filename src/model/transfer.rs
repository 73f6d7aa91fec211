//! The way of numbers to a device and back. All that a network sends or reads passes through here, where tests count it.

use burn::tensor::kind::Basic;
use burn::tensor::{Element, Tensor, TensorCreationOptions, TensorData};

/// Numbers in row-major order as a tensor of the device.
pub(super) fn up<const D: usize, K: Basic>(
    values: Vec<impl Element>,
    shape: [usize; D],
    device: impl Into<TensorCreationOptions>,
) -> Tensor<D, K> {
    #[cfg(test)]
    tests::break_off();
    let tensor = Tensor::from_data(TensorData::new(values, shape), device);
    #[cfg(test)]
    tests::count(&tensor, |crossed| &mut crossed.up);
    tensor
}

/// A tensor's numbers in row-major order.
///
/// # Errors
/// What the device reported.
pub(super) fn down<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f32>, String> {
    #[cfg(test)]
    tests::count(tensor, |crossed| &mut crossed.down);
    tensor.try_to_vec_as().map_err(|e| format!("{e:?}"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    /// What went one way.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(in crate::model) struct Way {
        pub(in crate::model) tensors: usize,
        /// As the device has them.
        pub(in crate::model) bytes: usize,
    }

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(in crate::model) struct Crossed {
        pub(in crate::model) up: Way,
        pub(in crate::model) down: Way,
    }

    // A batch is sent and read by the thread that computes it, so that tests side by side do not count each other's.
    thread_local! {
        static CROSSED: Cell<Crossed> = const { Cell::new(Crossed { up: Way { tensors: 0, bytes: 0 }, down: Way { tensors: 0, bytes: 0 } }) };
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(super) fn count<const D: usize, K: Basic>(tensor: &Tensor<D, K>, way: impl FnOnce(&mut Crossed) -> &mut Way) {
        let mut crossed = CROSSED.get();
        let way = way(&mut crossed);
        way.tensors += 1;
        way.bytes += tensor.dims().iter().product::<usize>() * tensor.dtype().size();
        CROSSED.set(crossed);
    }

    /// What `work` gives, and what it sends and reads on this thread.
    pub(in crate::model) fn crossing<T>(work: impl FnOnce() -> T) -> (T, Crossed) {
        CROSSED.set(Crossed::default());
        (work(), CROSSED.get())
    }

    pub(super) fn break_off() {
        if let Some(left) = LEFT.get() {
            LEFT.set(left.checked_sub(1));
            assert!(left > 0, "the test has cut the wire");
        }
    }

    /// Has the driver panic once, when so many more tensors of this thread have gone up.
    pub(in crate::model) fn break_after(tensors: usize) {
        LEFT.set(Some(tensors));
    }
}
