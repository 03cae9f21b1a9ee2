//! Where connections come from: TCP, and a Unix socket beside it for processes that share a folder with the gateway.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// Something that takes connections.
pub(super) trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    async fn next(&self) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Deltas are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// A listener that there may be none of: then no connection ever comes.
impl<T: Listener> Listener for Option<T> {
    type Stream = T::Stream;

    async fn next(&self) -> io::Result<T::Stream> {
        match self {
            Some(listener) => listener.next().await,
            None => std::future::pending().await,
        }
    }
}

/// Opens a socket in place of one that an earlier process left. Whoever reaches the folder may connect: the
/// apps of a pod run as users of their own.
///
/// # Errors
/// When the path holds something else, or the folder is not writable.
pub(super) fn socket(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the path holds something that is no socket",
            ));
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}
