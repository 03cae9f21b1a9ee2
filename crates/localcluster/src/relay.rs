//! Forwards connections from this machine's loopback to an address inside a cluster's network namespace.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::{Error, Result, Tools};

/// Carries TCP connections from an address on loopback to one inside the cluster, until it is dropped.
///
/// A socket stays in the network namespace where it was created: the helper listens here, enters the other namespace
/// and connects there. So addresses, routes and rules of this machine do not change.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    child: Child,
}

impl Relay {
    /// Listens on `listen` and connects to `to` in the network namespace of process `pid`. Blocks for a moment.
    pub(crate) fn start(tools: &Tools, listen: &str, to: &str, pid: u32) -> Result<Self> {
        let mut child = Command::new(tools.rig())
            .args(["relay", listen, to, &pid.to_string()])
            // The helper exits when this pipe closes: when the relay is dropped, or this process exits.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(Error::spawn(tools.rig().display()))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(Error::spawn(tools.rig().display()))?;
        }
        if let Ok(address) = line.trim().parse() {
            return Ok(Self { address, child });
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(Error::Rig(format!(
            "it could not listen on {listen} for {to}; its message is above"
        )))
    }

    /// Address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
