//! What holds for every request: whom it may ask for, how often, what it must bear, how long it takes, what browsers may do with the
//! answer, and that it is counted.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::Api;
use super::answer::Answer;
use super::paths;
use super::secured::{Denied, Need};
use super::server::Peer;

/// How long an answer may take; a stream has begun by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What browsers are told of every answer.
const HEADERS: [(header::HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// Lets a request pass, or refuses it.
pub(super) async fn pass(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let need = need(request.method(), &path);
    let mut response = match admit(&api, need, &request) {
        Err(response) => response,
        // What is asked for may take longer than an answer, and ends by itself.
        Ok(()) if need == Need::Writing => next.run(request).await,
        Ok(()) => timeout(ANSWERS_WITHIN, next.run(request))
            .await
            .unwrap_or_else(|_| Answer::error(StatusCode::SERVICE_UNAVAILABLE, "no answer in time").into_response()),
    };
    api.tally.request(&path, response.status().as_u16());
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Returns what a request needs. A method that a path has not is answered so, without a look at the token.
fn need(method: &Method, path: &str) -> Need {
    if *method == Method::POST && paths::writes().iter().any(|(known, _)| known == path) {
        return Need::Writing;
    }
    paths::paths()
        .iter()
        .find(|(known, _)| known == path.trim_end_matches('/'))
        .map_or(Need::Nothing, |(_, target)| target.need())
}

fn admit(api: &Api, need: Need, request: &Request) -> Result<(), Response> {
    let is_local = api.address.ip().is_loopback();
    let host = request.headers().get(header::HOST);
    // Elsewhere the certificate says whose the name is.
    if is_local && !host.is_none_or(|host| host.to_str().is_ok_and(is_own)) {
        let why = "the Host header names another machine; ask for localhost or a loopback address";
        return Err(Answer::error(StatusCode::MISDIRECTED_REQUEST, why).into_response());
    }
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    if let Err(wait) = api.limits.count(peer, need, Instant::now()) {
        let mut response = Answer::error(StatusCode::TOO_MANY_REQUESTS, "too many requests").into_response();
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        return Err(response);
    }
    match api.secured.borrow().admit(need, is_local, request.headers()) {
        Ok(()) => Ok(()),
        Err(Denied::ReadOnly) => {
            let why =
                "this API is only read; a \"token_file\" in the monitor block lets those who bear its token write";
            Err(Answer::error(StatusCode::FORBIDDEN, why).into_response())
        }
        Err(Denied::Unknown) => {
            let why = "the request bears no token, or another one: Authorization: Bearer TOKEN";
            let mut response = Answer::error(StatusCode::UNAUTHORIZED, why).into_response();
            let scheme = HeaderValue::from_static("Bearer realm=\"simdb\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            Err(response)
        }
    }
}

/// Returns whether a `Host` names this machine: `localhost`, `127.0.0.1:8008`, `[::1]:8008`.
pub(super) fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
