//! The `monitor` block: how `simdb monitor` runs. Literals only, as in the `simdb` block.

use std::net::SocketAddr;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::engine::settings;

use super::dialect;
use super::read::Reader;
use super::state_backend::StateBackend;

/// How long a monitor may be silent before another one decides in its place.
const LEASE: Duration = Duration::from_secs(3);

/// The shortest such time for a state in a file, and for one elsewhere, which takes longer to answer.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const SHORTEST_REMOTE_LEASE: Duration = Duration::from_secs(4);

/// The longest that makes sense.
const LONGEST_LEASE: Duration = Duration::from_mins(5);

/// How a monitor runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorSettings {
    /// Where its HTTP API listens; absent, nowhere.
    pub listen: Option<SocketAddr>,
    lease: Option<Duration>,
}

impl MonitorSettings {
    /// Returns how long a monitor may be silent before another one decides in its place.
    pub fn lease(&self, state: &StateBackend) -> Duration {
        self.lease.unwrap_or_else(|| LEASE.max(shortest(state)))
    }
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
    let mut read = MonitorSettings::default();
    if let Some(listen) = block.text("listen", &none, diagnostics) {
        read.listen = listen.value.parse().ok();
        if read.listen.is_none() {
            let detail = format!(
                "\"listen\" is an address with a port such as \"127.0.0.1:8008\" or \"[::1]:8008\", not {:?}.",
                listen.value
            );
            diagnostics.push(block.error(listen.span, "Invalid address", detail));
        }
    }
    if let Some(lease) = block.text("lease", &none, diagnostics) {
        let given =
            settings::read_milliseconds(&lease.value).map(|milliseconds| Duration::from_millis(milliseconds.into()));
        let least = shortest(state);
        match given {
            Some(given) if (least..=LONGEST_LEASE).contains(&given) => read.lease = Some(given),
            _ => {
                let detail = format!(
                    "\"lease\" is a time from \"{}s\", which is the shortest that this state can renew in time, to \"{}s\", not {:?}.",
                    least.as_secs(),
                    LONGEST_LEASE.as_secs(),
                    lease.value
                );
                diagnostics.push(block.error(lease.span, "Invalid time", detail));
            }
        }
    }
    read
}
