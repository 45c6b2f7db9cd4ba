//! The way to the network: through proxies, and to servers whose authority nobody knows. curl and apt go it, too.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::shop::Shop;
use crate::support::git::Habits;
use crate::support::http::{self, Handler, Server};
use crate::support::{self, GitRepository, GitServer, Tarball, TestImage, Tls};

fn serve(content: &'static str) -> Server {
    answer(200, content)
}

fn answer(status: u16, content: &'static str) -> Server {
    Server::start(move |_| {
        let handler: Handler = Arc::new(move |_| async move { http::bytes(status, content) }.boxed());
        handler
    })
}

#[test]
fn downloads_and_repositories_come_from_servers_of_an_authority_that_is_given() {
    let (shop, server) = (Shop::new(), serve("from afar"));
    let app = GitRepository::new(shop.beside("repositories/app"));
    app.write("README", "first\n").commit("first");
    app.git(&["tag", "v1"]);
    let git = GitServer::start(&shop.beside("repositories"), Habits::default());
    for (target, path, expected) in
        [(server.address(), "/tool.txt", "from afar"), (git.server.address(), "/app/.git#v1", "first\n")]
    {
        let tls = Tls::before(target);
        let dockerfile = format!("FROM scratch\nADD {}{path} /in/\n", tls.url());
        let stderr = shop.fail(&dockerfile, &[]);
        assert!(
            stderr.contains("certificate") && stderr.contains("hint: name the certificate authority"),
            "{stderr}"
        );
        let built = shop.build(&dockerfile, &["--ca-cert", tls.authority_file().to_str().unwrap()]);
        let name = if path.contains("git") { "/in/README" } else { "/in/tool.txt" };
        assert_eq!(built.read(name), expected);
    }
}

/// Returns an image with busybox, a dpkg database, and these programs of the machine, with the libraries that they need.
fn with_programs(programs: &[&str]) -> TestImage {
    let tables = ["/usr/share/dpkg/cputable", "/usr/share/dpkg/tupletable"];
    let mut files: BTreeSet<String> = programs.iter().chain(&tables).map(|&path| path.to_owned()).collect();
    for program in programs {
        let libraries = support::run("ldd", &[program]);
        files.extend(libraries.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    // What apt takes for a Debian system.
    let mut root = Tarball::new()
        .directory("etc/apt/apt.conf.d/", 0o755)
        .file("etc/apt/apt.conf", 0o644, "APT::Sandbox::User \"root\";\n")
        .file("etc/debian_version", 0o644, "")
        .file("usr/bin/dpkg", 0o755, "")
        .file("var/lib/dpkg/status", 0o644, "");
    for file in files {
        root = root.file(file.trim_start_matches('/'), 0o755, fs::read(&file).unwrap());
    }
    support::image::busybox().layer(&root)
}

#[test]
fn curl_and_apt_trust_the_authority_in_commands_and_nothing_of_it_is_in_the_image() {
    let (shop, server) = (Shop::new(), serve("from afar"));
    let programs =
        ["/usr/bin/curl", "/usr/bin/apt-get", "/usr/lib/apt/apt-helper", "/usr/lib/apt/methods/https"];
    shop.offer("tools", &with_programs(&programs));
    let tls = Tls::before(server.address());
    let dockerfile = format!(
        "FROM @tools\nRUN /usr/bin/curl -sS {0}/x > /curl\nRUN /usr/lib/apt/apt-helper download-file {0}/x /apt\n",
        tls.url()
    );
    let (curl, _) = dockerfile.split_at(dockerfile.find("RUN /usr/lib").unwrap());
    for alone in [curl.to_owned(), dockerfile.replace("RUN /usr/bin/curl", "RUN true")] {
        let stderr = shop.fail(&alone, &[]);
        assert!(stderr.contains("certificate"), "{stderr}");
    }
    let built = shop.build(&dockerfile, &["--ca-cert", tls.authority_file().to_str().unwrap()]);
    assert_eq!((built.read("/curl"), built.read("/apt")), ("from afar".to_owned(), "from afar".to_owned()));
    let dev = built.tree("/dev/");
    assert!(!dev.contains("estaleiro"), "{dev}");
    let authority = tls.authority();
    for trace in [authority.lines().nth(1).unwrap(), "dev/estaleiro"] {
        assert!(!built.holds(trace), "{trace}");
    }
    // It decides nothing: without it all is known.
    let n_requests = server.log.count("*", "");
    assert_eq!(shop.build(&dockerfile, &[]).digest, built.digest);
    assert_eq!(server.log.count("*", ""), n_requests);
}

#[test]
fn a_proxy_of_the_environment_is_seen_by_commands_and_its_password_by_nobody() {
    let (shop, proxy) = (Shop::new(), answer(407, ""));
    let url = format!("http://ann:canary@{}", proxy.address());
    let build = |dockerfile: &str| {
        let mut command = shop.command(dockerfile, "state");
        command.env("http_proxy", &url).env("no_proxy", "127.0.0.1");
        let output = command.arg(shop.context()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (is_built, stderr) =
        build("FROM @base\nARG http_proxy\nENV seen=$http_proxy\nRUN env | grep -i proxy\n");
    assert!(is_built, "{stderr}");
    for name in ["http_proxy", "HTTP_PROXY"] {
        assert!(stderr.contains(&format!("{name}=http://ann:***@{}", proxy.address())), "{stderr}");
    }
    assert!(!stderr.contains("canary"), "{stderr}");
    let found = |place: &str| crate::shop::any_file_holds(&shop.beside(place), "canary");
    assert!(!found("out") && !found("state"));
    let (is_built, stderr) = build("FROM scratch\nADD http://archive.example/x /\n");
    assert!(!is_built && !stderr.contains("canary"), "{stderr}");
    assert!(stderr.contains("cannot get http://archive.example/x") && stderr.contains("407"), "{stderr}");
}
