//! Reaches servers over TCP, where they listen: the way of every platform whose servers share a network with simdb.

use std::io;

use async_trait::async_trait;
use simdb_state::address::InstanceAddress;
use simdb_state::place::Place;
use tokio::net::TcpStream;

use super::{Dial, Stream};

/// Dials the address that a server listens on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, _: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((place.bind.host, place.bind.port)).await?;
        // Requests are short, and each waits for its answer.
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
