//! What a monitor may do with a cluster by itself, as it is declared and recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// What a step costs those who use the cluster; the last is the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// Nobody notices.
    #[default]
    None,
    /// A server reads its configuration again.
    Reload,
    /// A server restarts, and its sessions end.
    Restart,
    /// Writes wait.
    WritePause,
    /// Nothing can be written until it is over.
    Downtime,
    /// Data is gone for good.
    DataLoss,
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Impact::None => "none",
            Impact::Reload => "reload",
            Impact::Restart => "restart",
            Impact::WritePause => "write-pause",
            Impact::Downtime => "downtime",
            Impact::DataLoss => "data-loss",
        })
    }
}

/// Whether a monitor acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailoverMode {
    /// It observes, and names the command.
    #[default]
    Manual,
    /// It acts.
    Automatic,
}

impl fmt::Display for FailoverMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailoverMode::Manual => "manual",
            FailoverMode::Automatic => "automatic",
        })
    }
}

/// How much of what was acknowledged a failover may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaxLoss {
    /// So many bytes of the log.
    Bytes(u64),
    /// Any number.
    Unlimited,
}

impl Default for MaxLoss {
    fn default() -> Self {
        MaxLoss::Bytes(0)
    }
}

impl MaxLoss {
    /// Returns whether nothing may be lost.
    pub fn is_nothing(self) -> bool {
        self == MaxLoss::Bytes(0)
    }
}

impl fmt::Display for MaxLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxLoss::Bytes(bytes) => bytes.fmt(f),
            MaxLoss::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// What is tried first where the server of the primary ended and its data is in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// A standby takes over.
    #[default]
    Failover,
    /// The server is started again.
    Restart,
}

impl fmt::Display for Prefer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Prefer::Failover => "failover",
            Prefer::Restart => "restart",
        })
    }
}

/// What a monitor may do with a cluster by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailoverPolicy {
    /// Whether it acts.
    pub mode: FailoverMode,
    /// How much of what was acknowledged a failover may lose.
    pub max_loss: MaxLoss,
    /// What is tried first where the server of the primary ended.
    pub prefer: Prefer,
    /// How long a primary may take to come back before another node takes over.
    #[serde(rename = "restart_within_ms", with = "milliseconds")]
    pub restart_within: Duration,
    /// How long after a failover another one needs more than a lost primary.
    #[serde(rename = "cooldown_ms", with = "milliseconds")]
    pub cooldown: Duration,
    /// After how many failovers within an hour the cluster is paused.
    pub max_per_hour: u32,
    /// Whether a standby that cannot go on is copied anew.
    pub rebuild: FailoverMode,
    /// The worst impact of a plan that runs without a question.
    pub allow: Impact,
    /// Which of several nodes that are as good takes over, where that is not [`FAILOVER_PRIORITY`]: the greatest; 0 never does
    /// unless it is named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub priorities: BTreeMap<NodeName, u32>,
    /// When it does nothing by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<MaintenanceWindow>,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            mode: FailoverMode::default(),
            max_loss: MaxLoss::default(),
            prefer: Prefer::default(),
            restart_within: Duration::from_secs(10),
            cooldown: Duration::from_mins(1),
            max_per_hour: 3,
            rebuild: FailoverMode::Automatic,
            allow: Impact::WritePause,
            priorities: BTreeMap::new(),
            maintenance: Vec::new(),
        }
    }
}

impl FailoverPolicy {
    /// Returns whether it is what a cluster has that declares nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the priority of a node.
    pub fn priority(&self, node: &NodeName) -> u32 {
        self.priorities.get(node).copied().unwrap_or(FAILOVER_PRIORITY)
    }
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Weekday {
    /// All of them, from Monday on.
    pub const ALL: [Weekday; 7] = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];

    /// Returns the day before.
    fn before(self) -> Self {
        let at = Self::ALL.iter().position(|day| *day == self).unwrap_or_default();
        Self::ALL[(at + 6) % 7]
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Weekday::Mon => "mon",
            Weekday::Tue => "tue",
            Weekday::Wed => "wed",
            Weekday::Thu => "thu",
            Weekday::Fri => "fri",
            Weekday::Sat => "sat",
            Weekday::Sun => "sun",
        })
    }
}

/// A time in which people work on a cluster, on some days of each week, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// The days on which it begins.
    pub days: BTreeSet<Weekday>,
    /// The minute of the day at which it begins.
    pub from: u16,
    /// The minute of the day at which it is over; where that is not later, of the next day.
    pub to: u16,
}

impl MaintenanceWindow {
    /// Returns whether it is open at a minute of a day.
    pub fn is_open(&self, day: Weekday, minute: u16) -> bool {
        let begins = |day: Weekday| self.days.contains(&day);
        if self.from < self.to {
            begins(day) && (self.from..self.to).contains(&minute)
        } else {
            (begins(day) && minute >= self.from) || (begins(day.before()) && minute < self.to)
        }
    }
}

impl fmt::Display for MaintenanceWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<String> = self.days.iter().map(ToString::to_string).collect();
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{} {}-{}", days.join(" "), time(self.from), time(self.to))
    }
}

/// The priority of a node that declares none.
pub const FAILOVER_PRIORITY: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_ends_before_it_begins_ends_on_the_next_day() {
        let window = MaintenanceWindow {
            days: BTreeSet::from([Weekday::Sun]),
            from: 23 * 60,
            to: 60,
        };
        let open = |day, minute| window.is_open(day, minute);
        assert!(open(Weekday::Sun, 23 * 60) && open(Weekday::Mon, 59));
        assert!(!open(Weekday::Sun, 22 * 60) && !open(Weekday::Mon, 60) && !open(Weekday::Sun, 30));
        assert_eq!(window.to_string(), "sun 23:00-01:00");
    }

    #[test]
    fn a_policy_is_read_as_it_was_written_and_the_default_where_nobody_wrote_it() {
        let policy = FailoverPolicy {
            mode: FailoverMode::Automatic,
            max_loss: MaxLoss::Bytes(4096),
            restart_within: Duration::from_millis(2500),
            priorities: BTreeMap::from([("a".parse().unwrap(), 0)]),
            ..FailoverPolicy::default()
        };
        let row = serde_json::to_value(&policy).unwrap();
        assert_eq!(row["restart_within_ms"], 2500);
        assert_eq!(serde_json::from_value::<FailoverPolicy>(row).unwrap(), policy);
        assert!(serde_json::from_str::<FailoverPolicy>("{}").unwrap().is_default());
    }
}
