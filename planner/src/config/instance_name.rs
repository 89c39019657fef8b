//! What the instances of blocks are called: names are parsed, and no two are the same.

use crate::diagnostic::Diagnostic;

use super::expand::{Instance, Key};

/// Reads a name of an instance.
pub(super) fn parsed<T: std::str::FromStr<Err = simdb_state::name::NameError>>(
    text: &str,
    instance: &Instance<'_, '_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let module = match instance.prefix.trim_end_matches('-') {
        "" => String::new(),
        module => format!("the module \"{module}\", "),
    };
    let made_of = match &instance.key {
        Some(Key::Text(key)) => format!(
            " It is made of {module}the label \"{}\" and the key \"{key}\".",
            instance.label
        ),
        _ if !module.is_empty() => format!(" It is made of {module}and the label \"{}\".", instance.label),
        _ => String::new(),
    };
    text.parse()
        .map_err(|error| {
            let detail = format!("The {error}.{made_of}");
            let diagnostic = instance
                .reader
                .error(instance.label_span.clone(), "Invalid name", detail);
            diagnostics.push(diagnostic);
        })
        .ok()
}

/// Reads what an instance is called.
pub(super) fn name<T: std::str::FromStr<Err = simdb_state::name::NameError>>(
    instance: &Instance<'_, '_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    parsed(&instance.name(), instance, diagnostics)
}

/// Says that another instance has the same name.
pub(super) fn same_name(instance: &Instance<'_, '_>, kind: &str, name: &str) -> Diagnostic {
    let detail = format!(
        "Two blocks would make the {kind} \"{name}\": one called so, and an instance of another one. Rename one of them."
    );
    let summary = format!("Two of a name: {kind} \"{name}\"");
    instance.reader.error(instance.header.clone(), summary, detail)
}
