//! What a health endpoint says.

/// What the last round of probes found. Asking for it touches no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether a server answers that takes writes.
    pub primary: bool,
    /// Whether all other servers answer; `None` where there is one server alone.
    pub replica: Option<bool>,
}

impl Health {
    /// Returns whether every server that was named answers.
    pub fn is_healthy(&self) -> bool {
        self.primary && self.replica != Some(false)
    }
}
