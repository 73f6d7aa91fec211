//! Points at which a test has the process die, or the disk refuse.
//!
//! Only the library's own unit tests can name a point; in every other build these functions are empty.

#[cfg(not(test))]
pub(crate) use off::{abort_at, point};
#[cfg(test)]
pub(crate) use on::{abort_at, point};

#[cfg(not(test))]
mod off {
    use crate::error::StorageError;

    /// Dies here, or gives an error, if a test wants that.
    #[inline(always)]
    pub(crate) fn point(_name: &'static str) -> Result<(), StorageError> {
        Ok(())
    }

    /// Dies here if a test wants that: for places after which an error would have nobody to go to.
    #[inline(always)]
    pub(crate) fn abort_at(_name: &'static str) {}
}

#[cfg(test)]
pub(crate) mod on {
    use std::io;
    use std::path::Path;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use crate::error::StorageError;

    /// `die 2 NAME`: the process aborts when NAME is passed for the second time. `fail 2 NAME`: it gets an error there instead.
    pub(crate) const VARIABLE: &str = "FOSSICK_CRASH";

    struct Wish {
        dies: bool,
        count: usize,
        name: String,
    }

    static PASSED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

    /// The points that this process has passed, each time.
    pub(crate) fn passed() -> Vec<&'static str> {
        PASSED.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn point(name: &'static str) -> Result<(), StorageError> {
        match reached(name) {
            Some(wish) if wish.dies => std::process::abort(),
            Some(_) => Err(StorageError::io(Path::new("a test"), "what fails on purpose")(io::ErrorKind::StorageFull.into())),
            None => Ok(()),
        }
    }

    pub(crate) fn abort_at(name: &'static str) {
        if reached(name).is_some_and(|wish| wish.dies) {
            std::process::abort();
        }
    }

    fn reached(name: &'static str) -> Option<&'static Wish> {
        static WISH: OnceLock<Option<Wish>> = OnceLock::new();
        let wish = WISH.get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            let (what, rest) = text.split_once(' ')?;
            let (count, name) = rest.split_once(' ')?;
            Some(Wish { dies: what == "die", count: count.parse().ok()?, name: name.to_owned() })
        });
        let wish = wish.as_ref()?;
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(name);
        let times = passed.iter().filter(|other| **other == name).count();
        (wish.name == name && wish.count == times).then_some(wish)
    }
}
