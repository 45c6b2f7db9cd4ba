//! The words of the command line: which there are, what is said to those that are not, and what each verb teaches.

use super::*;

#[test]
fn without_a_verb_the_verbs_are_shown() {
    let site = Site::new("");
    let said = site.fails(2, &mut site.estaleiro(&[]));
    for verb in ["build", "lock", "graph", "bom", "verify"] {
        assert!(said.contains(&format!("\n  {verb} ")), "{said}");
    }
}

#[test]
fn a_word_that_is_misspelled_is_answered_with_the_right_one() {
    let site = Site::new("");
    assert_said(
        &site.fails(2, &mut site.estaleiro(&["biuld"])),
        r##"error: unrecognized subcommand 'biuld'

  tip: a similar subcommand exists: 'build'

Usage: estaleiro [OPTIONS] <COMMAND>

For more information, try '--help'."##,
    );
    assert_said(
        &site.fails(2, &mut site.estaleiro(&["build", ".", "--outptu", "x"])),
        r##"error: unexpected argument '--outptu' found

  tip: a similar argument exists: '--output'

Usage: estaleiro build <--output <oci:DIR[:TAG]>|--push <REFERENCE>> <PATH>

For more information, try '--help'."##,
    );
    assert_said(
        &site.fails(2, &mut site.estaleiro(&["build", "."])),
        r##"error: the following required arguments were not provided:
  <--output <oci:DIR[:TAG]>|--push <REFERENCE>>

Usage: estaleiro build <--output <oci:DIR[:TAG]>|--push <REFERENCE>> <PATH>

For more information, try '--help'."##,
    );
    let platform = ["build", ".", "--output", "oci:out", "--platform", "linux/"];
    assert_said(
        &site.fails(2, &mut site.estaleiro(&platform)),
        "error: invalid value 'linux/' for '--platform <PLATFORM>': cannot read platform `linux/`: expected os/architecture or os/architecture/variant, as in `linux/amd64`\n\
         \n\
         For more information, try '--help'.",
    );
}

#[test]
fn a_directory_is_not_taken_for_a_registry_nor_the_other_way_round() {
    let site = sound();
    assert_said(
        &site.fails(2, site.verb("build").args(["--output", "out"])),
        "error: invalid value 'out' for '--output <oci:DIR[:TAG]>': expected oci:DIR[:TAG], as in oci:out\n\
         \n\
         For more information, try '--help'.",
    );
    assert_said(
        &site.fails(2, site.verb("build").args(["--push", "oci:out"])),
        "error: invalid value 'oci:out' for '--push <REFERENCE>': that is a directory: use --output\n\
         \n\
         For more information, try '--help'.",
    );
    assert_said(
        &site.fails(2, site.verb("build").args(["--push", "Registry.example/App"])),
        "error: invalid value 'Registry.example/App' for '--push <REFERENCE>': cannot read image name `Registry.example/App`: a repository is made of lower-case letters, digits, `.`, `_`, `-`, and `/` between its parts\n\
         \n\
         For more information, try '--help'.",
    );
    let digest = format!("registry.example/app@sha256:{}", "0".repeat(64));
    assert_said(
        &site.fails(2, site.verb("build").args(["--push", &digest])),
        "error: cannot push to registry.example/app@sha256:DIGEST: a digest is what comes out\n\
         hint: name a tag",
    );
    assert_eq!(names_in(&site.path("context")), ["estaleiro.hcl", "tool"]);
}

#[test]
fn a_name_without_its_password_is_refused() {
    let site = sound();
    assert_said(
        &site.fails(2, site.build().args(["--username", "me"])),
        "error: cannot log in: a user name and a password go together\n\
         hint: give --username or ESTALEIRO_USERNAME, and --password or ESTALEIRO_PASSWORD",
    );
    assert_said(
        &site.fails(2, site.build().env("ESTALEIRO_PASSWORD", "secret")),
        "error: cannot log in: a user name and a password go together\n\
         hint: give --username or ESTALEIRO_USERNAME, and --password or ESTALEIRO_PASSWORD",
    );
}

#[test]
fn every_verb_teaches_how_it_is_used() {
    let site = Site::new("");
    let help = |arguments: &[&str]| site.said(&site.succeeds(&mut site.estaleiro(arguments)).stdout);
    for verb in ["build", "lock", "graph", "bom", "verify"] {
        let said = help(&[verb, "--help"]);
        assert!(said.contains(&format!("Usage: estaleiro {verb} ")), "{said}");
        assert_said(&help(&["help", verb]), &said);
    }
    assert_said(
        &help(&["build", "--help"]),
        r##"Build an image and put it, with its bill of materials, into a directory or a registry

Usage: estaleiro build [OPTIONS] <--output <oci:DIR[:TAG]>|--push <REFERENCE>> [PATH]

Arguments:
  [PATH]  A definition, or a directory with an `estaleiro.hcl` [default: .]

Options:
      --context <DIR>                  Where the definition's files lie [default: the definition's
                                       directory]
  -q, --quiet                          Say nothing but errors
      --var <NAME=VALUE>               A value for a variable of the definition; may be repeated
      --platform <PLATFORM>            Whom the image is for, as os/architecture [default: this
                                       machine]
      --state <DIR>                    Where layers and indexes are kept between builds [default:
                                       /scratch/estaleiro, else ~/.cache/estaleiro] [env:
                                       ESTALEIRO_STATE=]
      --apt-config <DIR>               The apt configuration whose sources and keys are used when
                                       neither definition nor base image names any [default:
                                       /etc/apt]
      --username <USERNAME>            The user name for the registry [env: ESTALEIRO_USERNAME]
      --password <PASSWORD>            The password for the registry; better given in the
                                       environment [env: ESTALEIRO_PASSWORD]
      --authfile <FILE>                A docker config.json with credentials for other registries,
                                       or `none` [default: $REGISTRY_AUTH_FILE, else
                                       $XDG_RUNTIME_DIR/containers/auth.json and
                                       $DOCKER_CONFIG/config.json or ~/.docker/config.json] [env:
                                       ESTALEIRO_AUTHFILE=]
      --client-cert <FILE>             The certificate that is shown to the registry if it asks for
                                       one, as a PEM file
      --client-key <FILE>              The private key of that certificate, as a PEM file
      --insecure                       Reach the registry by plain http
      --registry-mirror <HOST=MIRROR>  Ask MIRROR before the registry HOST for the images that a
                                       Dockerfile names; may be repeated [env:
                                       ESTALEIRO_REGISTRY_MIRRORS=]
      --ca-cert <FILE>                 A certificate authority to trust besides this machine's, as a
                                       PEM file; may be repeated
      --lock <FILE>                    Use this lock [default: estaleiro.lock beside the definition,
                                       where there is one]
      --locked                         Fail unless there is a lock
      --output <oci:DIR[:TAG]>         Put the image into an OCI layout directory: oci:DIR or
                                       oci:DIR:TAG
      --push <REFERENCE>               Push the image to a registry
      --no-cache                       Do everything again, whatever is known of it
      --cache-max <SIZE>               How much the state directory may hold after the build, as
                                       10GB or 500MiB; what was used least recently goes away [env:
                                       ESTALEIRO_CACHE_MAX=]
      --keep-failed                    Keep the root of a RUN that fails, and say where it is
      --compression <NAME[:LEVEL]>     How layers are compressed: gzip[:1-9] or zstd[:1-19]; all but
                                       old Dockers read zstd [default: gzip:5]
      --cache-from <IMAGE>             Another image, put by estaleiro, whose layers may be used
                                       again: a reference or oci:DIR[:TAG]; may be repeated
      --sign-key <FILE>                Sign image and documents with this key, as cosign does; its
                                       password is the variable COSIGN_PASSWORD
      --policy <FILE>                  A policy that the image must keep, besides the definition's
                                       own; may be repeated
      --bom-format <FORMAT>            A form of the bill of materials to attach, besides yaml; may
                                       be repeated [default: as the definition says, else all but
                                       spdx3]
  -h, --help                           Print help

To build a Dockerfile:
  -f, --file <FILE>
          Build this Dockerfile; PATH is the context, whose `.dockerignore` counts unless
          FILE.dockerignore is there
      --build-arg <NAME[=VALUE]>
          A value for an ARG; without `=VALUE` it is taken from the environment; may be repeated
      --build-context <NAME=VALUE>
          What a name stands for in FROM, COPY --from and RUN --mount=from=, instead of the stage or
          image of that name: a directory, docker-image://REFERENCE, or
          oci-layout://DIR[:TAG][@DIGEST]; may be repeated
      --target <STAGE>
          The stage to build, by name or number [default: the last]
      --label <NAME=VALUE>
          A label of the image; may be repeated
      --secret <id=NAME[,src=FILE|,env=VARIABLE]>
          A secret for `RUN --mount=type=secret`: id=NAME,src=FILE or id=NAME,env=VARIABLE; may be
          repeated
      --add-host <NAME=ADDRESS>
          A host that commands know by name; may be repeated
      --ssh <NAME[=SOCKET|KEY]>
          An agent's socket for `RUN --mount=type=ssh`: default, or NAME=SOCKET; or a private key's
          file; may be repeated

Examples:
  estaleiro build examples/hello --output oci:out/hello
  estaleiro build -f Dockerfile --target app --build-arg VERSION=1.2 --output oci:out/app .
  estaleiro build . --push registry.example/team/app:1.2 --var commit=$(git rev-parse HEAD)"##,
    );
    let top = help(&["--help"]);
    assert!(top.contains("Exit codes: 0 done, 1 the work failed, 2 the request was wrong."), "{top}");
}
