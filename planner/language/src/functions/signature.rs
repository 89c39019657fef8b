//! What a function takes and returns, read from its row: for messages, and for `simdb metadata functions`.

use super::{Function, all};

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its type, as a configuration writes types.
    pub of: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be given any number of times; only the last one may.
    pub variadic: bool,
}

/// What a function is called, takes and returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSignature {
    /// Its name.
    pub name: &'static str,
    /// What it returns, as a sentence.
    pub description: &'static str,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub returns: &'static str,
    /// A call.
    pub example: &'static str,
    /// The JSON of that call's result.
    pub result: &'static str,
}

/// Returns all functions, by name.
pub fn function_signatures() -> Vec<FunctionSignature> {
    let signature = |function: &&Function| FunctionSignature {
        name: function.name(),
        description: function.doc,
        parameters: function.parameters().collect(),
        returns: function.returns(),
        example: function.example.0,
        result: function.example.1,
    };
    all().values().map(signature).collect()
}

impl Function {
    /// Returns the text between the outermost parentheses, and the type after the arrow.
    fn halves(&self) -> (&'static str, &'static str) {
        let (call, returns) = self.declaration.split_once(" -> ").unwrap_or((self.declaration, "any"));
        let inner = call.split_once('(').map_or("", |(_, inner)| inner);
        (inner.strip_suffix(')').unwrap_or(inner), returns)
    }

    fn returns(&self) -> &'static str {
        self.halves().1
    }

    fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.halves().0.split(", ").filter(|text| !text.is_empty()).map(|text| {
            let (name, of) = text.split_once(": ").unwrap_or((text, "any"));
            Parameter {
                name: name.trim_end_matches('?'),
                of: of.trim_end_matches("..."),
                optional: name.ends_with('?'),
                variadic: of.ends_with("..."),
            }
        })
    }

    /// Returns the fewest and the most arguments; there is no most where the last parameter repeats.
    pub(super) fn counts(&self) -> (usize, Option<usize>) {
        let least = self
            .parameters()
            .filter(|parameter| !parameter.optional && !parameter.variadic);
        let is_variadic = self.parameters().any(|parameter| parameter.variadic);
        (least.count(), (!is_variadic).then(|| self.parameters().count()))
    }

    /// Writes the function as a call: `lookup(map, key, default)`.
    pub(crate) fn signature(&self) -> String {
        let name = |parameter: Parameter| {
            let more = if parameter.variadic { "..." } else { "" };
            format!("{}{more}", parameter.name)
        };
        let names: Vec<String> = self.parameters().map(name).collect();
        format!("{}({})", self.name(), names.join(", "))
    }
}
