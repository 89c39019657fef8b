//! `simdb logs`.

use std::time::Duration;

use simdb_planner::desired::Desired;
use simdb_providers::platform::Platform;
use simdb_state::address::InstanceAddress;
use simdb_state::object::State;

use crate::args::Logs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{self, Project, block_on};
use crate::target;
use crate::ui::Ui;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How many lines are looked at then: more than a server writes between two looks.
const WINDOW: usize = 2000;

/// Shows the end of the log of a node, or of an endpoint's pooler, and goes on with it where that is asked for.
pub(super) fn run(arguments: &Logs, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let Some(store) = project.store().await? else {
            target::instance(&State::default(), &arguments.node)?;
            return Ok(Exit::Failed);
        };
        let snapshot = store.snapshot().await?;
        let instance = target::instance(&snapshot.state, &arguments.node)?;
        let local = project.local_settings(&arguments.variables.0, snapshot.settings, ui);
        let local = local.unwrap_or_default();
        let platforms = session::platforms(&snapshot.state, &Desired::default());
        let world = project.world(Some(store.lineage()), &local, platforms);
        write(ui, &world.platform.log(&instance, arguments.lines).await?);
        if arguments.follow {
            follow(&*world.platform, &instance, ui).await?;
        }
        Ok(Exit::Done)
    })
}

async fn follow(platform: &dyn Platform, instance: &InstanceAddress, ui: &Ui) -> Result<(), CliError> {
    let mut seen = platform.log(instance, WINDOW).await?;
    while !ui.is_gone() {
        tokio::time::sleep(LOOK).await;
        let now = platform.log(instance, WINDOW).await?;
        write(ui, appended(&seen, &now));
        seen = now;
    }
    Ok(())
}

fn write(ui: &Ui, lines: &[String]) {
    for line in lines {
        ui.answer(&format!("{line}\n"));
    }
}

/// Returns the lines that were added between two looks at the end of a log: what follows the longest end of the first
/// that the second begins with.
fn appended<'a>(before: &[String], now: &'a [String]) -> &'a [String] {
    let longest = before.len().min(now.len());
    let overlap = (0..=longest)
        .rev()
        .find(|&length| before[before.len() - length..] == now[..length]);
    &now[overlap.unwrap_or_default()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_lines_of_a_followed_log_are_written() {
        let check = |before: &str, now: &str, expected: &str| {
            let lines = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
            assert_eq!(
                appended(&lines(before), &lines(now)).concat(),
                expected,
                "{before} {now}"
            );
        };
        check("", "abc", "abc");
        check("abc", "abc", "");
        check("abc", "abcde", "de");
        check("abc", "cde", "de");
        check("aab", "abx", "x");
        check("abc", "xyz", "xyz");
        check("abc", "", "");
    }
}
