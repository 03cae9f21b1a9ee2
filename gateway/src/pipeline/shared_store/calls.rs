//! Calls of a script by requests, sent together: one round trip has the calls of all requests that are ready, and what waits in
//! the background.
//!
//! A call is a line of words, so that a request writes a few bytes and no command. A script gets two texts, the lines of the
//! background and those of the requests, and returns one text with one line for each.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::config::RedisStore;
use bytes::{Buf, Bytes};
use redis::Script;
use tokio::{
    sync::{Notify, oneshot},
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use super::{BACKGROUND_TIMEOUT, RESPONSE_TIMEOUT, SharedStore, StoreError, Texts, keep_connected};

/// Maximum number of requests in one call.
const MAX_REQUESTS: usize = 128;
/// Time for which the background waits for a request to be sent with.
const BACKGROUND_PAUSE: Duration = Duration::from_millis(5);
/// Pause before the background is sent again after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A server, the calls of its script, and what waits in the background.
#[derive(Debug)]
pub(in crate::pipeline) struct Shared<B> {
    pub(in crate::pipeline) server: SharedStore,
    pub(in crate::pipeline) calls: Calls,
    pub(in crate::pipeline) background: B,
}

/// The calls of requests that wait to be sent.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Calls {
    /// All but the last are full.
    waiting: Mutex<VecDeque<Batch>>,
    /// Notified to send what waits.
    ready: Notify,
    /// Notified when something waits in the background.
    added: Notify,
}

/// What one call of the script has.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Batch {
    keys: Vec<Arc<str>>,
    pub(in crate::pipeline) background: Words,
    requests: Words,
    waiting: Vec<oneshot::Sender<Row>>,
}

/// Words of a script's argument.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Words(Vec<u8>);

/// A line of a script's reply: numbers.
#[derive(Debug)]
pub(in crate::pipeline) struct Row(Bytes);

/// What is sent in the background, with the calls of requests or a few milliseconds later.
pub(in crate::pipeline) trait Background {
    /// What is on its way.
    type Sent;

    /// Whether something waits.
    fn is_waiting(&self) -> bool;

    /// Adds what waits to a batch, one line for each; none if nothing waits.
    fn take(&self, batch: &mut Batch) -> Option<Self::Sent>;

    /// Adopts the lines of the reply; none if the server did not respond.
    fn end<R: Iterator<Item = Row>>(&self, sent: Self::Sent, rows: Option<&mut R>);
}

impl<B> Shared<B>
where
    B: Background<Sent: Send> + Default + Send + Sync + 'static,
{
    /// A server that connects in the background, with the tasks that connect and send; until then it is unavailable.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(in crate::pipeline) fn start(
        settings: &RedisStore,
        script: &str,
        texts: Texts,
    ) -> Result<(Arc<Self>, JoinSet<()>), StoreError> {
        let shared = Arc::new(Self {
            server: SharedStore::new(settings, Script::new(script), texts)?,
            calls: Calls::default(),
            background: B::default(),
        });
        let mut tasks = JoinSet::new();
        let task = Arc::clone(&shared);
        tasks.spawn(async move { keep_connected(&task.server).await });
        let task = Arc::clone(&shared);
        tasks.spawn(async move { task.send().await });
        let task = Arc::clone(&shared);
        tasks.spawn(async move { task.send_background().await });
        Ok((shared, tasks))
    }

    /// Sends calls and the background, as long as it runs.
    async fn send(&self) {
        loop {
            self.calls.ready.notified().await;
            // Requests that are ready to run add their calls.
            yield_now().await;
            let mut batch = self.calls.take();
            let sent = self.background.take(&mut batch);
            if sent.is_none() && batch.waiting.is_empty() {
                continue;
            }
            let mut rows = self.invoke(&batch).await.map(lines);
            if let Some(sent) = sent {
                self.background.end(sent, rows.as_mut());
                if self.background.is_waiting() {
                    self.calls.added();
                }
            }
            // Without a line, the request learns that the server is unavailable.
            let waiting = batch.waiting.into_iter();
            for (respond, row) in waiting.zip(rows.into_iter().flatten()) {
                // The client may have left.
                let _ = respond.send(row);
            }
        }
    }

    /// Sends the background a few milliseconds after something is added, and again after an outage.
    async fn send_background(&self) {
        loop {
            if !self.background.is_waiting() {
                self.calls.added.notified().await;
            }
            let is_up = self.server.is_up();
            sleep(if is_up { BACKGROUND_PAUSE } else { RETRY_PAUSE }).await;
            self.calls.flush();
        }
    }

    /// Calls the script; `None` if the server is unavailable.
    async fn invoke(&self, batch: &Batch) -> Option<Vec<u8>> {
        let connection = self.server.connection()?;
        let mut call = self.server.script.prepare_invoke();
        for key in &batch.keys {
            call.key(&**key);
        }
        call.arg(&batch.background.0).arg(&batch.requests.0);
        let mut redis = connection.0.clone();
        let limit = if batch.waiting.is_empty() {
            BACKGROUND_TIMEOUT
        } else {
            RESPONSE_TIMEOUT
        };
        match timeout(limit, call.invoke_async::<Vec<u8>>(&mut redis)).await {
            Ok(Ok(reply)) => Some(reply),
            Ok(Err(error)) => {
                self.server.disconnect(&connection, &error.to_string());
                None
            }
            Err(_elapsed) => {
                self.server.disconnect(&connection, "no response in time");
                None
            }
        }
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Batch>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the call of a request, and waits for its line of the reply; `None` if the server is unavailable.
    pub(in crate::pipeline) async fn call(
        &self,
        write: impl FnOnce(&mut Keys<'_>, &mut Words),
    ) -> Option<Row> {
        let (respond, response) = oneshot::channel();
        {
            let mut waiting = self.lock();
            let has_room = |batch: &Batch| batch.waiting.len() < MAX_REQUESTS;
            if !waiting.back().is_some_and(has_room) {
                waiting.push_back(Batch::default());
            }
            let batch = waiting.back_mut()?;
            write(&mut Keys(&mut batch.keys), &mut batch.requests);
            batch.waiting.push(respond);
        }
        self.ready.notify_one();
        response.await.ok()
    }

    /// Sends what waits in the background within a few milliseconds.
    pub(in crate::pipeline) fn added(&self) {
        self.added.notify_one();
    }

    /// Sends what waits in the background now.
    pub(in crate::pipeline) fn flush(&self) {
        self.ready.notify_one();
    }

    /// The next batch; an empty one if no request waits.
    fn take(&self) -> Batch {
        let mut waiting = self.lock();
        let batch = waiting.pop_front().unwrap_or_default();
        if !waiting.is_empty() {
            self.ready.notify_one();
        }
        batch
    }
}

impl Batch {
    /// The keys, to write words about them in the background.
    pub(in crate::pipeline) fn parts(&mut self) -> (Keys<'_>, &mut Words) {
        (Keys(&mut self.keys), &mut self.background)
    }
}

/// The keys of a call.
#[derive(Debug)]
pub(in crate::pipeline) struct Keys<'a>(&'a mut Vec<Arc<str>>);

impl Keys<'_> {
    /// The place of some keys, counted from 1. They are known by the first one.
    pub(in crate::pipeline) fn place<const N: usize>(&mut self, keys: [&Arc<str>; N]) -> u64 {
        let [first, ..] = keys.as_slice() else {
            return 0;
        };
        let known = self.0.iter().rposition(|known| Arc::ptr_eq(known, first));
        let place = known.unwrap_or_else(|| {
            let place = self.0.len();
            self.0.extend(keys.into_iter().map(Arc::clone));
            place
        });
        u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Words {
    /// Adds the name of an operation.
    pub(in crate::pipeline) fn name(&mut self, name: u8) {
        self.0.extend_from_slice(&[name, b' ']);
    }

    /// Adds a number.
    pub(in crate::pipeline) fn number(&mut self, number: u64) {
        let mut digits = itoa::Buffer::new();
        self.0.extend_from_slice(digits.format(number).as_bytes());
        self.0.push(b' ');
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

/// The lines of a reply.
fn lines(reply: Vec<u8>) -> impl Iterator<Item = Row> {
    let mut rest = Bytes::from(reply);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', &rest).unwrap_or(rest.len());
        let line = rest.split_to(end);
        rest.advance(usize::from(!rest.is_empty()));
        Some(Row(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_reply_are_numbers() {
        let rows = lines(b"12 0 9007199254740991\n\n7 8".to_vec());
        let found: Vec<Vec<u64>> = rows.map(|row| row.numbers().collect()).collect();
        assert_eq!(
            found,
            [vec![12, 0, 9_007_199_254_740_991], vec![], vec![7, 8]]
        );
        assert_eq!(Row(Bytes::from_static(b"1 x 2")).numbers().count(), 1);
    }

    #[test]
    fn keys_are_sent_once() {
        let [one, other]: [Arc<str>; 2] = ["one", "other"].map(Arc::from);
        let mut batch = Batch::default();
        let (mut keys, words) = batch.parts();
        let due = Arc::from("due");
        for key in [&one, &other, &one] {
            words.number(keys.place([key, &due]));
        }
        assert_eq!(batch.background.0, b"1 3 1 ");
        assert_eq!(batch.keys.len(), 4);
    }
}
