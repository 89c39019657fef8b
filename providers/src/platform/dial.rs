//! The way to a server.

use std::{fmt, io};

use async_trait::async_trait;
use simdb_state::address::InstanceAddress;
use simdb_state::place::Place;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes to a server, and back.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Reaches servers from where simdb runs: directly, or through what the platform offers. It is no plan data: where clients
/// and peers of a server reach it may be somewhere else.
#[async_trait]
pub trait Dial: fmt::Debug + Send + Sync {
    /// Opens a stream to the server of an instance directory, which is at a place. Every caller has a limit for it.
    async fn dial(&self, instance: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>>;
}
