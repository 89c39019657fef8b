//! The reference of the configuration language, made from the tables that configurations are read with: pages in Markdown,
//! a grammar and a schema for editors, and a document for other programs.

mod document;
mod grammar;
mod json_schema;
mod pages;

pub(crate) use self::document::document as schema_document;

use crate::views::json::document;

/// What the grammar is called.
const GRAMMAR: &str = "simdb.tmLanguage.json";
/// What the schema of configurations in JSON is called.
const JSON_SCHEMA: &str = "simdb.schema.json";

/// Returns the files of the reference, each with its name.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = pages::all();
    files.push((GRAMMAR.to_owned(), document(&grammar::grammar())));
    files.push((JSON_SCHEMA.to_owned(), document(&json_schema::json_schema())));
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_reference_among_the_examples_is_true() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/reference");
        let entries = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let found: BTreeMap<String, String> = entries
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(&path).unwrap())
            })
            .collect();
        let made: BTreeMap<String, String> = files().into_iter().collect();
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&made));
        for (name, text) in made {
            let differs = found[&name] != text;
            assert!(
                !differs,
                "{name} differs. Write it anew with: simdb docs examples/reference"
            );
        }
    }
}
