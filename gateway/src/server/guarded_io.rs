//! A connection that ends when its client says nothing at the start, or reads nothing while there is something to write, and
//! whose frames without a request are limited.
//!
//! The protocol is found here and not by `hyper-util`, whose way makes hyper double the buffer of each connection.
//!
//! hyper has no timer before it knows the protocol, none for writes, and no limit for frames such as PING.
//! <https://github.com/hyperium/hyper/issues/3756>

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::overhead::Overhead;
use crate::measure::{self, Step};

/// What an HTTP/2 client sends first. Until a connection differs from it, its protocol is unknown.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection with timeouts.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    protocol: Protocol,
    /// What showed the protocol and is to be read again.
    shown: Bytes,
    write: Duration,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The protocol of a connection, as far as its client has shown it.
#[derive(Debug)]
enum Protocol {
    Unknown {
        /// The time in which the client must show it.
        deadline: Pin<Box<Sleep>>,
        /// Bytes of the preface that have arrived.
        matched: usize,
    },
    Http1,
    Http2 {
        overhead: Box<Overhead>,
        /// Runs while nothing may be read.
        paused: Option<Pin<Box<Sleep>>>,
    },
}

impl Protocol {
    /// Counts bytes that were read; none mean that the client sends nothing more.
    fn read(&mut self, bytes: &[u8]) {
        match self {
            Self::Http1 => {}
            Self::Http2 { overhead, .. } => overhead.read(bytes),
            Self::Unknown { matched, .. } => {
                let expected = PREFACE.get(*matched..).unwrap_or_default();
                let (expected, missing) = expected.split_at(expected.len().min(bytes.len()));
                let (preface, frames) = bytes.split_at(expected.len());
                if preface != expected || bytes.is_empty() {
                    *self = Self::Http1;
                } else if missing.is_empty() {
                    let mut overhead = Box::new(Overhead::new(Instant::now()));
                    overhead.read(frames);
                    *self = Self::Http2 {
                        overhead,
                        paused: None,
                    };
                } else {
                    *matched = matched.saturating_add(preface.len());
                }
            }
        }
    }

    /// Counts bytes that were written.
    fn written(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Self::Http2 { overhead, .. }, Poll::Ready(Ok(bytes))) = (self, written) {
            overhead.written(*bytes);
        }
    }

    /// Whether a connection may be read now.
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self::Http2 { overhead, paused } = self else {
            return Poll::Ready(());
        };
        while let Some(until) = overhead.pause(Instant::now()) {
            let sleep = paused.get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(sleep.as_mut().poll(cx));
            *paused = None;
        }
        Poll::Ready(())
    }
}

impl<S> Guarded<S> {
    /// `detect` is the time until the protocol must be known, `write` the time without progress of a write.
    pub(super) fn new(inner: S, detect: Duration, write: Duration) -> Self {
        Self {
            inner,
            protocol: Protocol::Unknown {
                deadline: Box::pin(sleep(detect)),
                matched: 0,
            },
            shown: Bytes::new(),
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

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Waits until the client has shown its protocol; whether it is HTTP/2. What it sent is read again.
    ///
    /// # Errors
    /// When the client says nothing in time, or the connection fails.
    pub(super) async fn is_http2(&mut self) -> io::Result<bool> {
        let mut buffer = [0; PREFACE.len()];
        let mut shown: usize = 0;
        while matches!(self.protocol, Protocol::Unknown { .. }) {
            let rest = buffer.get_mut(shown..).unwrap_or_default();
            shown = shown.saturating_add(self.read(rest).await?);
        }
        self.shown = Bytes::copy_from_slice(buffer.get(..shown).unwrap_or_default());
        Ok(matches!(self.protocol, Protocol::Http2 { .. }))
    }

    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.protocol.poll_budget(cx));
        let before = buffer.filled().len();
        let read = measure::step(Step::ReceiveRequest, || {
            Pin::new(&mut self.inner).poll_read(cx, buffer)
        });
        if read.is_ready() {
            let new = buffer.filled().get(before..).unwrap_or_default();
            self.protocol.read(new);
        } else if let Protocol::Unknown { deadline, .. } = &mut self.protocol {
            ready!(deadline.as_mut().poll(cx));
            self.protocol = Protocol::Http1;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shown.is_empty() {
            return self.poll_received(cx, buffer);
        }
        let again = self.shown.len().min(buffer.remaining());
        buffer.put_slice(&self.shown.split_to(again));
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // In the same read, because hyper doubles its buffer for another one.
        match self.poll_received(cx, buffer) {
            Poll::Pending => Poll::Ready(Ok(())),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = measure::step(Step::SendResponse, || {
            Pin::new(&mut self.inner).poll_write(cx, bytes)
        });
        self.protocol.written(&written);
        self.progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = measure::step(Step::SendResponse, || {
            Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
        });
        self.protocol.written(&written);
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
    async fn the_protocol_is_known_however_slowly_it_arrives_and_is_read_again() {
        let request = b"POST / HTTP/1.1\r\n\r\n";
        let settings = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        for (sent, is_http2) in [
            (&request[..], false),
            (b"PRI * HTTP/1.1\r\n\r\n", false),
            (b"PRI", false),
            (b"", false),
            (PREFACE, true),
            (&settings, true),
        ] {
            for pause in [Duration::ZERO, Duration::from_millis(100)] {
                let (mut client, server) = duplex(100);
                let mut server = Guarded::new(server, DETECT, WRITE);
                let bytes = sent.to_vec();
                let sending = tokio::spawn(async move {
                    for part in bytes.chunks(if pause.is_zero() { 100 } else { 1 }) {
                        client.write_all(part).await.unwrap();
                        // sleep: a client that sends byte by byte, in virtual time.
                        tokio::time::sleep(pause).await;
                    }
                });
                assert_eq!(server.is_http2().await.unwrap(), is_http2, "{sent:?}");
                let mut all = Vec::new();
                server.read_to_end(&mut all).await.unwrap();
                sending.await.unwrap();
                assert_eq!(all, sent);
            }
        }
    }

    #[tokio::test]
    async fn what_showed_the_protocol_and_what_follows_are_one_read() {
        let (mut client, server) = duplex(100);
        let mut server = Guarded::new(server, DETECT, WRITE);
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\n")
            .await
            .unwrap();
        assert!(!server.is_http2().await.unwrap());
        let mut buffer = [0; 100];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 34);
        client.write_all(b"\r\n").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_wait_for_the_protocol() {
        let (mut client, server) = duplex(100);
        let mut server = Guarded::new(server, DETECT, WRITE);
        client.write_all(b"PRI * HT").await.unwrap();
        let started = Instant::now();
        let error = server.is_http2().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), DETECT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_frames_is_read_slowly_and_requests_are_not() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let request = [&[0, 0, 200, 1, 5, 0, 0, 0, 1][..], &[0; 200]].concat();
        for (frame, seconds) in [(&ping[..], 40..50), (&request, 0..1)] {
            let (mut client, server) = duplex(1000);
            let mut server = Guarded::new(server, DETECT, WRITE);
            let bytes = [PREFACE, &frame.repeat(240_000 / frame.len())].concat();
            let sent = tokio::spawn(async move { client.write_all(&bytes).await });
            let started = Instant::now();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            sent.await.unwrap().unwrap();
            let took = started.elapsed().as_secs();
            assert!(seconds.contains(&took), "{took} s");
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
