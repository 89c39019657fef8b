//! A small service: notes, written to the primary and read from its replicas, and a health endpoint.
//!
//! ```text
//!   GET  /health        {"status","version","db_primary","db_replica"}; 200, or 503 where a database does not answer
//!   POST /notes         {"text"}; 201 {"id","token"}
//!   GET  /notes         the newest hundred, from a replica
//!   GET  /notes/{id}    200, or 404
//! ```
//!
//! A read with the header `x-after: TOKEN` sees the write that has returned the token. Every answer from a database names
//! its server in the header `x-served-by`.

use std::fmt;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use simdb_route::{Connection, Error, Health, PoolManager, QueryIntent};
use tokio_postgres::Client;

/// The header by which a read asks to see a write.
const AFTER: &str = "x-after";
/// The header that names the server of an answer.
const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// How long a table that cannot be made is left alone.
const PAUSE: Duration = Duration::from_secs(1);

const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)";
const INSERT: &str = "INSERT INTO note (text) VALUES ($1) RETURNING id";
const LIST: &str = "SELECT id, text FROM note ORDER BY id DESC LIMIT 100";
const FIND: &str = "SELECT id, text FROM note WHERE id = $1";

/// Makes the table of the notes, where it does not exist, as soon as a primary answers.
pub async fn prepare(pools: &PoolManager) {
    let make = async |client: &Client| Ok(client.batch_execute(SCHEMA).await?);
    while let Err(error) = pools.write_idempotent(make).await {
        tracing::warn!(%error, "The table cannot be made yet");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns the service.
pub fn router(pools: PoolManager) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/notes", get(list).post(add))
        .route("/notes/{id}", get(find))
        .with_state(pools)
}

/// The answer of the health endpoint, field by field as its readers know it.
#[derive(Debug, Serialize)]
struct HealthDocument {
    status: &'static str,
    version: &'static str,
    db_primary: &'static str,
    /// Of all replicas; null where none is named.
    db_replica: Option<&'static str>,
}

impl From<Health> for HealthDocument {
    fn from(health: Health) -> Self {
        let connected = |connected| if connected { "connected" } else { "disconnected" };
        Self {
            status: if health.is_healthy() { "healthy" } else { "unhealthy" },
            version: env!("CARGO_PKG_VERSION"),
            db_primary: connected(health.primary),
            db_replica: health.replica.map(connected),
        }
    }
}

async fn health(State(pools): State<PoolManager>) -> Response {
    let health = pools.health();
    let status = if health.is_healthy() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(HealthDocument::from(health))).into_response()
}

#[derive(Debug, Serialize)]
struct Note {
    id: i64,
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    text: String,
}

#[derive(Debug, Serialize)]
struct Added {
    id: i64,
    /// Null where the connection broke right after the commit.
    token: Option<String>,
}

async fn add(
    State(pools): State<PoolManager>,
    body: Result<Json<NewNote>, JsonRejection>,
) -> Result<(StatusCode, Json<Added>), Failure> {
    let Json(new) = body.map_err(|rejection| Failure::Request(rejection.body_text()))?;
    let insert = async |client: &Client| Ok(client.query_one(INSERT, &[&new.text]).await?.get(0));
    let (id, token) = pools.write(insert).await?;
    let token = token.map(|token| token.to_string());
    Ok((StatusCode::CREATED, Json(Added { id, token })))
}

async fn list(State(pools): State<PoolManager>, headers: HeaderMap) -> Result<Response, Failure> {
    let mut connection = pools.get(intent(&headers)?).await?;
    let rows = connection.query(LIST, &[]).await;
    let rows = rows.map_err(|error| connection.explain(error))?;
    let notes: Vec<Note> = rows.iter().map(note).collect();
    Ok((served_by(&connection), Json(notes)).into_response())
}

async fn find(State(pools): State<PoolManager>, Path(id): Path<i64>, headers: HeaderMap) -> Result<Response, Failure> {
    let mut connection = pools.get(intent(&headers)?).await?;
    let row = connection.query_opt(FIND, &[&id]).await;
    let row = row.map_err(|error| connection.explain(error))?;
    Ok(match row {
        Some(row) => (served_by(&connection), Json(note(&row))).into_response(),
        None => (StatusCode::NOT_FOUND, served_by(&connection)).into_response(),
    })
}

fn note(row: &tokio_postgres::Row) -> Note {
    Note {
        id: row.get(0),
        text: row.get(1),
    }
}

fn served_by(connection: &Connection) -> [(HeaderName, String); 1] {
    [(SERVED_BY, connection.address().to_owned())]
}

fn intent(headers: &HeaderMap) -> Result<QueryIntent, Failure> {
    let Some(token) = headers.get(AFTER) else {
        return Ok(QueryIntent::Read);
    };
    let token = token.to_str().unwrap_or_default();
    let token = token
        .parse()
        .map_err(|error: simdb_route::TokenError| Failure::Request(error.to_string()))?;
    Ok(QueryIntent::ReadAfter(token))
}

/// Why a request has no answer.
#[derive(Debug)]
enum Failure {
    Request(String),
    Database(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(reason) => f.write_str(reason),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Database(Error::Unproven { .. }) => StatusCode::CONFLICT,
            Self::Database(Error::Database(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::warn!(error = %self, "Request failed");
        }
        let error = self.to_string();
        (status, Json(ErrorDocument { error })).into_response()
    }
}

#[derive(Debug, Serialize)]
struct ErrorDocument {
    error: String,
}
