//! The way to a server: through the API server and the machine of its pod, for each session anew.
//!
//! It works wherever kubectl works, and arrives from the pod's own loopback address.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use k8s_openapi::api::core::v1::Pod;
use kube::api::Portforwarder;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::client::Server;

/// Bytes to a port of a pod, and back. What carries them ends when this is dropped, and all was handed over.
pub(super) struct Forward {
    stream: DuplexStream,
    _carrier: Portforwarder,
}

impl Server {
    /// Opens a way to a port of a pod.
    pub(super) async fn forward(&self, pod: &str, port: u16) -> io::Result<Forward> {
        let opened = self.api::<Pod>().portforward(pod, &[port]).await;
        let mut carrier = opened.map_err(|error| {
            let trouble = self.trouble(error);
            let message = format!("port {port} of pod {pod} cannot be reached: {}", trouble.message());
            let kind = if trouble.is_absent() {
                io::ErrorKind::ConnectionRefused
            } else {
                io::ErrorKind::Other
            };
            io::Error::new(kind, message)
        })?;
        let stream = carrier.take_stream(port);
        let stream = stream.ok_or_else(|| io::Error::other(format!("port {port} of pod {pod} has no stream")))?;
        Ok(Forward {
            stream,
            _carrier: carrier,
        })
    }
}

impl AsyncRead for Forward {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Forward {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
