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

/// How many threads there are to compute on.
pub(crate) fn threads() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let name = |index| format!("fossick-compute-{index}");
    POOL.get_or_init(|| ThreadPoolBuilder::new().thread_name(name).build().ok()).as_ref()
}
