//! Where large bodies are decoded: outside the threads that serve all requests, and few at a time.

use std::{num::NonZero, thread};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

/// Size from which a body is large.
const LARGE_BYTES: usize = 256 * 1024;
/// Most bodies that are decoded at a time.
const MOST: usize = 4;
/// Memory of the process for each of them: the tree of a body with the most values takes some 85 MiB.
const BYTES_PER_DECODER: u64 = 256 * 1024 * 1024;

/// Runs the decoding of large bodies.
#[derive(Debug)]
pub(crate) struct Decoders(Semaphore);

impl Decoders {
    /// One decoder for each CPU and each 256 MiB of the memory limit.
    pub(crate) fn new(memory: Option<u64>) -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        let fitting = memory.map_or(MOST, |memory| {
            usize::try_from(memory / BYTES_PER_DECODER).unwrap_or(MOST)
        });
        Self(Semaphore::new(cpus.min(fitting).clamp(1, MOST)))
    }

    /// Does work on a body of this size. Waits if the body is large and other large ones are decoded.
    pub(crate) async fn run<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes < LARGE_BYTES {
            return work();
        }
        // It is never closed.
        let _permit = self.0.acquire().await;
        apart(bytes, work)
    }
}

/// Does work on a body of this size while other threads serve the requests of this one.
pub(crate) fn apart<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    // A runtime with one thread has no other.
    let has_others = || {
        Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if bytes >= LARGE_BYTES && has_others() {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    #[expect(clippy::disallowed_methods, reason = "decoding occupies its thread")]
    async fn other_tasks_run_while_large_bodies_are_decoded_few_at_a_time() {
        let decoders = Arc::new(Decoders::new(None));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (decoders, running, most) = (
                    Arc::clone(&decoders),
                    Arc::clone(&running),
                    Arc::clone(&most),
                );
                tokio::spawn(async move {
                    decoders
                        .run(LARGE_BYTES, || {
                            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            // sleep: the work that occupies a thread.
                            thread::sleep(Duration::from_millis(200));
                            running.fetch_sub(1, Ordering::SeqCst);
                        })
                        .await;
                })
            })
            .collect();
        // sleep: until the work occupies a thread.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        tokio::spawn(async {}).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(150));
        assert!(running.load(Ordering::SeqCst) > 0);
        for task in tasks {
            task.await.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= MOST);
    }

    #[test]
    fn a_small_memory_limit_has_one_decoder() {
        let decoders = |mib: u64| Decoders::new(Some(mib * 1024 * 1024)).0.available_permits();
        assert_eq!((decoders(64), decoders(256), decoders(511)), (1, 1, 1));
        let cpus = thread::available_parallelism().unwrap().get();
        assert_eq!(decoders(512), cpus.min(2));
        assert_eq!(decoders(1 << 20), cpus.min(MOST));
    }

    #[tokio::test]
    async fn a_runtime_with_one_thread_decodes_in_place() {
        assert_eq!(Decoders::new(None).run(LARGE_BYTES, || 1).await, 1);
        assert_eq!(apart(LARGE_BYTES, || 2), 2);
    }
}
