//! What came of what the monitor did.

/// What came of a decision or an order.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// The planner or the policy refused it; why, in sentences.
    Refused(String),
    /// A step failed, or something in the way; what, where it is known.
    Failed(String),
}
