//! `task`: the same build as a task, with its image in an output. Installed in the image as `build`.

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    eprintln!(
        "error: the task is not built yet\nhint: use a put, or `estaleiro build DEFINITION --output oci:image`"
    );
    ExitCode::from(2)
}
