//! References: what a name in an expression leads to, and the check of all of them before anything is evaluated.
//!
//! The check is static, so that a wrong name is found in a branch that is not taken.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ForExpr, Traversal, TraversalOperator};
use hcl_edit::template::ForDirective;
use hcl_edit::visit::{self, Visit};
use hcl_edit::{Decorated, Ident};

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::files::Files;
use crate::source::Place;
use crate::suggest::{choice, did_you_mean};
use crate::value::Value;

/// Values by name. A name without a value is declared, but its value is wrong, which has been said.
pub type Table = BTreeMap<String, Option<Value>>;

/// The objects that expressions may refer to, by the first name of a reference: `cluster`, and `self` where there is one.
pub type Objects = BTreeMap<&'static str, Value>;

/// What the names in an expression lead to.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// Which objects there are at all, and what messages say about names.
    pub dialect: &'static Dialect,
    /// `var.*`; absent where no reference is allowed at all.
    pub variables: Option<&'a Table>,
    /// `local.*`
    pub locals: Option<&'a Table>,
    /// `count.index`
    pub index: Option<usize>,
    /// `each.key` and `each.value`
    pub each: Option<Each>,
    /// The iterators of the `dynamic` blocks around, each with what it stands for now.
    pub iterators: Vec<(String, Each)>,
    /// `path.module`: the directory of the module, seen from that of the configuration.
    pub module: &'a str,
    /// Whether values of variables may be missing, so that what depends on them is not judged.
    pub is_lenient: bool,
    /// What the dialect's objects are, where that is known.
    pub objects: Option<&'a Objects>,
    /// What files hold.
    pub files: Option<&'a Files>,
}

/// What an instance of a block with `for_each` stands for.
#[derive(Clone, Debug)]
pub struct Each {
    /// `each.key`
    pub key: Value,
    /// `each.value`
    pub value: Value,
}

impl Each {
    fn object(&self) -> Value {
        let items = [("key", &self.key), ("value", &self.value)];
        Value::object(
            items
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
        )
    }
}

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum Failure {
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

/// A value, and how many operators it took; else the summary and detail of a problem.
type Found = Result<(Value, usize), (&'static str, String)>;

/// What a reference can start with, beside the objects of a dialect.
const ROOTS: [&str; 4] = ["var", "local", "count", "each"];

/// Says what is wrong with the first name of a reference.
fn unknown_root(name: &str, dialect: &Dialect) -> (&'static str, String) {
    let detail = match name {
        "variable" => "The value of a variable is var.NAME.".to_owned(),
        "locals" => "A local value is local.NAME.".to_owned(),
        _ => (dialect.advice)(name).unwrap_or_else(|| {
            let own = ["path", dialect.name];
            let roots = || ROOTS.iter().chain(dialect.objects).chain(&own).copied();
            let (starts, hint) = (choice(roots()), did_you_mean(name, roots()));
            format!(
                "There is nothing called \"{name}\". A reference starts with {starts}; text stands in double quotes.{hint}"
            )
        }),
    };
    ("Unknown reference", detail)
}

/// Returns the name that the first operator of a traversal selects.
fn selected(operators: &[Decorated<TraversalOperator>]) -> Option<&Ident> {
    match operators.first().map(Decorated::value) {
        Some(TraversalOperator::GetAttr(name)) => Some(name.value()),
        _ => None,
    }
}

impl Names<'_> {
    /// Makes names that lead nowhere.
    pub fn new(dialect: &'static Dialect) -> Self {
        Self {
            dialect,
            variables: None,
            locals: None,
            index: None,
            each: None,
            iterators: Vec::new(),
            module: "",
            is_lenient: false,
            objects: None,
            files: None,
        }
    }

    /// Returns what a root name leads to, and how many operators that took.
    pub(crate) fn lookup(
        &self,
        root: &Decorated<Ident>,
        operators: &[Decorated<TraversalOperator>],
        place: &Place,
    ) -> Result<(Value, usize), Failure> {
        if let Some((_, each)) = self.iterators.iter().rev().find(|(name, _)| name == root.as_str()) {
            return Ok((each.object(), 0));
        }
        let found = match root.as_str() {
            "var" | "local" => return Ok((self.entry(root, operators, place)?, 1)),
            "count" => self.count(operators),
            "each" => match &self.each {
                Some(each) => Ok((each.object(), 0)),
                None => Err((
                    "Reference to \"each\" in a block without it",
                    "\"each.key\" and \"each.value\" are available only inside a block that has a \"for_each\"."
                        .to_owned(),
                )),
            },
            "path" => self.path(operators),
            name if name == self.dialect.name => self.application(operators),
            "self" => self.object("self"),
            name if self.dialect.objects.contains(&name) => self.object(name),
            other => Err(unknown_root(other, self.dialect)),
        };
        found.map_err(|(summary, detail)| problem(summary, detail, place, root))
    }

    fn count(&self, operators: &[Decorated<TraversalOperator>]) -> Found {
        match (self.index, selected(operators).map(Ident::as_str)) {
            (Some(index), Some("index")) => Ok((Value::from(crate::number::Number::from(index)), 1)),
            (None, _) => Err((
                "Reference to \"count\" in a block without it",
                "\"count.index\" is available only inside a block that has a \"count\".".to_owned(),
            )),
            (Some(_), _) => Err((
                "Unknown attribute of \"count\"",
                "The only attribute of \"count\" is \"count.index\".".to_owned(),
            )),
        }
    }

    fn path(&self, operators: &[Decorated<TraversalOperator>]) -> Found {
        match (selected(operators).map(Ident::as_str), self.files) {
            (Some("module"), _) => Ok((if self.module.is_empty() { "." } else { self.module }.into(), 1)),
            (Some("root"), _) => Ok((".".into(), 1)),
            (Some("cwd"), Some(files)) => Ok((files.directory.as_str().into(), 1)),
            _ => Err((
                "Unknown attribute of \"path\"",
                "The attributes of \"path\" are \"path.module\", \"path.root\" and \"path.cwd\".".to_owned(),
            )),
        }
    }

    fn application(&self, operators: &[Decorated<TraversalOperator>]) -> Found {
        let name = self.dialect.name;
        let workspace = self.files.and_then(|files| files.workspace.as_deref());
        match (selected(operators).map(Ident::as_str), workspace) {
            (Some("workspace"), Some(workspace)) => Ok((workspace.into(), 1)),
            (Some("workspace"), None) => Err((
                "Reference not allowed here",
                format!("Which workspace is selected is not known here, so \"{name}.workspace\" cannot be used."),
            )),
            _ => Err((
                "Unknown reference",
                format!(
                    "The only attribute of \"{name}\" is \"{name}.workspace\": settings of the {name} block cannot be referred to."
                ),
            )),
        }
    }

    /// Returns what an object of the dialect, or `self`, leads to.
    fn object(&self, name: &str) -> Found {
        if let Some(object) = self.objects.and_then(|objects| objects.get(name)) {
            return Ok((object.clone(), 0));
        }
        let detail = match name {
            "self" => "\"self\" is available only in a postcondition.".to_owned(),
            _ => (self.dialect.unavailable)(name),
        };
        Err(("Reference not allowed here", detail))
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

/// Returns the value of a variable of a template, and that it took no operator.
pub(crate) fn global(
    globals: &BTreeMap<String, Value>,
    root: &Decorated<Ident>,
    place: &Place,
) -> Result<(Value, usize), Failure> {
    if let Some(value) = globals.get(root.as_str()) {
        return Ok((value.clone(), 0));
    }
    let hint = did_you_mean(root.as_str(), globals.keys().map(String::as_str));
    let detail = format!(
        "The template has no variable \"{}\". It may refer only to the values it is called with.{hint}",
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
pub(crate) fn check(expression: &Expression, names: &Names<'_>, place: &Place) -> Vec<Failure> {
    let mut failures = Vec::new();
    for_each(expression, |root, operators| {
        failures.extend(names.lookup(root, operators, place).err());
    });
    failures
}

/// Calls a function with every reference in an expression that is not to a variable of a `for`.
pub fn for_each(expression: &Expression, found: impl FnMut(&Decorated<Ident>, &[Decorated<TraversalOperator>])) {
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
