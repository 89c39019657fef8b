//! What holds for every request: whom it may ask for, how long it takes, what browsers may do with the answer, and that it is counted.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::Api;
use super::answer::Answer;

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
    let host = request.headers().get(header::HOST);
    let mut response = if host.is_none_or(|host| host.to_str().is_ok_and(is_own)) {
        let answered = timeout(ANSWERS_WITHIN, next.run(request)).await;
        answered.unwrap_or_else(|_| Answer::error(StatusCode::SERVICE_UNAVAILABLE, "no answer in time").into_response())
    } else {
        let why = "the Host header names another machine; ask for localhost or a loopback address";
        Answer::error(StatusCode::MISDIRECTED_REQUEST, why).into_response()
    };
    api.tally.request(&path, response.status().as_u16());
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Returns whether a `Host` names this machine: `localhost`, `127.0.0.1:8008`, `[::1]:8008`.
pub(super) fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
