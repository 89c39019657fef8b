//! `simdb version`.

use std::env::consts::{ARCH, OS};

use serde_json::json;

use crate::args::Version;
use crate::exit::Exit;
use crate::ui::Ui;
use crate::views::doc::FORMAT_VERSION;
use crate::views::json::document;

/// Shows which simdb this is.
pub(super) fn run(arguments: &Version, ui: &Ui) -> Exit {
    let (version, platform) = (env!("CARGO_PKG_VERSION"), format!("{OS}_{ARCH}"));
    ui.answer(&if arguments.json {
        document(&json!({ "format_version": FORMAT_VERSION, "simdb_version": version, "platform": platform }))
    } else {
        format!("simdb {version}\non {platform}\n")
    });
    Exit::Done
}
