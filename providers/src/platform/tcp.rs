//! Reaches servers over TCP: where they listen, or where their platform publishes them.

use std::io;

use async_trait::async_trait;
use simdb_state::address::InstanceAddress;
use simdb_state::place::{Bind, Place};
use tokio::net::TcpStream;

use super::{Dial, Stream};

/// Dials the address at which clients reach a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, _: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>> {
        let Bind { host, port } = place.published().unwrap_or(place.bind);
        let stream = TcpStream::connect((host, port)).await?;
        // Requests are short, and each waits for its answer.
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
