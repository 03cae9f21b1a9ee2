//! A connection that ends when its client says nothing at the start, or reads nothing while there is something to write.
//!
//! hyper has no timer before it knows the protocol, and none for writes.
//! <https://github.com/hyperium/hyper/issues/3756>

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What an HTTP/2 client sends first. Until a connection differs from it, its protocol is unknown.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection with timeouts.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    detection: Option<Detection>,
    write: Duration,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The time in which a client must show its protocol.
#[derive(Debug)]
struct Detection {
    deadline: Pin<Box<Sleep>>,
    /// Bytes of the preface that have arrived.
    matched: usize,
}

impl Detection {
    /// Whether these bytes show the protocol.
    fn is_decided(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if PREFACE.get(self.matched) != Some(byte) {
                return true;
            }
            self.matched = self.matched.saturating_add(1);
        }
        self.matched == PREFACE.len()
    }
}

impl<S> Guarded<S> {
    /// `detect` is the time until the protocol must be known, `write` the time without progress of a write.
    pub(super) fn new(inner: S, detect: Duration, write: Duration) -> Self {
        Self {
            inner,
            detection: Some(Detection {
                deadline: Box::pin(sleep(detect)),
                matched: 0,
            }),
            write,
            stalled: None,
        }
    }

    /// Ends a write that makes no progress.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let write = self.write;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(write)));
        match stalled.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                // A second poll must not find a timer that has ended.
                stalled.as_mut().reset(Instant::now());
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let Some(detection) = &mut self.detection else {
            return read;
        };
        if read.is_ready() {
            let new = buffer.filled().get(before..).unwrap_or_default();
            if new.is_empty() || detection.is_decided(new) {
                self.detection = None;
            }
            return read;
        }
        match detection.deadline.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.detection = None;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.progress(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.progress(cx, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const DETECT: Duration = Duration::from_secs(10);
    const WRITE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn silence_before_the_protocol_is_known_ends_the_connection() {
        for first in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM"] {
            let (mut client, server) = duplex(100);
            let mut server = Guarded::new(server, DETECT, WRITE);
            client.write_all(first).await.unwrap();
            let started = Instant::now();
            let mut all = Vec::new();
            let error = server.read_to_end(&mut all).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{first:?}");
            assert_eq!(started.elapsed(), DETECT, "{first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn known_protocols_may_be_silent() {
        for first in [&b"G"[..], b"POST", b"PRIX", PREFACE] {
            let (mut client, server) = duplex(100);
            let mut server = Guarded::new(server, DETECT, WRITE);
            client.write_all(first).await.unwrap();
            let mut all = Vec::new();
            let reading = server.read_to_end(&mut all);
            let silent = tokio::time::timeout(DETECT * 100, reading).await;
            assert!(silent.is_err(), "{first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_ends_the_connection_and_a_slow_one_does_not() {
        let (mut client, server) = duplex(100);
        let mut server = Guarded::new(server, DETECT, WRITE);
        let slow = tokio::spawn(async move {
            let mut buffer = [0; 50];
            for _ in 0..10 {
                tokio::time::sleep(WRITE / 2).await;
                client.read_exact(&mut buffer).await.unwrap();
            }
            client
        });
        server.write_all(&[0; 600]).await.unwrap();
        let client = slow.await.unwrap();
        let started = Instant::now();
        let error = server.write_all(&[0; 600]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), WRITE);
        drop(client);
    }
}
