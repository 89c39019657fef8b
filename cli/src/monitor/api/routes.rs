//! Serves the paths: finds what each asks for, and answers it from the last round.

use std::collections::BTreeMap;
use std::future::ready;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use simdb_state::store::RunId;

use super::answer::Answer;
use super::exposition::Format;
use super::metrics::Counted;
use super::paths::{Target, paths, writes};
use super::server::Peer;
use super::view::View;
use super::{Api, cluster, guard, metrics, openapi, own, page, patroni, stream, write};
use crate::views::doc::{RunDoc, RunsDoc};

/// What is asked with a path.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// The parts of the path that have a name.
    pub(super) path: BTreeMap<String, String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) accept: Option<String>,
}

impl Question {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// Returns the number of the event after which events are asked for.
    fn after(&self) -> Result<u64, Answer> {
        self.parameter("after").map_or(Ok(0), |after| {
            after.parse().map_err(|_| {
                let why = format!("\"after\" is the number of an event, not {after:?}");
                Answer::error(StatusCode::BAD_REQUEST, why)
            })
        })
    }
}

/// Returns what serves all paths.
pub(super) fn router(api: Api) -> Router {
    let mut router = Router::new();
    for (path, target) in paths() {
        router = router.route(&path, method(target));
    }
    for (path, what) in writes() {
        let change = move |state: State<Api>, path: Path<_>, peer: Extension<Peer>, body: Body| {
            write::answer(what, state, path, peer, body)
        };
        router = router.route(&path, post(change));
    }
    for file in page::FILES {
        let read = move |headers: HeaderMap| ready(page::answer(file, &headers));
        router = router.route(file.path, get(read));
    }
    let unknown = || async { Answer::error(StatusCode::NOT_FOUND, "there is no such path") };
    let wrong = || async {
        Answer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "the path takes another method, as /openapi.json says",
        )
    };
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong)
        .layer(from_fn_with_state(api.clone(), guard::pass))
        .with_state(api)
}

fn method(target: Target) -> MethodRouter<Api> {
    match target {
        Target::Stream => return get(stream::open),
        Target::Runs => return get(runs),
        Target::Run => return get(run),
        _ => {}
    }
    let respond = move |state: State<Api>, path, query, method: Method, headers: HeaderMap| {
        ready(respond(target, state, path, query, &method, &headers))
    };
    match target {
        // Load balancers ask so when they care for the code alone.
        Target::Check(_) => get(respond).options(respond),
        _ => get(respond),
    }
}

fn respond(
    target: Target,
    State(api): State<Api>,
    Path(path): Path<BTreeMap<String, String>>,
    Query(query): Query<BTreeMap<String, String>>,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let question = Question {
        path,
        query,
        accept: accept.map(str::to_owned),
    };
    let answer = answer(target, &question, &api.view(), &api);
    if *method == Method::OPTIONS {
        return answer.status.into_response();
    }
    answer.into_response()
}

/// Answers with the runs that are kept.
async fn runs(State(api): State<Api>) -> Answer {
    match api.store.runs().await {
        Ok(runs) => Answer::json(StatusCode::OK, &RunsDoc::new(runs)),
        Err(error) => write::away(&error),
    }
}

/// Answers with one run; `last` is the newest.
async fn run(State(api): State<Api>, Path(path): Path<BTreeMap<String, String>>) -> Answer {
    let named = path.get("run").map_or("", String::as_str);
    let runs = match api.store.runs().await {
        Ok(runs) => runs,
        Err(error) => return write::away(&error),
    };
    let known = || runs.iter().map(|run| run.id.0.clone());
    let id: Option<&RunId> = match named {
        "last" => runs.first().map(|run| &run.id),
        _ => runs.iter().map(|run| &run.id).find(|id| id.0 == named),
    };
    let Some(id) = id else {
        return Answer::unknown("run", named, known());
    };
    match api.store.run_report(id).await {
        Ok(Some(report)) => Answer::json(StatusCode::OK, &RunDoc::new(report)),
        Ok(None) => Answer::unknown("run", named, known()),
        Err(error) => write::away(&error),
    }
}

/// Answers a question from a round.
fn answer(target: Target, question: &Question, view: &View, api: &Api) -> Answer {
    let named = question.parameter("cluster");
    match target {
        Target::Metrics => {
            let format = Format::accepted(question.accept.as_deref());
            let counted = Counted {
                tally: &api.tally,
                survey: &api.survey.borrow(),
                deliveries: &api.deliveries,
                journal: &api.journal.borrow(),
            };
            exposed(format, metrics::write(view, &counted, format))
        }
        Target::Events => match question.after() {
            Ok(after) => own::events(&api.board.events_after(after)),
            Err(answer) => answer,
        },
        Target::ClusterStatus => cluster::status(view, named, question.parameter("node"), &api.address.to_string()),
        Target::ClusterNodes => cluster::nodes(view, named),
        Target::ClusterHealth => cluster::health(view, named),
        Target::Health => cluster::overall(view, named),
        // The last three have answers of their own.
        Target::Clusters | Target::Stream | Target::Runs | Target::Run => own::clusters(view),
        Target::Plan => own::plan(&api.survey.borrow()),
        Target::Drift => own::drift(&api.survey.borrow()),
        Target::Cluster => own::cluster(view, question.part("cluster")),
        Target::Live => own::live(view),
        Target::Ready => own::ready(view),
        Target::OpenApi => Answer::json(StatusCode::OK, &openapi::document()),
        Target::Check(_)
        | Target::PatroniCluster
        | Target::PatroniHistory
        | Target::PatroniConfig
        | Target::PatroniMetrics => of_node(target, question, view, &api.url()),
    }
}

/// Answers one of Patroni's paths.
pub(super) fn of_node(target: Target, question: &Question, view: &View, api: &str) -> Answer {
    let name = question.part("cluster");
    let Some(cluster) = view.cluster(name) else {
        return Answer::unknown("cluster", name, view.clusters().map(|cluster| cluster.name.to_string()));
    };
    let name = question.part("node");
    let Some(node) = cluster.node(name) else {
        return Answer::unknown("node", name, cluster.nodes().map(|node| node.name.to_string()));
    };
    match target {
        Target::Check(check) => patroni::answer(check, &node, &patroni::Query::read(&question.query)),
        Target::PatroniCluster => patroni::cluster(&cluster, api),
        Target::PatroniHistory => patroni::history(&cluster),
        Target::PatroniMetrics => {
            let format = Format::accepted(question.accept.as_deref());
            exposed(format, patroni::metrics(&node, format))
        }
        // What Patroni keeps there is declared in the configuration of simdb.
        _ => Answer::status(StatusCode::BAD_GATEWAY),
    }
}

fn exposed(format: Format, text: String) -> Answer {
    Answer {
        kind: format.kind(),
        ..Answer::text(StatusCode::OK, text)
    }
}
