//! What is recorded, as blocks.

use super::outcome::outputs;
use super::style::{BOLD, paint};
use super::value::body;
use crate::views::doc::{ObjectDoc, StateDoc};

/// Renders everything that is recorded.
pub fn render(state: &StateDoc) -> String {
    if state.objects.is_empty() && state.outputs.is_empty() {
        return "Nothing is recorded.\n".to_owned();
    }
    let mut text = state.objects.iter().map(object).collect::<Vec<_>>().join("\n");
    if !state.outputs.is_empty() {
        text += &format!("\nOutputs:\n\n{}", outputs(&state.outputs));
    }
    text
}

/// Renders one recorded object.
pub fn object(object: &ObjectDoc) -> String {
    let ObjectDoc {
        address,
        kind,
        name,
        values,
    } = object;
    let title = paint(BOLD, format!("# {address}"));
    if values.is_empty() {
        format!("{title}\n{kind} \"{name}\" {{}}\n")
    } else {
        format!("{title}\n{kind} \"{name}\" {{\n{}}}\n", body(values, 4))
    }
}
