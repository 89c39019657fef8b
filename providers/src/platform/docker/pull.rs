//! Fetches images from their registry.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::client::Trouble;
use super::credentials;
use super::daemon::Daemon;
use crate::event::{self, Progress};
use crate::platform::PlatformError;
use crate::platform::requests::{At, refused};

/// How long a registry may take to say what an image is. A plan waits for it.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// How often it is told how much of an image was fetched.
const PAUSE: Duration = Duration::from_millis(200);

/// The header that tells the daemon as whom it asks a registry.
const HEADER: &str = "X-Registry-Auth";

/// When images are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pull {
    /// Where they are missing.
    #[default]
    Missing,
    /// Also where the registry has another one of that name.
    Always,
    /// Not at all.
    Never,
}

impl Pull {
    /// Reads what the configuration says, which was checked.
    pub(super) fn read(text: Option<&String>) -> Self {
        match text.map(String::as_str) {
            Some("always") => Self::Always,
            Some("never") => Self::Never,
            _ => Self::Missing,
        }
    }
}

/// Returns what speaks to the daemon on behalf of who is known to the registry of an image.
async fn authorized(docker: &Docker, image: &str) -> Result<Docker, String> {
    let docker = docker.clone();
    let Some(login) = credentials::find(image).await? else {
        return Ok(docker);
    };
    Ok(docker.with_request_modifier(move |mut request| {
        // It has letters, digits, `-`, `_` and `=` alone.
        if let Ok(value) = login.expose().parse() {
            request.headers_mut().insert(HEADER, value);
        }
        request
    }))
}

/// Asks the registry of an image what it is now. Nothing where it does not answer, or is asked by somebody it does not know.
pub(super) async fn digest(docker: &Docker, image: &str) -> Option<String> {
    let asked = async {
        let docker = authorized(docker, image).await.ok()?;
        docker.inspect_registry_image(image, None).await.ok()?.descriptor.digest
    };
    timeout(LOOK_LIMIT, asked).await.ok().flatten()
}

/// Fetches an image.
pub(super) async fn pull(daemon: &Daemon, image: &str) -> Result<(), PlatformError> {
    let fail = |message| refused("pull image", image, message);
    let docker = authorized(&daemon.docker, image).await.map_err(fail)?;
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    let mut layers = docker.create_image(Some(options), None, None);
    let mut fetched = Fetched::new(image);
    while let Some(told) = layers.next().await {
        let told = told
            .map_err(|error| explained(daemon.trouble(error), image))
            .at("pull image", image)?;
        if let Some(message) = told.error_detail.and_then(|error| error.message) {
            return Err(fail(message));
        }
        if let (Some(layer), Some(detail)) = (told.id, told.progress_detail) {
            fetched.note(layer, told.status.as_deref(), detail.current, detail.total);
        }
    }
    Ok(())
}

/// How much of an image was fetched, layer by layer.
struct Fetched {
    what: String,
    layers: BTreeMap<String, (u64, u64)>,
    told: Option<Instant>,
}

impl Fetched {
    fn new(image: &str) -> Self {
        Self {
            what: format!("fetches image {image}"),
            layers: BTreeMap::new(),
            told: None,
        }
    }

    /// Notes what the daemon says of a layer, and tells who watches, unless that was a moment ago and there is more to come.
    fn note(&mut self, layer: String, status: Option<&str>, current: Option<i64>, total: Option<i64>) {
        let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let known = match (status, bytes(current), bytes(total)) {
            (Some("Downloading"), Some(current), Some(total)) => Some((current.min(total), total)),
            // A layer that is complete no longer says how large it is.
            (Some("Download complete" | "Pull complete"), _, _) => {
                self.layers.get(&layer).map(|(_, total)| (*total, *total))
            }
            _ => None,
        };
        let Some(known) = known else { return };
        self.layers.insert(layer, known);
        let sum = |part: fn(&(u64, u64)) -> u64| self.layers.values().map(part).sum::<u64>();
        let (done, total) = (sum(|(done, _)| *done), sum(|(_, total)| *total));
        if done < total && self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        event::progress(Progress {
            what: self.what.clone(),
            done,
            total,
        });
    }
}

/// Adds what to do where a registry refuses.
fn explained(trouble: Trouble, image: &str) -> Trouble {
    let registry = credentials::registry(image);
    let Trouble::Refused { status, message } = trouble else {
        return trouble;
    };
    let denied = ["unauthorized", "denied", "no basic auth", "authentication required"];
    let way_out = if denied.iter().any(|word| message.contains(word)) {
        format!("log in as somebody who may: docker login {registry}")
    } else if status == 404 || message.contains("manifest unknown") || message.contains("not found") {
        format!("registry {registry} has none of that name")
    } else {
        format!("see whether the Docker Engine reaches registry {registry}")
    };
    let message = format!("{}; {way_out}", message.trim_end());
    Trouble::Refused { status, message }
}

#[cfg(test)]
mod tests {
    use simdb_planner::plan::StepId;

    use super::*;

    #[test]
    fn a_registry_that_refuses_is_told_with_a_way_out() {
        let said = |status, message: &str| {
            let message = message.to_owned();
            explained(Trouble::Refused { status, message }, "r:5000/db:15")
                .message()
                .to_owned()
        };
        assert!(said(500, "Get http://r:5000/v2/: no basic auth credentials").ends_with("docker login r:5000"));
        assert!(said(404, "manifest for r:5000/db:15 not found").ends_with("registry r:5000 has none of that name"));
        assert!(said(500, "dial tcp: connection refused").ends_with("the Docker Engine reaches registry r:5000"));
    }

    #[tokio::test]
    async fn how_much_of_an_image_was_fetched_reaches_who_watches_the_step() {
        let (watcher, mut heard) = tokio::sync::mpsc::unbounded_channel();
        event::watched(StepId(3), watcher, async {
            let mut fetched = Fetched::new("db:15");
            fetched.note("1".to_owned(), Some("Pulling fs layer"), None, None);
            fetched.note("1".to_owned(), Some("Downloading"), Some(10), Some(100));
            // A moment later, and not the last of it.
            fetched.note("2".to_owned(), Some("Downloading"), Some(1), Some(50));
            fetched.note("1".to_owned(), Some("Download complete"), None, None);
            fetched.note("2".to_owned(), Some("Extracting"), Some(1), Some(50));
            fetched.note("2".to_owned(), Some("Pull complete"), None, None);
        })
        .await;
        let mut told = Vec::new();
        while let Some((step, progress)) = heard.recv().await {
            assert_eq!((step, progress.what.as_str()), (StepId(3), "fetches image db:15"));
            told.push((progress.done, progress.total));
        }
        assert_eq!(told, [(10, 100), (150, 150)]);
        // Who fetches without a step is heard by nobody.
        Fetched::new("db:15").note("1".to_owned(), Some("Downloading"), Some(1), Some(1));
    }

    #[test]
    fn images_are_fetched_where_they_are_missing_unless_somebody_says_otherwise() {
        let read = |text: &str| Pull::read(Some(&text.to_owned()));
        assert_eq!((read("always"), read("never")), (Pull::Always, Pull::Never));
        assert_eq!((read("missing"), Pull::read(None)), (Pull::Missing, Pull::Missing));
    }
}
