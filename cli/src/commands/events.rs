//! `simdb events`.

use std::time::Duration;

use jiff::Timestamp;
use simdb_state::address::Address;
use simdb_state::journal::Event;
use simdb_state::name::ClusterName;
use simdb_state::object::State;
use simdb_state::store::Store;

use crate::args::Events;
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt;
use crate::session::{Project, block_on};
use crate::target;
use crate::ui::Ui;
use crate::views::doc::{EventDoc, EventsDoc};
use crate::views::human;
use crate::views::json::{document, line};

/// How often the record is looked at where events are followed.
const LOOK: Duration = Duration::from_millis(500);

/// Shows what happened to clusters, the oldest first.
pub(super) fn run(arguments: &Events, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let store = Project::open()?.store().await?;
        let (state, happened) = match &store {
            Some(store) => (store.snapshot().await?.state, store.events().await?),
            None => (State::default(), Vec::new()),
        };
        let cluster = arguments.cluster.as_ref();
        let cluster = cluster.map(|text| named(&state, &happened, text)).transpose()?;
        let since = arguments
            .since
            .and_then(|since| Timestamp::now().checked_sub(since).ok());
        let events = EventsDoc::new(&happened, cluster.as_ref(), since);
        if !arguments.follow {
            show(&events, arguments, ui);
            return Ok(Exit::Done);
        }
        match store {
            Some(store) => follow(&store, events, cluster.as_ref(), since, arguments, ui).await,
            None => Ok(Exit::Done),
        }
    })
}

/// Finds the cluster meant. One that is gone has a history, too.
fn named(state: &State, happened: &[Event], text: &str) -> Result<ClusterName, CliError> {
    let name = text.strip_prefix("cluster.").unwrap_or(text);
    let clusters = happened
        .iter()
        .flat_map(|event| event.addresses.iter().filter_map(Address::cluster));
    let gone = clusters.into_iter().find(|cluster| cluster.as_str() == name);
    target::cluster(state, text).or_else(|error| gone.cloned().ok_or(error))
}

fn show(events: &EventsDoc, arguments: &Events, ui: &Ui) {
    ui.answer(&if arguments.json {
        document(events)
    } else {
        human::events::render(&events.events, ui.terminal.width)
    });
}

async fn follow(
    store: &Store,
    mut events: EventsDoc,
    cluster: Option<&ClusterName>,
    since: Option<Timestamp>,
    arguments: &Events,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let interrupted = interrupt::once()?;
    tokio::pin!(interrupted);
    let write = |events: &[EventDoc]| {
        for event in events {
            ui.answer(&if arguments.json {
                line(event)
            } else {
                human::events::line(event)
            });
        }
    };
    write(&events.events);
    while !ui.is_gone() {
        tokio::select! {
            () = &mut interrupted => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = EventsDoc::new(&store.events().await?, cluster, since);
        write(&now.events[events.events.len().min(now.events.len())..]);
        events = now;
    }
    Ok(Exit::Done)
}
