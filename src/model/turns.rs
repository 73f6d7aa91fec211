//! Who computes next: the batches of several callers, one of each in turn.
//!
//! A search that has two passages judged does not wait behind one that has two hundred: each caller has a line of its own, and
//! whoever is free takes from the line that has waited longest. **Invariant:** a caller leaves when its own work is done, whoever did it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DeviceKind;
use crate::parallel;

/// One batch, ready to be computed; it sees to it itself that its caller hears of it, and does not panic.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The work that waits for one kind of worker.
pub(super) struct Turns {
    lines: Mutex<Lines>,
    /// Held by the one worker of a GPU: two at once would share it, and both be late.
    worker: Mutex<()>,
}

struct Lines {
    /// One for each caller, the one whose turn it is first.
    waiting: VecDeque<VecDeque<Work>>,
    /// Helpers in the pool that will look here again: as many as it has threads at most, however many callers there are.
    helpers: usize,
}

impl Turns {
    const fn new() -> Self {
        Self { lines: Mutex::new(Lines { waiting: VecDeque::new(), helpers: 0 }), worker: Mutex::new(()) }
    }

    /// Those of the device's kind, the same for all models: what an encoder and a cross-encoder compute is in one order.
    pub(super) fn of(kind: DeviceKind) -> &'static Self {
        static CPU: Turns = Turns::new();
        static GPU: Turns = Turns::new();
        if kind == DeviceKind::Cpu { &CPU } else { &GPU }
    }

    /// Queues work, and sees that it is done: on the CPU by the pool, before or after this returns; on a GPU by the callers
    /// themselves, one at a time, until `done` says that this caller's is.
    pub(super) fn run(&'static self, kind: DeviceKind, work: VecDeque<Work>, done: impl Fn() -> bool) {
        if work.is_empty() {
            return;
        }
        let more = {
            let mut lines = self.lock();
            let more = parallel::threads().saturating_sub(lines.helpers).min(work.len());
            lines.waiting.push_back(work);
            if kind == DeviceKind::Cpu {
                lines.helpers += more;
            }
            more
        };
        if kind == DeviceKind::Cpu {
            return (0..more).for_each(|_| parallel::spawn(|| self.help()));
        }
        while !done() {
            let _worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            match self.take() {
                Some(work) => work(),
                None => break,
            }
        }
    }

    /// Runs work that no batch of a GPU may run beside.
    pub(super) fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        let _worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Does one batch, and comes back for the next behind what else waits for the pool. One at a time: a thread of the pool that waits for
    /// something of its own does such work meanwhile, and must not be kept from what it waits for by the batches of all callers.
    fn help(&'static self) {
        let work = {
            let mut lines = self.lock();
            let work = lines.take();
            lines.helpers -= usize::from(work.is_none());
            work
        };
        if let Some(work) = work {
            work();
            parallel::spawn_behind(|| self.help());
        }
    }

    fn take(&self) -> Option<Work> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// The next batch; its line goes to the end.
    fn take(&mut self) -> Option<Work> {
        let mut line = self.waiting.pop_front()?;
        let work = line.pop_front();
        if !line.is_empty() {
            self.waiting.push_back(line);
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Notes who was served, in which order, when `lines` of so many batches wait for one worker.
    fn served(lines: &[usize]) -> Vec<usize> {
        let turns = Turns::new();
        let (sender, receiver) = mpsc::channel();
        for (caller, &batches) in lines.iter().enumerate() {
            let work = |_| -> Work {
                let sender = sender.clone();
                Box::new(move || sender.send(caller).unwrap())
            };
            turns.lock().waiting.push_back((0..batches).map(work).collect());
        }
        while let Some(work) = turns.take() {
            work();
        }
        drop(sender);
        receiver.iter().collect()
    }

    #[test]
    fn callers_take_turns() {
        assert_eq!(served(&[5, 1, 2]), [0, 1, 2, 0, 2, 0, 0, 0]);
        assert!(served(&[]).is_empty());
    }

    /// Callers who always have something waiting, as under load: nothing piles up on the stacks of the pool's threads, or in the pool.
    #[test]
    fn many_callers_need_no_more_stack_and_no_more_helpers_than_one() {
        static DEEPEST: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static HIGHEST: Cell<usize> = const { Cell::new(0) };
        }
        let turns: &'static Turns = Box::leak(Box::new(Turns::new()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let (sender, receiver) = mpsc::channel();
                        let work = |_| -> Work {
                            let sender = sender.clone();
                            Box::new(move || {
                                let here = 0_u8;
                                let here = std::ptr::from_ref(&here).addr();
                                HIGHEST.set(HIGHEST.get().max(here));
                                DEEPEST.fetch_max(HIGHEST.get() - here, Ordering::Relaxed);
                                sender.send(()).unwrap();
                            })
                        };
                        turns.run(DeviceKind::Cpu, (0..2).map(work).collect(), || true);
                        assert!(turns.lock().helpers <= parallel::threads());
                        // A pool's thread that waits for others, as tokenising does.
                        parallel::run(|| rayon::join(|| (), || ()));
                        receiver.recv().unwrap();
                        receiver.recv().unwrap();
                    }
                });
            }
        });
        let deepest = DEEPEST.load(Ordering::Relaxed);
        assert!(deepest < 64 << 10, "{deepest} bytes");
        while turns.lock().helpers > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn each_caller_of_a_gpu_leaves_when_its_own_work_is_done() {
        let turns: &'static Turns = Box::leak(Box::new(Turns::new()));
        std::thread::scope(|scope| {
            for batches in [1_usize, 7, 30] {
                scope.spawn(move || {
                    let (sender, receiver) = crossbeam::channel::unbounded();
                    let work = |_| -> Work {
                        let sender = sender.clone();
                        Box::new(move || sender.send(()).unwrap())
                    };
                    turns.run(DeviceKind::DiscreteGpu, (0..batches).map(work).collect(), || receiver.len() == batches);
                    assert_eq!(receiver.len(), batches);
                });
            }
        });
        assert!(turns.take().is_none());
    }
}
