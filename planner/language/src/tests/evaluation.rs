//! Expressions.

use expect_test::expect;

use super::*;

#[test]
fn primitives_convert_where_one_is_asked_for() {
    check_values(
        &[
            "\"1\" + 1",
            "2 * \"3\"",
            "\"true\" ? 1 : 2",
            "!\"true\"",
            "upper(1)",
            "[\"a\"][\"0\"]",
            "\"v=${true}\"",
            "\"${[1]}\"",
            "\"v=${null}\"",
            "\"v=${[1]}\"",
            "1 == \"1\"",
            "true ? 1 : \"a\"",
            "true ? [1] : {}",
            "[] + 1",
        ],
        expect![[r#"
            "1" + 1 -> 2
            2 * "3" -> 6
            "true" ? 1 : 2 -> 1
            !"true" -> false
            upper(1) -> "1"
            ["a"]["0"] -> "a"
            "v=${true}" -> "v=true"
            "${[1]}" -> [1]
            "v=${null}" -> ! Invalid template interpolation value: The expression result is null. Cannot include a null value in a string template.
            "v=${[1]}" -> ! Invalid template interpolation value: Cannot include the given value in a string template: a string is required, not a list.
            1 == "1" -> false
            true ? 1 : "a" -> "1"
            true ? [1] : {} -> ! Inconsistent conditional result types: Both results of a conditional must be of one type, but one is tuple([number]), the other object({}).
            [] + 1 -> ! Invalid operand: For this operator a number is required, not a list.
        "#]],
    );
}

#[test]
fn numbers_are_exact_or_a_problem() {
    check_values(
        &[
            "18446744073709551615 + 1",
            "2 - 18446744073709551615",
            "0.1 + 0.2 == 0.3",
            "1e6 * 1e6 * 1e6 * 1e6",
            "99999999999999999999999999",
            "-18446744073709551617",
            "1 / 0",
            "5 % 0",
            "7 % -3",
            "1 / 3",
            "10 / 4",
            "170141183460469231731687303715884105727 + 1",
            "99999999999999999999999999999999999999999",
            "- /* a */ 2",
            "1e30 * 1e30",
            "-(0.5)",
        ],
        expect![[r#"
            18446744073709551615 + 1 -> 18446744073709551616
            2 - 18446744073709551615 -> -18446744073709551613
            0.1 + 0.2 == 0.3 -> true
            1e6 * 1e6 * 1e6 * 1e6 -> 1000000000000000000000000
            99999999999999999999999999 -> 99999999999999999999999999
            -18446744073709551617 -> -18446744073709551617
            1 / 0 -> ! Division by zero: The number on the right of this operator is zero.
            5 % 0 -> ! Division by zero: The number on the right of this operator is zero.
            7 % -3 -> 1
            1 / 3 -> 0.33333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333335
            10 / 4 -> 2.5
            170141183460469231731687303715884105727 + 1 -> 170141183460469231731687303715884105728
            99999999999999999999999999999999999999999 -> 99999999999999999999999999999999999999999
            - /* a */ 2 -> -2
            1e30 * 1e30 -> 1000000000000000000000000000000000000000000000000000000000000
            -(0.5) -> -0.5
        "#]],
    );
}

#[test]
fn operators_have_hcl_precedence_and_short_circuits() {
    check_values(
        &[
            "1 + 2 * 3 == 7 && !false",
            "false && [][0]",
            "true || 1 / 0 == 1",
            "true && 1",
            "1 < 2 == true",
            "-2 * -3",
            "{a = 1} == {a = 1.0}",
            "[1] == [2]",
            "null == null",
        ],
        expect![[r#"
            1 + 2 * 3 == 7 && !false -> true
            false && [][0] -> false
            true || 1 / 0 == 1 -> true
            true && 1 -> ! Invalid operand: For this operator a bool is required, not a number.
            1 < 2 == true -> true
            -2 * -3 -> 6
            {a = 1} == {a = 1.0} -> true
            [1] == [2] -> false
            null == null -> true
        "#]],
    );
}

#[test]
fn splats_and_for_expressions_follow_hcl() {
    check_values(
        &[
            "[{a = 1}, {a = 2}][*].a",
            "{a = 1}[*].a",
            "null[*]",
            "[{a = [1]}, {a = [2]}].*.a[0]",
            "[{a = [1]}, {a = [2]}][*].a[0]",
            "[for k, v in {b = 2, a = 1} : \"${k}${v}\"]",
            "{for v in [\"a\", \"b\"] : v => upper(v) if v != \"a\"}",
            "{for v in [\"a\", \"b\", \"a\"] : v => 1...}",
            "[for x in [1, 2] : [for y in [x, 3] : x * y]]",
            "[for v in toset([2, 1, 2]) : v]",
            "{for v in [\"a\", \"a\"] : v => 1}",
            "[for v in 5 : v]",
            "[for v in null : v]",
            "{a = 1}.b",
            "{port = 1}.prot",
            "[1, 2][2]",
            "[1].a",
            "toset([1])[0]",
            "null.a",
        ],
        expect![[r#"
            [{a = 1}, {a = 2}][*].a -> [1,2]
            {a = 1}[*].a -> [1]
            null[*] -> []
            [{a = [1]}, {a = [2]}].*.a[0] -> [1]
            [{a = [1]}, {a = [2]}][*].a[0] -> [1,2]
            [for k, v in {b = 2, a = 1} : "${k}${v}"] -> ["a1","b2"]
            {for v in ["a", "b"] : v => upper(v) if v != "a"} -> {"b":"B"}
            {for v in ["a", "b", "a"] : v => 1...} -> {"a":[1,1],"b":[1]}
            [for x in [1, 2] : [for y in [x, 3] : x * y]] -> [[1,3],[4,6]]
            [for v in toset([2, 1, 2]) : v] -> [1,2]
            {for v in ["a", "a"] : v => 1} -> ! Duplicate object key: Two different items produced the same key. Write "..." after the value to group by key.
            [for v in 5 : v] -> ! Iteration over non-iterable value: A 'for' needs a list, a set or an object, not a number.
            [for v in null : v] -> ! Iteration over null value: A null value cannot be used as the collection in a 'for' expression.
            {a = 1}.b -> ! Unsupported attribute: This object has no attribute named "b".
            {port = 1}.prot -> ! Unsupported attribute: This object has no attribute named "prot". Did you mean "port"?
            [1, 2][2] -> ! Invalid index: The list has 2 elements, [0] to [1].
            [1].a -> ! Unsupported attribute: A list has no attribute "a". Select an element first, as in [0], or all of them, as in [*].
            toset([1])[0] -> ! Invalid index: The elements of a set have no index. Use tolist() first.
            null.a -> ! Unsupported attribute: There is no attribute "a" here: the value is null.
        "#]],
    );
}

#[test]
fn functions_check_their_arguments() {
    check_values(
        &[
            "lenght([])",
            "length(1)",
            "length()",
            "length([], [])",
            "max([1, 2]...)",
            "core::upper(\"x\")",
            "a::b(1)",
            "lookup({a = 1}, \"b\")",
            "lookup({a = 1}, \"b\", 2)",
            "try([][0], 2)",
            "try([][0])",
            "can([][0])",
            "can(1)",
            "range(1e9)",
            "range(3, 0)",
            "substr(\"añb\", 1, -1)",
            "format(\"%05.2f|%-4s|%d%%|%q\", 3.14159, \"a\", 7, \"x\")",
            "format(\"%s\")",
            "format(\"%s\", 1, 2)",
            "replace(\"a.b\", \".\", \"-\")",
            "jsonencode({b = [1, null], a = \"<\"})",
            "join(\",\", [\"a\", 1])",
            "element([1, 2, 3], 4)",
            "element([1, 2, 3], -1)",
            "title(\"a bc\")",
            "slice([1, 2], 1, 3)",
            "one([1, 2])",
            "coalesce(null, \"\", \"a\")",
            "sum([])",
            "upper(1...)",
            "tonumber(\"x\")",
            "tolist({})",
        ],
        expect![[r#"
            lenght([]) -> ! Call to unknown function: There is no function named "lenght". Did you mean "length"?
            length(1) -> ! Error in function call: Call to function "length" failed: a string, a list, a set or a map is required, not a number.
            length() -> ! Error in function call: Call to function "length" failed: length(value) needs at least 1 argument, not 0.
            length([], []) -> ! Error in function call: Call to function "length" failed: length(value) takes at most 1 argument, not 2.
            max([1, 2]...) -> 2
            core::upper("x") -> "X"
            a::b(1) -> ! Call to unknown function: There is no function named "a::b". All functions: simdb metadata functions
            lookup({a = 1}, "b") -> ! Error in function call: Call to function "lookup" failed: The object has no key "b".
            lookup({a = 1}, "b", 2) -> 2
            try([][0], 2) -> 2
            try([][0]) -> ! Error in function call: No argument of "try" has a value. The last one: The list is empty, so it has no elements.
            can([][0]) -> false
            can(1) -> true
            range(1e9) -> ! Error in function call: Call to function "range" failed: it would make more than 65536 numbers.
            range(3, 0) -> [3,2,1]
            substr("añb", 1, -1) -> "ñb"
            format("%05.2f|%-4s|%d%%|%q", 3.14159, "a", 7, "x") -> "03.14|a   |7%|\"x\""
            format("%s") -> ! Error in function call: Call to function "format" failed: not enough arguments for "%s": 0 given.
            format("%s", 1, 2) -> ! Error in function call: Call to function "format" failed: too many arguments; none is used by the format.
            replace("a.b", ".", "-") -> "a-b"
            jsonencode({b = [1, null], a = "<"}) -> "{\"a\":\"\\u003c\",\"b\":[1,null]}"
            join(",", ["a", 1]) -> "a,1"
            element([1, 2, 3], 4) -> 2
            element([1, 2, 3], -1) -> 3
            title("a bc") -> "A Bc"
            slice([1, 2], 1, 3) -> ! Error in function call: Call to function "slice" failed: 0 <= start <= end <= 2 must hold.
            one([1, 2]) -> ! Error in function call: Call to function "one" failed: at most one element is allowed, not 2.
            coalesce(null, "", "a") -> "a"
            sum([]) -> ! Error in function call: Call to function "sum" failed: an empty list has no sum.
            upper(1...) -> ! Invalid expanding argument value: Only a list or a set can be expanded with "...", not a number.
            tonumber("x") -> ! Error in function call: Call to function "tonumber" failed: a number is required, not a string that is none.
            tolist({}) -> ! Error in function call: Call to function "tolist" failed: a list is required, not an object.
        "#]],
    );
}

#[test]
fn templates_strip_and_dedent() {
    let mut out = String::new();
    for body in [
        "<<EOT\n  a\n    b ${1 + 1}\nEOT",
        "<<-EOT\n    a\n      b\n\n    c $${x}\n  EOT",
        "<<-EOT\n    list:\n    %{ for x in [\"a\", \"b\"] ~}\n      - ${x}\n    %{ endfor ~}\n    end\n  EOT",
        "<<-EOT\n    %{ if 1 > 2 }\n    big\n    %{ else }\n    small\n    %{ endif }\n  EOT",
        "<<-EOT\n    ${1}\n      x\n  EOT",
        "\"%{ if true }a\\n\\\"b\\\"%{ endif }\"",
        "\"%{ for i, x in [\"a\", \"b\"] }${i}=${x} %{ endfor }\"",
        "\"a ${~ 1 ~} b\"",
        "<<EOT\nEOT",
    ] {
        out += &format!("{body} -> {}\n", evaluated(body).unwrap());
    }
    expect![[r#"
        <<EOT
          a
            b ${1 + 1}
        EOT -> "  a\n    b 2\n"
        <<-EOT
            a
              b

            c $${x}
          EOT -> "a\n  b\n\nc ${x}\n"
        <<-EOT
            list:
            %{ for x in ["a", "b"] ~}
              - ${x}
            %{ endfor ~}
            end
          EOT -> "list:\n      - a\n      - b\n    end\n"
        <<-EOT
            %{ if 1 > 2 }
            big
            %{ else }
            small
            %{ endif }
          EOT -> "\nsmall\n\n"
        <<-EOT
            ${1}
              x
          EOT -> "1\n  x\n"
        "%{ if true }a\n\"b\"%{ endif }" -> "a\n\"b\""
        "%{ for i, x in ["a", "b"] }${i}=${x} %{ endfor }" -> "0=a 1=b "
        "a ${~ 1 ~} b" -> "a1b"
        <<EOT
        EOT -> ""
    "#]]
    .assert_eq(&out);
}

#[test]
fn runaway_loops_end_as_a_problem() {
    let loops = "[for a in range(9000) : [for b in range(9000) : [for c in range(9000) : 1]]]";
    assert!(evaluated(loops).unwrap_err().contains("Expression takes too long"));
}

#[test]
fn the_application_leads_to_the_selected_workspace_alone() {
    check_values(
        &[
            "app.workspace",
            "\"x-${app.workspace}\"",
            "app",
            "app.version",
            "terraform.workspace",
        ],
        expect![[r#"
            app.workspace -> "staging"
            "x-${app.workspace}" -> "x-staging"
            app -> ! Unknown reference: The only attribute of "app" is "app.workspace": settings of the app block cannot be referred to.
            app.version -> ! Unknown reference: The only attribute of "app" is "app.workspace": settings of the app block cannot be referred to.
            terraform.workspace -> ! Unknown reference: There is nothing called "terraform". A reference starts with "var", "local", "count", "each", "cluster", "path" or "app"; text stands in double quotes.
        "#]],
    );
}
