//! Free TCP ports on loopback.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Error, Result};

/// Ports below those that Linux gives to outgoing connections (32768 and above), so that no connection takes one
/// before its program listens.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// How many ports this process has tried. Processes start at different places.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// `N` different free ports, which this process does not return again. Another process may take one before it is used;
/// the program that then fails to listen exits, and its start is reported as failed.
///
/// # Errors
/// No port is free.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free_port()?;
    }
    Ok(ports)
}

fn free_port() -> Result<u16> {
    let start = process::id().wrapping_mul(211);
    let mut failure = None;
    for _ in 0..COUNT {
        let number = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % u32::from(COUNT);
        let port = FIRST.saturating_add(u16::try_from(number).unwrap_or_default());
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(source) => failure = Some(source),
        }
    }
    Err(Error::Spawn {
        program: "a listener on loopback".to_owned(),
        source: failure.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_below_those_of_outgoing_connections() {
        let mut ports = free_ports::<8>().unwrap().to_vec();
        ports.extend(free_ports::<8>().unwrap());
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 16);
        assert!(
            ports
                .iter()
                .all(|port| (FIRST..FIRST + COUNT).contains(port))
        );
    }
}
