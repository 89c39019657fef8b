//! What a monitor may do with a cluster, as a plan shows it: what differs from a cluster that declares nothing.

use std::time::Duration;

use simdb_state::object::FailoverPolicy;

use super::{Attributes, value};

pub(super) fn attributes(policy: &FailoverPolicy) -> Attributes {
    let FailoverPolicy {
        mode,
        max_loss,
        prefer,
        restart_within,
        cooldown,
        max_per_hour,
        rebuild,
        allow,
        priorities,
        maintenance,
    } = policy;
    let default = FailoverPolicy::default();
    let seconds = |duration: &Duration| format!("{}s", duration.as_secs_f64());
    let windows: Vec<String> = maintenance.iter().map(ToString::to_string).collect();
    let all = [
        (*mode != default.mode, "mode", mode.to_string()),
        (*max_loss != default.max_loss, "max_loss", max_loss.to_string()),
        (*prefer != default.prefer, "prefer", prefer.to_string()),
        (
            *restart_within != default.restart_within,
            "restart_within",
            seconds(restart_within),
        ),
        (*cooldown != default.cooldown, "cooldown", seconds(cooldown)),
        (
            *max_per_hour != default.max_per_hour,
            "max_per_hour",
            max_per_hour.to_string(),
        ),
        (*rebuild != default.rebuild, "rebuild", rebuild.to_string()),
        (*allow != default.allow, "allow", allow.to_string()),
        (!windows.is_empty(), "maintenance", windows.join(", ")),
    ];
    let set = all.into_iter().filter(|(differs, ..)| *differs);
    let set = set.map(|(_, name, shown)| value(format!("failover.{name}"), shown));
    let priorities = priorities.iter();
    let priorities = priorities.map(|(node, priority)| value(format!("failover_priority.{node}"), *priority));
    set.chain(priorities).collect()
}
