//! Lets the steps happen in the simulated world that only one engine has.

use super::Action;
use crate::simulate::World;

impl World {
    pub(crate) fn engine(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Postgresql(action) => self.postgresql(action),
            Action::Pgbouncer(action) => self.pgbouncer(action),
        }
    }
}
