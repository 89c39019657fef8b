//! Lets each engine say what its own steps wait for beside what they need.

use super::Action;
use crate::planner::order::Rules;

impl Rules<'_> {
    pub(crate) fn engine(&self, action: &Action) -> Vec<usize> {
        match action {
            Action::Postgresql(action) => self.postgresql(action),
            Action::Pgbouncer(action) => self.pgbouncer(action),
        }
    }
}
