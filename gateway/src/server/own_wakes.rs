//! A future that wakes its own task while it is polled is polled again at once.
//!
//! hyper wakes the task of a connection whenever the body of a request is read, although the same task reads it. Tokio would
//! put the task into its queue, and wake another thread for it, with each request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Polls at once, before other tasks have their turn.
const MOST_POLLS: u32 = 4;

/// The future is not polled now: the task is woken.
const WAITING: u8 = 0;
const POLLED: u8 = 1;
/// The future was woken while it was polled.
const WOKEN: u8 = 2;

/// The waker of a future.
#[derive(Debug)]
pub(super) struct OwnWakes {
    state: Arc<State>,
    waker: Waker,
}

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    task: AtomicWaker,
}

impl OwnWakes {
    pub(super) fn new() -> Self {
        let state = Arc::new(State {
            phase: AtomicU8::new(WAITING),
            task: AtomicWaker::new(),
        });
        let waker = Waker::from(Arc::clone(&state));
        Self { state, waker }
    }

    /// Polls the future, and again if it was woken meanwhile.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.state.task.register(cx.waker());
        let mut own = Context::from_waker(&self.waker);
        for _ in 0..MOST_POLLS {
            self.state.phase.store(POLLED, Ordering::Release);
            if let Poll::Ready(done) = poll(&mut own) {
                return Poll::Ready(done);
            }
            if self.state.phase.swap(WAITING, Ordering::AcqRel) == POLLED {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = self
            .phase
            .compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if woken == Err(WAITING) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicU32, time::Duration};

    use tokio::sync::mpsc;

    use super::*;

    /// Counts its wakes.
    #[derive(Default)]
    struct Task(AtomicU32);

    impl Task {
        /// Polls a future that is never ready. Returns the wakes of the task.
        fn poll(self: &Arc<Self>, mut poll: impl FnMut(&mut Context<'_>)) -> u32 {
            let waker = Waker::from(Arc::clone(self));
            let polled = OwnWakes::new().poll(&Context::from_waker(&waker), |cx| {
                poll(cx);
                Poll::<()>::Pending
            });
            assert!(polled.is_pending());
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_without_a_wake_of_its_task() {
        let mut polls = 0;
        let wakes = Arc::<Task>::default().poll(|cx| {
            polls += 1;
            if polls == 1 {
                cx.waker().wake_by_ref();
            }
        });
        assert_eq!((polls, wakes), (2, 0));
    }

    #[test]
    fn other_tasks_have_their_turn_beside_a_future_that_wakes_itself_without_end() {
        let mut polls = 0;
        let wakes = Arc::<Task>::default().poll(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
        });
        assert_eq!((polls, wakes), (MOST_POLLS, 1));
    }

    #[test]
    fn a_wake_after_the_poll_wakes_the_task() {
        let task = Arc::<Task>::default();
        let mut kept = None;
        let wakes = task.poll(|cx| kept = Some(cx.waker().clone()));
        assert_eq!(wakes, 0);
        kept.unwrap().wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_of_another_thread_is_lost() {
        const EVENTS: u32 = 100_000;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let own = OwnWakes::new();
            let mut seen = 0;
            poll_fn(|cx| {
                own.poll(cx, |cx| {
                    while receiver.poll_recv(cx).is_ready() {
                        seen += 1;
                    }
                    if seen < EVENTS {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                })
            })
            .await;
        });
        let sending = std::thread::spawn(move || {
            for event in 0..EVENTS {
                sender.send(event).unwrap();
                // The task catches up now and then, so that it is woken.
                if event % 8 == 0 {
                    std::thread::yield_now();
                }
            }
            // An open channel: its end wakes nothing.
            sender
        });
        let ended = tokio::time::timeout(Duration::from_secs(30), task);
        ended.await.unwrap().unwrap();
        drop(sending.join().unwrap());
    }
}
