//! One API server with one operator, for tests that need no settings and no cluster-wide objects of their own.
//!
//! Each test has a namespace. The server starts with the first test that asks for it and ends with the last one.

use std::{
    sync::{Arc, Weak},
    thread::JoinHandle,
};

use kube::Client;
use tokio::{
    runtime::Runtime,
    sync::{Mutex, oneshot},
};

use super::{Rig, create_namespace, operator_settings};

static SHARED: Mutex<Weak<Shared>> = Mutex::const_new(Weak::new());

/// The shared API server and its operator.
pub(super) struct Shared {
    operator: Background,
    rig: Rig,
}

/// A namespace of this name on the shared API server.
pub(super) async fn namespace(name: &str) -> Rig {
    let shared = {
        let mut running = SHARED.lock().await;
        if let Some(shared) = running.upgrade() {
            shared
        } else {
            let shared = Arc::new(Shared::start().await);
            *running = Arc::downgrade(&shared);
            shared
        }
    };
    assert!(!shared.operator.is_finished(), "the shared operator ended");
    let rig = &shared.rig;
    // A client belongs to the runtime it is made on, and each test has its own.
    let client = rig.cluster.client().await.unwrap();
    create_namespace(&client, name).await;
    Rig {
        client,
        namespace: name.to_owned(),
        cluster: Arc::clone(&rig.cluster),
        audit_log: rig.audit_log.clone(),
        operator_user: rig.operator_user.clone(),
        rendered: rig.rendered.clone(),
        stop: None,
        operator: None,
        directory: Arc::clone(&rig.directory),
        _shared: Some(shared),
    }
}

impl Shared {
    async fn start() -> Self {
        let rig = Rig::without_operator().await;
        let config = rig.operator_config().await;
        let operator = Background::start(move |stopped| async move {
            let client = Client::try_from(config).unwrap();
            let settings = operator_settings(operator::Settings::default());
            let stopped = async {
                let _ = stopped.await;
            };
            operator::run(client, settings, stopped).await.unwrap();
        });
        Self { operator, rig }
    }
}

/// Work on a runtime of its own, which outlives the tests that use it; dropping it ends the work.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the work, which ends when its argument resolves.
    pub(crate) fn start<F, Fut>(work: F) -> Self
    where
        F: FnOnce(oneshot::Receiver<()>) -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            Runtime::new().unwrap().block_on(work(stopped));
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // An end by itself shows in the tests that waited for its work.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
