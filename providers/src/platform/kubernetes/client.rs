//! The way to the API server, and what keeps simdb from it.
//!
//! That the API server does not answer says nothing of its pods: they run on without it. It is told apart from what the server says.
//! Every call has a deadline, and none is repeated by itself: after a call that was not answered it is looked what came of it.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, ObjectList, Patch, PatchParams, PostParams};
use kube::client::UpgradeConnectionError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::explain::explained;
use super::names::MANAGER;
use super::settings::Settings;
use crate::platform::PlatformError;
use crate::platform::requests::{Refusal, optional, refused};

/// How long the API server may take for an answer. Admission webhooks may take 10 s each.
const LIMIT: Duration = Duration::from_secs(20);

/// How long it may take to reach it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What speaks to the API server of a cluster.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// Where it is, for messages.
    pub(super) url: String,
}

impl Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What an object must be to be asked for.
pub(crate) trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync
{
}

impl<T> Object for T where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
{
}

impl Server {
    /// Finds the API server as kubectl does: by the kubeconfig, else from within a pod.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, Trouble> {
        let config = configuration(settings.kubeconfig.as_deref(), settings.context.as_deref()).await;
        let config = config.map_err(|why| {
            Trouble::Unreached(format!(
                "The Kubernetes cluster cannot be reached: {why}. Say which one is, in provider \"kubernetes\": kubeconfig = \"PATH\", context \
                 = \"NAME\"; or set KUBECONFIG."
            ))
        })?;
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = settings.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| unreached(&url, &chain(&error)))?;
        Ok(Self { client, namespace, url })
    }

    pub(super) fn api<T: Object>(&self) -> Api<T> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits for an answer.
    pub(super) async fn within<T>(&self, call: BoxFuture<'_, kube::Result<T>>) -> Result<T, Trouble> {
        match timeout(LIMIT, call).await {
            Ok(answer) => answer.map_err(|error| self.trouble(error)),
            Err(_) => Err(unreached(
                &self.url,
                &format!("it gave no answer within {} s", LIMIT.as_secs()),
            )),
        }
    }

    /// Returns an object, where it is there.
    pub(super) async fn get<T: Object>(&self, name: &str) -> Result<Option<T>, Trouble> {
        self.within(self.api::<T>().get_opt(name).boxed()).await
    }

    pub(super) async fn list<T: Object>(&self, labels: &str) -> Result<ObjectList<T>, Trouble> {
        let options = ListParams::default().labels(labels);
        self.within(self.api::<T>().list(&options).boxed()).await
    }

    /// Returns what is said of objects, without what they hold.
    pub(super) async fn list_metadata<T: Object>(&self, labels: &str) -> Result<Vec<ObjectMeta>, Trouble> {
        let options = ListParams::default().labels(labels);
        let api = self.api::<T>();
        let listed = self.within(api.list_metadata(&options).boxed()).await?;
        Ok(listed.items.into_iter().map(|object| object.metadata).collect())
    }

    /// Makes an object, which must not be there.
    pub(super) async fn create<T: Object>(&self, object: &T) -> Result<T, Trouble> {
        let options = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.within(self.api::<T>().create(&options, object).boxed()).await
    }

    /// Makes an object, or changes the one of that name to what is said here, whatever others said of it.
    pub(super) async fn apply<T: Object>(&self, name: &str, object: &T) -> Result<T, Trouble> {
        let options = PatchParams::apply(MANAGER).force();
        self.within(self.api::<T>().patch(name, &options, &Patch::Apply(object)).boxed())
            .await
    }

    /// Changes what is said here of an object. With a version in it, that must be the one of the object.
    pub(super) async fn merge<T: Object>(&self, name: &str, patch: &serde_json::Value) -> Result<T, Trouble> {
        let options = PatchParams {
            field_manager: Some(format!("{MANAGER}-changes")),
            ..PatchParams::default()
        };
        self.within(self.api::<T>().patch(name, &options, &Patch::Merge(patch)).boxed())
            .await
    }

    /// Removes an object; one that is not there is removed.
    pub(super) async fn delete<T: Object>(&self, name: &str, options: &DeleteParams) -> Result<(), Trouble> {
        optional(self.within(self.api::<T>().delete(name, options).boxed()).await).map(drop)
    }

    /// Says what went wrong with a request.
    pub(super) fn trouble(&self, error: Error) -> Trouble {
        match error {
            Error::Api(status) if status.code == 401 => self.refuses_login(),
            Error::Api(status) => Trouble::Refused {
                status: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            },
            Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) if status.as_u16() == 401 => {
                self.refuses_login()
            }
            Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => Trouble::Refused {
                status: status.as_u16(),
                reason: String::new(),
                message: format!("the API server answered {status}"),
            },
            other => unreached(&self.url, &chain(&other)),
        }
    }

    fn refuses_login(&self) -> Trouble {
        unreached(
            &self.url,
            "it does not know who asks. See the user of the context in the kubeconfig: kubectl auth whoami",
        )
    }
}

/// Returns how to reach the API server: as a kubeconfig says, else from within a pod. Calls are not repeated by themselves. Where it is
/// not known, says why.
pub(crate) async fn configuration(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, String> {
    // An error says that another part of the process has chosen already, and there is one choice alone.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let (read, from) = match kubeconfig {
        Some(path) => (Kubeconfig::read_from(path), path.display().to_string()),
        None => (Kubeconfig::read(), "the usual kubeconfig".to_owned()),
    };
    let config = match read {
        Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
        Err(error) => Err(error),
    };
    let is_chosen = kubeconfig.is_some() || context.is_some();
    let mut config = match (config, is_chosen) {
        (Ok(config), _) => config,
        (Err(error), true) => return Err(format!("{from} cannot be used: {}", chain(&error))),
        (Err(error), false) => Config::incluster().map_err(|_| format!("{from} cannot be used: {}", chain(&error)))?,
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.default_retry = false;
    Ok(config)
}

fn unreached(url: &str, why: &str) -> Trouble {
    Trouble::Unreached(format!(
        "The API server at {url} cannot be reached: {why}. Servers in pods of its cluster may run all the same."
    ))
}

/// Returns an error with all that caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Several of them repeat what the one below says.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// Why a request came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The API server did not answer, as a sentence: what it was asked may have happened, or not.
    Unreached(String),
    /// The API server refused.
    Refused {
        /// The status, as HTTP has them.
        status: u16,
        /// The same as a word.
        reason: String,
        /// What it says.
        message: String,
    },
}

impl Trouble {
    /// Returns whether what was asked for is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Returns whether another change was faster.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Returns whether the right is missing.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, reason, .. } if reason == "Forbidden")
    }

    /// Returns what was said.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Unreached(message) | Self::Refused { message, .. } => message,
        }
    }

    /// Says what was being done, with which object.
    pub(super) fn at(self, doing: &'static str, name: &str) -> PlatformError {
        match self {
            Self::Unreached(sentence) => PlatformError::Unusable(sentence),
            Self::Refused { message, .. } => refused(doing, name, explained(&message)),
        }
    }
}

impl Refusal for Trouble {
    fn is_missing(&self) -> bool {
        self.is_absent()
    }

    fn while_doing(self, doing: &'static str, name: &str) -> PlatformError {
        self.at(doing, name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn what_keeps_simdb_from_the_api_server_is_said_with_a_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.conf");
        let settings = |context: &str| {
            let pair = |name: &str, value: String| (name.to_owned(), value);
            let arguments = BTreeMap::from([
                pair("kubeconfig", path.display().to_string()),
                pair("context", context.to_owned()),
            ]);
            Settings::read(&arguments, Path::new("/"))
        };
        let missing = Server::connect(&settings("test")).await.expect_err("there is no file");
        assert!(missing.message().contains("kubeconfig = \"PATH\""), "{missing:?}");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster:\n    server: \
                    http://127.0.0.1:1\ncontexts:\n- name: test\n  context:\n    cluster: test\n    user: me\n    namespace: db\nusers:\n- \
                    name: me\n  user: {}\n";
        std::fs::write(&path, text).unwrap();
        let other = Server::connect(&settings("prod"))
            .await
            .expect_err("there is no such context");
        assert!(other.message().contains("prod"), "{other:?}");
        let server = Server::connect(&settings("test")).await.expect("it can be read");
        assert_eq!(
            (server.namespace.as_str(), server.url.as_str()),
            ("db", "http://127.0.0.1:1")
        );
        let dead = server.get::<k8s_openapi::api::core::v1::Pod>("a").await;
        let dead = dead.expect_err("nothing listens there");
        assert!(dead.message().contains("may run all the same"), "{dead:?}");
    }
}
