//! How much room there is, and how much is told.

/// How a view is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many columns there are.
    pub width: usize,
    /// Whether alike changes are told one by one.
    pub expand: bool,
}

impl Layout {
    /// Lays out for a number of columns, alike changes told once.
    pub fn folded(width: usize) -> Self {
        Self { width, expand: false }
    }
}
