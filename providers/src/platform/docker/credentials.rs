//! What a registry of images is told of who asks: as the Docker CLI keeps it.
//!
//! ```text
//!   config.json   credHelpers (of one registry), then credsStore: a program that is asked
//!                 auths: the name and password themselves
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs, io};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use simdb_state::sensitive::Sensitive;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::host;

/// The registry of images that name none, and what its credentials are kept under.
const HUB: &str = "docker.io";
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The name that a helper gives a token that stands for a login.
const TOKEN: &str = "<token>";

/// How long a helper may take. It may ask a person.
const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// What the Docker CLI keeps of registries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Kept>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

/// What is kept for one registry in clear, but for its alphabet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kept {
    auth: Option<String>,
    #[serde(rename = "identitytoken")]
    token: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What the daemon is told.
#[derive(Default, Serialize)]
struct Login<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(rename = "identitytoken", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    serveraddress: &'a str,
}

/// Returns the registry of an image.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => HUB,
    }
}

/// Returns what the daemon is told for the registry of an image, as it takes that; nothing where nothing is kept for it.
pub(super) async fn find(image: &str) -> Result<Option<Sensitive<String>>, String> {
    let settings = host::settings(&|name| env::var(name).ok().filter(|value| !value.is_empty()));
    find_in(&settings, registry(image)).await
}

async fn find_in(settings: &Path, registry: &str) -> Result<Option<Sensitive<String>>, String> {
    let path = settings.join("config.json");
    let config: Config = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        Ok(text) => serde_json::from_slice(&text).map_err(|_| format!("{} cannot be read", path.display()))?,
    };
    let key = if registry == HUB { HUB_KEY } else { registry };
    let helper = config.cred_helpers.get(registry).or(config.creds_store.as_ref());
    if let Some(helper) = helper {
        return Ok(ask(&format!("docker-credential-{helper}"), key).await?.map(|answer| {
            let (username, secret) = (answer.username.as_str(), answer.secret.as_str());
            encoded(&if username == TOKEN {
                Login {
                    token: Some(secret),
                    serveraddress: key,
                    ..Login::default()
                }
            } else {
                Login {
                    username: Some(username),
                    password: Some(secret),
                    token: None,
                    serveraddress: key,
                }
            })
        }));
    }
    let Some(kept) = config
        .auths
        .get(key)
        .or_else(|| config.auths.get(&format!("https://{key}")))
    else {
        return Ok(None);
    };
    if let Some(token) = &kept.token {
        return Ok(Some(encoded(&Login {
            token: Some(token),
            serveraddress: key,
            ..Login::default()
        })));
    }
    let Some(auth) = kept.auth.as_ref().filter(|auth| !auth.is_empty()) else {
        return Ok(None);
    };
    let wrong = || format!("what {} has for {registry} is no name and password", path.display());
    let decoded = STANDARD
        .decode(auth)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = Sensitive::new(decoded.ok_or_else(wrong)?);
    let (username, password) = decoded.expose().split_once(':').ok_or_else(wrong)?;
    Ok(Some(encoded(&Login {
        username: Some(username),
        password: Some(password.trim_end_matches('\0')),
        token: None,
        serveraddress: key,
    })))
}

/// Daemons take the alphabet that is safe in addresses, and silently ask as nobody where they meet the other one.
fn encoded(login: &Login<'_>) -> Sensitive<String> {
    let text = Sensitive::new(serde_json::to_string(login).expect("logins are plain text"));
    Sensitive::new(URL_SAFE.encode(text.expose()))
}

/// Asks a helper. One that has nothing for the registry says so, and fails.
async fn ask(program: &str, key: &str) -> Result<Option<Answer>, String> {
    let failed = |why: String| format!("{program}, which the Docker CLI's settings name for {key}, {why}");
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let mut input = child.stdin.take().expect("it is piped");
    let asked = async {
        match input.write_all(key.as_bytes()).await {
            // One that fails may end before it has read.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => drop(input),
        }
        child.wait_with_output().await
    };
    let output = timeout(HELPER_LIMIT, asked).await;
    let output = output.map_err(|_| failed(format!("gave no answer within {} s", HELPER_LIMIT.as_secs())))?;
    let output = output.map_err(|error| failed(format!("cannot be asked: {error}")))?;
    if output.status.success() {
        let answer = serde_json::from_slice(&output.stdout);
        return answer
            .map(Some)
            .map_err(|_| failed("gave an answer that is none".to_owned()));
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        .trim()
        .to_owned();
    if said.contains("credentials not found") {
        return Ok(None);
    }
    Err(failed(format!("failed: {said}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::{Value, json};

    use super::*;

    /// Returns what the daemon is told with these settings of the Docker CLI.
    async fn told(config: &Value, registry: &str) -> Result<Option<Value>, String> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        let found = find_in(directory.path(), registry).await?;
        Ok(found.map(|found| serde_json::from_slice(&URL_SAFE.decode(found.expose()).unwrap()).unwrap()))
    }

    #[test]
    fn an_image_names_its_registry_or_is_the_hubs() {
        for (image, is) in [
            ("postgres:15", "docker.io"),
            ("library/postgres", "docker.io"),
            ("localhost/db:15", "localhost"),
            ("127.0.0.1:5000/db:15", "127.0.0.1:5000"),
            ("ghcr.io/cloudnative-pg/postgresql:15", "ghcr.io"),
        ] {
            assert_eq!(registry(image), is, "{image}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_for_a_registry_is_told_in_the_safe_alphabet() {
        let kept = STANDARD.encode("some one:p?a>s:s");
        let config = json!({ "auths": { "r:5000": { "auth": kept }, HUB_KEY: { "identitytoken": "t" }, "empty": {} } });
        let login = json!({ "username": "some one", "password": "p?a>s:s", "serveraddress": "r:5000" });
        assert_eq!(told(&config, "r:5000").await, Ok(Some(login)));
        let token = json!({ "identitytoken": "t", "serveraddress": HUB_KEY });
        assert_eq!(told(&config, HUB).await, Ok(Some(token)));
        for registry in ["empty", "other"] {
            assert_eq!(told(&config, registry).await, Ok(None), "{registry}");
        }
        let wrong = told(&json!({ "auths": { "r": { "auth": "no password" } } }), "r")
            .await
            .unwrap_err();
        assert!(wrong.contains("is no name and password"), "{wrong}");
        assert_eq!(find_in(Path::new("/nowhere"), "r").await, Ok(None));
        let safe = encoded(&Login {
            password: Some("~~~???"),
            ..Login::default()
        });
        assert!(!safe.expose().contains(['+', '/']), "{}", safe.expose());
    }

    #[tokio::test]
    async fn a_helper_is_asked_and_what_it_says_is_told() {
        let missing = json!({ "credHelpers": { "r": "simdb-no-such" }, "credsStore": "simdb-neither" });
        let said = told(&missing, "r").await.unwrap_err();
        assert!(
            said.contains("docker-credential-simdb-no-such") && said.contains("cannot be started"),
            "{said}"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("helper");
        for (script, expected) in [
            (
                "printf '{\"ServerURL\":\"%s\",\"Username\":\"u\",\"Secret\":\"s\"}' \"$(cat)\"",
                Ok(Some("u")),
            ),
            ("echo credentials not found in native keychain; exit 1", Ok(None)),
            ("echo the keychain is locked >&2; exit 1", Err("the keychain is locked")),
            ("echo no document", Err("gave an answer that is none")),
        ] {
            fs::write(&path, format!("#!/bin/sh\n[ \"$1\" = get ] || exit 2\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            match (ask(path.to_str().unwrap(), "r").await, expected) {
                (Ok(answer), Ok(expected)) => assert_eq!(answer.map(|answer| answer.username).as_deref(), expected),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
                (answer, _) => panic!(
                    "{script}: {:?}",
                    answer.map(|answer| answer.map(|answer| answer.username))
                ),
            }
        }
    }
}
