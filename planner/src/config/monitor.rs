//! The `monitor` block: how `simdb monitor` runs. Literals only, as in the `simdb` block.

use std::net::SocketAddr;
use std::time::Duration;

use hcl_edit::structure::Block;
use simdb_language::suggest::did_you_mean;

use crate::diagnostic::{Diagnostic, Span};
use crate::engine::settings;

use super::dialect;
use super::read::{Read, Reader};
use super::state_backend::StateBackend;

/// How long a monitor may be silent before another one decides in its place.
const LEASE: Duration = Duration::from_secs(3);

/// The shortest such time for a state in a file, and for one elsewhere, which takes longer to answer.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const SHORTEST_REMOTE_LEASE: Duration = Duration::from_secs(4);

/// The longest that makes sense.
const LONGEST_LEASE: Duration = Duration::from_mins(5);

/// The kinds of events that a monitor tells.
pub const MONITOR_EVENTS: [&str; 20] = [
    "started",
    "took-over",
    "passive",
    "suspected",
    "lost",
    "returned",
    "decided",
    "ordered",
    "failed-over",
    "done",
    "refused",
    "failed",
    "held",
    "alarm",
    "clear",
    "paused",
    "unpaused",
    "store-away",
    "store-back",
    "untold",
];

/// How a monitor runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorSettings {
    /// Where its HTTP API listens; absent, nowhere.
    pub listen: Option<SocketAddr>,
    /// The file with the token that writes need, relative to the configuration; absent, the API is only read.
    pub token_file: Option<String>,
    /// What the API serves TLS with; absent, it serves plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Who is told of events.
    pub hooks: Vec<Hook>,
    lease: Option<Duration>,
}

/// The files that TLS is served with, relative to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those between it and a root, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub key: String,
}

/// Who is told of events, and of which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What it is called.
    pub name: String,
    /// How it is told.
    pub way: HookWay,
    /// The kinds of events; none: all of them.
    pub events: Vec<String>,
}

/// How events reach a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookWay {
    /// Posted as JSON to this URL.
    Webhook(String),
    /// Posted as JSON to the URL that a file holds, relative to the configuration: a URL may be a secret.
    WebhookFile(String),
    /// Handed as JSON to the standard input of a program with these arguments.
    Command(Vec<String>),
}

impl MonitorSettings {
    /// Returns how long a monitor may be silent before another one decides in its place.
    pub fn lease(&self, state: &StateBackend) -> Duration {
        self.lease.unwrap_or_else(|| LEASE.max(shortest(state)))
    }
}

/// Says why an API may not listen at an address; nothing where it may.
pub fn refuse_listening(listen: SocketAddr, has_token: bool, has_tls: bool) -> Option<String> {
    let is_open = !(listen.ip().is_loopback() || has_token && has_tls);
    is_open.then(|| {
        format!(
            "{listen} can be reached from elsewhere, and there the API needs a token and TLS: give \"token_file\" and a tls block with \
             \"certificate\" and \"key\" in the monitor block. Without them, listen on 127.0.0.1:{port} or [::1]:{port}.",
            port = listen.port()
        )
    })
}

fn shortest(state: &StateBackend) -> Duration {
    match state {
        StateBackend::File(_) => SHORTEST_LEASE,
        StateBackend::Remote { .. } => SHORTEST_REMOTE_LEASE,
    }
}

/// Reads a `monitor` block.
pub(super) fn read(block: Reader<'_>, state: &StateBackend, diagnostics: &mut Vec<Diagnostic>) -> MonitorSettings {
    let none = dialect::names();
    let mut settings = MonitorSettings {
        token_file: path(block, "token_file", diagnostics),
        lease: lease(block, state, diagnostics),
        ..MonitorSettings::default()
    };
    for (_, tls) in block.blocks("tls") {
        let file = |name, diagnostics: &mut Vec<Diagnostic>| path(tls, name, diagnostics);
        let files = (file("certificate", diagnostics), file("key", diagnostics));
        if let (Some(certificate), Some(key)) = files {
            settings.tls = Some(TlsFiles { certificate, key });
        }
    }
    for (header, inner) in block.blocks("notify") {
        settings.hooks.extend(hook(header, inner, diagnostics));
    }
    if let Some(listen) = block.text("listen", &none, diagnostics) {
        settings.listen = address(block, &listen, diagnostics);
    }
    settings
}

/// Reads where the API listens, and whether it may: what it is protected by was read before.
fn address(block: Reader<'_>, listen: &Read<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<SocketAddr> {
    let Ok(address) = listen.value.parse::<SocketAddr>() else {
        let detail = format!(
            "\"listen\" is an address with a port such as \"127.0.0.1:8008\" or \"[::1]:8008\", not {:?}.",
            listen.value
        );
        diagnostics.push(block.error(listen.span.clone(), "Invalid address", detail));
        return None;
    };
    let has_tls = block.body.has_blocks("tls");
    if let Some(detail) = refuse_listening(address, block.body.has_attribute("token_file"), has_tls) {
        diagnostics.push(block.error(listen.span.clone(), "The API would be open to others", detail));
    }
    Some(address)
}

fn lease(block: Reader<'_>, state: &StateBackend, diagnostics: &mut Vec<Diagnostic>) -> Option<Duration> {
    let lease = block.text("lease", &dialect::names(), diagnostics)?;
    let given =
        settings::read_milliseconds(&lease.value).map(|milliseconds| Duration::from_millis(milliseconds.into()));
    let shortest = shortest(state);
    let fits = given.filter(|given| (shortest..=LONGEST_LEASE).contains(given));
    if fits.is_none() {
        let detail = format!(
            "\"lease\" is a time from \"{}s\", which is the shortest that this state can renew in time, to \"{}s\", not {:?}.",
            shortest.as_secs(),
            LONGEST_LEASE.as_secs(),
            lease.value
        );
        diagnostics.push(block.error(lease.span, "Invalid time", detail));
    }
    fits
}

/// Reads the path of a file.
fn path(block: Reader<'_>, name: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let read = block.text(name, &dialect::names(), diagnostics)?;
    if read.value.trim().is_empty() {
        let detail = format!("\"{name}\" is the path of a file, and must not be empty.");
        diagnostics.push(block.error(read.span, "Empty path", detail));
        return None;
    }
    Some(read.value)
}

/// Reads a `notify` block; nothing where it cannot be used.
fn hook(header: &Block, block: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Hook> {
    let name = header.labels.first()?.as_str().to_owned();
    let ways = ["webhook", "webhook_file", "command"];
    let given: Vec<&str> = ways.into_iter().filter(|way| block.body.has_attribute(way)).collect();
    let [given] = given[..] else {
        let detail = format!(
            "A notify block has one of \"webhook\", \"webhook_file\" and \"command\", and \"{name}\" has {}.",
            if given.is_empty() {
                "none".to_owned()
            } else {
                given.join(" and ")
            }
        );
        diagnostics.push(block.error(block.header(header), "Not one way to notify", detail));
        return None;
    };
    let way = match given {
        "webhook" => HookWay::Webhook(url(block, diagnostics)?),
        "webhook_file" => HookWay::WebhookFile(path(block, given, diagnostics)?),
        _ => HookWay::Command(command(block, diagnostics)?),
    };
    let events = block.texts("events", &dialect::names(), diagnostics);
    let unknown: Vec<&String> = events
        .iter()
        .filter(|event| !MONITOR_EVENTS.contains(&event.as_str()))
        .collect();
    for event in &unknown {
        let detail = format!(
            "The monitor tells no event \"{event}\".{} It tells {}.",
            did_you_mean(event, MONITOR_EVENTS),
            MONITOR_EVENTS.join(", ")
        );
        diagnostics.push(block.error(span(block, "events"), "Unknown event", detail));
    }
    unknown.is_empty().then_some(Hook { name, way, events })
}

fn url(block: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let read = block.text("webhook", &dialect::names(), diagnostics)?;
    match refuse_url(&read.value) {
        None => Some(read.value),
        Some(detail) => {
            diagnostics.push(block.error(read.span, "Invalid URL", detail));
            None
        }
    }
}

/// Says why events cannot be posted to a URL; nothing where they can.
pub fn refuse_url(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match host {
        None | Some("") => Some("A webhook is a URL such as \"https://alerts.example.org/simdb\".".to_owned()),
        // The value would stand in plans and messages.
        Some(host) if host.contains('@') => Some(
            "The URL of a webhook must not hold a password. Put the secret into its path, the URL into a file that its owner alone reads, \
             and the path of that file into \"webhook_file\"."
                .to_owned(),
        ),
        Some(_) if url.chars().any(|character| character.is_whitespace() || character.is_control()) => {
            Some("The URL of a webhook must not hold spaces.".to_owned())
        }
        Some(_) => None,
    }
}

fn command(block: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<String>> {
    let words = block.texts("command", &dialect::names(), diagnostics);
    if words.first().is_none_or(String::is_empty) {
        let detail = "\"command\" is a list: a program, and its arguments. It must not be empty.";
        diagnostics.push(block.error(span(block, "command"), "Empty command", detail));
        return None;
    }
    Some(words)
}

fn span(block: Reader<'_>, name: &str) -> Span {
    let attribute = block.attribute(name).expect("it was read");
    block.span(&attribute.value)
}
