//! The threads on which models and scans compute.
//!
//! A pool of our own: an application may hold all threads of rayon's global one, even while it waits for us.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Runs `work` so that what it does in parallel is done on the pool, as many threads as there are cores.
pub(crate) fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match pool() {
        Some(pool) if is_of_another_pool(pool) => {
            let done = std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join());
            done.unwrap_or_else(|panic| resume_unwind(panic))
        }
        Some(pool) => pool.install(work),
        // A system that gives us no threads: the caller's will do.
        None => work(),
    }
}

/// Whether this thread is a worker of a pool of the application's. While it waits for our pool such a thread would do other work of its own, under
/// whatever locks the application and we hold, and that work may wait for the same locks; so another thread has to wait for it.
fn is_of_another_pool(pool: &ThreadPool) -> bool {
    rayon::current_thread_index().is_some() && pool.current_thread_index().is_none()
}

/// Has `beside` done on the pool while the caller does `here`, which may use the pool as well. `beside` must not wait for a lock under which others
/// use the pool.
pub(crate) fn beside<R>(beside: impl FnOnce() + Send, here: impl FnOnce() -> R) -> R {
    match pool() {
        Some(pool) if is_of_another_pool(pool) => std::thread::scope(|scope| {
            let beside = scope.spawn(beside);
            let done = here();
            beside.join().unwrap_or_else(|panic| resume_unwind(panic));
            done
        }),
        Some(pool) => pool.in_place_scope(|scope| {
            scope.spawn(|_| beside());
            here()
        }),
        None => {
            beside();
            here()
        }
    }
}

/// Has `work` done on a thread of the pool, sooner or later. It must not panic.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) {
    match pool() {
        Some(pool) => pool.spawn(work),
        None => work(),
    }
}

/// The same, for work that a thread of the pool leaves to be done later: what others wait for the pool with comes first, one piece of it.
pub(crate) fn spawn_behind(work: impl FnOnce() + Send + 'static) {
    thread_local! {
        static YIELDS: Cell<bool> = const { Cell::new(false) };
    }
    // A pool's thread takes what it spawned itself before what comes from outside. Not within another's turn, which would go ever deeper.
    if !YIELDS.replace(true) {
        rayon::yield_now();
        YIELDS.set(false);
    }
    spawn(work);
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
