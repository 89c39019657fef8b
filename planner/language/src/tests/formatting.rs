//! Canonical style.

use expect_test::expect;

use super::*;

fn check_format(text: &str, expected: Expect) {
    let formatted = format("main", text, &DIALECT).unwrap();
    expected.assert_eq(&formatted);
    assert_eq!(
        format("main", &formatted, &DIALECT),
        Ok(formatted.clone()),
        "formatting twice changes nothing more"
    );
}

#[test]
fn a_configuration_is_formatted() {
    check_format(
        "# top\ncluster  \"c\"{\nnetwork=network.lan # the net\n   primary = \"a\"   // first\n\n\n engine \"postgresql\" {\nversion=15\nparameters={max_connections=50,\n    shared_buffers = \"64MB\"}\n }\n  node \"r\" {count=var.n-1}\n\tnode \"x\" { }\n}\nlocals {\n  a = [for v in [1,2]:-v if v>- 1]\n  long_name = f(a,b ...)\n  t = \"${ x }-${x+1}\"\n  h = <<-EOT\n   keep   this ${ x }\n      EOT\n  c = a?b:c\n  n = !a&&b||(-1 - -2)\n}",
        expect![[r##"
            # top
            cluster "c" {
              network = network.lan # the net
              primary = "a"         // first


              engine "postgresql" {
                version = 15
                parameters = { max_connections = 50,
                shared_buffers = "64MB" }
              }
              node "r" { count = var.n-1 }
              node "x" {}
            }
            locals {
              a         = [for v in [1, 2] : -v if v > -1]
              long_name = f(a, b...)
              t         = "${x}-${x + 1}"
              h         = <<-EOT
               keep   this ${x}
                  EOT
              c         = a ? b : c
              n         = !a && b || (-1 - -2)
            }
        "##]],
    );
}

#[test]
fn what_cannot_be_read_is_not_formatted() {
    let said = format("main", "a = \"x\nb = 1\n", &DIALECT).unwrap_err();
    assert_eq!(said[0].summary, "Unterminated string");
}

#[test]
fn texts_that_only_look_like_tokens_stay_as_they_are() {
    for text in ["a = \"%{ if x }\"  q  \"%{ endif }\"\n", "a = x[1 .0]\n"] {
        assert_eq!(format("main", text, &DIALECT).unwrap(), text);
    }
    assert_eq!(
        format("main", "\u{feff}a=1\r\nb = 2", &DIALECT).unwrap(),
        "\u{feff}a = 1\r\nb = 2\n"
    );
}
