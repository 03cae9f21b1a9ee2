//! Free TCP ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

/// `N` different free ports. Another process may take one before it is used; the program that then fails to listen
/// exits, and its start is reported as failed.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    let failed = |source| Error::Spawn {
        program: "a listener on loopback".to_owned(),
        source,
    };
    // All are held at once, so that no port is returned twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_given_together_differ() {
        let mut ports = free::<8>().unwrap().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
