//! Who watches a run: told of each program before it starts, with what is in its environment, and of what is removed, in
//! either sandbox.

use std::sync::Mutex;

use estaleiro::sandbox::{Cancel, Exit, Root, Sandbox, Starting, Watch};

use crate::{Place, sh};

/// Runs a script in a sandbox, and returns what was told: programs, with the value of a variable.
fn told(sandbox: Sandbox, place: &Place, script: &str) -> (Exit, Vec<String>) {
    let told = Mutex::new(Vec::new());
    let watch = |starting: &mut Starting<'_>| {
        let [value, missing] = starting.variables(["WHO", "NOT_THERE"]);
        assert_eq!(missing, None);
        let program = String::from_utf8_lossy(&starting.program).into_owned();
        told.lock().unwrap().push(format!("{program} {}", value.unwrap_or_default()));
        let seen = place.path("root/seen");
        std::fs::write(place.path("root/told"), seen.exists().to_string()).unwrap();
    };
    let (root, cancel) = (Root::Plain(place.path("root")), Cancel::new().unwrap());
    let watch = Watch {
        starts: &watch,
        removals: Some(&|removing| {
            let path = removing.path().unwrap();
            told.lock().unwrap().push(format!("- {}", String::from_utf8_lossy(&path)));
        }),
    };
    let exit = sandbox.run_watched(&root, &sh(script), watch, &cancel, &mut |_, _| {}).unwrap();
    (exit, told.into_inner().unwrap())
}

#[test]
fn each_program_is_told_before_it_starts() {
    for sandbox in [Sandbox::Namespaces, Sandbox::Chroot] {
        let place = Place::new();
        let (exit, told) = told(
            sandbox,
            &place,
            "/bin/ls / >/dev/null; WHO=me /bin/cat /told >/seen; exec /bin/id >/dev/null",
        );
        assert_eq!(exit, Exit::Code(0));
        assert_eq!(told, ["/bin/sh ", "/bin/ls ", "/bin/cat me", "/bin/id "], "{sandbox}");
        // The file was written while the program waited.
        assert_eq!(std::fs::read_to_string(place.path("root/seen")).unwrap(), "true", "{sandbox}");
    }
}

#[test]
fn what_is_removed_or_renamed_is_told_as_its_caller_names_it() {
    for sandbox in [Sandbox::Namespaces, Sandbox::Chroot] {
        let place = Place::new();
        let script = "echo >/a; echo >/b; /bin/mkdir /d; cd /d; /bin/busybox mv /a x; /bin/busybox rm x /b; \
                      /bin/busybox rmdir /d";
        let (exit, told) = told(sandbox, &place, script);
        assert_eq!(exit, Exit::Code(0));
        let told: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("- ")).collect();
        assert_eq!(told, ["/a", "x", "/b", "/d"], "{sandbox}");
    }
}

#[test]
fn who_watches_sees_a_command_that_cannot_start_end() {
    for sandbox in [Sandbox::Namespaces, Sandbox::Chroot] {
        let place = Place::new();
        let (root, cancel) = (Root::Plain(place.path("root")), Cancel::new().unwrap());
        let run = estaleiro::sandbox::Run::new(["/missing"]);
        let watch = Watch { starts: &|_| {}, removals: None };
        let ended = sandbox.run_watched(&root, &run, watch, &cancel, &mut |_, _| {});
        assert!(ended.unwrap_err().to_string().contains("cannot start /missing"));
        assert_eq!(told(sandbox, &place, "kill -9 $$").0, Exit::Signal(9));
    }
}
