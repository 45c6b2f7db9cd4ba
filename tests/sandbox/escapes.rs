//! What a command tries that should not succeed, beside what its mounts let it try.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use estaleiro::sandbox::{Exit, Run, User};

use super::{Place, error_of, sh};

#[test]
fn the_builder_s_own_program_cannot_be_run_nor_written() {
    let place = Place::new();
    symlink("/proc/self/exe", place.path("root/bin/link")).unwrap();
    for (path, first_line) in
        [("script", "#!/proc/self/exe"), ("nested", "#! /bin/script"), ("linked", "#!\t/bin/link x")]
    {
        fs::write(place.path("root/bin").join(path), format!("{first_line}\n")).unwrap();
        fs::set_permissions(place.path("root/bin").join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for program in
        ["/proc/self/exe", "/bin/link", "/bin/script", "/bin/nested", "/bin/linked", "/proc/thread-self/exe"]
    {
        let error = error_of(&place.overlay(), &Run::new([program]));
        assert!(error.contains("execute: EPERM") && error.contains("no program of the image"), "{error}");
    }
    assert_ne!(place.run(&sh("exec 3< /proc/1/exe")).0, Exit::Code(0));
    // Its own program is the image's.
    assert_eq!(place.sh("readlink /proc/self/exe"), ["/bin/busybox"]);
}

#[test]
fn a_working_directory_leads_neither_out_nor_to_what_the_builder_has_open() {
    let place = Place::new();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.path("root/out")).unwrap();
    symlink("/proc/self/fd/3", place.path("root/open")).unwrap();
    for workdir in ["/out", "/open", "/proc/self/fd/3", "/proc/1/cwd", "/proc/self/root", "/proc/1/root/bin"]
    {
        let error = error_of(&place.overlay(), &Run { workdir: workdir.into(), ..sh("true") });
        assert!(error.contains(&format!("change to the working directory {workdir}: E")), "{error}");
    }
    let up = Run { workdir: "/../../../bin".into(), ..sh("busybox pwd") };
    assert_eq!(place.run(&up).1, ["/bin"]);
}

#[test]
fn a_command_that_kills_everybody_kills_nobody_else() {
    let place = Place::new();
    let (exit, _) = place.run(&sh("sleep 100 & kill -9 -1; echo alive"));
    assert!(matches!(exit, Exit::Code(0) | Exit::Signal(9)), "{exit:?}");
    assert_eq!(place.sh("kill -9 1; echo still here"), ["still here"]);
}

#[test]
fn it_sees_no_process_but_its_own_and_none_of_the_builder_s_secrets() {
    let place = Place::new();
    let script = "for p in /proc/[0-9]*; do cat $p/environ $p/cmdline $p/task/*/environ; done 2>/dev/null";
    let seen = place.sh(script).concat();
    assert!(!seen.contains("CARGO"), "{seen}");
    assert!(std::env::vars().any(|(name, _)| name.contains("CARGO")), "the builder has some of those");
    for script in
        ["cat /proc/1/maps", "cat /proc/1/auxv", "cat /proc/1/cwd/etc/shadow", "echo x > /proc/1/mem"]
    {
        let (exit, lines) = place.run(&sh(script));
        assert_ne!(exit, Exit::Code(0), "{script}: {lines:?}");
    }
}

/// What lies in the builder's memory, and at the same address in its copy that sets the sandbox up.
static SECRET: &[u8] = b"the builder's password";

#[test]
fn the_builder_s_memory_is_read_in_no_way() {
    let place = Place::new();
    compile(include_str!("reader.c"), &place.path("root/bin/reader"));
    let address = format!("{:p}", SECRET.as_ptr());
    let (length, builder) = (SECRET.len().to_string(), std::process::id().to_string());
    let argv = ["/bin/reader", &address, &length, &builder, "1", "2"];
    for uid in [0, 1000] {
        // The shell stays, so that there are others to be tried.
        let script = format!("{} & wait", argv.join(" "));
        let (exit, lines) =
            place.run(&Run { user: Some(User { uid, gid: uid, groups: vec![] }), ..sh(&script) });
        assert_eq!(exit, Exit::Code(0), "{lines:?}");
        let own = lines.iter().position(|line| line == "tried 5").unwrap();
        let ways: Vec<_> = lines[own + 1..].iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(
            ways,
            ["readv", "writev", "mem", "mem", "write", "attach", "seize", "descriptor"],
            "it can"
        );
        let others = lines[..own].iter().filter(|line| !line.starts_with("2 "));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0], "but only what is its own");
        assert!(lines.iter().all(|line| !line.contains("password")), "{lines:?}");
    }
}

/// Compiles C to a program that needs no library.
fn compile(source: &str, program: &std::path::Path) {
    let file = program.with_extension("c");
    fs::write(&file, source).unwrap();
    let compiler =
        Command::new("cc").args(["-static", "-O1", "-o"]).arg(program).arg(&file).output().unwrap();
    assert!(compiler.status.success(), "{}", String::from_utf8_lossy(&compiler.stderr));
    fs::remove_file(file).unwrap();
}

#[test]
fn a_fork_bomb_ends_at_its_limit() {
    let place = Place::new();
    let before = fs::read("/proc/sys/kernel/pid_max").unwrap();
    let bomb = |n| format!("i=0; while [ $i -lt {n} ]; do sleep 100 & i=$((i+1)); done; echo all of them");
    // Few are counted by a control group, many by the process namespace, where the kernel lets it.
    for (max_processes, n) in [(50, 100), (310, 1000)] {
        let (exit, lines) = place.run(&Run { max_processes, ..sh(&bomb(n)) });
        assert_ne!(exit, Exit::Code(0), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("can't fork")), "{lines:?}");
    }
    for max_processes in [200, 400] {
        let (exit, lines) = place.run(&Run { max_processes, ..sh(&bomb(100)) });
        assert_eq!((exit, lines), (Exit::Code(0), vec!["all of them".to_owned()]));
    }
    assert_eq!(fs::read("/proc/sys/kernel/pid_max").unwrap(), before, "that is the machine's own");
}
