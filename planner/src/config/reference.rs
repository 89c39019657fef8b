//! References: what a name in an expression leads to, and the check of all of them before anything is evaluated.
//!
//! The check is static, so that a wrong name is found in a branch that is not taken.

use std::cell::Cell;
use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ForExpr, Traversal, TraversalOperator};
use hcl_edit::template::ForDirective;
use hcl_edit::visit::{self, Visit};
use hcl_edit::{Decorated, Ident};

use crate::diagnostic::Diagnostic;

use super::files::Files;
use super::source::Place;
use super::suggest::did_you_mean;
use super::value::Value;

/// Values by name. A name without a value is declared, but its value is wrong, which has been said.
pub(super) type Table = BTreeMap<String, Option<Value>>;

/// What the names in an expression lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Names<'a> {
    /// `var.*`; absent where no reference is allowed at all.
    pub(super) variables: Option<&'a Table>,
    /// `local.*`
    pub(super) locals: Option<&'a Table>,
    /// `count.index`
    pub(super) index: Option<usize>,
    /// `cluster.*` and `network.*`
    pub(super) objects: Option<&'a Objects>,
    /// What files hold.
    pub(super) files: Option<&'a Files>,
    /// The variables of a template, which are all that it may refer to.
    pub(super) globals: Option<&'a BTreeMap<String, Value>>,
    /// Whether a template is being rendered, which may not render another one.
    pub(super) is_template: bool,
    /// How many expressions have been evaluated.
    pub(super) steps: Cell<u32>,
}

/// The objects that outputs may refer to.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    /// `cluster`
    pub(super) clusters: Value,
    /// `network`
    pub(super) networks: Value,
}

/// Why an expression has no value.
#[derive(Debug)]
pub(super) enum Failure {
    /// What it refers to has none, which has been said.
    Reported,
    /// It is wrong.
    Problem(Box<Diagnostic>),
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Failure::Problem(Box::new(diagnostic))
    }
}

/// Returns the name that the first operator of a traversal selects.
fn selected(operators: &[Decorated<TraversalOperator>]) -> Option<&Ident> {
    match operators.first().map(Decorated::value) {
        Some(TraversalOperator::GetAttr(name)) => Some(name.value()),
        _ => None,
    }
}

impl Names<'_> {
    /// Returns what a root name leads to, and how many operators that took.
    pub(super) fn lookup(
        &self,
        root: &Decorated<Ident>,
        operators: &[Decorated<TraversalOperator>],
        place: &Place,
    ) -> Result<(Value, usize), Failure> {
        if let Some(globals) = self.globals {
            return global(globals, root, place);
        }
        let found = match root.as_str() {
            "var" | "local" => return Ok((self.entry(root, operators, place)?, 1)),
            "count" => match (self.index, selected(operators).map(Ident::as_str)) {
                (Some(index), Some("index")) => return Ok((Value::from(super::number::Number::from(index)), 1)),
                (None, _) => Err((
                    "Reference to \"count\" in a block without it",
                    "\"count.index\" is available only inside a node block that has a \"count\".".to_owned(),
                )),
                (Some(_), _) => Err((
                    "Unknown attribute of \"count\"",
                    "The only attribute of \"count\" is \"count.index\".".to_owned(),
                )),
            },
            name @ ("cluster" | "network") => match self.objects {
                Some(objects) if name == "cluster" => return Ok((objects.clusters.clone(), 0)),
                Some(objects) => return Ok((objects.networks.clone(), 0)),
                None => Err((
                    "Reference not allowed here",
                    format!(
                        "What a {name} is becomes known only when it is there, so \"{name}.*\" can be used in output blocks \
                         alone{}.",
                        if name == "network" {
                            ", and as the \"network\" of a cluster"
                        } else {
                            ""
                        }
                    ),
                )),
            },
            other => Err((
                "Unknown reference",
                format!(
                    "There is nothing called \"{other}\". A reference starts with \"var\", \"local\", \"count\", \"cluster\" or \
                     \"network\"; text stands in double quotes.{}",
                    did_you_mean(other, ["var", "local", "count", "cluster", "network"])
                ),
            )),
        };
        found.map_err(|(summary, detail)| problem(summary, detail, place, root))
    }

    /// Returns the value of `var.NAME` or `local.NAME`.
    fn entry(
        &self,
        root: &Decorated<Ident>,
        operators: &[Decorated<TraversalOperator>],
        place: &Place,
    ) -> Result<Value, Failure> {
        let (table, summary, kind) = match root.as_str() {
            "var" => (self.variables, "Reference to undeclared input variable", "variable"),
            _ => (self.locals, "Reference to undeclared local value", "local value"),
        };
        let Some(table) = table else {
            let detail = format!(
                "This value must be known before variables and locals are, so \"{}.*\" cannot be used.",
                root.as_str()
            );
            return Err(problem("Reference not allowed here", detail, place, root));
        };
        let Some(name) = selected(operators) else {
            let detail = format!(
                "\"{0}\" must be followed by a dot and the name of a {kind}: \"{0}.NAME\".",
                root.as_str()
            );
            return Err(problem("Incomplete reference", detail, place, root));
        };
        match table.get(name.as_str()) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => Err(Failure::Reported),
            None => {
                let hint = did_you_mean(name.as_str(), table.keys().map(String::as_str));
                let way = match kind {
                    "variable" => format!("Declare it with a block: variable \"{name}\" {{}}."),
                    _ => format!("Declare it in a locals block: {name} = ..."),
                };
                let detail = format!("No {kind} \"{name}\" is declared. {way}{hint}");
                Err(problem(summary, detail, place, &operators[0]))
            }
        }
    }
}

/// Returns the value of a variable of a template.
fn global(
    globals: &BTreeMap<String, Value>,
    root: &Decorated<Ident>,
    place: &Place,
) -> Result<(Value, usize), Failure> {
    if let Some(value) = globals.get(root.as_str()) {
        return Ok((value.clone(), 0));
    }
    let hint = did_you_mean(root.as_str(), globals.keys().map(String::as_str));
    let detail = format!(
        "The template has no variable \"{}\". All it may refer to is what it is called with.{hint}",
        root.as_str()
    );
    Err(problem("Unknown reference", detail, place, root))
}

fn problem(summary: &str, detail: String, place: &Place, at: &impl hcl_edit::Span) -> Failure {
    let mut diagnostic = Diagnostic::error(summary, detail);
    diagnostic.span = place.of(at);
    diagnostic.into()
}

/// Returns what is wrong with the references of an expression, wherever they stand in it.
pub(super) fn check(expression: &Expression, names: &Names<'_>, place: &Place) -> Vec<Failure> {
    let mut failures = Vec::new();
    for_each(expression, |root, operators| {
        failures.extend(names.lookup(root, operators, place).err());
    });
    failures
}

/// Calls a function with every reference in an expression that is not to a variable of a `for`.
pub(super) fn for_each(expression: &Expression, found: impl FnMut(&Decorated<Ident>, &[Decorated<TraversalOperator>])) {
    let bound = Vec::new();
    Walk { bound, found }.visit_expr(expression);
}

struct Walk<F> {
    /// The variables of the `for`s around.
    bound: Vec<String>,
    found: F,
}

impl<F: FnMut(&Decorated<Ident>, &[Decorated<TraversalOperator>])> Walk<F> {
    fn reference(&mut self, root: &Decorated<Ident>, operators: &[Decorated<TraversalOperator>]) {
        if !self.bound.iter().any(|name| name == root.as_str()) {
            (self.found)(root, operators);
        }
    }

    fn binding(&mut self, key: Option<&Decorated<Ident>>, value: &Decorated<Ident>, inner: impl FnOnce(&mut Self)) {
        let outside = self.bound.len();
        self.bound
            .extend(key.into_iter().chain([value]).map(ToString::to_string));
        inner(self);
        self.bound.truncate(outside);
    }
}

impl<F: FnMut(&Decorated<Ident>, &[Decorated<TraversalOperator>])> Visit for Walk<F> {
    fn visit_expr(&mut self, node: &Expression) {
        match node {
            Expression::Variable(root) => self.reference(root, &[]),
            _ => visit::visit_expr(self, node),
        }
    }

    fn visit_traversal(&mut self, node: &Traversal) {
        match &node.expr {
            Expression::Variable(root) => self.reference(root, &node.operators),
            other => self.visit_expr(other),
        }
        for operator in &node.operators {
            self.visit_traversal_operator(operator);
        }
    }

    fn visit_for_expr(&mut self, node: &ForExpr) {
        self.visit_expr(&node.intro.collection_expr);
        self.binding(node.intro.key_var.as_ref(), &node.intro.value_var, |walk| {
            for inner in node.key_expr.iter().chain([&node.value_expr]) {
                walk.visit_expr(inner);
            }
            if let Some(condition) = &node.cond {
                walk.visit_expr(&condition.expr);
            }
        });
    }

    fn visit_for_directive(&mut self, node: &ForDirective) {
        let intro = &node.for_expr;
        self.visit_expr(&intro.collection_expr);
        self.binding(intro.key_var.as_ref(), &intro.value_var, |walk| {
            walk.visit_template(&intro.template);
        });
    }
}
