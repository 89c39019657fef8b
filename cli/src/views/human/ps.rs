//! The servers of all projects, a line each.

use anstyle::Style;

use super::style::{BAD, BOLD, CHANGED, DIM, GOOD};
use super::table::{Cell, Table};
use super::text::{count, wrap};
use crate::views::doc::{ProjectState, PsDoc, ServerDoc};

/// Renders the servers, and how to end those whose state is lost.
pub fn render(ps: &PsDoc, width: usize) -> String {
    let mut text = if ps.servers.is_empty() {
        "No server of simdb was found.\n".to_owned()
    } else {
        let header = ["Server", "Status", "Pid", "Listen", "Project", "Data"];
        Table::new(header, ps.servers.iter().map(row).collect()).render("", width)
    };
    let number = |is: fn(&ServerDoc) -> bool| ps.servers.iter().filter(|server| is(server)).count();
    match number(is_lost) {
        0 => {}
        lost => {
            let advice = format!(
                "The state of {} is lost, so no command of simdb reaches {}. To end a server: kill PID. To remove its data: rm -r \
                 DATA. To keep it, put the state back from a copy.",
                count(lost, "server"),
                if lost == 1 { "it" } else { "them" }
            );
            text += &paragraph(&advice, width);
        }
    }
    match number(is_bereft) {
        0 => {}
        bereft => {
            let advice = format!(
                "The directory of {} was removed while it ran, and the server still has its port. An apply of its project sees that and \
                 mends it. To end a server whose project is gone, too: kill PID.",
                count(bereft, "server")
            );
            text += &paragraph(&advice, width);
        }
    }
    for reason in &ps.unseen {
        text += &paragraph(reason, width);
    }
    text
}

fn paragraph(sentences: &str, width: usize) -> String {
    format!("\n{}\n", wrap(sentences, width).join("\n"))
}

fn is_lost(server: &ServerDoc) -> bool {
    server.home.state == ProjectState::Lost
}

fn is_bereft(server: &ServerDoc) -> bool {
    server.address.is_none()
}

fn row(server: &ServerDoc) -> [Cell; 6] {
    let home = &server.home;
    let project = match (&home.project, home.workspace.as_deref()) {
        (Some(project), _) if is_lost(server) => Cell::styled(format!("lost ({})", project.display()), BAD),
        (Some(project), None | Some("default")) => Cell::plain(project.display()),
        (Some(project), Some(workspace)) => Cell::plain(format!("{} ({workspace})", project.display())),
        (None, _) => Cell::styled("unknown", DIM),
    };
    [
        match &server.address {
            Some(address) => Cell::styled(address, BOLD),
            None => Cell::styled("directory removed", BAD),
        },
        Cell::styled(server.status, of_status(server.status)),
        Cell::optional(server.pid),
        Cell::optional(server.listen.as_ref()),
        project,
        Cell::plain(&server.data),
    ]
}

fn of_status(status: &str) -> Style {
    match status {
        "running" => GOOD,
        "down" => DIM,
        _ => CHANGED,
    }
}
