//! What the API answers: a status, a kind of text, and the text.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::views::doc::FORMAT_VERSION;
use crate::views::json::line;

/// The media types of answers.
pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

impl Answer {
    /// Returns a document as it is.
    pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Self {
        Self {
            status,
            kind: JSON,
            body: line(document),
        }
    }

    /// Returns a document of simdb's own: it says in which format it is.
    pub(super) fn own(status: StatusCode, members: Map<String, Value>) -> Self {
        let mut document = json!({ "format_version": FORMAT_VERSION });
        if let Some(first) = document.as_object_mut() {
            first.extend(members);
        }
        Self::json(status, &document)
    }

    /// Returns text.
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: TEXT,
            body: body.into(),
        }
    }

    /// Returns a status and nothing else.
    pub(super) fn status(status: StatusCode) -> Self {
        Self::text(status, "")
    }

    /// Returns why a request is refused, as a document.
    pub(super) fn error(status: StatusCode, error: impl Into<String>) -> Self {
        let members = Map::from_iter([("error".to_owned(), Value::String(error.into()))]);
        Self::own(status, members)
    }

    /// Returns that an object is unknown.
    pub(super) fn unknown(kind: &str, name: &str, known: impl IntoIterator<Item = String>) -> Self {
        let known: Vec<String> = known.into_iter().collect();
        Self::error(
            StatusCode::NOT_FOUND,
            format!("there is no {kind} {name:?}; known: {}", known.join(", ")),
        )
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let kind = HeaderValue::from_static(self.kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
