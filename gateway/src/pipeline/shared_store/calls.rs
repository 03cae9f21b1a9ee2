//! Calls of a script, one at a time. Each call contains what all requests before it need, and what waits in the background.
//!
//! The [`Book`] decides what is sent: it writes the words of a call from what its accounts need at that time, and adopts the
//! reply. A request whose account needs a response waits for the end of the next call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::config::RedisStore;
use bytes::{Buf, Bytes};
use redis::Script;
use tokio::{
    sync::{Notify, watch},
    task::{JoinSet, yield_now},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{BACKGROUND_TIMEOUT, RESPONSE_TIMEOUT, SharedStore, StoreError, Texts, keep_connected};

/// The first lines of each script.
const BEGINNING: &str = include_str!("beginning.lua");
/// Time for which what waits in the background is held back, so that it is sent with a request.
pub(super) const BACKGROUND_PAUSE: Duration = Duration::from_millis(10);
/// Pause before what waits in the background is sent again after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Time after which leases are renewed.
const RENEWAL: Duration = Duration::from_mins(1);

/// A server, the calls of its script, and the accounts that they are about.
#[derive(Debug)]
pub(in crate::pipeline) struct Shared<B> {
    pub(in crate::pipeline) server: SharedStore,
    pub(in crate::pipeline) book: B,
    /// Notified to call now.
    wanted: Notify,
    /// Notified when something waits in the background.
    added: Notify,
    /// Notified when a request has waited too long.
    given_up: Notify,
    begun: AtomicU64,
    ended: watch::Sender<Ended>,
}

/// The last call that has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    number: u64,
    has_response: bool,
}

/// Accounts that a server shares between gateways.
pub(in crate::pipeline) trait Book: Default + Send + Sync + 'static {
    /// What has been sent and has no reply yet.
    type Sent: Send;

    /// Whether something waits.
    fn is_waiting(&self) -> bool;

    /// Writes what waits; one line of the reply is expected for each of it. Nothing if the call stays empty.
    fn write(&self, call: &mut Call) -> Self::Sent;

    /// Adopts the reply; none if the server did not respond.
    fn adopt(&self, sent: Self::Sent, reply: Option<Reply>);

    /// Queues everything that the server would otherwise forget.
    fn renew(&self);
}

/// What a call has: keys, and words about them.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Call {
    keys: Vec<Arc<str>>,
    words: Vec<u8>,
}

/// A reply: lines of numbers.
#[derive(Debug)]
pub(in crate::pipeline) struct Reply(Bytes);

/// A line of a reply.
#[derive(Debug)]
pub(in crate::pipeline) struct Row(Bytes);

impl<B: Book> Shared<B> {
    /// A server that connects in the background, with the tasks that connect and call; until then it is unavailable.
    /// `script` follows [`BEGINNING`].
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(in crate::pipeline) fn start(
        settings: &RedisStore,
        script: &str,
        texts: Texts,
    ) -> Result<(Arc<Self>, JoinSet<()>), StoreError> {
        let shared = Arc::new(Self {
            server: SharedStore::new(settings, Script::new(&[BEGINNING, script].concat()), texts)?,
            book: B::default(),
            wanted: Notify::new(),
            added: Notify::new(),
            given_up: Notify::new(),
            begun: AtomicU64::new(0),
            ended: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        let task = Arc::clone(&shared);
        tasks.spawn(async move { keep_connected(&task.server).await });
        let task = Arc::clone(&shared);
        tasks.spawn(async move { task.make_calls().await });
        Ok((shared, tasks))
    }

    /// Waits for the end of a call that begins now. Returns whether the server has responded.
    pub(in crate::pipeline) async fn call(&self) -> bool {
        if !self.server.is_up() {
            return false;
        }
        let mut ended = self.ended.subscribe();
        let number = self.begun.load(Ordering::Acquire).saturating_add(1);
        self.wanted.notify_one();
        let end = ended.wait_for(|ended| ended.number >= number);
        match timeout(RESPONSE_TIMEOUT, end).await {
            Ok(ended) => ended.is_ok_and(|ended| ended.has_response),
            Err(_elapsed) => {
                self.given_up.notify_waiters();
                false
            }
        }
    }

    /// Sends what waits in the background within some milliseconds.
    pub(in crate::pipeline) fn added(&self) {
        self.added.notify_one();
    }

    /// Sends what waits in the background now.
    pub(in crate::pipeline) fn flush(&self) {
        self.wanted.notify_one();
    }

    /// Makes the calls, without end: when a request wants one, and some milliseconds after something waits in the background.
    async fn make_calls(&self) {
        let mut renewal = Instant::now();
        loop {
            tokio::select! {
                // Requests that are ready to run add what they need.
                () = self.wanted.notified() => yield_now().await,
                () = self.background(renewal) => {}
            }
            if Instant::now() >= renewal {
                self.book.renew();
                renewal = Instant::now().checked_add(RENEWAL).unwrap_or(renewal);
            }
            let number = self.begun.fetch_add(1, Ordering::AcqRel).saturating_add(1);
            let mut call = Call::default();
            let sent = self.book.write(&mut call);
            let reply = if call.keys.is_empty() {
                self.server.is_up().then(Reply::empty)
            } else {
                self.invoke(&call).await
            };
            let has_response = reply.is_some();
            self.book.adopt(sent, reply);
            self.ended.send_replace(Ended {
                number,
                has_response,
            });
        }
    }

    /// Waits until something waits in the background or leases are to be renewed, and a pause, which is longer in an outage.
    async fn background(&self, renewal: Instant) {
        if !self.book.is_waiting() {
            let _elapsed = timeout_at(renewal, self.added.notified()).await;
        }
        let is_up = self.server.is_up();
        sleep(if is_up { BACKGROUND_PAUSE } else { RETRY_PAUSE }).await;
    }

    /// Calls the script; `None` if the server is unavailable.
    pub(in crate::pipeline) async fn invoke(&self, call: &Call) -> Option<Reply> {
        let connection = self.server.connection()?;
        let mut invocation = self.server.script.prepare_invoke();
        for key in &call.keys {
            invocation.key(&**key);
        }
        invocation.arg(&call.words);
        let mut redis = connection.0.clone();
        let reply = invocation.invoke_async::<Vec<u8>>(&mut redis);
        let error = tokio::select! {
            reply = reply => match reply {
                Ok(reply) => return Some(Reply(reply.into())),
                Err(error) => error.to_string(),
            },
            () = self.given_up.notified() => "no response in time".to_owned(),
            () = sleep(BACKGROUND_TIMEOUT) => "no response in time".to_owned(),
        };
        self.server.disconnect(&connection, &error);
        None
    }
}

impl Call {
    /// Adds keys, and the place of the first one, counted from 1.
    pub(in crate::pipeline) fn place<const N: usize>(&mut self, keys: [&Arc<str>; N]) {
        let place = self.keys.len();
        self.keys.extend(keys.into_iter().map(Arc::clone));
        self.number(u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1));
    }

    /// Adds a number.
    pub(in crate::pipeline) fn number(&mut self, number: u64) {
        let mut digits = itoa::Buffer::new();
        self.words
            .extend_from_slice(digits.format(number).as_bytes());
        self.words.push(b' ');
    }
}

impl Reply {
    fn empty() -> Self {
        Self(Bytes::new())
    }

    /// The next line; none at the end.
    pub(in crate::pipeline) fn next_row(&mut self) -> Option<Row> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', &self.0).unwrap_or(self.0.len());
        let line = self.0.split_to(end);
        self.0.advance(usize::from(!self.0.is_empty()));
        Some(Row(line))
    }
}

impl Row {
    /// The numbers of the line.
    pub(in crate::pipeline) fn numbers(&self) -> impl Iterator<Item = u64> {
        let words = self.0.split(|byte| *byte == b' ');
        let words = words.take_while(|word| !word.is_empty());
        words.map_while(|word| {
            let text = std::str::from_utf8(word).ok()?;
            text.parse().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_reply_are_numbers() {
        let mut reply = Reply(Bytes::from_static(b"12 0 9007199254740991\n\n7 8"));
        let rows = std::iter::from_fn(|| reply.next_row());
        let found: Vec<Vec<u64>> = rows.map(|row| row.numbers().collect()).collect();
        assert_eq!(
            found,
            [vec![12, 0, 9_007_199_254_740_991], vec![], vec![7, 8]]
        );
        assert_eq!(Row(Bytes::from_static(b"1 x 2")).numbers().count(), 1);
    }

    #[test]
    fn words_name_the_places_of_keys() {
        let mut call = Call::default();
        let keys: [Arc<str>; 3] = ["one", "due", "other"].map(Arc::from);
        let [one, due, other] = &keys;
        call.place([one, due]);
        call.number(7);
        call.place([other]);
        assert_eq!(call.words, b"1 7 3 ");
        assert_eq!(call.keys, keys);
    }
}
