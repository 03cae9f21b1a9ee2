//! A headless Chromium, controlled through the DevTools protocol on pipes
//! (<https://chromedevtools.github.io/devtools-protocol/>). A message is JSON and ends with a NUL byte, so this needs no
//! WebSocket client.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::eventually;

/// The program, from the Debian package of the same name.
const PROGRAM: &str = "chromium-headless-shell";

/// A running browser.
pub(crate) struct Browser {
    process: Child,
    channel: Arc<Channel>,
    _profile: tempfile::TempDir,
}

/// What goes in and comes out.
struct Channel {
    commands: Mutex<File>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// Events of all pages, in the order of arrival.
    events: Mutex<Vec<Value>>,
}

/// A page of the browser.
pub(crate) struct Page {
    channel: Arc<Channel>,
    session: String,
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let [commands, messages] = ["commands", "messages"].map(|name| profile.path().join(name));
        for path in [&commands, &messages] {
            let status = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(status.success());
        }
        let process = spawn(profile.path(), &commands, &messages);
        // Opening a pipe waits for the other side.
        let opened = tokio::task::spawn_blocking(move || {
            let commands = File::options().write(true).open(commands).unwrap();
            (commands, File::open(messages).unwrap())
        });
        let (commands, messages) = opened.await.unwrap();
        let channel = Arc::new(Channel {
            commands: Mutex::new(commands),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            events: Mutex::default(),
        });
        let reader = Arc::clone(&channel);
        std::thread::spawn(move || reader.read(messages));
        Self {
            process,
            channel,
            _profile: profile,
        }
    }

    /// A new page of this size.
    pub(crate) async fn page(&self, width: u32, height: u32) -> Page {
        let call = async |method: &str, parameters: Value| {
            self.channel.call(None, method, parameters).await
        };
        let target = call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = call("Target.attachToTarget", attach).await;
        let page = Page {
            channel: Arc::clone(&self.channel),
            session: attached["sessionId"].as_str().unwrap().to_owned(),
        };
        for domain in ["Network", "Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.resize(width, height).await;
        page
    }
}

fn spawn(profile: &Path, commands: &Path, messages: &Path) -> Child {
    Command::new("sh")
        .args([
            "-c",
            r#"in=$1; out=$2; shift 2; exec "$@" 3<"$in" 4>"$out""#,
            "sh",
        ])
        .args([commands, messages])
        .args([
            PROGRAM,
            "--remote-debugging-pipe",
            // The tests run as root, which the sandbox does not support.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Channel {
    fn read(&self, messages: File) {
        let mut messages = BufReader::new(messages);
        loop {
            let mut message = Vec::new();
            let length = messages.read_until(0, &mut message).unwrap_or(0);
            message.pop();
            if length == 0 {
                // Each waiting caller sees that the browser has ended.
                unpoisoned(&self.waiting).clear();
                return;
            }
            let message: Value = serde_json::from_slice(&message).unwrap();
            match message["id"].as_u64() {
                Some(id) => {
                    let waiting = unpoisoned(&self.waiting).remove(&id);
                    if let Some(waiting) = waiting {
                        let _ = waiting.send(message);
                    }
                }
                None => unpoisoned(&self.events).push(message),
            }
        }
    }

    async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let (answer, answered) = oneshot::channel();
        unpoisoned(&self.waiting).insert(id, answer);
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        // An error means that the browser has ended, which the wait below reports.
        let _ = unpoisoned(&self.commands).write_all(&bytes);
        let waited = tokio::time::timeout(super::TIMEOUT, answered).await;
        let answer = waited
            .unwrap_or_else(|_| panic!("{method}: no answer"))
            .unwrap_or_else(|_| {
                panic!("{PROGRAM} ended. Fix: on Debian, apt-get install {PROGRAM}")
            });
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }
}

impl Page {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.channel
            .call(Some(&self.session), method, parameters)
            .await
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The colors that the user prefers: `light` or `dark`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}))
            .await;
    }

    /// Opens a URL and waits until the page has loaded.
    pub(crate) async fn open(&self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url})).await;
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.until("document.readyState === 'complete'").await;
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", parameters).await;
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) -> impl Future<Output = ()> {
        eventually(expression, move || async move {
            match self.value(expression).await {
                Value::Bool(true) => Ok(()),
                other => {
                    let text = self.value("document.body.innerText").await;
                    Err(format!("{other}; page: {text}"))
                }
            }
        })
    }

    /// Waits until the visible text contains a part.
    #[track_caller]
    pub(crate) fn until_text(&self, part: &str) -> impl Future<Output = ()> {
        let expression = format!("document.body.innerText.includes({})", json!(part));
        async move { self.until(&expression).await }
    }

    /// The visible text of the page.
    pub(crate) async fn text(&self) -> String {
        let text = self.value("document.body.innerText").await;
        text.as_str().unwrap().to_owned()
    }

    /// Types text into the focused field.
    pub(crate) async fn insert(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Presses a key, such as `Tab`, `Enter` or `Space`; with Shift if its name begins with `Shift+`.
    pub(crate) async fn press(&self, key: &str) {
        let (key, modifiers) = match key.strip_prefix("Shift+") {
            Some(key) => (key, 8),
            None => (key, 0),
        };
        let (name, code, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Space" => (" ", 32, " "),
            other => panic!("{other}: add its code"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": name, "code": key, "windowsVirtualKeyCode": code,
                "modifiers": modifiers, "text": if kind == "keyDown" { text } else { "" },
            });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Roles and names of what a screen reader presents, as `role: name`.
    pub(crate) async fn accessible(&self) -> Vec<String> {
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().unwrap().iter();
        nodes
            .filter(|node| node["ignored"] != json!(true))
            .map(|node| {
                let text = |field: &str| node[field]["value"].as_str().unwrap_or_default();
                format!("{}: {}", text("role"), text("name"))
            })
            .collect()
    }

    /// Saves an image of the visible part in a directory of `target`.
    pub(crate) async fn screenshot(&self, name: &str) -> PathBuf {
        let image = self
            .call("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(image["data"].as_str().unwrap())
            .unwrap();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{name}.png"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The events of this page with a method.
    fn events(&self, method: &str) -> Vec<Value> {
        let events = unpoisoned(&self.channel.events);
        let own = events.iter().filter(|event| {
            event["sessionId"] == json!(self.session) && event["method"] == json!(method)
        });
        own.map(|event| event["params"].clone()).collect()
    }

    /// Asserts that every request went to one origin, and that the page opened no dialog, threw no error and broke no
    /// content security policy.
    pub(crate) fn assert_contained(&self, origin: &str) {
        let requests = self.events("Network.requestWillBeSent");
        assert!(!requests.is_empty(), "the page sent no request");
        for request in requests {
            let url = request["request"]["url"].as_str().unwrap();
            assert!(
                url.starts_with(&format!("{origin}/")),
                "a request left the origin {origin}: {url}"
            );
        }
        for forbidden in ["Page.javascriptDialogOpening", "Runtime.exceptionThrown"] {
            let events = self.events(forbidden);
            assert!(events.is_empty(), "{forbidden}: {events:?}");
        }
        let violations: Vec<Value> = self
            .events("Log.entryAdded")
            .into_iter()
            .filter(|entry| {
                entry["entry"]["text"]
                    .to_string()
                    .contains("Content Security")
            })
            .collect();
        assert!(violations.is_empty(), "{violations:?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
