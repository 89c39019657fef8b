//! The way to the API server. Every call has a deadline, and none that changes something is repeated here: after one whose answer was
//! lost, its caller looks at what came of it.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Client, Error};
use simdb_state::backend::BackendError;
use tokio::time::{sleep, timeout};

use super::Settings;
use super::names::MANAGER;
use crate::platform::kubernetes::client::{Object, chain, configuration};
use crate::platform::kubernetes::rights;

/// How long the API server may take for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// How long an API server that has answered before may be away, as while it is restarted. A command that finds none says so at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before it is asked once more.
const PAUSE: Duration = Duration::from_millis(200);

/// The block that says where the state is, for messages.
const BLOCK: &str = "state \"kubernetes\"";

/// What speaks to the API server of a cluster.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    namespace: String,
    url: String,
    has_answered: Arc<AtomicBool>,
}

impl Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Finds the API server as kubectl does: by the kubeconfig, else from within a pod.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, BackendError> {
        let config = configuration(settings.kubeconfig.as_deref(), settings.context.as_deref()).await;
        let config = config.map_err(|problem| BackendError::Unusable {
            problem,
            hint: format!(
                "Say which one is, in {BLOCK}: kubeconfig = \"PATH\", context = \"NAME\"; or set KUBECONFIG."
            ),
        })?;
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| silent(&url, &chain(&error)))?;
        Ok(Self {
            client,
            namespace: settings.namespace.clone(),
            url,
            has_answered: Arc::default(),
        })
    }

    fn api<T: Object>(&self) -> Api<T> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits for an answer.
    async fn once<T>(&self, call: BoxFuture<'_, kube::Result<T>>) -> Result<T, Trouble> {
        let Ok(answer) = timeout(LIMIT, call).await else {
            return Err(Trouble::Unclear(format!(
                "it gave no answer within {} s",
                LIMIT.as_secs()
            )));
        };
        if !matches!(&answer, Err(error) if !matches!(error, Error::Api(_))) {
            self.has_answered.store(true, Ordering::Relaxed);
        }
        answer.map_err(Trouble::from)
    }

    /// Waits for the answer to a question, which may be asked again.
    async fn ask<'a, T>(&'a self, call: impl Fn() -> BoxFuture<'a, kube::Result<T>>) -> Result<T, Trouble> {
        let began = Instant::now();
        loop {
            let answer = self.once(call()).await;
            let is_over = !self.has_answered.load(Ordering::Relaxed) || began.elapsed() > PATIENCE;
            match answer {
                Err(Trouble::Unclear(_)) if !is_over => sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// Returns an object; nothing where there is none.
    pub(super) async fn get<T: Object>(&self, name: &str) -> Result<Option<T>, Trouble> {
        let api = self.api::<T>();
        self.ask(|| {
            let (api, name) = (api.clone(), name.to_owned());
            async move { api.get_opt(&name).await }.boxed()
        })
        .await
    }

    /// Returns what is said of an object without what it holds; nothing where there is none.
    pub(super) async fn metadata<T: Object>(&self, name: &str) -> Result<Option<ObjectMeta>, Trouble> {
        let api = self.api::<T>();
        let found = self.ask(|| {
            let (api, name) = (api.clone(), name.to_owned());
            async move { api.get_metadata_opt(&name).await }.boxed()
        });
        Ok(found.await?.map(|found| found.metadata))
    }

    /// Returns what is said of the objects with these labels.
    pub(super) async fn list_metadata<T: Object>(&self, labels: &str) -> Result<Vec<ObjectMeta>, Trouble> {
        let (api, options) = (self.api::<T>(), ListParams::default().labels(labels));
        let found = self.ask(|| {
            let (api, options) = (api.clone(), options.clone());
            async move { api.list_metadata(&options).await }.boxed()
        });
        Ok(found.await?.items.into_iter().map(|found| found.metadata).collect())
    }

    /// Returns the objects with these labels.
    pub(super) async fn list<T: Object>(&self, labels: &str) -> Result<Vec<T>, Trouble> {
        let (api, options) = (self.api::<T>(), ListParams::default().labels(labels));
        let found = self.ask(|| {
            let (api, options) = (api.clone(), options.clone());
            async move { api.list(&options).await }.boxed()
        });
        Ok(found.await?.items)
    }

    /// Makes an object, where there is none of its name.
    pub(super) async fn create<T: Object>(&self, object: &T) -> Result<T, Trouble> {
        self.once(self.api::<T>().create(&written(), object).boxed()).await
    }

    /// Puts an object in place of the one of its name, which must have the version that it has, if it has one.
    pub(super) async fn replace<T: Object>(&self, object: &T) -> Result<T, Trouble> {
        let name = object.meta().name.clone().unwrap_or_default();
        self.once(self.api::<T>().replace(&name, &written(), object).boxed())
            .await
    }

    /// Removes an object, unless it was changed since it was looked at. One that is not there is removed.
    pub(super) async fn delete<T: Object>(&self, seen: &ObjectMeta) -> Result<(), Trouble> {
        let name = seen.name.clone().unwrap_or_default();
        let preconditions = Preconditions {
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
        };
        let options = DeleteParams::default().preconditions(preconditions);
        match self.once(self.api::<T>().delete(&name, &options).boxed()).await {
            Err(Trouble::Refused { status: 404, .. }) => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Says what keeps simdb from the state.
    pub(super) fn failed(&self, doing: &'static str) -> impl Fn(Trouble) -> BackendError {
        let (url, namespace) = (self.url.clone(), self.namespace.clone());
        move |trouble| match trouble {
            Trouble::Unclear(why) => silent(&url, &why),
            Trouble::Refused { status, message } => refused(doing, &url, &namespace, status, &message),
        }
    }
}

fn written() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Why a call came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// There is no answer, or one of which it is not known what stands behind it: what was asked for may have happened, or not.
    Unclear(String),
    /// The API server refused, and did nothing.
    Refused {
        /// The status, as HTTP has them.
        status: u16,
        /// What it says.
        message: String,
    },
}

impl Trouble {
    /// Returns whether another one was faster.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Returns whether it may be tried again, once it is known what came of it.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unclear(_)) || self.is_conflict()
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            // An API server that waits for etcd in vain answers 500 or 504; one that has too much to do, 429.
            Error::Api(status) if status.code >= 500 || matches!(status.code, 408 | 429) => {
                Self::Unclear(format!("it answered {}: {}", status.code, status.message))
            }
            Error::Api(status) => Self::Refused {
                status: status.code,
                message: status.message.trim_end_matches('.').to_owned(),
            },
            other => Self::Unclear(chain(&other)),
        }
    }
}

fn silent(url: &str, why: &str) -> BackendError {
    BackendError::Unusable {
        problem: format!("the API server at {url} cannot be reached: {why}"),
        hint: "What is recorded stays as it is there. Run the command again once it answers: kubectl get --raw /readyz. Another one is \
               named in state \"kubernetes\": kubeconfig = \"PATH\", context = \"NAME\"."
            .to_owned(),
    }
}

fn refused(doing: &str, url: &str, namespace: &str, status: u16, message: &str) -> BackendError {
    let hint = match status {
        401 => {
            "It does not know who asks. See the user of the context in the kubeconfig: kubectl auth whoami".to_owned()
        }
        403 if message.contains("exceeded quota") => {
            format!(
                "A ResourceQuota of namespace \"{namespace}\" leaves no room for it: kubectl -n {namespace} describe quota"
            )
        }
        403 if message.contains("terminated") => {
            format!("Namespace \"{namespace}\" is being deleted. Name another one in state \"kubernetes\".")
        }
        403 => {
            let rights = rights::of_state();
            format!(
                "A Role in namespace \"{namespace}\" must give the user of the kubeconfig these rights: {rights}. The role that has them: simdb \
                 metadata rbac -state={namespace}"
            )
        }
        404 => format!("The state is kept in a namespace that is there already: kubectl create namespace {namespace}"),
        _ => "Nothing was changed by it.".to_owned(),
    };
    BackendError::Unusable {
        problem: format!("the API server at {url} refuses to {doing}: {message}"),
        hint,
    }
}
