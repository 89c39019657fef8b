//! What holds for every text.

use hcl_edit::parser::parse_body;
use proptest::prelude::*;

use super::super::format::{formatted, meaning};
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

/// Text that has a syntax tree.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("-2".to_owned()),
        Just("\"a  b\"".to_owned()),
        Just("var.x".to_owned()),
        Just("null".to_owned()),
        Just("\"${ a }  %{ if b }c%{ endif }\"".to_owned()),
        Just("x . y [ 0 ]".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (
                inner.clone(),
                proptest::sample::select(vec!["+", "-", "*", "/", "%", "==", "&&", "<="]),
                inner.clone()
            )
                .prop_map(|(a, operator, b)| format!("{a} {operator}{b}")),
            inner.clone().prop_map(|a| format!("(  {a} )")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.clone().prop_map(|a| format!("- ({a})")),
            some.clone().prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            some.clone().prop_map(|items| format!("f( {})", items.join(","))),
            some.prop_map(|items| {
                let items: Vec<String> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| format!("k{i}={item}"))
                    .collect();
                format!("{{{}}}", items.join(","))
            }),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a}?{b}:{c}")),
            inner.clone().prop_map(|a| format!("[for k,v in [{a}]:v if k>0]")),
            inner.prop_map(|a| format!("{{for k,v in x:k=>{a}...}}")),
        ]
    })
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

fn document() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        ("[a-z]{1,9}", expression()).prop_map(|(name, value)| (name, format!("= {value}"))),
        ("[a-z]{1,9}", expression()).prop_map(|(name, value)| (name, format!("=   {value} # note"))),
        Just(("h".to_owned(), "= <<-EOT\n   text ${ x }\n  EOT".to_owned())),
        Just(("# note".to_owned(), String::new())),
        Just((String::new(), String::new())),
    ];
    let body = proptest::collection::btree_map("[a-z]{1,2}", item, 0..5).prop_map(|items| {
        let lines: Vec<String> = items
            .into_iter()
            .map(|(unique, (name, rest))| {
                if rest.is_empty() {
                    name
                } else {
                    format!(" {unique}_{name} {rest}")
                }
            })
            .collect();
        lines.join("\n")
    });
    proptest::collection::vec(body, 1..4).prop_map(|bodies| {
        let blocks: Vec<String> = bodies
            .iter()
            .map(|body| format!("block   \"l\" {{\n{body}\n}}\n"))
            .collect();
        blocks.join("\n")
    })
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

    #[test]
    fn numbers_are_what_integers_are(a in any::<i64>(), b in any::<i64>()) {
        let whole = |text: String| evaluated(&format!("jsonencode({text})")).unwrap();
        let expected = |number: i128| format!("\"{number}\"");
        let (a, b) = (i128::from(a), i128::from(b));
        prop_assert_eq!(whole(format!("({a}) * ({b})")), expected(a * b));
        prop_assert_eq!(whole(format!("({a}) + ({b})")), expected(a + b));
        if b != 0 {
            prop_assert_eq!(whole(format!("({a}) % ({b})")), expected(a % b));
            prop_assert_eq!(whole(format!("floor(({a}) / ({b}))")), expected(a.div_euclid(b) - i128::from(b < 0 && a % b != 0)));
        }
    }

    #[test]
    fn a_number_reads_back_as_it_is_written(digits in "-?[1-9][0-9]{0,80}(\\.[0-9]{0,60}[1-9])?") {
        prop_assert_eq!(evaluated(&format!("tostring({digits})")), Ok(format!("\"{digits}\"")));
    }

    #[test]
    fn no_value_makes_the_language_panic(expression in expression()) {
        let evaluate = || evaluated(&expression);
        prop_assert_eq!(evaluate(), evaluate());
    }

    #[test]
    fn formatting_keeps_what_a_text_means(text in document()) {
        prop_assert!(parse_body(&text).is_ok(), "{text}");
        // Not `format`, which gives back what it cannot keep the meaning of.
        let formatted = formatted(&text);
        prop_assert_eq!(meaning(&text), meaning(&formatted));
        prop_assert_eq!(format("main", &text), Ok(formatted.clone()));
        prop_assert_eq!(format("main", &formatted), Ok(formatted.clone()));
        let letters = |text: &str| text.split_whitespace().collect::<String>();
        prop_assert_eq!(letters(&text), letters(&formatted), "nothing but spaces changes");
    }
}
