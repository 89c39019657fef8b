//! Every view that people read at 40, 80 and 120 columns.

use std::time::Duration;

use anstream::adapter::strip_str;
use expect_test::{ExpectFile, expect_file};
use simdb_planner::config::Config;
use simdb_planner::plan::StepId;
use simdb_planner::planner::{self, Inputs};
use simdb_providers::event::{Event, Progress};

use super::{Rehearsal, cluster};
use crate::views::doc::{DriftDoc, Operation, StatusDoc};
use crate::views::human::layout::Layout;
use crate::views::human::{drift, plan, progress, status};

const WIDTHS: [usize; 3] = [40, 80, 120];

/// A cluster of which two standbys were killed, and that is declared otherwise by now.
fn disturbed() -> Rehearsal {
    let mut rehearsal = Rehearsal::default();
    rehearsal.apply(&cluster(3, "4MB"));
    for node in ["orders.r[0]", "orders.r[1]"] {
        let address = format!("cluster.{}", node.replace('.', ".node."));
        rehearsal.world.kill(&address.parse().unwrap());
    }
    rehearsal
}

/// Writes a view at every width, each line held against it.
fn check(render: impl Fn(usize) -> String, expected: &ExpectFile) {
    let text = |width: usize| {
        let text = strip_str(&render(width)).to_string();
        // Words and quoted values are not broken.
        let is_whole = |line: &str| !line.trim().contains(' ') || line.contains('"');
        let is_long = |line: &&str| line.chars().count() > width && !is_whole(line);
        let long: Vec<&str> = text.lines().filter(is_long).collect();
        assert!(long.is_empty(), "at {width}: {long:?}");
        format!("-- {width}\n{text}")
    };
    expected.assert_eq(&WIDTHS.map(text).concat());
}

#[test]
fn plan_at_every_width() {
    let document = disturbed().plan(Operation::Apply, &cluster(2, "8MB")).document;
    check(
        |width| plan::render(&document, Layout::folded(width)),
        &expect_file!["widths/plan.txt"],
    );
}

#[test]
fn summary_at_every_width() {
    let document = disturbed().plan(Operation::Apply, &cluster(2, "8MB")).document;
    check(
        |width| plan::summary::render(&document, Layout::folded(width)),
        &expect_file!["widths/summary.txt"],
    );
}

#[test]
fn drift_at_every_width() {
    let rehearsal = disturbed();
    let config = Config::recorded(&rehearsal.world.state, Rehearsal::settings(&cluster(3, "4MB")));
    let planned = planner::plan(Inputs {
        desired: &config.desired,
        recorded: &rehearsal.world.state,
        observed: &rehearsal.world.observe(),
        proposal: None,
    });
    let document = DriftDoc::new(&planned.plan, &planned.found, &planned.not_compared, Vec::new());
    check(
        |width| drift::render(&document, Layout::folded(width)),
        &expect_file!["widths/drift.txt"],
    );
}

#[test]
fn status_at_every_width() {
    let world = disturbed().world;
    let document = StatusDoc::new(world.state.clusters.keys(), &world.state, &world.observe());
    check(
        |width| status::render(&document, width),
        &expect_file!["widths/status.txt"],
    );
}

#[test]
fn progress_at_every_width() {
    let document = Rehearsal::default().plan(Operation::Apply, &cluster(1, "4MB")).document;
    let events = [
        Event::Started(StepId(1)),
        Event::Running(StepId(1), Duration::from_secs(10)),
        Event::Progress(
            StepId(1),
            Progress {
                what: "fetches image postgres:15".to_owned(),
                done: 45 << 20,
                total: 120 << 20,
            },
        ),
        Event::Done(StepId(1), Duration::from_millis(10_200)),
        Event::Failed(StepId(1), "no connection".to_owned()),
    ];
    let render = |width| {
        events
            .iter()
            .map(|event| progress::lines(&document.steps[1], event, width))
            .collect()
    };
    check(render, &expect_file!["widths/progress.txt"]);
}
