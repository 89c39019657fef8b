//! What holds for every text.

use proptest::prelude::*;

use super::*;

/// Text that looks like a configuration more often than letters at random do.
fn text() -> impl Strategy<Value = String> {
    let words = [
        "cluster",
        "variable",
        "locals",
        "output",
        "network",
        "simdb",
        "node",
        "engine",
        "value",
        "count",
        "default",
        "\"a\"",
        "\"x ${var.a} y\"",
        "var.a",
        "local.b",
        "count.index",
        "cluster.c.node.a",
        "null",
        "true",
        "1",
        "-2.5",
        "for",
        "in",
        "if",
        "a",
        "b",
        "x",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "=",
        "=>",
        ":",
        ",",
        ".",
        "...",
        "[*]",
        "?",
        "!",
        "-",
        "+",
        "/",
        "%",
        "&&",
        "==",
        "\n",
        "\n",
        "\n",
        " ",
        "\"",
        "'",
        ";",
        "${",
        "%{",
        "%{ if true }",
        "%{ endif }",
        "<<EOT\n",
        "<<-EOT\n",
        "EOT\n",
        "# c\n",
        "/* c */",
        "~}",
        "\\",
        "é",
        "\u{feff}",
        "\r\n",
        "length(",
        "try(",
    ];
    let word = prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

/// A piece of a JSON text.
fn json_word() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"variable\"",
        "\"cluster\"",
        "\"locals\"",
        "\"node\"",
        "\"type\"",
        "\"${var.a}\"",
        "\"%{ if",
        "\"",
        "\\",
        "\\u12",
        "1",
        "-1.5e3",
        "1e999",
        "true",
        "null",
        " ",
        "\n",
        "\"}\"",
        "\"//\"",
        "\"for_each\"",
        "é",
    ];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn no_text_makes_the_language_panic(text in text()) {
        let source = source(&text);
        let (config, diagnostics) = load(&source, &[input("a", &text)]);
        prop_assert_eq!(config.is_some(), !diagnostics.iter().any(Diagnostic::is_error));
        render(&source, &diagnostics);
        settings(&source);
        variable_file("main", &text);
        if let Ok(formatted) = format("main", &text) {
            prop_assert_eq!(format("main", &formatted), Ok(formatted.clone()), "formatting twice changes nothing more");
        }
    }

    #[test]
    fn no_json_makes_the_language_panic(words in proptest::collection::vec(json_word(), 0..30)) {
        let text = words.concat();
        let (_, diagnostics) = variable_file_json("x.simdbvars.json", &text);
        let mut source = Source::default();
        source.add("main.simdb.json", text.as_str());
        render(&source, &load(&source, &[]).1);
        prop_assert!(diagnostics.len() <= 1);
    }
}
