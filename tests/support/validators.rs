//! What other people wrote to tell whether a bill of materials is one: CycloneDX's, SPDX's, and of the minimum elements that
//! the NTIA, the BSI and the CISA ask for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where ci/prepare puts them.
const PLACE: &str = "/opt/bom-validators/bin";

/// What a minimum of elements is asked by.
#[derive(Clone, Copy, Debug)]
pub enum Standard {
    Ntia,
    Bsi,
    Fsct3,
}

/// Checks a file against the schema of CycloneDX 1.6, strictly.
pub fn cyclonedx(file: &Path) {
    let script = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read(), all_errors=True)
sys.exit('\\n'.join(repr(error)[:2000] for error in errors or []) or 0)";
    succeeds(Command::new(program("python3")).args(["-c", script]).arg(file));
}

/// Checks a file against all that SPDX 2.3 asks.
pub fn spdx(file: &Path) {
    succeeds(Command::new(program("pyspdxtools")).arg("--infile").arg(file));
}

/// Checks a file against the classes of SPDX 3.0.1: its fields and their values, and that what it names is there.
pub fn spdx3(file: &Path) {
    let script = "
import io, sys
from spdx_python_model.bindings import v3_0_1 as spdx3
objects = spdx3.SHACLObjectSet()
with open(sys.argv[1], 'rb') as file:
    spdx3.JSONLDDeserializer().read(file, objects)
missing = objects.link()
spdx3.JSONLDSerializer().write(objects, io.BytesIO())
sys.exit('\\n'.join(sorted(missing)) or 0)";
    succeeds(Command::new(program("python3")).args(["-c", script]).arg(file));
}

/// Returns what a standard says of a file of SPDX 2.
pub fn report(standard: Standard, file: &Path) -> Value {
    report_of("spdx2", standard, file)
}

/// Returns what a standard says of a file of SPDX 3.
pub fn report3(standard: Standard, file: &Path) -> Value {
    report_of("spdx3", standard, file)
}

fn report_of(version: &str, standard: Standard, file: &Path) -> Value {
    let name = match standard {
        Standard::Ntia => "ntia",
        Standard::Bsi => "bsi",
        Standard::Fsct3 => "fsct3-min",
    };
    let mut command = Command::new(program("sbomcheck"));
    command.args(["--quiet", "--sbom-spec", version, "--comply", name, "--output", "json"]).arg(file);
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Checks a YAML file against a JSON schema of draft 2020-12; returns what is wrong.
pub fn schema(schema: &Path, yaml: &Path) -> String {
    let script = "
import json, sys, yaml
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
# A time is a text, as in JSON.
loader = yaml.SafeLoader
loader.yaml_implicit_resolvers = {key: [(tag, regexp) for tag, regexp in values if tag != 'tag:yaml.org,2002:timestamp'] for key, values in loader.yaml_implicit_resolvers.items()}
for error in validator.iter_errors(yaml.load(open(sys.argv[2]), loader)):
    print(error.json_path, error.message[:500])";
    succeeds(Command::new(program("python3")).args(["-c", script]).args([schema, yaml]))
}

fn program(name: &str) -> PathBuf {
    let program = Path::new(PLACE).join(name);
    assert!(program.exists(), "{} isn't there: ci/prepare installs it", program.display());
    program
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
    let start: String = said.concat().chars().take(6000).collect();
    assert!(output.status.success(), "{command:?}: {}\n{start}", output.status);
    said[0].clone()
}
