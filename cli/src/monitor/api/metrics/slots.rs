//! Metrics of the log that servers retain, and of its archive.

use simdb_providers::signs::Slot;

use super::super::exposition::{Exposition, Kind, flag, number};
use super::super::view::View;
use super::each_node;

/// Writes all of them.
pub(super) fn write(out: &mut Exposition, view: &View) {
    let mut gauge = |name, help, value: fn(&Slot) -> Option<f64>| each_slot(out, view, (name, help), value);
    gauge(
        "simdb_slot_active",
        "1 if a standby streams through the slot.",
        |slot| Some(flag(slot.active)),
    );
    gauge(
        "simdb_slot_safe_wal_bytes",
        "How many bytes may be written before the log that the slot is for goes; -1 if there is no limit.",
        |slot| Some(slot.safe.map_or(-1.0, number)),
    );
    gauge(
        "simdb_slot_wal_limit_bytes",
        "How many bytes are retained for a slot at most; -1 if there is no limit.",
        |slot| Some(slot.limit.map_or(-1.0, number)),
    );
    gauge(
        "simdb_slot_retained_bytes",
        "How many bytes of its log the primary retains for the slot.",
        |slot| slot.retained.map(number),
    );
    each_node(
        out,
        view,
        "simdb_archive_failing",
        "1 if the last file of the log could not be archived.",
        |node| node.report()?.archived.map(|archived| flag(!archived)),
    );
}

/// Writes one metric of every slot.
fn each_slot(
    out: &mut Exposition,
    view: &View,
    (name, help): (&'static str, &str),
    value: impl Fn(&Slot) -> Option<f64>,
) {
    let mut family = out.family(Kind::Gauge, name, help);
    for cluster in view.clusters() {
        for node in cluster.nodes() {
            let (host, report) = (node.name.host(), node.report());
            for (slot, said) in report.into_iter().flat_map(|report| &report.slots) {
                let labels = [
                    ("cluster", cluster.name.as_str()),
                    ("node", &host),
                    ("slot", slot.as_str()),
                ];
                family.value(&labels, value(said));
            }
        }
    }
}
