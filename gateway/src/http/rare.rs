//! Rare events beside a busy connection, such as a shutdown or the end of a long timeout.
//!
//! A task polls everything that it waits for whenever one of it is ready. For a shutdown and a timer, that is several locks for
//! each event of a stream, which all streams share. [`Rare`] is a waker of their own: they are polled after it was woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Whether rare events are to be polled.
#[derive(Debug)]
pub(crate) struct Rare(Arc<State>);

#[derive(Debug)]
struct State {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl Rare {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            is_due: AtomicBool::new(true),
            task: AtomicWaker::new(),
        }))
    }

    /// Polls the events, for the first time and after one of them was ready or woke this.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Before the look at the state, so that no change of it is missed.
        self.0.task.register(cx.waker());
        if !self.0.is_due.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.0.is_due.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.0));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.0.is_due.store(true, Ordering::Release);
        }
        polled
    }
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::atomic::AtomicU32, time::Duration};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn events_are_polled_only_after_they_woke() {
        let (busy, rare_event) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let polls = Arc::new(AtomicU32::new(0));
        let (wakes, event, counted) = (
            Arc::clone(&busy),
            Arc::clone(&rare_event),
            Arc::clone(&polls),
        );
        let task = tokio::spawn(async move {
            let rare = Rare::new();
            let mut event = pin!(event.notified());
            let mut events = 0;
            let mut busy = pin!(wakes.notified());
            poll_fn(|cx| {
                while busy.as_mut().poll(cx).is_ready() {
                    events += 1;
                    busy.set(wakes.notified());
                }
                rare.poll(cx, |cx| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    event.as_mut().poll(cx)
                })
            })
            .await;
            events
        });
        for _ in 0..10 {
            busy.notify_one();
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        rare_event.notify_one();
        let events = tokio::time::timeout(Duration::from_secs(10), task);
        assert_eq!(events.await.unwrap().unwrap(), 10);
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_event_that_is_ready_is_polled_again() {
        let rare = Rare::new();
        let mut polls = 0;
        poll_fn(|cx| {
            while rare.poll(cx, |_| Poll::Ready(())).is_ready() && polls < 3 {
                polls += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(polls, 3);
    }

    #[tokio::test]
    async fn an_event_during_its_poll_is_not_missed() {
        let rare = Rare::new();
        let mut polls = 0;
        poll_fn(|cx| {
            rare.poll(cx, |cx| {
                polls += 1;
                cx.waker().wake_by_ref();
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
        })
        .await;
        assert_eq!(polls, 3);
    }
}
