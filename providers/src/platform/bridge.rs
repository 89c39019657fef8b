//! Leads programs of this machine to a server that only its platform reaches.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use simdb_state::address::InstanceAddress;
use simdb_state::place::Place;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Dial;

/// An address of this machine that leads to a server, for as long as it is not dropped.
#[derive(Debug)]
pub struct Bridge {
    /// The address.
    pub at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bridge {
    /// Opens one on a free port of the loopback address. Who connects there speaks with the server; where that cannot be reached the
    /// connection ends.
    pub async fn open(dial: Arc<dyn Dial>, instance: InstanceAddress, place: Place) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let task = tokio::spawn(lead(listener, dial, instance, place));
        Ok(Self { at, task })
    }
}

async fn lead(listener: TcpListener, dial: Arc<dyn Dial>, instance: InstanceAddress, place: Place) {
    // Those that are led go with this one.
    let mut led = tokio::task::JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (dial, instance, place) = (Arc::clone(&dial), instance.clone(), place.clone());
        led.spawn(async move {
            if let Ok(mut server) = dial.dial(&instance, &place).await {
                // A connection that breaks ends on both sides.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while led.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use simdb_state::place::Bind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::platform::tcp::Tcp;

    #[tokio::test]
    async fn who_connects_speaks_with_the_server_as_long_as_there_is_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let place = Place::shared(Bind {
            host: at.ip(),
            port: at.port(),
        });
        let node = "cluster.orders.node.a".parse().unwrap();
        let bridge = Bridge::open(Arc::new(Tcp), node, place).await.unwrap();
        let mut client = TcpStream::connect(bridge.at).await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        client.write_all(b"ask").await.unwrap();
        let mut asked = [0; 3];
        served.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"ask");
        drop((listener, served));
        assert_eq!(client.read(&mut asked).await.unwrap(), 0);
        let mut late = TcpStream::connect(bridge.at).await.unwrap();
        assert_eq!(late.read(&mut asked).await.unwrap(), 0, "there is none any more");
    }
}
