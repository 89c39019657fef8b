//! Fetches images from their registry.

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::client::{At, Trouble, refused};
use super::credentials;
use super::daemon::Daemon;
use crate::platform::PlatformError;

/// How long a registry may take to say what an image is. A plan waits for it.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

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
    while let Some(told) = layers.next().await {
        let told = told
            .map_err(|error| explained(daemon.trouble(error), image))
            .at("pull image", image)?;
        if let Some(message) = told.error_detail.and_then(|error| error.message) {
            return Err(fail(message));
        }
    }
    Ok(())
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

    #[test]
    fn images_are_fetched_where_they_are_missing_unless_somebody_says_otherwise() {
        let read = |text: &str| Pull::read(Some(&text.to_owned()));
        assert_eq!((read("always"), read("never")), (Pull::Always, Pull::Never));
        assert_eq!((read("missing"), Pull::read(None)), (Pull::Missing, Pull::Missing));
    }
}
