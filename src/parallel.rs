//! The threads on which models and scans compute.
//!
//! A pool of our own: an application may hold all threads of rayon's global one, even while it waits for us.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Runs `work` so that what it does in parallel is done on the pool, as many threads as there are cores.
pub(crate) fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match pool() {
        Some(pool) => pool.install(work),
        // A system that gives us no threads: the caller's will do.
        None => work(),
    }
}

/// Has `work` done on a thread of the pool, sooner or later. It must not panic.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) {
    match pool() {
        Some(pool) => pool.spawn(work),
        None => work(),
    }
}

/// Called between two pieces of long work on a thread of the pool: does what waits for the pool, if anything does.
pub(crate) fn yield_now() {
    rayon::yield_now();
}

/// How many threads there are to compute on.
pub(crate) fn threads() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let name = |index| format!("fossick-compute-{index}");
    POOL.get_or_init(|| ThreadPoolBuilder::new().thread_name(name).build().ok()).as_ref()
}
