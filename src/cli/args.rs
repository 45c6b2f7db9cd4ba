//! The words of the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Parser, Subcommand, ValueHint};
use estaleiro::bom::Format;
use estaleiro::layer::Compression;
use estaleiro::oci::Platform;
use estaleiro::registry::Location;
use estaleiro::sandbox::Host;
use estaleiro::store::Bound;

use super::bom::{Form, Place};

/// Builds OCI images from a declarative definition, and tells where every bit came from.
///
/// No daemon, no other builder and no tool of this machine is used: apt, dpkg, tar and the like are
/// built in, or run inside the image in a sandbox.
///
/// Exit codes: 0 done, 1 the work failed, 2 the request was wrong.
/// The result goes to stdout, everything else to stderr.
#[derive(Parser)]
#[command(name = "estaleiro", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Say nothing but errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Build an image and put it, with its bill of materials, into a directory or a registry.
    Build(Box<BuildArgs>),
    /// Pin every floating name of a definition, and write estaleiro.lock beside it.
    ///
    /// Where there is a lock already, what moved is printed: what came (+), went (-) and changed (~).
    Lock(LockArgs),
    /// Print the build graph: for Graphviz, or as a picture.
    Graph(GraphArgs),
    /// Print the bill of materials of an image, or what differs between two.
    Bom(BomArgs),
    /// Verify the signatures of an image and of the documents that refer to it, and print what was signed.
    Verify(VerifyArgs),
}

/// What all verbs that read a definition take.
#[derive(clap::Args)]
pub(crate) struct DefinitionArgs {
    /// A definition, or a directory with an `estaleiro.hcl`.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Where the definition's files lie [default: the definition's directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) context: Option<PathBuf>,
    /// A value for a variable of the definition; may be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub(crate) variables: Vec<String>,
    /// Whom the image is for, as os/architecture [default: this machine].
    #[arg(long)]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
}

/// What every verb takes that touches the outside.
#[derive(clap::Args)]
pub(crate) struct WorldArgs {
    /// Where layers and indexes are kept between builds [default: /scratch/estaleiro, else ~/.cache/estaleiro].
    #[arg(long, value_name = "DIR", env = "ESTALEIRO_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// The apt configuration whose sources and keys are used when neither definition nor base image names any.
    #[arg(long, value_name = "DIR", default_value = "/etc/apt")]
    pub(crate) apt_config: PathBuf,
    /// The user name for the registry.
    #[arg(long, env = "ESTALEIRO_USERNAME", hide_env_values = true)]
    pub(crate) username: Option<String>,
    /// The password for the registry; better given in the environment.
    #[arg(long, env = "ESTALEIRO_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// A docker config.json with credentials for other registries, or `none` [default: $REGISTRY_AUTH_FILE, else
    /// $XDG_RUNTIME_DIR/containers/auth.json and $DOCKER_CONFIG/config.json or ~/.docker/config.json].
    #[arg(long, value_name = "FILE", env = "ESTALEIRO_AUTHFILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// The certificate that is shown to the registry if it asks for one, as a PEM file.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The private key of that certificate, as a PEM file.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// Reach the registry by plain http.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Ask MIRROR before the registry HOST for the images that a Dockerfile names; may be repeated.
    #[arg(
        long = "registry-mirror",
        value_name = "HOST=MIRROR",
        env = "ESTALEIRO_REGISTRY_MIRRORS",
        value_delimiter = ','
    )]
    pub(crate) registry_mirrors: Vec<String>,
    /// A certificate authority to trust besides this machine's, as a PEM file; may be repeated.
    #[arg(long = "ca-cert", value_name = "FILE")]
    pub(crate) ca_certs: Vec<PathBuf>,
}

#[derive(clap::Args)]
#[command(
    group(ArgGroup::new("destination").required(true).multiple(true)),
    after_help = "Examples:\n  estaleiro build examples/hello --output oci:out/hello\n  estaleiro build -f Dockerfile --target app --build-arg VERSION=1.2 --output oci:out/app .\n  estaleiro build . --push registry.example/team/app:1.2 --var commit=$(git rev-parse HEAD)"
)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) definition: DefinitionArgs,
    /// Use this lock [default: estaleiro.lock beside the definition, where there is one].
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Fail unless there is a lock.
    #[arg(long)]
    pub(crate) locked: bool,
    /// Put the image into an OCI layout directory: oci:DIR or oci:DIR:TAG.
    #[arg(long, value_name = "oci:DIR[:TAG]", group = "destination", value_parser = layout)]
    pub(crate) output: Option<Location>,
    /// Push the image to a registry.
    #[arg(long, value_name = "REFERENCE", group = "destination", value_parser = image_name)]
    pub(crate) push: Option<Location>,
    /// Do everything again, whatever is known of it.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// How much the state directory may hold after the build, as 10GB or 500MiB; what was used least recently goes away.
    #[arg(long, value_name = "SIZE", env = "ESTALEIRO_CACHE_MAX")]
    pub(crate) cache_max: Option<Bound>,
    /// Keep the root of a RUN that fails, and say where it is.
    #[arg(long)]
    pub(crate) keep_failed: bool,
    /// How layers are compressed: gzip[:1-9] or zstd[:1-19]; all but old Dockers read zstd.
    #[arg(long, value_name = "NAME[:LEVEL]", default_value_t)]
    pub(crate) compression: Compression,
    /// Another image, put by estaleiro, whose layers may be used again: a reference or oci:DIR[:TAG]; may be repeated.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) cache_from: Vec<Location>,
    /// Sign image and documents with this key, as cosign does; its password is the variable COSIGN_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(crate) sign_key: Option<PathBuf>,
    /// The password of that key; only read from the environment.
    #[arg(long, env = "COSIGN_PASSWORD", hide = true, hide_env_values = true)]
    pub(crate) sign_password: Option<String>,
    /// A policy that the image must keep, besides the definition's own; may be repeated.
    #[arg(long = "policy", value_name = "FILE")]
    pub(crate) policies: Vec<PathBuf>,
    /// A form of the bill of materials to attach, besides yaml; may be repeated [default: as the definition says, else all
    /// but spdx3].
    #[arg(long = "bom-format", value_name = "FORMAT")]
    pub(crate) bom_formats: Vec<Format>,
    #[command(flatten)]
    pub(crate) dockerfile: DockerfileArgs,
}

/// What a Dockerfile takes that is built instead of a definition.
#[derive(clap::Args)]
#[command(next_help_heading = "To build a Dockerfile")]
pub(crate) struct DockerfileArgs {
    /// Build this Dockerfile; PATH is the context, whose `.dockerignore` counts unless FILE.dockerignore is there.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["variables", "context", "locked"])]
    pub(crate) file: Option<PathBuf>,
    /// A value for an ARG; without `=VALUE` it is taken from the environment; may be repeated.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", requires = "file")]
    pub(crate) build_args: Vec<String>,
    /// What a name stands for in FROM, COPY --from and RUN --mount=from=, instead of the stage or image of that name: a
    /// directory, docker-image://REFERENCE, or oci-layout://DIR[:TAG][@DIGEST]; may be repeated.
    #[arg(long = "build-context", value_name = "NAME=VALUE", requires = "file")]
    pub(crate) build_contexts: Vec<String>,
    /// The stage to build, by name or number [default: the last].
    #[arg(long, value_name = "STAGE", requires = "file")]
    pub(crate) target: Option<String>,
    /// A label of the image; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "file")]
    pub(crate) labels: Vec<String>,
    /// A secret for `RUN --mount=type=secret`: id=NAME,src=FILE or id=NAME,env=VARIABLE; may be repeated.
    #[arg(long = "secret", value_name = "id=NAME[,src=FILE|,env=VARIABLE]", requires = "file")]
    pub(crate) secrets: Vec<String>,
    /// A host that commands know by name; may be repeated.
    #[arg(long = "add-host", value_name = "NAME=ADDRESS", requires = "file")]
    pub(crate) hosts: Vec<Host>,
    /// An agent's socket for `RUN --mount=type=ssh`: default, or NAME=SOCKET; or a private key's file; may be repeated.
    #[arg(long = "ssh", value_name = "NAME[=SOCKET|KEY]", requires = "file")]
    pub(crate) ssh: Vec<String>,
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  estaleiro lock examples/hello\n  estaleiro lock examples/hello --update jq\n  estaleiro lock examples/hello --check"
)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    pub(crate) definition: DefinitionArgs,
    /// Where to write it; `-` for stdout [default: estaleiro.lock beside the definition].
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Move only these packages, and what they can't do without; without a name, everything.
    #[arg(long, value_name = "PACKAGE", num_args = 0..)]
    pub(crate) update: Option<Vec<String>>,
    /// Write nothing, and fail if anything would move.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(clap::Args)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) definition: DefinitionArgs,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub(crate) format: GraphFormat,
    /// Use this lock [default: estaleiro.lock beside the definition, where there is one].
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
}

/// The forms of a build graph.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum GraphFormat {
    /// Graphviz' language.
    Dot,
    /// A picture.
    Svg,
}

#[derive(clap::Args)]
#[command(
    group(ArgGroup::new("accounts").required(true).args(["image", "diff"])),
    after_help = "Examples:\n  estaleiro bom registry.example/team/app:1.2\n  estaleiro bom oci:out/hello --format cyclonedx\n  estaleiro bom bom.yml --html -o bom.html\n  estaleiro bom bom.yml --licenses\n  estaleiro bom --diff registry.example/team/app:1.2 oci:out/app --format markdown"
)]
pub(crate) struct BomArgs {
    /// An image, REFERENCE or oci:DIR[:TAG]; or a bom.yml that lies here.
    pub(crate) image: Option<Place>,
    /// The form to print: yaml, cyclonedx (1.6, JSON) or spdx (2.3, JSON), as it is attached, else made of the yaml
    /// [default: yaml]; of what differs text, markdown or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Form>,
    /// Print a page for people, which needs no network.
    #[arg(long, conflicts_with_all = ["format", "diff"])]
    pub(crate) html: bool,
    /// Print the licences: of which packages each is, whose copyright that is, and where the sources are; as text or json.
    #[arg(long, conflicts_with_all = ["html", "diff"])]
    pub(crate) licenses: bool,
    /// Say instead whether the image is what its account says: layers, paths, and files by their digests.
    #[arg(long, conflicts_with_all = ["format", "html", "licenses", "diff"])]
    pub(crate) verify: bool,
    /// Print what came, went and changed from A to B, each an image or a bom.yml.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub(crate) diff: Vec<Place>,
    /// Write it to this file instead.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  estaleiro verify registry.example/team/app:1.2 --key cosign.pub")]
pub(crate) struct VerifyArgs {
    /// An image: REFERENCE or oci:DIR[:TAG].
    pub(crate) image: Location,
    /// A public key, of which one must have signed; may be repeated.
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub(crate) keys: Vec<PathBuf>,
    /// Which image of an index, as os/architecture [default: this machine].
    #[arg(long)]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
}

/// Reads where `--output` goes.
fn layout(text: &str) -> Result<Location, String> {
    match text.parse() {
        Ok(location @ Location::Layout { .. }) => Ok(location),
        Ok(Location::Remote(_)) | Err(_) => {
            let meant = format!("oci:{text}");
            let is_meant = !text.starts_with("oci:") && meant.parse::<Location>().is_ok();
            let example = if is_meant { meant.as_str() } else { "oci:out" };
            Err(format!("expected oci:DIR[:TAG], as in {example}"))
        }
    }
}

/// Reads where `--push` goes.
fn image_name(text: &str) -> Result<Location, String> {
    match text.parse::<Location>() {
        Ok(Location::Layout { .. }) => Err("that is a directory: use --output".into()),
        Ok(location @ Location::Remote(_)) => Ok(location),
        Err(_) if text.starts_with("oci:") => Err("that is a directory: use --output".into()),
        Err(error) => Err(error.to_string()),
    }
}
