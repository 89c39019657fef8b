//! Texts without a syntax tree: what is said, and where.

use expect_test::expect;

use super::*;

/// Compares what is said about a text.
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&render(&source(text), &parse("main", text, &DIALECT).1));
}

#[test]
fn a_string_that_is_not_closed_is_named_where_it_starts() {
    check(
        "locals {\n  a = \"abc\n  b = 1\n}\n",
        expect![[r#"
        main:2:7-11 error Unterminated string
          The string that starts here is not closed on its line. Close it with a double quote; for text of several lines write a heredoc: <<EOT.
    "#]],
    );
    check(
        "locals {\n  a = <<EOT\n  text\n}\n",
        expect![[r#"
        main:2:7-12 error Unterminated heredoc
          No line after it holds EOT alone, which would close it.
    "#]],
    );
    check(
        "/* note\nlocals {}\n",
        expect![[r#"
        main:1:1-8 error Unterminated comment
          The comment that starts here is not closed. Close it with */.
    "#]],
    );
}

#[test]
fn a_bracket_that_is_not_closed_is_named_where_it_opens() {
    check(
        "cluster \"c\" {\n  node \"a\" {\n}\n",
        expect![[r#"
        main:1:13-14 error Unclosed bracket
          The { here is never closed. Close it with }.
    "#]],
    );
    check(
        "cluster \"c\" {\n  node \"a\" {}\n\nnetwork \"lan\" {}\n\nlocals {\n  a = [1, 2\n}\n",
        expect![[r#"
            main:1:13-14 error Unclosed bracket
              The { here is never closed. Close it with }.
            main:6:8-9 error Unclosed bracket
              The { here is never closed. Close it with }.
            main:8:1-2 error Wrong closing bracket
              The [ of line 7 is open here and must be closed with ] first.
        "#]],
    );
    check(
        "locals {\n  a = (1 + 2]\n}\n}\n",
        expect![[r#"
        main:2:13-14 error Wrong closing bracket
          The ( of line 2 is open here and must be closed with ) first.
        main:4:1-2 error Unexpected closing bracket
          Nothing is open that this } could close. Remove it.
    "#]],
    );
    check(
        "locals {\n  a = \"${var.x\"\n}\n",
        expect![[r#"
            main:2:7-16 error Unterminated string
              The string that starts here is not closed on its line, or a ${ in it is not. Close it with a double quote, and each ${ with a }.
        "#]],
    );
}

#[test]
fn habits_from_other_languages_are_recognised() {
    check(
        "locals {\n  a: 1\n  b = 'x y'\n  c = 1;\n  d = 1,\n  e = 1 & 2\n  f = “x”\n}\n",
        expect![[r#"
            main:2:4-5 error Colon instead of an equals sign
              An attribute is set with an equals sign: a = ...
            main:3:7-12 error Single quotes
              Strings stand in double quotes.
            main:4:8-9 error Unexpected semicolon
              Attributes and blocks end with a new line, not with a semicolon.
            main:6:9-10 error Unsupported operator
              The logical operators are && and ||.
            main:7:7-10 error Typographic quotes
              Strings stand in plain double quotes.
        "#]],
    );
    check(
        "node \"a\" { port = 1, count = 2 }\nlocals { a = 1\n}\nlocals {\n  a = 1 b = 2\n}\n",
        expect![[r#"
            main:1:20-21 error Unexpected comma
              A block on one line holds one attribute. Give each attribute a line of its own.
            main:2:8-9 error Block on one line does not end there
              A block that has something on the line of its { must end on that line. Begin a new line after the {.
            main:5:9-10 error Missing newline after attribute
              The value before it is complete, so a new line must follow. Is an operator missing, or are quotes?
        "#]],
    );
}

#[test]
fn an_attribute_that_is_set_twice_names_both_places() {
    check(
        "locals {\n  a = 1\n  b = 2\n  a = 3\n}\n",
        expect![[r#"
        main:4:3-4 error Attribute redefined
          The attribute "a" was already set on line 2. Keep one of the two.
    "#]],
    );
}

#[test]
fn every_block_with_a_mistake_is_reported() {
    check(
        "locals {\n  a = )\n}\nlocals {\n  b = 1 +\n}\nlocals {\n  c = \"x\n}\nlocals {\n  d = 1\n}\n",
        expect![[r#"
            main:2:7-8 error Syntax error
              The text cannot be read here: invalid expression; expected `"`, `[`, `{`, `-`, `!`, `(`, `_`, `<`, letter or digit.
            main:5:10-6:1 error Syntax error
              The text cannot be read here: invalid expression; expected `"`, `[`, `{`, `-`, `!`, `(`, `_`, `<`, letter or digit.
            main:8:7-9 error Unterminated string
              The string that starts here is not closed on its line. Close it with a double quote; for text of several lines write a heredoc: <<EOT.
        "#]],
    );
}
