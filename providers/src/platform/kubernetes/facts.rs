//! What the cluster is like, and what may be done there: facts.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, PostParams};
use simdb_planner::observed::{PlatformFacts, PlatformProblem, Reach};
use simdb_state::object::{EngineKind, Image};
use tokio::time::timeout;

use super::KubernetesPlatform;
use super::client::{Server, Trouble};
use super::rights;
use crate::engine::PROGRAMS;

/// How long the API server may take to say what it is.
const LIMIT: Duration = Duration::from_secs(10);

/// The oldest version that has all that is asked of it.
const OLDEST: (u32, u32) = (1, 30);

/// The major versions of engines with data that images are looked for of.
const VERSIONS: std::ops::RangeInclusive<u16> = 15..=18;

/// The version of an engine whose versions are not told apart.
const ONLY_VERSION: u16 = 1;

impl KubernetesPlatform {
    /// Looks at the cluster. What keeps it from being used is a problem in the answer.
    pub(super) async fn look(&self) -> PlatformFacts {
        let mut facts = PlatformFacts {
            engines: self.engines(),
            images: self.images(),
            obtainable: true,
            searched: vec!["the images that provider \"kubernetes\" names".to_owned()],
            ..PlatformFacts::default()
        };
        for programs in PROGRAMS
            .iter()
            .filter(|programs| programs.contained && programs.image.is_none())
        {
            let remedy = "it runs in pods of an image that provider \"kubernetes\" names. Add there pooler_image = \"...\", with one that has it \
                          on its PATH, or";
            facts.remedies.insert(programs.engine, remedy.to_owned());
        }
        let problems = match timeout(LIMIT, self.ask(&mut facts)).await {
            Ok(Ok(problems)) => problems,
            Ok(Err(trouble)) => vec![trouble.message().to_owned()],
            Err(_) => vec![format!(
                "The API server of provider \"kubernetes\" gave no answer within {} s. Servers in pods of its cluster may run all the same.",
                LIMIT.as_secs()
            )],
        };
        let told = problems
            .into_iter()
            .map(|detail| PlatformProblem { argument: None, detail });
        facts.problems.extend(told);
        facts
    }

    /// Returns which versions there are images of, as far as their names tell.
    fn engines(&self) -> BTreeMap<EngineKind, BTreeMap<u16, String>> {
        let engines = PROGRAMS.iter().filter(|programs| programs.contained).map(|programs| {
            let versions = if programs.image.is_some() {
                VERSIONS
            } else {
                ONLY_VERSION..=ONLY_VERSION
            };
            let found = versions.filter_map(|version| {
                let image = self.settings.image(programs.engine, version)?;
                Some((version, format!("image {image}")))
            });
            (programs.engine, found.collect())
        });
        engines.collect()
    }

    fn images(&self) -> BTreeMap<EngineKind, BTreeMap<u16, Vec<Image>>> {
        let engines = PROGRAMS.iter().filter(|programs| programs.image.is_some());
        let images = engines.map(|programs| {
            let found = VERSIONS.filter_map(|version| {
                let image = self.settings.image(programs.engine, version)?;
                Some((version, vec![Image::from(image.as_str())]))
            });
            (programs.engine, found.collect())
        });
        images.collect()
    }

    async fn ask(&self, facts: &mut PlatformFacts) -> Result<Vec<String>, Trouble> {
        let server = self.reached().await?;
        facts.reach = Reach::Named(format!("{}.svc", server.namespace));
        let (version, rights, namespace, class) = tokio::join!(
            server.within(server.client.apiserver_version().boxed()),
            lacking(&server),
            has_no_namespace(&server),
            self.has_no_class(&server)
        );
        let version = version?;
        let mut problems = Vec::new();
        let number = |text: &str| text.trim_end_matches('+').parse::<u32>().ok();
        let parsed = number(&version.major).zip(number(&version.minor));
        if parsed.is_none_or(|version| version < OLDEST) {
            problems.push(format!(
                "The API server at {} has version {}, and 1.30 is needed. Use a newer cluster.",
                server.url, version.git_version
            ));
        }
        problems.extend(namespace);
        problems.extend(class);
        problems.extend(rights?);
        Ok(problems)
    }

    /// Says that there is no such class of volumes. Who may not look learns it when the volume is made.
    async fn has_no_class(&self, server: &Server) -> Option<String> {
        let name = self.settings.storage_class.as_ref()?;
        let api: Api<StorageClass> = Api::all(server.client.clone());
        let found = server.within(api.get_opt(name).boxed()).await;
        matches!(found, Ok(None)).then(|| {
            format!(
                "The cluster of {} has no StorageClass \"{name}\". See which ones there are, kubectl get storageclass, and name one in provider \
                 \"kubernetes\": storage_class = \"...\".",
                server.url
            )
        })
    }
}

/// Says which rights are missing, where the API server can tell.
async fn lacking(server: &Server) -> Result<Option<String>, Trouble> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(server.namespace.clone()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let api: Api<SelfSubjectRulesReview> = Api::all(server.client.clone());
    let review = server
        .within(api.create(&PostParams::default(), &review).boxed())
        .await?;
    let Some(status) = review.status.filter(|status| !status.incomplete) else {
        return Ok(None);
    };
    let missing = rights::missing(&status.resource_rules);
    Ok((!missing.is_empty()).then(|| {
        format!(
            "The user of the kubeconfig may not do in namespace {} what simdb has to do there: {}. The role that has it all: simdb metadata rbac \
             -namespace={}",
            server.namespace,
            missing.join("; "),
            server.namespace
        )
    }))
}

/// Says that there is no such namespace. Who may not look learns it when an object is made.
async fn has_no_namespace(server: &Server) -> Option<String> {
    let api: Api<Namespace> = Api::all(server.client.clone());
    let found = server.within(api.get_opt(&server.namespace).boxed()).await;
    matches!(found, Ok(None)).then(|| {
        format!(
            "The cluster of {} has no namespace \"{}\". Make it, kubectl create namespace {}, or name another one in provider \"kubernetes\".",
            server.url, server.namespace, server.namespace
        )
    })
}
