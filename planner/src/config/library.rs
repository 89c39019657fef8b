//! The texts of modules: found by their sources, and parsed once, however often a module is used.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hcl_edit::expr::Expression;
use hcl_edit::structure::Block;
use simdb_language::files::{Files, Found, clean};
use simdb_language::parse::Piece;
use simdb_language::source::{Place, Source};

use crate::diagnostic::Diagnostic;

use super::overrides;
use super::read::Reader;
use super::repository::Repository;
use super::schema;

/// The blocks at the top of a module's files, by kind.
pub(super) struct Blocks<'a> {
    all: Vec<(&'a Block, &'a Place, String)>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(pieces: &'a [Piece]) -> Self {
        let of = |piece: &'a Piece| {
            let blocks = piece.body.blocks();
            blocks.map(|block| (block, &piece.place, schema::title(block)))
        };
        Self {
            all: pieces.iter().flat_map(of).collect(),
        }
    }

    pub(super) fn of(&self, kind: &str) -> Vec<(&'a Block, Reader<'_>)> {
        let of_kind = self.all.iter().filter(|(block, ..)| block.ident.as_str() == kind);
        of_kind
            .map(|(block, place, context)| {
                let reader = Reader {
                    body: &block.body,
                    place,
                    context,
                };
                (*block, reader)
            })
            .collect()
    }
}

/// All modules of a configuration.
pub(super) struct Library<'s> {
    /// Their syntax trees, by directory. That of the configuration itself has no name.
    pub(super) modules: BTreeMap<String, Vec<Piece>>,
    /// The texts of all of them.
    pub(super) source: Cow<'s, Source>,
    /// Whether every text has a syntax tree.
    pub(super) is_readable: bool,
}

impl<'s> Library<'s> {
    /// Finds the modules that a configuration uses, and those that they use. What has to be read first is asked for.
    pub(super) fn read(root: Vec<Piece>, source: &'s Source, files: &Files, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut library = Self {
            modules: BTreeMap::new(),
            source: Cow::Borrowed(source),
            is_readable: true,
        };
        let mut open = vec![(String::new(), root)];
        while let Some((directory, pieces)) = open.pop() {
            for (block, reader) in Blocks::new(&pieces).of("module") {
                let Some(target) = target(reader, &directory, files, diagnostics) else {
                    continue;
                };
                let is_known = |(open, _): &(String, Vec<Piece>)| *open == target;
                if target == directory || library.modules.contains_key(&target) || open.iter().any(is_known) {
                    continue;
                }
                match texts(&target, files) {
                    Ok(Some(texts)) => {
                        let pieces = library.parse(&texts, diagnostics);
                        open.push((target, pieces));
                    }
                    Ok(None) => {}
                    Err(detail) => {
                        let span = reader.attribute("source").map(|source| reader.span(&source.value));
                        let span = span.unwrap_or_else(|| reader.header(block));
                        diagnostics.push(reader.error(span, "Module not found", detail));
                    }
                }
            }
            library.modules.insert(directory, pieces);
        }
        library
    }

    fn parse(&mut self, texts: &Source, diagnostics: &mut Vec<Diagnostic>) -> Vec<Piece> {
        let source = self.source.to_mut();
        for (name, text) in texts.files() {
            source.add(name, text);
        }
        let (pieces, problems) = overrides::parse_all(texts);
        self.is_readable &= problems.is_empty();
        diagnostics.extend(problems);
        diagnostics.extend(schema::check(&pieces, texts));
        for kind in ["simdb", "provider"] {
            for (block, reader) in Blocks::new(&pieces).of(kind) {
                let detail = format!(
                    "A {kind} block stands in the directory of the configuration, not in a module: it counts for all of them."
                );
                diagnostics.push(reader.error(reader.header(block), "Unsupported block in a module", detail));
            }
        }
        pieces
    }
}

/// Returns the directory of the module that a block uses, seen from that of the configuration; nothing where its
/// repository has to be handed in first.
pub(super) fn target(
    reader: Reader<'_>,
    directory: &str,
    files: &Files,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let attribute = reader.attribute("source")?;
    let mut wrong = |summary: &str, detail: String| {
        diagnostics.push(reader.error(reader.span(&attribute.value), summary, detail));
        None
    };
    let Expression::String(source) = &attribute.value else {
        let detail = "The source of a module is a text without ${}: it must be known before anything is evaluated.";
        return wrong("Invalid module source", detail.to_owned());
    };
    if is_local(source) {
        let is_absolute = source.starts_with('/') || directory.is_empty();
        let path = if is_absolute {
            source.value().clone()
        } else {
            format!("{directory}/{}", source.value())
        };
        return Some(clean(&path));
    }
    match Repository::parse(source) {
        Ok(repository) => match files.checkout(&repository.source)? {
            Ok(checkout) => Some(clean(&format!("{checkout}/{}", repository.directory))),
            Err(detail) => wrong("Module not installed", detail.clone()),
        },
        Err(detail) => wrong("Invalid module source", detail),
    }
}

fn is_local(source: &str) -> bool {
    source.starts_with("./") || source.starts_with("../") || source.starts_with('/') || source == ".."
}

/// Returns the configuration files of a directory; nothing where they have to be handed in first.
fn texts(directory: &str, files: &Files) -> Result<Option<Source>, String> {
    let names = match files.entries(directory) {
        None => return Ok(None),
        Some(Err(why)) => return Err(format!("The directory {directory:?} cannot be read: {why}.")),
        Some(Ok(names)) => names,
    };
    let mut source = Source::default();
    let mut is_whole = true;
    let names = names.iter().filter(|name| overrides::is_configuration(name));
    for path in names.map(|name| format!("{directory}/{name}")) {
        match files.read(&path) {
            None => is_whole = false,
            Some(Found::File(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => source.add(path, text),
                Err(_) => return Err(format!("The file {path:?} is no text in UTF-8.")),
            },
            Some(Found::Unreadable(why)) => return Err(format!("The file {path:?} cannot be read: {why}.")),
            Some(Found::Directory | Found::Nothing) => {}
        }
    }
    if is_whole && source.files().next().is_none() {
        return Err(format!("There is no file *.simdb.hcl in the directory {directory:?}."));
    }
    Ok(is_whole.then_some(source))
}
