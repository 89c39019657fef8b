//! Variables, for a shell to evaluate.

use crate::views::doc::EnvDoc;

/// Renders variables so that a shell takes each value as it is.
pub fn render(env: &EnvDoc) -> String {
    let export = |(name, value): (&&str, &String)| format!("export {name}={}\n", quoted(value));
    env.variables.iter().map(export).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
