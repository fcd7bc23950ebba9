use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Files in memory; `*` in a pattern stands for any file of that directory.
struct Files(BTreeMap<PathBuf, String>);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }
}

impl Loader for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = glob::Pattern::new(pattern.to_str().unwrap()).unwrap();
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
        Ok(self.0.keys().filter(|path| pattern.matches_path_with(path, options)).cloned().collect())
    }
}

/// `a=1 b{c=2}`, in order.
fn show(section: &Section) -> String {
    let one = |(key, node): (&String, &Node)| match node {
        Node::Value(value) => format!("{key}={}", value.as_text().unwrap()),
        Node::List(_) => panic!("files have no lists"),
        Node::Section(inner) => format!("{key}{{{}}}", show(inner)),
    };
    section.entries.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn one(text: &str) -> String {
    show(&load(&Files::new(&[("a.conf", text)]), Path::new("a.conf")).unwrap().root)
}

#[test]
fn later_values_replace_and_sections_extend() {
    assert_eq!(one("a { v = 1\n v = 2\n }\n a { w = 3\n l =\n }\n"), "a{v=2 w=3}");
    assert_eq!(one("a { v = 1\n }\n a { v =\n }\n"), "a{}");
    assert_eq!(one("a { x { b = 1\n } c = 2\n }"), "a{c=2 x{b=1}}");
}

#[test]
fn inheritance_as_documented() {
    assert_eq!(
        one("p { id = 3\n l { a = b\n c = d\n } }\nc { a : p { id = x\n } }"),
        "p{id=3 l{a=b c=d}} c{a{id=x l{a=b c=d}}}"
    );
    assert_eq!(
        one(
            "c { a : p, q.r { l { c = e\n a =\n} } }\np { id = 3\n l { a = b\n c = d\n } }\nq { r { z = 1\n } }"
        ),
        "c{a{id=3 z=1 l{c=e}}} p{id=3 l{a=b c=d}} q{r{z=1}}"
    );
    assert_eq!(one("c { a : c.b { x = 1\n }\n b : c.a { y = 2\n } }"), "c{a{x=1 y=2} b{y=2 x=1}}");
    // Inherited through a section that inherits, and from a section that only exists by inheritance.
    assert_eq!(
        one("a { x { v = 1\n } }\n b : a { }\n c : b { w = 2\n }\n d : b.x { }"),
        "a{x{v=1}} b{x{v=1}} c{w=2 x{v=1}} d{v=1}"
    );
    assert_eq!(one("a : a { v = 1\n }"), "a{v=1}");
    assert_eq!(one("a { v = 1\n b : a { w = 2\n } }"), "a{v=1 b{w=2}}");
    assert_eq!(one("a { b : c { } }\n c { d : a { } }"), "a{b{d{}}} c{d{b{}}}");
}

#[test]
fn includes_as_documented() {
    let files = Files::new(&[
        (
            "etc/a.conf",
            "a = b\nsection-one {\n  somevalue = before include\n  include include.conf\n}\ninclude d/*.conf\n",
        ),
        ("etc/include.conf", "somevalue = asdf\nsubsection {\n  othervalue = yyy\n}\nyetanother = zz\n"),
        ("etc/d/1.conf", "section-one { subsection { othervalue = xxx\n } }"),
        ("etc/d/2.conf", "section-two { x = 12\n }\ninclude ../e.conf\n"),
        ("etc/d/../e.conf", "y = 1"),
    ]);
    let loaded = load(&files, Path::new("etc/a.conf")).unwrap();
    assert_eq!(
        show(&loaded.root),
        "a=b y=1 section-one{somevalue=asdf yetanother=zz subsection{othervalue=xxx}} section-two{x=12}"
    );
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.sources.len(), 5);
    let value = loaded.root.lookup("section-one.subsection.othervalue").unwrap();
    assert_eq!(loaded.sources.position(value.span), Some(("etc/d/1.conf", 1, 41)));
}

#[test]
fn files_of_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::create_dir(directory.path().join("conf.d")).unwrap();
    write("swanctl.conf", "a { v = 0\n }\ninclude conf.d/*.conf\n");
    write("conf.d/20.conf", "a { v = 2\n }\n");
    write("conf.d/10.conf", "a { v = 1\n w = 1\n }\n");
    write("conf.d/.hidden.conf", "a { v = 3\n }\n");
    write("conf.d/30.conf.bak", "a { v = 4\n }\n");
    let loaded = load(&Disk, &directory.path().join("swanctl.conf")).unwrap();
    assert_eq!(show(&loaded.root), "a{v=2 w=1}");
    let error = load(&Disk, directory.path()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[test]
fn what_is_missing_is_told_and_does_no_harm() {
    let text = "include no.conf\ninclude none/*.conf\na : nosuch { }\nb : nosuch { }\n";
    let loaded = load(&Files::new(&[("a.conf", text)]), Path::new("a.conf")).unwrap();
    let lines: Vec<String> = loaded.warnings.iter().map(|w| w.line(&loaded.sources)).collect();
    assert_eq!(
        lines,
        [
            "a.conf:1:9: there is no file `no.conf`",
            "a.conf:3:5: there is no section `nosuch`",
            "a.conf:4:5: there is no section `nosuch`"
        ]
    );
}

#[test]
fn what_is_wrong_is_shown_in_its_file() {
    let files = Files::new(&[("a.conf", "include b.conf\n"), ("b.conf", "x\n")]);
    let error = load(&files, Path::new("a.conf")).unwrap_err();
    assert_eq!(error.to_string(), "b.conf:2:1: unexpected end of the file, expected `=`, `{` or `:`");
    let error = load(&files, Path::new("c.conf")).unwrap_err();
    assert_eq!(error.render(), "error: cannot read c.conf: entity not found\n");
    let error =
        load(&Files::new(&[("a.conf", "id { x = 1\n }\n id = 3\n")]), Path::new("a.conf")).unwrap_err();
    assert!(
        error.render().starts_with("error: `id` is a value and a section\n --> a.conf:1:1\n"),
        "{}",
        error.render()
    );
}

#[test]
fn bounds_hold() {
    let error = load(&Files::new(&[("a.conf", "include a.conf\n")]), Path::new("a.conf")).unwrap_err();
    assert_eq!(error.to_string(), "a.conf:1:9: more than 16 files included by each other");
    let mut text = String::from("s0 { v = 1\n }\n");
    for n in 1..40 {
        text.push_str(&format!("s{n} {{ a : s{} {{ }}\n b : s{} {{ }}\n }}\n", n - 1, n - 1));
    }
    let error = load(&Files::new(&[("a.conf", &text)]), Path::new("a.conf")).unwrap_err();
    assert!(error.to_string().ends_with("inheritance makes more than 111800 sections"), "{error}");
}

proptest! {
    #[test]
    fn any_references_end(refs in proptest::collection::vec((0usize..6, 0usize..6, any::<bool>()), 0..12)) {
        let mut text = String::new();
        for (a, b, nested) in refs {
            let (a, b) = (format!("s{a}"), if nested { format!("s{b}.s{a}") } else { format!("s{b}") });
            text.push_str(&format!("{a} : {b} {{ {b0} : {b} {{ v = 1\n }} }}\n", b0 = b.split('.').next().unwrap()));
        }
        let _ = load(&Files::new(&[("a.conf", &text)]), Path::new("a.conf"));
    }
}
