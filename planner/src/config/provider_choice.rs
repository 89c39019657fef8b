//! Which provider a cluster or a network is on, and which ones a module knows.
//!
//! ```text
//!   provider "docker" { alias = "east" }        docker.east
//!   cluster "orders"  { provider  = docker.east }
//!   module "team"     { providers = { docker = docker.east } }      the module calls it docker
//! ```

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ObjectKey, TraversalOperator};
use hcl_edit::structure::Block;
use hcl_edit::template::Element;
use simdb_language::reference::Names;
use simdb_language::suggest::did_you_mean;
use simdb_state::name::PlatformName;
use simdb_state::object::first_platform;

use crate::diagnostic::{Diagnostic, Span};
use crate::platform::Platform;

use super::provider::{self, supported};
use super::read::Reader;

/// The providers that a module knows, by what the module calls each.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    names: BTreeMap<PlatformName, PlatformName>,
    /// Whether the block that uses the module says which ones: then there are no others.
    is_chosen: bool,
}

impl Known {
    /// Makes those of a configuration with these `provider` blocks.
    pub(super) fn declared(blocks: &[(&Block, Reader<'_>)]) -> Self {
        // What is wrong with the blocks is told where they are read.
        let names = blocks
            .iter()
            .filter_map(|(block, reader)| provider::name(block, *reader, &mut Vec::new()));
        Self {
            names: names.map(|name| (name.clone(), name)).collect(),
            is_chosen: false,
        }
    }

    /// Makes those of a module: what its block passes on, else all that have no alias.
    pub(super) fn within(&self, module: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let Some(attribute) = module.attribute("providers") else {
            let names = self.names.iter().filter(|(name, _)| name.alias().is_none());
            return Self {
                names: names.map(|(name, platform)| (name.clone(), platform.clone())).collect(),
                is_chosen: self.is_chosen,
            };
        };
        let mut names = BTreeMap::new();
        let Expression::Object(pairs) = &attribute.value else {
            let detail =
                "\"providers\" says which provider the module calls by which name, as in { docker = docker.east }.";
            diagnostics.push(module.error(module.span(&attribute.value), "Invalid providers argument", detail));
            return Self { names, is_chosen: true };
        };
        for (key, value) in pairs {
            let inner = match key {
                ObjectKey::Ident(name) => Some(name.to_string()),
                ObjectKey::Expression(key) => written(key),
            };
            match self.passed(inner.as_deref(), written(value.expr()).as_deref()) {
                Ok((inner, platform)) => drop(names.insert(inner, platform)),
                Err((summary, detail)) => {
                    diagnostics.push(module.error(module.span(value.expr()), summary, detail));
                }
            }
        }
        Self { names, is_chosen: true }
    }

    /// Returns what a module calls a provider that is passed on to it, and which one that is.
    fn passed(
        &self,
        inner: Option<&str>,
        outer: Option<&str>,
    ) -> Result<(PlatformName, PlatformName), (&'static str, String)> {
        let (Some(inner), Some(outer)) = (inner, outer) else {
            let detail = "Both are the names of providers, as in { docker = docker.east }: what the module calls it, and which one \
                          it is.";
            return Err(("Invalid providers argument", detail.to_owned()));
        };
        let inner = supported(inner).map_err(|detail| ("Unsupported provider", detail))?;
        let platform = self.choose(Some(outer))?;
        if inner.kind() == platform.kind() {
            return Ok((inner, platform));
        }
        let detail = format!(
            "The module's provider \"{inner}\" cannot be {platform}, which is a provider \"{}\".",
            platform.kind()
        );
        Err(("Provider type mismatch", detail))
    }

    /// Chooses the platform of a cluster: the one that it names, else the only one without an alias, else the embedded one.
    fn choose(&self, given: Option<&str>) -> Result<PlatformName, (&'static str, String)> {
        let Some(given) = given else { return self.only() };
        let name = supported(given).map_err(|detail| ("Unsupported provider", detail))?;
        match (self.names.get(&name), name.alias()) {
            (Some(platform), _) => Ok(platform.clone()),
            // Without a block its settings are the defaults.
            (None, None) if !self.is_chosen => Ok(name),
            (None, None) => {
                let detail = format!(
                    "The module is given no provider \"{name}\": the block that uses it says which ones it has. Add there \
                     {name} = {name}."
                );
                Err(("Missing provider", detail))
            }
            (None, Some(alias)) => {
                let hint = did_you_mean(name.as_str(), self.names.keys().map(PlatformName::as_str));
                let hint = if hint.is_empty() {
                    format!(
                        " Declare it with a block: provider \"{0}\" {{ alias = \"{alias}\" }}. A module has those with an alias that \
                         the block which uses it passes on: providers = {{ {name} = {name} }}.",
                        name.kind()
                    )
                } else {
                    hint
                };
                let detail = format!(
                    "There is no provider \"{}\" with alias = \"{alias}\" here.{hint}",
                    name.kind()
                );
                Err(("Undeclared provider", detail))
            }
        }
    }

    /// Returns the platform of what names none.
    fn only(&self) -> Result<PlatformName, (&'static str, String)> {
        let mut all = self.names.iter().filter(|(name, _)| name.alias().is_none());
        let detail = match (all.next(), all.next()) {
            (Some((_, only)), None) => return Ok(only.clone()),
            (None, _) if self.names.is_empty() && !self.is_chosen => return Ok(first_platform()),
            (None, _) if self.names.is_empty() => {
                "The module is given no provider. Name one in the block that uses it, as in \
                                                   providers = { local = local }."
                    .to_owned()
            }
            (first, _) => {
                let why = if first.is_none() {
                    "All providers have an alias"
                } else {
                    "Several providers are declared"
                };
                let all: Vec<String> = self.names.keys().map(|name| format!("provider = {name}")).collect();
                format!("{why}, so the cluster must name its own: {}.", all.join(" or "))
            }
        };
        Err(("Missing provider", detail))
    }
}

/// Returns the platform that a cluster or a network is on. Nothing where what it names cannot be told.
pub(super) fn of(
    header: &Span,
    reader: Reader<'_>,
    names: &Names<'_>,
    known: &Known,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PlatformName> {
    let attribute = reader.attribute("provider");
    let referred = attribute.and_then(|attribute| Some((reference(&attribute.value)?, reader.span(&attribute.value))));
    let given = match referred {
        Some(referred) => Some(referred),
        None => reader
            .text("provider", names, diagnostics)
            .map(|read| (read.value, read.span)),
    };
    if given.is_none() && attribute.is_some() {
        return None;
    }
    let complain = |(summary, detail)| {
        let span = given.as_ref().map_or(header, |(_, span)| span).clone();
        diagnostics.push(reader.error(span, summary, detail));
    };
    let chosen = known.choose(given.as_ref().map(|(name, _)| name.as_str()));
    chosen.map_err(complain).ok()
}

/// Returns the provider that an expression refers to without quotes: `docker`, or `docker.east`.
fn reference(expression: &Expression) -> Option<String> {
    let Expression::Traversal(traversal) = expression else {
        return match expression {
            Expression::Variable(name) => Some(name.to_string()),
            _ => None,
        };
    };
    match (&traversal.expr, traversal.operators.as_slice()) {
        (Expression::Variable(root), [only])
            if Platform::ALL.iter().any(|platform| platform.name() == root.as_str()) =>
        {
            match only.value() {
                TraversalOperator::GetAttr(alias) => Some(format!("{}.{}", root.as_str(), alias.as_str())),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the provider that an expression names: by a reference, or as a text, which is all that a configuration in JSON can
/// have.
fn written(expression: &Expression) -> Option<String> {
    match expression {
        Expression::String(text) => Some(text.to_string()),
        Expression::StringTemplate(template) => match template.as_single_element() {
            Some(Element::Interpolation(only)) => written(&only.expr),
            Some(Element::Literal(text)) => Some(text.to_string()),
            _ => None,
        },
        _ => reference(expression),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_runs_where_it_says_else_on_the_only_platform_else_on_the_embedded_one() {
        let chosen = |given: Option<&str>, names: &[&str]| {
            let name = |name: &&str| name.parse::<PlatformName>().unwrap();
            let known = Known {
                names: names.iter().map(|text| (name(text), name(text))).collect(),
                is_chosen: false,
            };
            let chosen = known.choose(given);
            chosen.map_or_else(|(summary, _)| summary.to_owned(), |name| name.to_string())
        };
        assert_eq!(chosen(None, &[]), "local");
        assert_eq!(chosen(None, &["cloud"]), "cloud");
        assert_eq!(chosen(Some("local"), &["cloud", "local"]), "local");
        assert_eq!(chosen(None, &["cloud", "local"]), "Missing provider");
        assert_eq!(chosen(None, &["cloud", "cloud.east"]), "cloud");
        assert_eq!(chosen(None, &["cloud.east"]), "Missing provider");
        assert_eq!(chosen(Some("lokal"), &[]), "Unsupported provider");
    }
}
