//! The table of blocks and attributes: what it says is what is read.

use super::super::schema::{self, Attribute, Nested};
use super::*;

/// All blocks by the way to them, each with the ways of those around it.
fn all() -> BTreeMap<String, &'static Nested> {
    schema::file().below()
}

/// Writes a block with one attribute of its own, and all that has to be around it.
fn around(way: &str, line: &str) -> String {
    let blocks = all();
    let mut text = line.to_owned();
    let mut rest = Some(way);
    while let Some(way) = rest {
        let block = blocks[way];
        let label = block.label.map_or_else(String::new, |_| {
            format!(" \"{}\"", block.labels.first().copied().unwrap_or("x"))
        });
        let mut required = String::new();
        for attribute in block.schema.attributes.iter().filter(|known| known.is_required) {
            if !text.starts_with(&format!("{} =", attribute.name)) {
                required += &format!("{} = \"./x\"\n", attribute.name);
            }
        }
        if block.name == "cluster" {
            required += "node \"first\" {}\nnode \"second\" {}\n";
            required += if text.starts_with("engine ") {
                ""
            } else {
                "engine \"postgresql\" {}\n"
            };
        }
        text = format!("{}{label} {{\n{text}{required}}}\n", block.name);
        rest = way.rsplit_once('.').map(|(around, _)| around);
    }
    text
}

/// Returns what is said about an attribute that has a value.
fn said(way: &str, attribute: &Attribute, value: &str) -> String {
    let text = around(way, &format!("{} = {value}\n", attribute.name));
    let source = source(&text);
    let diagnostics = load(&source, &[]).1;
    format!("{text}{}", render(&source, &diagnostics))
}

#[test]
fn every_attribute_of_the_table_is_read() {
    for (way, block) in all() {
        // What a module is given is read where its directory is.
        for attribute in block.schema.attributes.iter().filter(|_| way != "module") {
            let said = said(&way, attribute, "local.nowhere");
            let wrong = [
                "\"nowhere\"",
                "local.nowhere",
                "\"local\"",
                "\"required_version\"",
                "A default",
                "type",
            ];
            assert!(
                said.contains("error") && wrong.iter().any(|word| said.contains(word)),
                "{way}.{} is not read:\n{said}",
                attribute.name
            );
        }
    }
}

#[test]
fn the_words_of_the_table_are_the_only_ones() {
    for (way, block) in all() {
        for attribute in block.schema.attributes.iter().filter(|known| !known.values.is_empty()) {
            let refused = said(&way, attribute, "\"no-such\"");
            for word in attribute.values {
                assert!(
                    refused.contains(&format!("\"{word}\"")),
                    "{word} is missing in:\n{refused}"
                );
                let taken = said(&way, attribute, &format!("\"{word}\""));
                let refusal = format!("\"{}\" must be", attribute.name);
                assert!(!taken.contains(&refusal), "{word} is refused:\n{taken}");
            }
        }
    }
}

#[test]
fn every_label_of_the_table_is_supported() {
    for (way, block) in all() {
        for label in block.labels {
            let text = around(&way, "");
            let source = source(&text.replace("\"x\"", &format!("\"{label}\"")));
            let said = render(&source, &load(&source, &[]).1);
            assert!(!said.contains("Unsupported"), "{said}");
        }
    }
}

#[test]
fn every_example_of_the_table_fits_it_and_is_in_canonical_style() {
    for (way, block) in all() {
        assert_eq!(format("main", block.example).as_deref(), Ok(block.example), "{way}");
        assert!(block.example.starts_with(block.name), "{way}");
        let (around, _) = way.rsplit_once('.').unwrap_or_default();
        let text = if around.is_empty() {
            block.example.to_owned()
        } else {
            self::around(around, block.example)
        };
        let source = source(&text);
        let pieces = overrides::parse_all(&source).0;
        let said = schema::check(&pieces, &source);
        assert!(said.is_empty(), "{text}{}", render(&source, &said));
    }
}

#[test]
fn the_examples_make_one_configuration() {
    let blocks = schema::file().blocks.iter().filter(|block| block.name != "module");
    let text: Vec<&str> = blocks.map(|block| block.example).collect();
    let config = loaded(&text.join("\n"), &[]);
    assert_eq!(config.desired.clusters.len(), 1);
}

#[test]
fn every_description_is_a_sentence() {
    let sentence = |text: &str| {
        text.ends_with('.') && text.starts_with(|c: char| c.is_uppercase() || text.contains(':') && c.is_lowercase())
    };
    for (way, block) in all() {
        assert!(sentence(block.schema.description), "{way}");
        for attribute in block.schema.attributes {
            assert!(sentence(attribute.description), "{way}.{}", attribute.name);
        }
    }
}
