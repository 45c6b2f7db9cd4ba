//! The cache of the task: what it holds, and how much.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::yard::Yard;

const DOCKERFILE: &str = "FROM @base AS tool\nRUN --mount=type=cache,target=/c echo x >> /c/log && cp /c/log /made\n\
                          FROM @base\nCOPY --from=tool /made /made\nRUN rm /bin/find\n";

fn rebuild(yard: &Yard, params: &[(&str, &str)]) -> (String, Vec<u8>) {
    let _ = fs::remove_dir_all(yard.path("image"));
    yard.directory("image");
    (yard.build_source(params), fs::read(yard.path("image/image.tar")).unwrap())
}

fn files(directory: &Path) -> usize {
    let output = Command::new("find").arg(directory).args(["-type", "f", "-size", "+0"]).output().unwrap();
    output.stdout.split(|byte| *byte == b'\n').count() - 1
}

#[test]
fn a_build_after_pruning_just_works() {
    let yard = Yard::with(DOCKERFILE);
    let (_, first) = rebuild(&yard, &[]);
    let (stderr, second) = rebuild(&yard, &[("CACHE_MAX", "0")]);
    assert!(stderr.contains("0 built") && stderr.contains("cache   "), "{stderr}");
    assert_eq!(files(&yard.path("cache")), 0);
    let (stderr, third) = rebuild(&yard, &[("CACHE_MAX", "1GB")]);
    assert!(stderr.contains("0 cached") && !stderr.contains("cache   "), "{stderr}");
    assert!(first == second && second == third);
    let (stderr, _) = rebuild(&yard, &[]);
    assert!(stderr.contains("0 built"), "{stderr}");
}

#[test]
fn a_build_after_every_possible_loss_just_works() {
    let yard = Yard::with(&DOCKERFILE.replace(">>", ">"));
    let (_, first) = rebuild(&yard, &[]);
    let found = Command::new("find")
        .arg(yard.path("cache"))
        .args(["-mindepth", "2", "(", "-path", "*/trees/*", "-prune", "-o", "-type", "f", ")", "-print"])
        .output();
    let listed = String::from_utf8(found.unwrap().stdout).unwrap();
    let lost: Vec<&str> = listed.lines().filter(|path| !path.ends_with(".lock")).collect();
    assert!(lost.len() > 10, "{listed}");
    for path in lost {
        let path = Path::new(path);
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        if gone.is_ok() {
            let (stderr, again) = rebuild(&yard, &[]);
            assert!(again == first, "{}\n{stderr}", path.display());
        }
    }
}

#[test]
fn the_command_line_has_a_bound_too() {
    let yard = Yard::with("FROM @base\nCOPY Dockerfile /d");
    let build = |bound: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_estaleiro"))
            .current_dir(yard.path("source"))
            .args(["build", "-f", "Dockerfile", "--output", "oci:../out", "--state", "../cache", "."])
            .env("ESTALEIRO_CACHE_MAX", bound)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(build("10GB").0, Some(0));
    assert!(files(&yard.path("cache/blobs")) > 0);
    assert_eq!(build("0").0, Some(0));
    assert_eq!(files(&yard.path("cache")), 0);
    let (code, stderr) = build("much");
    assert!(code == Some(2) && stderr.contains("expected a size like 10GB or 500MiB"), "{stderr}");
}
