//! Rules about what is there: `check` blocks warn, preconditions of outputs and postconditions refuse. They are judged
//! where outputs are evaluated, and what is unknown breaks none.

use hcl_edit::expr::Expression;
use simdb_language::convert;
use simdb_language::eval;
use simdb_language::reference::{Names, Objects};
use simdb_language::source::Place;
use simdb_language::value::{Kind, Marks, Value};

use crate::diagnostic::{Diagnostic, Severity, Span};

use super::library::Blocks;
use super::read::Reader;

/// A rule, and what it is about.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    about: About,
    condition: Expression,
    message: Expression,
    place: Place,
    span: Option<Span>,
    context: String,
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// Anything: a `check`.
    Check,
    /// An output, before it is recorded.
    Output,
    /// A cluster, by its label, once it is there.
    Cluster(String),
}

/// Reads all rules that need clusters to be judged.
pub(super) fn read(blocks: &Blocks<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (_, check) in blocks.of("check") {
        rules.extend(
            check
                .blocks("assert")
                .filter_map(|(_, rule)| Rule::read(About::Check, rule)),
        );
    }
    for (_, output) in blocks.of("output") {
        rules.extend(
            output
                .blocks("precondition")
                .filter_map(|(_, rule)| Rule::read(About::Output, rule)),
        );
    }
    for (block, cluster) in blocks.of("cluster") {
        let label = block.labels.first().map_or("", |label| label.as_str());
        for (_, lifecycle) in cluster.blocks("lifecycle") {
            let about = || About::Cluster(label.to_owned());
            rules.extend(
                lifecycle
                    .blocks("postcondition")
                    .filter_map(|(_, rule)| Rule::read(about(), rule)),
            );
        }
    }
    rules
}

impl Rule {
    fn read(about: About, reader: Reader<'_>) -> Option<Self> {
        let (condition, message) = (reader.attribute("condition")?, reader.attribute("error_message")?);
        Some(Self {
            about,
            condition: condition.value.clone(),
            message: message.value.clone(),
            place: reader.place.clone(),
            span: reader.place.of(&condition.value),
            context: reader.context.to_owned(),
        })
    }

    /// Judges the rule; what is wrong with it goes to the diagnostics.
    pub(super) fn judge(&self, names: &Names<'_>, clusters: &[&str], diagnostics: &mut Vec<Diagnostic>) {
        let before = diagnostics.len();
        match (&self.about, names.objects) {
            (About::Cluster(label), Some(objects)) => {
                for own in clusters_of(label, objects, clusters) {
                    let mut objects = objects.clone();
                    objects.insert("self", own);
                    let names = Names {
                        objects: Some(&objects),
                        ..names.clone()
                    };
                    self.judge_one(&names, diagnostics);
                }
            }
            _ => self.judge_one(names, diagnostics),
        }
        for diagnostic in &mut diagnostics[before..] {
            diagnostic.context = Some(self.context.clone());
        }
    }

    fn judge_one(&self, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let Some(result) = eval::evaluate(&self.condition, names, &self.place, diagnostics) else {
            return;
        };
        if result.is_unknown() {
            return;
        }
        let text = match convert::to_bool(&result) {
            Ok(true) => return,
            Err(why) => format!("The condition has no answer: {why}."),
            Ok(false) => eval::evaluate(&self.message, names, &self.place, diagnostics)
                .filter(|message| message.all_marks() == Marks::default())
                .and_then(|message| convert::to_text(&message).ok())
                .unwrap_or_else(|| "The condition does not hold.".to_owned()),
        };
        let summary = match self.about {
            About::Check => "Check block assertion failed",
            About::Output => "Output precondition failed",
            About::Cluster(_) => "Postcondition failed",
        };
        let mut diagnostic = Diagnostic::error(summary, text);
        if self.about == About::Check {
            diagnostic.severity = Severity::Warning;
        }
        diagnostic.span.clone_from(&self.span);
        diagnostic.values = eval::values(&self.condition, names, &self.place);
        diagnostics.push(diagnostic);
    }
}

/// Returns the clusters that a block stands for: the one of its name, or its instances.
fn clusters_of(label: &str, objects: &Objects, clusters: &[&str]) -> Vec<Value> {
    let Some(Kind::Object(parts)) = objects.get("cluster").map(|all| &all.kind) else {
        return Vec::new();
    };
    let Some(found) = parts.items.get(label) else {
        return Vec::new();
    };
    if clusters.contains(&label) {
        vec![found.clone()]
    } else {
        convert::items(found).unwrap_or_default()
    }
}
