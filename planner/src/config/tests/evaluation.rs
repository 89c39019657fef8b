//! Variables, locals, and what is said about expressions.

use expect_test::expect;

use super::*;

#[test]
fn a_problem_shows_the_values_that_led_to_it() {
    check(
        "variable \"ports\" {\n  default = { a = 1 }\n}\nlocals {\n  n = \"x\"\n  bad = var.ports.b + 1\n  worse = 1 + local.n\n  call = length(var.ports.a)\n  loop = [for p in [0, 1] : 1 / p]\n  uses = local.bad\n}\n",
        expect![[r#"
            main:6:18-20 error Unsupported attribute (in locals)
              This object has no attribute named "b".
              - var.ports is an object with 1 attribute
            main:7:15-22 error Invalid operand (in locals)
              For this operator a number is required, not a string that is none.
              - local.n is "x"
            main:8:17-28 error Error in function call (in locals)
              Call to function "length" failed: a string, a list, a set or a map is required, not a number.
              - while calling length(value)
              - var.ports.a is 1
            main:9:33-34 error Division by zero (in locals)
              The number on the right of this operator is zero.
              - p is 0
        "#]],
    );
}

#[test]
fn references_are_checked_in_every_branch() {
    check(
        "variable \"port\" {\n  default = 1\n}\nlocals {\n  a = true ? 1 : var.prot\n  b = false && locl.x\n  c = [for v in [1] : v + w]\n  d = var\n  e = count.index\n  f = cluster.c.name\n  g = network.lan\n  h = \"${local.z}\"\n  i = { for k, v in {} : k => other }\n}\n",
        expect![[r#"
            main:5:21-26 error Reference to undeclared input variable (in locals)
              No variable "prot" is declared. Declare it with a block: variable "prot" {}. Did you mean "port"?
            main:6:16-20 error Unknown reference (in locals)
              There is nothing called "locl". A reference starts with "var", "local", "count", "each", "cluster", "network", "module", "path" or "simdb"; text stands in double quotes. Did you mean "local"?
            main:7:27-28 error Unknown reference (in locals)
              There is nothing called "w". A reference starts with "var", "local", "count", "each", "cluster", "network", "module", "path" or "simdb"; text stands in double quotes.
            main:8:7-10 error Incomplete reference (in locals)
              "var" must be followed by a dot and the name of a variable: "var.NAME".
            main:9:7-12 error Reference to "count" in a block without it (in locals)
              "count.index" is available only inside a block that has a "count".
            main:12:15-17 error Reference to undeclared local value (in locals)
              No local value "z" is declared. Declare it in a locals block: z = ...
            main:13:31-36 error Unknown reference (in locals)
              There is nothing called "other". A reference starts with "var", "local", "count", "each", "cluster", "network", "module", "path" or "simdb"; text stands in double quotes.
        "#]],
    );
}

#[test]
fn a_cycle_of_locals_names_every_member() {
    check(
        "locals {\n  a = local.b\n  b = [local.c]\n  c = \"${local.a}\"\n  d = local.c\n  e = local.e\n}\nlocals {\n  f = 1\n}\nlocals {\n  f = 2\n}\n",
        expect![[r#"
            main:2:3-4 error Cycle of local values (in locals)
              These local values refer to each other in a circle: local.a -> local.b -> local.c -> local.a.
            main:6:3-4 error Cycle of local values (in locals)
              These local values refer to each other in a circle: local.e -> local.e.
            main:12:3-4 error Duplicate local value (in locals)
              local.f was already defined at main:9,3. Keep one of the two.
        "#]],
    );
}

#[test]
fn variables_take_the_last_value_and_convert_it() {
    let text = "variable \"n\" { type = number }\nvariable \"l\" {\n  type    = list(string)\n  default = []\n}\nvariable \"o\" {\n  type = object({ a = string, b = optional(number, 3), c = optional(bool) })\n  default = { a = 1 }\n}\nvariable \"s\" {}\noutput \"it\" {\n  value = [var.n, var.l, var.o, var.s]\n}\n";
    let inputs = [
        input("n", "1"),
        input("n", "4"),
        input("l", "[1, \"b\"]"),
        input("s", "[not, an expression"),
    ];
    let (values, _) = loaded(text, &inputs).outputs(&State::default(), &Secrets::new());
    expect![[r#"[4,["1","b"],{"a":"1","b":3,"c":null},"[not, an expression"]"#]]
        .assert_eq(&values["it"].value.as_ref().unwrap().to_string());
}

#[test]
fn a_variable_without_value_names_the_ways_to_give_one() {
    check(
        "variable \"size\" {\n  type = number\n}\nvariable \"n\" {\n  nullable = false\n  default = null\n}\n",
        expect![[r#"
            main:1:1-16 error No value for required variable (in variable "size")
              The variable "size" has no default, so it needs a value: -var 'size=...', the environment variable SIMDB_VAR_size, or a line in simdb.simdbvars.hcl.
            main:4:1-13 error Required variable not set (in variable "n")
              The variable "n" must not be null: it says nullable = false.
        "#]],
    );
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let text = "variable \"n\" {\n  type = number\n}\nvariable \"l\" {\n  type = list(number)\n}\nvariable \"m\" {\n  type = map(string)\n  default = [1]\n}\nvariable \"t\" {\n  type = strng\n}\nvariable \"q\" {\n  type = \"string\"\n}\n";
    let mut shell = input("other", "1");
    shell.origin = format!("{ENVIRONMENT} SIMDB_VAR_other");
    let inputs = [
        input("n", "\"x\""),
        input("l", "[a"),
        input("t", "1"),
        input("q", "1"),
        input("lst", "1"),
        shell,
    ];
    check_with(
        text,
        &inputs,
        expect![[r#"
        - error Invalid value for variable
          The text cannot be read here: expected `]`. Inside a list or an object, text stands in double quotes.
          - var.l is given by the command line
        - error Value for undeclared variable
          A variable named "lst" is given by the command line, but the configuration does not declare it. Declare it with a block: variable "lst" {}.
        main:1:1-13 error Invalid value for variable (in variable "n")
          The value for "n" from the command line is not suitable: a number is required, not a string that is none.
        main:9:13-16 error Invalid default value for variable (in variable "m")
          The default does not fit the type of the variable: a map is required, not a list.
        main:12:10-15 error Invalid type specification (in variable "t")
          "strng" is no type. The types are string, number, bool, any, list(...), set(...), map(...), tuple([...]) and object({...}). Did you mean "string"?
        main:15:10-18 error Invalid type specification (in variable "q")
          A type is written without quotes: type = string.
    "#]],
    );
}

#[test]
fn validation_says_its_message_and_the_value() {
    let text = "variable \"port\" {\n  type = number\n  validation {\n    condition     = var.port > 1024\n    error_message = \"port must be above 1024, got ${var.port}.\"\n  }\n}\nvariable \"secret\" {\n  sensitive = true\n  default = \"hunter2\"\n  validation {\n    condition     = length(var.secret) > 10\n    error_message = \"too short\"\n  }\n}\n";
    check_with(
        text,
        &[input("port", "80")],
        expect![[r#"
        main:4:21-36 error Invalid value for variable (in variable "port")
          port must be above 1024, got 80.
          - var.port is 80
        main:12:21-44 error Invalid value for variable (in variable "secret")
          too short
          - var.secret is (sensitive value)
    "#]],
    );
}

#[test]
fn variable_files_hold_attributes() {
    let (inputs, diagnostics) = variable_file(
        "v",
        "\u{feff}a = 1 # one\nb = [\n  \"x\",\n]\nc = <<EOT\nhi\nEOT\nblock {}\n",
    );
    let texts: Vec<(&str, &str)> = inputs
        .iter()
        .map(|input| (input.name.as_str(), input.text.as_str()))
        .collect();
    assert_eq!(texts, [("a", "1"), ("b", "[\n  \"x\",\n]"), ("c", "<<EOT\nhi\nEOT")]);
    assert_eq!(diagnostics.len(), 1);
    let text = "variable \"a\" { type = number }\nvariable \"b\" { type = list(string) }\nvariable \"c\" {}\noutput \"it\" { value = [var.a, var.b, var.c] }\n";
    let (values, _) = loaded(text, &inputs).outputs(&State::default(), &Secrets::new());
    assert_eq!(
        values["it"].value.as_ref().unwrap().to_string(),
        "[1,[\"x\"],\"hi\\n\"]"
    );
}

#[test]
fn a_value_from_a_file_is_wrong_where_it_stands() {
    let text = "variable \"a\" { type = number }\n";
    let mut source = source(text);
    let (inputs, _) = variable_file("vars", "\na = var.x\n");
    let (_, diagnostics) = load(&source, &inputs);
    source.add("vars", "\na = var.x\n");
    expect![[r#"
        vars:2:5-8 error Reference not allowed here
          This value must be known before variables and locals are, so "var.*" cannot be used.
          - var.a is given by vars
    "#]]
    .assert_eq(&render(&source, &diagnostics));
}

#[test]
fn what_is_made_from_a_secret_is_secret() {
    let text = "variable \"p\" {\n  sensitive = true\n  default = \"hunter2\"\n}\nlocals {\n  made = upper(\"x-${var.p}\")\n  inside = { a = [var.p] }\n}\n";
    let with = |more: &str| format!("{text}{more}");
    check(
        &with(
            "output \"a\" {\n  value = local.made\n}\noutput \"b\" {\n  value = local.inside\n}\noutput \"c\" {\n  value = var.p == \"x\" ? 1 : 2\n}\noutput \"d\" {\n  value = [for x in local.inside.a : length(x)]\n}\n",
        ),
        expect![[r#"
            main:10:11-21 error Output refers to sensitive values (in output "a")
              The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use nonsensitive().
              - local.made is (sensitive value)
            main:13:11-23 error Output refers to sensitive values (in output "b")
              The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use nonsensitive().
              - local.inside is an object with 1 attribute
            main:16:11-31 error Output refers to sensitive values (in output "c")
              The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use nonsensitive().
              - var.p is (sensitive value)
            main:19:11-48 error Output refers to sensitive values (in output "d")
              The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use nonsensitive().
              - local.inside.a is a list with 1 element
        "#]],
    );
    check(
        &with(
            "output \"e\" {\n  value = 1 + local.made\n}\noutput \"f\" {\n  value = nonsensitive(length(var.p))\n}\n",
        ),
        expect![[r#"
            main:10:15-25 error Invalid operand (in output "e")
              For this operator a number is required, not a string that is none.
              - local.made is (sensitive value)
        "#]],
    );
    check(
        &with(
            "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {\n    parameters = { application_name = var.p }\n  }\n  node \"a\" {}\n}\n",
        ),
        expect![[r#"
            main:12:18-46 error Sensitive value in a setting (in cluster "c")
              "parameters" appears in plans, so it cannot depend on a sensitive value. Use nonsensitive() where it is no secret.
              - var.p is (sensitive value)
        "#]],
    );
}

#[test]
fn runaway_expressions_end_as_problems() {
    let doubling: String = (1..40)
        .map(|i| format!("  a{i} = \"${{local.a{}}}${{local.a{}}}\"\n", i - 1, i - 1))
        .collect();
    let source = source(&format!(
        "locals {{\n  a0 = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n{doubling}}}\n"
    ));
    assert_eq!(load(&source, &[]).1[0].summary, "Text too long");
    let nesting: String = (1..3000).map(|i| format!("  a{i} = [local.a{}]\n", i - 1)).collect();
    let source = self::source(&format!("locals {{\n  a0 = 1\n{nesting}}}\n"));
    assert_eq!(load(&source, &[]).1[0].summary, "Value nested too deep");
}

#[test]
fn no_message_shows_a_secret() {
    let text = "variable \"p\" {\n  type      = any\n  sensitive = true\n}\nlocals {\n  a = {}[var.p]\n  b = lookup({}, var.p)\n  c = 1 + var.p\n  d = upper([var.p])\n  e = \"${[var.p]}x\"\n  f = var.p.x\n  g = [for x in [var.p] : x + 1]\n  h = regex(var.p)\n  i = tonumber(var.p)\n  j = parseint(var.p, 10)\n}\n";
    let source = source(text);
    let inputs = [input("p", "\"hunter2\"")];
    let (_, diagnostics) = load(&source, &inputs);
    assert_eq!(diagnostics.len(), 10);
    let config = loaded(
        "variable \"p\" { sensitive = true }\noutput \"o\" {\n  value = \"x${var.p}\"\n  sensitive = true\n}\n",
        &[input("p", "hunter2")],
    );
    let outputs = config.outputs(&State::default(), &Secrets::new());
    assert_eq!(outputs.0["o"].value, Some("xhunter2".into()));
    let shown = format!("{diagnostics:?} {inputs:?} {config:?} {outputs:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
