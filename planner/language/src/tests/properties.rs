//! What holds for every expression and every text that has a syntax tree.

use hcl_edit::parser::parse_body;
use proptest::prelude::*;

use crate::format::{formatted, meaning};

use super::*;

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
        prop_assert_eq!(format("main", &text, &DIALECT), Ok(formatted.clone()));
        prop_assert_eq!(format("main", &formatted, &DIALECT), Ok(formatted.clone()));
        let letters = |text: &str| text.split_whitespace().collect::<String>();
        prop_assert_eq!(letters(&text), letters(&formatted), "nothing but spaces changes");
    }
}
