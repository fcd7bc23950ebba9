use super::*;
use proptest::prelude::*;

/// Statements in a short form: `a=b a={...} a:x,y={...} <file`.
fn show(statements: &[Statement]) -> String {
    let one = |s: &Statement| match s {
        Statement::Value(name, None) => format!("{}=", name.text),
        Statement::Value(name, Some(v)) => format!("{}={:?}", name.text, String::from_utf8_lossy(&v.bytes)),
        Statement::Include(v) => format!("<{}", String::from_utf8_lossy(&v.bytes)),
        Statement::Section(name, refs, inner) => {
            let refs: Vec<&str> = refs.iter().map(|r| r.text.as_str()).collect();
            let refs = if refs.is_empty() { String::new() } else { format!(":{}", refs.join(",")) };
            format!("{}{refs}{{{}}}", name.text, show(inner))
        }
    };
    statements.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn parsed(text: &str) -> String {
    show(&parse(0, text.as_bytes()).unwrap())
}

#[test]
fn what_a_running_swanctl_reads() {
    for (text, shown) in [
        ("a { version = 2 }", "a{version=\"2\"}"),
        ("a { version = 2 { x }", "a{version=\"2 { x\"}"),
        ("a { id = b{c }\n", "a{id=\"b{c\"}"),
        ("a\n{\n id = x\n }\n", "a{id=\"x\"}"),
        ("a = 1 # comment\n#c\nb = 2", "a=\"1\" b=\"2\""),
        ("a { # foo {\n } # }\n", "a{}"),
        ("a =\nb = c", "a= b=\"c\""),
        ("a = \"\"", "a=\"\""),
        ("a = \"  \"", "a=\"  \""),
        ("a = x\t\ty   z  \n", "a=\"x y z\""),
        ("a = p\"quoted\"s word   two", "a=\"p quoted s word two\""),
        ("a = \"x # y\" # z", "a=\"x # y\""),
        ("a = \"multi\nline\"", "a=\"multi\\nline\""),
        (r#"a = "a\rc\ttab\n\"\q\\""#, r#"a="a\rc\ttab\n\"q\\""#),
        ("a = \"a\\\nb\"", "a=\"ab\""),
        ("a = x;y,z:w=1=2 'q' \n", "a=\"x;y,z:w=1=2 'q'\""),
        (r"a = a\tb", r#"a="a\\tb""#),
        ("a = C=CH, O=foo", "a=\"C=CH, O=foo\""),
        ("a = b#c", "a=\"b\""),
        ("a : b { x = 1\n }", "a:b{x=\"1\"}"),
        ("a : p, q.r { }", "a:p,q.r{}"),
        ("a:p,q.r{}", "a:p,q.r{}"),
        ("include conf.d/*.conf\na = b", "<conf.d/*.conf a=\"b\""),
        ("a { include \"my file\" b = c }", "a{<my file b=\"c\"}"),
        ("include nonexist.conf foo = bar\n", "<nonexist.conf foo=\"bar\""),
        ("include = x", "include=\"x\""),
        ("a {\r\n b = c\r\n}\r\n", "a{b=\"c\"}"),
        ("\u{feff}a = b", "a=\"b\""),
        ("ä { id = ö\n }", "ä{id=\"ö\"}"),
        ("28673 = foo", "28673=\"foo\""),
        ("", ""),
    ] {
        assert_eq!(parsed(text), shown, "{text}");
    }
}

#[test]
fn what_is_wrong_is_shown() {
    for (text, rendered) in [
        (
            "connections {\n a.b {\n }\n}\n",
            "error: unexpected `.`, expected `=`, `{` or `:`\n --> x.conf:2:3\n  |\n2 |  a.b {\n  |  -^\n  |  |\n  |  after this name\n  |\n  \
             = help: names of sections and keys have no dots\n",
        ),
        (
            "a {\n version\n }\n",
            "error: unexpected `}`, expected `=`, `{` or `:`\n --> x.conf:3:2\n  |\n2 |  version\n  |  ------- after this name\n3 |  }\n  |  ^\n",
        ),
        (
            "a {\n b {\n }\n",
            "error: section `a` is not closed\n --> x.conf:1:1\n  |\n1 | a {\n  | ^\n  |\n  = help: a `}` is missing at the end of the file\n",
        ),
        (
            "a = 1\n}\n",
            "error: unexpected `}`, expected a name or the end of the file\n --> x.conf:2:1\n  |\n2 | }\n  | ^\n  |\n  = help: there is no open section here\n",
        ),
        (
            "a = \"1\nb = 2\n",
            "error: this string is not closed\n --> x.conf:1:5\n  |\n1 | a = \"1\n  |     ^\n  |\n  \
             = help: a `\"` is missing; inside of strings, write `\\\"` for one\n",
        ),
        (
            "a { \"id\" = x }",
            "error: unexpected `\"`, expected a name or `}`\n --> x.conf:1:5\n  |\n1 | a { \"id\" = x }\n  |     ^\n  |\n  \
             = help: names of sections and keys are never quoted\n",
        ),
        (
            "a { = x }",
            "error: unexpected `=`, expected a name or `}`\n --> x.conf:1:5\n  |\n1 | a { = x }\n  |     ^\n",
        ),
        (
            "a : { }",
            "error: unexpected `{`, expected the name of a section\n --> x.conf:1:5\n  |\n1 | a : { }\n  |     ^\n",
        ),
        (
            "a : b = c",
            "error: unexpected `=`, expected `,` or `{`\n --> x.conf:1:7\n  |\n1 | a : b = c\n  |       ^\n",
        ),
        (
            "a : b. { }",
            "error: unexpected ` `, expected the name of a section\n --> x.conf:1:7\n  |\n1 | a : b. { }\n  |       ^\n",
        ),
        (
            "include \"x",
            "error: this string is not closed\n --> x.conf:1:9\n  |\n1 | include \"x\n  |         ^\n  |\n  \
             = help: a `\"` is missing; inside of strings, write `\\\"` for one\n",
        ),
    ] {
        let mut sources = Sources::default();
        let file = sources.add("x.conf", text.as_bytes());
        let report = parse(file, text.as_bytes()).unwrap_err();
        assert_eq!(report.render(&sources), rendered, "{text}");
    }
    let end = parse(0, b"abc").unwrap_err();
    assert_eq!(end.message, "unexpected end of the file, expected `=`, `{` or `:`");
    assert_eq!(parse(0, b"\xff = 1").unwrap_err().message, "a name must be UTF-8");
    let deep = "a{".repeat(MAX_DEPTH + 1);
    assert_eq!(parse(0, deep.as_bytes()).unwrap_err().message, "more than 64 sections inside of each other");
}

#[test]
fn spans_point_at_what_was_written() {
    let text = "a { id = \"x\" y # c\n }";
    let Statement::Section(_, _, inner) = &parse(7, text.as_bytes()).unwrap()[0] else { panic!() };
    let Statement::Value(key, Some(value)) = &inner[0] else { panic!() };
    assert_eq!(key.span, Span { file: 7, start: 4, end: 6 });
    assert_eq!(value.span, Span { file: 7, start: 9, end: 14 });
}

proptest! {
    #[test]
    fn any_bytes_give_statements_or_a_report(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut sources = Sources::default();
        let file = sources.add("x", &bytes);
        if let Err(report) = parse(file, &bytes) {
            prop_assert!(report.span.is_somewhere());
            let _ = report.render(&sources);
        }
    }

    #[test]
    fn almost_right_text_does_not_panic(text in "([a-z]{1,3}|[ \n\t{}=:,.\"#\\\\]|include ){0,60}") {
        let mut sources = Sources::default();
        let file = sources.add("x", text.as_bytes());
        if let Err(report) = parse(file, text.as_bytes()) {
            let _ = report.render(&sources);
        }
    }
}
