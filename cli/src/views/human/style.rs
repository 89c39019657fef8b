//! Colours: the same as Terraform's where the meaning is the same.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use simdb_planner::plan::{ChangeAction, Impact};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = AnsiColor::BrightBlack.on_default();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// Gives a text a style.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns the symbol of an action, in its colour.
pub(crate) fn symbol(action: ChangeAction) -> String {
    match action {
        ChangeAction::Create => paint(GOOD, "+"),
        ChangeAction::Update => paint(CHANGED, "~"),
        ChangeAction::Delete => paint(BAD, "-"),
        ChangeAction::Forget => paint(DIM, "."),
    }
}

/// Returns the colour of an impact: the worse, the louder.
pub(crate) fn of_impact(impact: Impact) -> Style {
    match impact {
        Impact::None => DIM,
        Impact::Reload => PLAIN,
        Impact::Restart | Impact::WritePause => CHANGED,
        Impact::Downtime => CHANGED.bold(),
        Impact::DataLoss => BAD.bold(),
    }
}
