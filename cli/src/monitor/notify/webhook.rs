//! Posts a document to a URL, over TLS where it says so. Redirections are not followed: what is told is for the one that was named.

use std::sync::Arc;

use axum::body::Body;
use futures_util::future::{Either, select};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use simdb_planner::config::refuse_url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What it is posted by.
const AGENT: &str = concat!("simdb/", env!("CARGO_PKG_VERSION"));

/// Posts a document, and returns why it did not arrive. Nothing of the URL but its host is told: the rest may be a secret.
pub(super) async fn post(url: &str, document: &Value) -> Result<(), String> {
    if let Some(why) = refuse_url(url) {
        return Err(why);
    }
    let uri: Uri = url.parse().map_err(|_| "what is given is no URL".to_owned())?;
    let host = uri.host().unwrap_or_default().to_owned();
    let is_secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let unreached = |why: String| format!("{host}:{port}: {why}");
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((name.as_str(), port)).await;
    let stream = stream.map_err(|error| unreached(error.to_string()))?;
    let status = if is_secure {
        let server = ServerName::try_from(name).map_err(|error| unreached(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(client()?));
        let stream = connector.connect(server, stream).await;
        send(stream.map_err(|error| unreached(error.to_string()))?, &uri, document).await
    } else {
        send(stream, &uri, document).await
    };
    match status.map_err(|error| unreached(error.to_string()))? {
        200..300 => Ok(()),
        code => Err(unreached(format!("it answered {code}"))),
    }
}

/// Trusts what the machine trusts.
fn client() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine has no certificates of authorities".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Sends the request, and returns the code of the answer.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    document: &Value,
) -> Result<u16, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(document.to_string()))
        .expect("the parts of a URL are those of a request");
    // The connection may be over with the answer, and then the answer is there all the same.
    match select(Box::pin(sender.send_request(request)), Box::pin(connection)).await {
        Either::Left((answer, _)) => Ok(answer?.status().as_u16()),
        Either::Right((ended, answer)) => {
            ended?;
            Ok(answer.await?.status().as_u16())
        }
    }
}
