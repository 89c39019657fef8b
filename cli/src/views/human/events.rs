//! What happened to clusters, a line each.

use anstyle::Style;

use super::style::{BAD, BOLD, CHANGED, DIM, GOOD, paint};
use super::table::{Cell, Table};
use crate::views::doc::EventDoc;

/// Renders what happened.
pub fn render(events: &[EventDoc], width: usize) -> String {
    if events.is_empty() {
        return "Nothing happened.\n".to_owned();
    }
    let row = |event: &EventDoc| {
        [
            Cell::styled(&event.at, DIM),
            Cell::styled(event.event, of_event(event.event)),
            Cell::styled(&event.address, BOLD),
            Cell::optional(details(event)),
        ]
    };
    let header = ["Time", "Event", "Of", "Details"];
    Table::new(header, events.iter().map(row).collect()).render("", width)
}

/// Renders one event on a line of its own.
pub fn line(event: &EventDoc) -> String {
    let details = details(event).map(|details| format!("  {details}")).unwrap_or_default();
    format!(
        "{}  {}  {}{details}\n",
        paint(DIM, &event.at),
        paint(of_event(event.event), event.event),
        paint(BOLD, &event.address)
    )
}

fn of_event(event: &str) -> Style {
    match event {
        "split_brain" => BAD,
        "lag_detected" | "degraded" | "failover" => CHANGED,
        _ => GOOD,
    }
}

fn details(event: &EventDoc) -> Option<String> {
    let position = event.position.as_ref().map(|position| format!("at {position}"));
    let term = event.term.map(|term| format!("term {term}"));
    let details: Vec<String> = position.into_iter().chain(term).collect();
    (!details.is_empty()).then(|| details.join(", "))
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use expect_test::expect;
    use simdb_state::address::Address;
    use simdb_state::journal::{Event, EventKind};
    use simdb_state::lsn::Lsn;
    use simdb_state::object::Term;
    use simdb_state::store::RunId;

    use super::*;
    use crate::views::doc::EventsDoc;

    fn event(at: &str, kind: EventKind, address: &str) -> Event {
        Event {
            at: at.to_owned(),
            run: Some(RunId("00000001".to_owned())),
            kind,
            step: Some(6),
            addresses: vec![address.parse::<Address>().unwrap()],
            position: None,
            term: None,
        }
    }

    fn events() -> Vec<Event> {
        vec![
            event("2026-01-02T03:04:05Z", EventKind::StepDone, "cluster.orders.node.r[0]"),
            event(
                "2026-01-02T03:04:05Z",
                EventKind::StandbyCreated,
                "cluster.orders.node.r[0]",
            ),
            Event {
                position: Some(Lsn(0x0300_0148).into()),
                term: Some(Term(1)),
                ..event("2026-01-02T03:04:06Z", EventKind::SyncEstablished, "cluster.orders")
            },
            event(
                "2026-01-03T00:00:00Z",
                EventKind::StandbyCreated,
                "cluster.other.node.b",
            ),
        ]
    }

    #[test]
    fn what_happened_to_clusters_is_told_and_what_simdb_did_is_not() {
        let all = EventsDoc::new(&events(), None, None);
        expect![[r"
            Time                  Event             Of                        Details
            2026-01-02T03:04:05Z  standby_created   cluster.orders.node.r[0]  -
            2026-01-02T03:04:06Z  sync_established  cluster.orders            at 0/3000148, term 1
            2026-01-03T00:00:00Z  standby_created   cluster.other.node.b      -
        "]]
        .assert_eq(&strip_str(&render(&all.events, 100)).to_string());
        assert_eq!(all.events[0].step, Some(7), "as plans count them");
        assert_eq!(render(&[], 80), "Nothing happened.\n");
    }

    #[test]
    fn events_are_picked_by_cluster_and_time() {
        let picked = |cluster: Option<&str>, since: Option<&str>| {
            let cluster = cluster.map(|name| name.parse().unwrap());
            let since = since.map(|since| since.parse().unwrap());
            EventsDoc::new(&events(), cluster.as_ref(), since).events.len()
        };
        assert_eq!(picked(Some("orders"), None), 2);
        assert_eq!(picked(None, Some("2026-01-02T03:04:06Z")), 2);
        assert_eq!(picked(Some("orders"), Some("2026-01-02T03:04:07Z")), 0);
    }
}
