//! Modules from repositories: what a source means, and the lock file that says which commit it led to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use simdb_language::parse::parse;

use crate::diagnostic::Diagnostic;

use super::dialect::{self, DIALECT};
use super::read::Reader;
use super::schema;

/// The file that pins repositories to commits. It belongs into version control.
pub const LOCK_FILE: &str = ".simdb.lock.hcl";

/// How a source that is a repository starts.
const GIT: &str = "git::";
/// The ways to a repository. Others let git run programs.
const SCHEMES: [&str; 4] = ["https", "ssh", "http", "file"];
/// A repository there needs no more than its name.
const GITHUB: &str = "github.com/";

/// A repository, as the `source` of a module names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The source, without the directory: what the lock file pins.
    pub source: String,
    /// Where git finds the repository.
    pub url: String,
    /// The tag, branch or commit; absent, what the repository shows first.
    pub reference: Option<String>,
    /// The directory within.
    pub directory: String,
}

impl Repository {
    /// Reads a source such as `git::https://host/repository.git//directory?ref=v1`, or says what is wrong with it.
    pub fn parse(source: &str) -> Result<Self, String> {
        let (text, query) = source.split_once('?').unwrap_or((source, ""));
        let reference = match query.split_once('=') {
            None if query.is_empty() => None,
            Some(("ref", reference)) if is_reference(reference) => Some(reference.to_owned()),
            _ => {
                return Err(format!(
                    "After the question mark stands a tag, a branch or a commit: \"?ref=v1\". {query:?} is none."
                ));
            }
        };
        let (location, is_short) = match (text.strip_prefix(GIT), text.starts_with(GITHUB)) {
            (Some(location), _) => (location.to_owned(), false),
            (None, true) => (format!("https://{text}"), true),
            (None, false) => return Err(unknown(source)),
        };
        let Some((scheme, rest)) = location
            .split_once("://")
            .filter(|(scheme, _)| SCHEMES.contains(scheme))
        else {
            return Err(format!(
                "A repository is reached by {}, as in \"git::https://HOST/REPOSITORY.git\"; {location:?} is not.",
                SCHEMES.join(", ")
            ));
        };
        let (path, directory) = rest.split_once("//").unwrap_or((rest, ""));
        if path.trim_matches('/').is_empty() || path.starts_with('-') || path.contains(char::is_control) {
            return Err(format!("{source:?} names no repository."));
        }
        if directory.split('/').any(|part| part == "..") {
            return Err(format!("The directory {directory:?} leads out of the repository."));
        }
        let end = if is_short && path.strip_suffix(".git").is_none() {
            ".git"
        } else {
            ""
        };
        let pinned = reference
            .as_ref()
            .map_or_else(String::new, |reference| format!("?ref={reference}"));
        Ok(Self {
            source: format!("{GIT}{scheme}://{path}{end}{pinned}"),
            url: format!("{scheme}://{path}{end}"),
            reference,
            directory: directory.to_owned(),
        })
    }
}

/// Returns whether git can take it for the name of a tag, a branch or a commit, and for nothing else.
fn is_reference(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    !text.is_empty() && text.chars().all(legal) && !text.starts_with(['-', '/', '.']) && !text.contains("..")
}

fn unknown(source: &str) -> String {
    format!(
        "The source of a module is a directory, seen from this one, \"./{0}\" or \"../{0}\", or a repository, \
         \"git::https://HOST/REPOSITORY.git//DIRECTORY?ref=v1\". There is no registry of modules.",
        source.trim_start_matches("./")
    )
}

/// The commits of repositories, by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The commits.
    pub commits: BTreeMap<String, String>,
}

impl Lock {
    /// Reads a lock file.
    pub fn read(text: &str) -> (Self, Vec<Diagnostic>) {
        let (pieces, mut diagnostics) = parse(LOCK_FILE, text, &DIALECT);
        let mut lock = Self::default();
        for piece in &pieces {
            for block in piece.body.get_blocks("module") {
                let title = schema::title(block);
                let reader = Reader {
                    body: &block.body,
                    place: &piece.place,
                    context: &title,
                };
                let Some(label) = block.labels.first() else { continue };
                let Some(commit) = reader.text("commit", &dialect::names(), &mut diagnostics) else {
                    continue;
                };
                if is_commit(&commit.value) {
                    lock.commits.insert(label.as_str().to_owned(), commit.value);
                    continue;
                }
                let detail = "\"commit\" is the whole name of a commit, 40 or 64 hexadecimal digits. Let simdb write it anew: \
                              simdb init -upgrade";
                diagnostics.push(reader.error(commit.span, "Invalid commit", detail));
            }
        }
        (lock, diagnostics)
    }

    /// Writes a lock file.
    pub fn write(&self) -> String {
        let mut text =
            "# simdb init writes this file: which commit the source of a module led to. Keep it in version control.\n"
                .to_owned();
        for (source, commit) in &self.commits {
            let _ = write!(text, "\nmodule \"{source}\" {{\n  commit = \"{commit}\"\n}}\n");
        }
        text
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        Repository::parse(source).map_or_else(
            |why| why,
            |found| {
                let reference = found.reference.as_deref().unwrap_or("-");
                format!("{} {reference} {} {}", found.url, found.directory, found.source)
            },
        )
    }

    #[test]
    fn a_source_names_a_repository_a_reference_and_a_directory() {
        for (source, expected) in [
            (
                "git::https://host/a/b.git//modules/team?ref=v1.2",
                "https://host/a/b.git v1.2 modules/team git::https://host/a/b.git?ref=v1.2",
            ),
            ("git::ssh://git@host/b", "ssh://git@host/b -  git::ssh://git@host/b"),
            (
                "git::file:///srv/b.git//x",
                "file:///srv/b.git - x git::file:///srv/b.git",
            ),
            (
                "github.com/owner/name//x?ref=main",
                "https://github.com/owner/name.git main x git::https://github.com/owner/name.git?ref=main",
            ),
        ] {
            assert_eq!(shown(source), expected);
        }
    }

    #[test]
    fn a_source_that_could_make_git_run_something_is_none() {
        for source in [
            "git::ext::sh -c id",
            "git::--upload-pack=id",
            "git::https://-x",
            "git::https://host/a?ref=--upload-pack=id",
            "git::https://host/a?ref=a..b",
            "git::https://host/a//../../etc",
            "git::https://host/a?depth=1",
            "git::https://",
            "hashicorp/consul/aws",
        ] {
            assert!(Repository::parse(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_lock_file_reads_back_as_it_is_written() {
        let commits = [
            ("git::file:///a?ref=v1", "a".repeat(40)),
            ("git::file:///b", "0".repeat(64)),
        ];
        let lock = Lock {
            commits: commits.map(|(source, commit)| (source.to_owned(), commit)).into(),
        };
        let text = lock.write();
        assert_eq!(super::super::format(LOCK_FILE, &text).as_deref(), Ok(text.as_str()));
        assert_eq!(Lock::read(&text), (lock, Vec::new()));
    }

    #[test]
    fn a_lock_file_that_was_edited_names_what_is_wrong() {
        let (lock, diagnostics) = Lock::read("module \"git::file:///a\" {\n  commit = \"main\"\n}\n");
        assert_eq!((lock, diagnostics.len()), (Lock::default(), 1));
    }
}
