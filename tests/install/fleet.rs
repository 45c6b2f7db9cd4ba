//! The packages of the stories about dpkg: what a base has, what an archive brings next, and what was changed between.
//!
//! Every script of every package notes how it was called in /var/lib/scripts.

use crate::support::Deb;

/// Notes its own name and arguments.
const NOTE: &str = "#!/bin/sh\nset -e\nmkdir -p /var/lib/scripts\n\
                    echo \"$DPKG_MAINTSCRIPT_NAME $*\" >> /var/lib/scripts/$DPKG_MAINTSCRIPT_PACKAGE\n";

/// Returns a package whose scripts note their calls, and do what is said here besides.
fn package(name: &str, version: &str, scripts: &[(&str, &str)]) -> Deb {
    let script = |deb: Deb, script: &&str| {
        let more = scripts.iter().find(|(name, _)| name == script).map_or("", |(_, text)| text);
        deb.script(script, &format!("{NOTE}{more}"))
    };
    ["preinst", "postinst", "prerm", "postrm"].iter().fold(Deb::new(name, version), script)
}

fn plain(name: &str, version: &str) -> Deb {
    package(name, version, &[]).file(&format!("/usr/share/{name}/data"), 0o644, format!("{name} {version}"))
}

fn conffiles(deb: Deb, names: &[&str], content: &str) -> Deb {
    let add = |deb: Deb, name: &&str| {
        let path = format!("/etc/tool/{name}");
        deb.file(&path, 0o644, content).conffile(&path)
    };
    names.iter().fold(deb, add)
}

fn pick(name: &str, priority: u32) -> Deb {
    let path = format!("/usr/bin/{name}");
    let install = format!("update-alternatives --install /usr/bin/pick pick {path} {priority}\n");
    let remove = format!("[ \"$1\" != remove ] || update-alternatives --remove pick {path}\n");
    package(name, "1.0", &[("postinst", &install), ("prerm", &remove)]).file(&path, 0o755, name)
}

/// Notes which files it watches over, whenever there are others.
fn watcher(name: &str, interest: &str) -> Deb {
    let look = format!("[ \"$1\" = configure ] || ls /usr/share/watched > /var/lib/{name} || true\n");
    package(name, "1.0", &[("postinst", &look)])
        .control_file("triggers", &format!("{interest} /usr/share/watched\n"))
}

/// Returns what the base has.
pub(crate) fn old() -> Vec<Deb> {
    let tool = package("tool", "1.0", &[]).file("/usr/bin/tool", 0o755, "tool 1");
    let own_mode =
        "[ \"$1\" != configure ] || dpkg-statoverride --update --add root mail 2750 /usr/bin/special\n";
    vec![
        conffiles(tool, &["changed", "deleted", "obsolete", "plain"], "old\n"),
        package("runner", "1.0", &[]).file("/usr/bin/run", 0o755, "run 1"),
        package("special", "1.0", &[("postinst", own_mode)]).file("/usr/bin/special", 0o755, "special 1"),
        conffiles(plain("leaving", "1.0"), &["leaving"], "old\n"),
        plain("follower", "1.0").depends("leaving"),
        plain("needed", "1.0"),
        plain("dependant", "1.0").depends("needed"),
        plain("vanishing", "1.0"),
        package("rival", "1.0", &[]).file("/usr/bin/one", 0o755, "rival"),
        pick("pick-old", 50),
        watcher("watcher", "interest-noawait"),
        watcher("awaited", "interest"),
        package("fed", "1.0", &[]).file("/usr/share/watched/old", 0o644, "old"),
        plain("first", "1.0"),
        plain("chooser", "1.0").depends("first | second"),
        plain("bystander", "1.0").depends("mawk | awk"),
    ]
}

/// Returns what the archive brings next.
pub(crate) fn new() -> Vec<Deb> {
    let tool = package("tool", "2.0", &[]).depends("library").file("/usr/bin/tool", 0o755, "tool 2");
    let documented = tool.file("/usr/share/doc/tool/NEWS", 0o644, "news").file(
        "/usr/share/doc/tool/copyright",
        0o644,
        "mine",
    );
    let divert = "[ \"$1\" != install ] || dpkg-divert --package diverter --add --rename --divert /usr/bin/run.real /usr/bin/run\n";
    vec![
        conffiles(documented, &["changed", "deleted", "plain"], "new\n"),
        plain("library", "1.0"),
        package("runner", "2.0", &[]).file("/usr/bin/run", 0o755, "run 2"),
        package("diverter", "1.0", &[("preinst", divert)]).file("/usr/bin/run", 0o755, "wrapped"),
        package("special", "2.0", &[]).file("/usr/bin/special", 0o755, "special 2"),
        pick("pick-low", 10),
        pick("pick-high", 70),
        package("feeder", "1.0", &[]).file("/usr/share/watched/new", 0o644, "new"),
        plain("needed", "2.0").field("Breaks", "dependant (<< 2)"),
        plain("dependant", "2.0").depends("needed").field("Breaks", "needed (<< 2)"),
        plain("second", "1.0"),
        plain("gnawk", "1.0").field("Provides", "awk"),
        plain("successor", "1.0").field("Replaces", "vanishing").file(
            "/usr/share/vanishing/data",
            0o644,
            "successor",
        ),
        package("newcomer", "1.0", &[]).field("Conflicts", "rival").field("Replaces", "rival").file(
            "/usr/bin/one",
            0o755,
            "newcomer",
        ),
    ]
}
