//! The page at `/`: one document, one style sheet and one script, all of them in the program.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: &'static str,
    kind: &'static str,
    pub(super) content: &'static [u8],
}

/// The files of the page.
pub(super) const FILES: [File; 4] = [
    File {
        path: "/",
        kind: "text/html; charset=utf-8",
        content: include_bytes!("page/page.html"),
    },
    File {
        path: "/page.css",
        kind: "text/css; charset=utf-8",
        content: include_bytes!("page/page.css"),
    },
    File {
        path: "/page.js",
        kind: "text/javascript; charset=utf-8",
        content: include_bytes!("page/page.js"),
    },
    File {
        path: "/favicon.svg",
        kind: "image/svg+xml",
        content: include_bytes!("page/favicon.svg"),
    },
];

impl File {
    /// Returns what changes with its content.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

/// Answers with a file; with its tag alone where the browser has it.
pub(super) fn answer(file: File, headers: &HeaderMap) -> Response {
    let tag = file.tag();
    let has = headers.get(header::IF_NONE_MATCH).and_then(|has| has.to_str().ok());
    let mut response = if has.is_some_and(|has| has.contains(&tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(file.kind))];
        (kind, file.content).into_response()
    };
    let tag = HeaderValue::from_str(&tag).expect("quotes and hexadecimal digits are a header's characters");
    response.headers_mut().insert(header::ETAG, tag);
    response
}
