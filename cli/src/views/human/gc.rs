//! What is left of projects, a line for each object.

use std::fmt::Write as _;

use super::style::{BOLD, CHANGED, DIM, paint};
use super::text::{count, wrap};
use crate::views::doc::{GcDoc, LeftProjectDoc, ProjectState};

/// Renders what is removed, and what stays.
pub fn render(gc: &GcDoc, width: usize) -> String {
    let mut text = String::new();
    for project in &gc.projects {
        text += &heading(project);
        for object in &project.objects {
            let running = if object.running {
                paint(CHANGED, " (running)")
            } else {
                String::new()
            };
            let _ = writeln!(text, "  {:<10} {}{running}", object.kind, object.name);
        }
    }
    if gc.projects.is_empty() {
        text += "Nothing is left of a project whose state is lost.\n";
    } else if gc.removed {
        let number = gc.projects.iter().map(|project| project.objects.len()).sum();
        let _ = writeln!(text, "\nRemoved {}.", count(number, "object"));
    }
    if !gc.others.is_empty() {
        text += "\nThese stay, unless they are named: simdb gc LINEAGE\n";
        for other in &gc.others {
            let number = count(other.objects.len(), "object");
            let _ = writeln!(
                text,
                "  {} {number}, {}",
                paint(DIM, short(&other.lineage)),
                state(other)
            );
        }
    }
    for reason in &gc.unseen {
        let _ = writeln!(text, "\n{}", wrap(reason, width).join("\n"));
    }
    text
}

fn heading(project: &LeftProjectDoc) -> String {
    format!("{} {}\n", paint(BOLD, &project.lineage), state(project))
}

fn short(lineage: &str) -> &str {
    lineage.get(..8).unwrap_or(lineage)
}

fn state(project: &LeftProjectDoc) -> String {
    let home = &project.home;
    let directory = home.project.as_ref().map(|project| project.display().to_string());
    match (home.state, directory) {
        (ProjectState::Found, Some(directory)) => format!("recorded in {directory} (to remove it: simdb destroy)"),
        (ProjectState::Lost, Some(directory)) => format!("of {directory}, whose state is lost"),
        _ => "of a project that may be on another machine".to_owned(),
    }
}
