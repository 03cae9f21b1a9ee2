//! A gateway in a process of its own, which tests kill.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use awsdouble::Double;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::rig::{ACCESS_KEY, SECRET_KEY, ask, eventually};

/// A gateway in a process of its own; dropping it kills it with SIGKILL.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts a gateway and waits for its first response.
    pub(crate) async fn start(double: &Double, config: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let child = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
            .args(["serve", "--listen", &address, "--config"])
            .arg(config)
            .args(["--admin-listen", "127.0.0.1:0"])
            .env_clear()
            .env("AWS_ENDPOINT_URL", double.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self { child, address };
        let mut attempt = 0;
        eventually("a response", async || {
            attempt += 1;
            let id = format!("call-start-{}-{attempt}", process.child.id());
            Self::status(&process.address, &id).await == Some(200)
        })
        .await;
        process
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The status of a call, if it has a whole response.
    pub(crate) async fn status(address: &str, id: &str) -> Option<u16> {
        let mut body = ask("both", "hi");
        body["max_tokens"] = json!(20);
        let body = body.to_string();
        let call = async {
            let mut stream = TcpStream::connect(address).await?;
            let head = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-request-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let text = call.await.ok()?;
        let (_, rest) = text.split_once(' ')?;
        rest.get(..3)?.parse().ok()
    }
}
