//! Listeners for connections: TCP, and a Unix socket for processes that share a directory with the gateway.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// A source of connections.
pub(super) trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, with the address of its client if it has one.
    async fn next(&self) -> io::Result<(Self::Stream, Option<IpAddr>)>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        let (stream, address) = self.accept().await?;
        // Stream events are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(address.ip())))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<IpAddr>)> {
        Ok((self.accept().await?.0, None))
    }
}

/// An optional listener; without one, no connection ever arrives.
impl<T: Listener> Listener for Option<T> {
    type Stream = T::Stream;

    async fn next(&self) -> io::Result<(T::Stream, Option<IpAddr>)> {
        match self {
            Some(listener) => listener.next().await,
            None => std::future::pending().await,
        }
    }
}

/// Opens a socket and replaces one of an earlier process. All users may connect, since the apps of a pod have users
/// of their own; the permissions of the directory control access.
///
/// # Errors
/// When the path is not a socket, or the directory is not writable.
pub(super) fn socket(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the path exists and is not a socket",
            ));
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}
