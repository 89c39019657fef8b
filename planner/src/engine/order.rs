//! Lets each engine say when its own steps come.

use super::Action;
use crate::planner::lower::Draft;
use crate::planner::order::{Index, Rules};

impl Index {
    pub(crate) fn add_engine(&mut self, at: usize, action: &Action) {
        match action {
            Action::Postgresql(action) => self.add_postgresql(at, action),
            Action::Pgbouncer(action) => self.add_pgbouncer(at, action),
        }
    }
}

impl Rules<'_> {
    pub(crate) fn engine(&self, action: &Action, draft: &Draft) -> Vec<usize> {
        match action {
            Action::Postgresql(action) => self.postgresql(action, draft),
            Action::Pgbouncer(action) => self.pgbouncer(action),
        }
    }
}
