//! Commands where nothing can be mounted: each works in a copy of its root, and the image comes out the same.

use std::process::Output;

use crate::shop::Shop;

/// Builds with a state of its own for each sandbox.
fn build_in(sandbox: &str, shop: &Shop, dockerfile: &str, arguments: &[&str]) -> Output {
    let mut command = shop.command(dockerfile, &format!("state-{sandbox}"));
    command.env("ESTALEIRO_SANDBOX", sandbox).args(arguments).arg(shop.context()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Builds in either sandbox, and insists on the same image; returns what was said of the one without mounts.
fn build_in_both(shop: &Shop, dockerfile: &str) -> String {
    let [mounted, copied] = ["namespaces", "chroot"].map(|sandbox| build_in(sandbox, shop, dockerfile, &[]));
    for output in [&mounted, &copied] {
        assert!(output.status.success(), "{dockerfile}\n{}", said(output));
    }
    assert_eq!(mounted.stdout, copied.stdout, "{dockerfile}\n{}", said(&copied));
    assert_eq!(std::fs::read_dir(shop.beside("state-chroot/scratch")).unwrap().count(), 0);
    said(&copied)
}

#[test]
fn three_stages_come_out_the_same() {
    let shop = Shop::new();
    shop.write("src/main", "main");
    shop.write("src/sub/other", "other");
    let told = build_in_both(
        &shop,
        r#"FROM @base AS tools
COPY src /src
RUN mkdir -p /opt/t/bin && cd /opt/t && echo one > bin/one && cp bin/one bin/two && chown -R 7:8 . && chmod 4755 bin/one
RUN mkdir /opt/d /opt/e && echo x > /opt/d/x && echo y > /opt/d/y && echo z > /opt/e/z && touch -t 200101010000 /opt/e/z
RUN rm -r /opt/d && mkdir /opt/d && echo y > /opt/d/y && echo new > /opt/d/n && rm /opt/e/z && mkdir /opt/e/z && echo f > /opt/e/z/f
RUN rm -r /opt/e/z && echo file > /opt/e/z && chmod 700 /opt/e && mv /opt/t /opt/moved && cp -p /src/main /src/m && mv /src/m /src/main
FROM @base AS made
RUN --mount=type=cache,target=/var/cache/made echo first >> /var/cache/made/log
RUN --mount=type=cache,target=/var/cache/made,sharing=locked --mount=from=tools,source=/opt,target=/mnt --mount=target=/c \
    --mount=type=tmpfs,target=/t touch /t/x && cat /var/cache/made/log /c/src/main > /made && cp -a /mnt/moved /srv && rm /etc/group
RUN --mount=from=tools,target=/mnt,rw rm -r /mnt/opt && cp /mnt/src/sub/other /other && touch /etc && echo changed >> /made
FROM @base
COPY --from=made /srv /srv
RUN --mount=from=made,source=/other,target=/in/other cat /in/other > /out && mv /tmp /var && chmod 711 /
RUN echo more >> /out && rm -r /srv/bin/two
"#,
    );
    assert_eq!(told.matches("copy the root").count(), 3, "each stage copies once: {told}");
}

/// In a mount, the name that a file is changed through becomes a file of its own.
#[test]
fn one_of_several_names_is_changed_as_in_a_mount() {
    for (change, is_told) in [
        ("echo more >> /l/a", true),
        ("chown -R 5 /l", true),
        ("mv /l/a /l/c", true),
        ("rm /l/a", false),
        ("cp -a /l /copied", false),
    ] {
        let shop = Shop::new();
        let told = build_in_both(
            &shop,
            &format!(
                "FROM @base\nRUN mkdir /l && echo a > /l/a\nRUN /bin/busybox ln /l/a /l/b\nRUN {change}\nRUN stat -c '%n %u %s' /l/* > /listed; cat /l/* >> /listed\n"
            ),
        );
        assert_eq!(told.contains("once more"), is_told, "{change}: {told}");
    }
}

#[test]
fn what_is_known_of_one_sandbox_is_known_in_the_other() {
    let shop = Shop::new();
    let dockerfile = "FROM @base\nRUN mkdir /d && echo x > /d/x\nRUN rm /d/x && echo y > /d/y\n";
    for state in ["one", "other"] {
        let mut command = shop.command(dockerfile, state);
        let first = command.env("ESTALEIRO_SANDBOX", "chroot").arg(shop.context()).output().unwrap();
        let longer = format!("{dockerfile}RUN cat /d/* > /all\n");
        let mut command = shop.command(&longer, state);
        let second = command.env("ESTALEIRO_SANDBOX", "namespaces").arg(shop.context()).output().unwrap();
        assert!(first.status.success() && second.status.success(), "{}{}", said(&first), said(&second));
    }
    build_in_both(&shop, &format!("{dockerfile}RUN cat /d/* > /all\n"));
}

#[test]
fn what_may_only_be_read_and_was_written_ends_the_build() {
    let shop = Shop::new();
    shop.write("x", "x");
    let cases = [
        ("--mount=target=/c", "echo > /c/new", "the command wrote to /c/new, which may only be read"),
        ("--mount=target=/c", "rm /c/x", "the command wrote to /c/x, "),
        ("--mount=from=@base,source=/etc,target=/e", "echo >> /e/passwd", "wrote to /e/passwd, "),
        ("--mount=from=@base,source=/etc/passwd,target=/p", "echo >> /p", "wrote to /p, "),
        ("--mount=type=cache,target=/k,ro", "touch /k/x", "wrote to /k/x, "),
        (
            "--mount=type=cache,id=k,target=/k --mount=type=cache,id=k,target=/l",
            "true",
            "cannot show the cache k at /l too",
        ),
    ];
    for (mount, script, expected) in cases {
        let output = build_in("chroot", &shop, &format!("FROM @base\nRUN {mount} {script}\n"), &[]);
        assert!(!output.status.success() && said(&output).contains(expected), "{mount}: {}", said(&output));
    }
}

#[test]
fn the_root_of_a_command_that_failed_is_kept_as_it_is() {
    let shop = Shop::new();
    let output = build_in("chroot", &shop, "FROM @base\nRUN echo half > /half; false\n", &["--keep-failed"]);
    let said = said(&output);
    let script = said.split("run: sh ").nth(1).and_then(|rest| rest.lines().next()).expect(&said);
    let look = std::process::Command::new("sh").args([script, "cat", "/half"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&look.stdout), "half\n", "{}", String::from_utf8_lossy(&look.stderr));
}
