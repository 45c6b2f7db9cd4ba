//! The chroot sandbox, on a root that holds nothing but busybox. Needs root, a C compiler, and Debian's `busybox-static`.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod hostile;
mod place;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use estaleiro::sandbox::{Exit, Mount, Network, Root, Run, Source, name_service};

use place::{Place, as_user, run, sh};

#[test]
fn devices_are_the_machine_s_own() {
    let place = Place::new();
    let script = "echo gone > /dev/null && cat /dev/null && head -c 3 /dev/zero | od -An -tx1 && \
                  test $(head -c 16 /dev/urandom | od -An -tx1 | wc -c) -gt 40 && \
                  stat -c '%F %t:%T %a' /dev/null && test -c /dev/full && ! echo x > /dev/full";
    assert_eq!(place.says(script), " 00 00 00\ncharacter special file 1:3 666\n");
}

#[test]
fn the_builder_s_terminal_is_not_the_command_s() {
    let told = Place::new().tell(&sh("test -c /dev/tty && echo x > /dev/tty"));
    assert!(told.stderr.contains("No such device or address"), "{told:?}");
}

#[test]
fn a_file_that_gets_the_number_of_a_device_is_still_a_file() {
    let place = Place::new();
    let script = "rm -rf /dev/* /proc/self/* 2>/dev/null; for n in $(seq 300); do echo $n > /$n; done; cat /1 /200 /300";
    assert_eq!(place.says(script), "1\n200\n300\n");
}

#[test]
fn a_link_to_a_device_is_as_good_as_the_device() {
    let place = Place::new();
    let script = "ln -s /dev/stdout /log && ln -s ../dev/null /nothing && cd /bin && echo said > ../log && \
                  echo gone > ../nothing && cat ../nothing && stat -L -c %F ../nothing";
    assert_eq!(place.says(script), "said\ncharacter special file\n");
}

#[test]
fn standard_streams_and_open_files_have_names() {
    let place = Place::new();
    fs::write(place.path("root/text"), "text\n").unwrap();
    let cases = [
        ("echo out > /dev/stdout", "out\n"),
        ("cat < /text 9< /text 8</dev/null /dev/fd/9", "text\n"),
        ("exec 9< /text; cat /proc/self/fd/9; readlink /proc/self/fd/9", "text\n/text\n"),
        ("exec 99< /text; cat /proc/$$/fd/99 /dev/fd/99", "text\ntext\n"),
        ("echo piped | cat /dev/stdin", "piped\n"),
        ("echo piped | test -p /dev/stdin && echo pipe", "pipe\n"),
        ("exec 5< /text; test -f /dev/fd/5 && ! test -e /dev/fd/6 && echo file", "file\n"),
        ("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 \n"),
        (
            "exec 7> /made; chmod 640 /proc/self/fd/7; chown 7:8 /dev/fd/7; stat -c '%a %u:%g' /made",
            "640 7:8\n",
        ),
    ];
    for (script, expected) in cases {
        assert_eq!(place.says(script), expected, "{script}");
    }
}

#[test]
fn a_process_finds_itself_in_proc() {
    let place = Place::new();
    let cases = [
        ("cat /proc/self/comm; true", "cat\n"),
        ("readlink /proc/self/exe", "/bin/busybox\n"),
        ("cd /bin && readlink /proc/self/cwd", "/bin\n"),
        ("test $(readlink /proc/self) -gt 1 && echo number", "number\n"),
        ("test \"$(cat /proc/$$/comm)\" = sh && echo same", "same\n"),
        ("test -d /proc/$$ && test ! -e /proc/99999999 && echo there", "there\n"),
        ("test / -ef /proc/1/root && echo one root", "one root\n"),
        ("cat /proc/self/cgroup /proc/1/comm", "0::/\nestaleiro-init\n"),
        (
            "grep -c ^processor /proc/cpuinfo | grep -q . && grep -q MemTotal /proc/meminfo && echo told",
            "told\n",
        ),
        ("grep -q ^Name:.sh /proc/$$/status && ls /proc/$$/fd >/dev/null && echo read", "read\n"),
        ("sleep 99 & until ps -o comm | grep -q ^sleep; do true; done; echo listed", "listed\n"),
    ];
    for (script, expected) in cases {
        assert_eq!(place.says(script), expected, "{script}");
    }
}

#[test]
fn a_program_is_run_by_its_names_in_proc() {
    let place = Place::new();
    hostile::probe(&place);
    let script = "probe again; exec 9< /bin/probe; /proc/self/fd/9 terminal; cat /proc/self/comm";
    assert_eq!(place.says(script), "a terminal at /dev/pts/\na terminal at /dev/pts/\ncat\n");
    // Without a first line it is this shell's to run, as which busybox calls itself so.
    fs::write(place.path("root/script"), "\necho ran\n").unwrap();
    fs::set_permissions(place.path("root/script"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(place.says("/script; readlink /proc/self/ns/net | tr -d '0-9'"), "ran\nnet:[]\n");
}

#[test]
fn a_file_that_is_no_secret_can_be_run_and_not_be_changed() {
    let place = Place::new();
    let content = b"#!/bin/sh\necho ran\n".to_vec();
    let source = Source::File { is_secret: false, content, mode: 0o755, uid: 0, gid: 0 };
    let mounts = vec![Mount { source, target: "/dev/pipes/script".into(), is_read_only: true }];
    let run = Run { mounts, ..run(["/dev/pipes/script"]) };
    assert_eq!(place.tell(&run).stdout, "ran\n");
    let changed = place.try_tell(&Run { argv: sh("echo x >> /dev/pipes/script").argv, ..run }).unwrap_err();
    assert!(
        changed.to_string().contains("it changed /dev/pipes/script, which cannot be written"),
        "{changed}"
    );
}

#[test]
fn what_stands_for_the_kernel_s_file_systems_is_told_as_such() {
    let place = Place::new();
    let told = place.says(
        "for p in /proc /proc/self/status /sys; do stat -f -c %T $p; done; stat -f -c %T / | grep -vc proc",
    );
    assert_eq!(told, "proc\nproc\nsysfs\n1\n");
}

#[test]
fn a_terminal_has_two_ends() {
    let place = Place::new();
    hostile::probe(&place);
    assert_eq!(place.says("probe terminal; probe terminal"), "a terminal at /dev/pts/\n".repeat(2));
    let told = place.tell(&as_user(1000, run(["probe", "terminal"])));
    assert_eq!(told.stdout, "a terminal at /dev/pts/\n", "{told:?}");
}

#[test]
fn the_host_has_the_same_name_as_in_the_other_sandbox() {
    let place = Place::new();
    assert_eq!(place.says("uname -n; hostname; cat /proc/sys/kernel/hostname"), "estaleiro\n".repeat(3));
    let named = Run { host_name: "ship".into(), ..sh("uname -n; cat /proc/sys/kernel/hostname") };
    assert_eq!(place.tell(&named).stdout, "ship\nship\n");
}

#[test]
fn a_run_leaves_only_what_the_command_wrote() {
    let place = Place::new();
    fs::create_dir(place.path("root/dev")).unwrap();
    fs::write(place.path("root/dev/own"), "of the image").unwrap();
    let before = (place.tree(), fs::metadata(place.path("root")).unwrap().mtime_nsec());
    let told = place.tell(&sh("echo x > /dev/shm/x; echo y > /dev/y; rm -f /dev/null; ls /dev/own; ls /sys"));
    assert_eq!(told.exit, Exit::Code(0));
    assert!(told.stderr.contains("/dev/own: No such file"), "{told:?}");
    assert_eq!((place.tree(), fs::metadata(place.path("root")).unwrap().mtime_nsec()), before);
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 1);
    place.says("echo z > /z");
    assert_eq!(place.tree().len(), before.0.len() + 1);
}

#[test]
fn a_user_has_devices_and_streams_too() {
    let place = Place::new();
    let script = "id -u && echo x > /dev/null && head -c 1 /dev/zero | wc -c && \
                  cat /proc/self/comm && ls /proc/self/fd >/dev/null && readlink /proc/self/exe";
    let told = place.tell(&as_user(1000, sh(script)));
    assert_eq!(told.stdout, "1000\n1\ncat\n/bin/busybox\n", "{told:?}");
}

#[test]
fn root_may_become_a_user_and_a_setuid_program_says_why_it_does_not_work() {
    let place = Place::new();
    fs::create_dir(place.path("root/etc")).unwrap();
    fs::write(place.path("root/etc/passwd"), "root:x:0:0::/:/bin/sh\njoe:x:1000:1000::/:/bin/sh\n").unwrap();
    fs::write(place.path("root/etc/group"), "root:x:0:\njoe:x:1000:\n").unwrap();
    assert_eq!(place.says("su joe -c 'id -u; echo x > /dev/null'"), "1000\n");
    fs::copy("/bin/busybox", place.path("root/bin/sudo")).unwrap();
    fs::set_permissions(place.path("root/bin/sudo"), fs::Permissions::from_mode(0o4755)).unwrap();
    let told = place.tell(&as_user(1000, sh("/bin/sudo id -u; exit 1")));
    let hint = "/bin/sudo is setuid or setgid, which does nothing in this sandbox";
    assert_eq!(told.stderr.contains(hint), !place::may_keep_privileges(), "{told:?}");
}

#[test]
fn mounts_are_moved_there_and_back() {
    let place = Place::new();
    fs::create_dir_all(place.path("cache/deep")).unwrap();
    fs::create_dir_all(place.path("root/opt/cache")).unwrap();
    fs::write(place.path("root/opt/cache/below"), "").unwrap();
    fs::write(place.path("single"), "single\n").unwrap();
    let source =
        |name: &str, path: &str| Source::Path { root: Root::Plain(place.path(name)), path: path.into() };
    let mount = |source, target: &str| Mount { source, target: target.into(), is_read_only: false };
    let script = "cd /opt/cache && ls && echo new > deep/new && ls /new/place && cat /one && echo x > /tmp/x";
    let run = Run {
        mounts: vec![
            mount(source("cache", ""), "/opt/cache"),
            mount(source("cache", "deep"), "/new/place"),
            mount(source("single", ""), "/one"),
            mount(Source::Memory { size: None }, "/tmp"),
        ],
        ..sh(script)
    };
    let refused = place.try_tell(&run).unwrap_err().to_string();
    assert!(refused.contains("open"), "what was moved cannot be moved twice: {refused}");
    let mounts =
        run.mounts.into_iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, mount)| mount).collect();
    let told = place.tell(&Run { mounts, ..sh(&script.replace("ls /new/place && ", "")) });
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Code(0), "deep\nsingle\n"), "{told:?}");
    assert_eq!(fs::read_to_string(place.path("cache/deep/new")).unwrap(), "new\n");
    assert!(place.path("root/opt/cache/below").exists() && place.path("single").exists());
    assert!(!place.path("root/tmp").exists() && !place.path("root/one").exists());
}

#[test]
fn a_file_in_memory_is_read_by_whom_it_is_for_and_written_by_nobody() {
    let place = Place::new();
    let secret = |mode| Mount {
        source: Source::File { is_secret: true, content: b"s3cret\n".to_vec(), mode, uid: 1000, gid: 1000 },
        target: "/run/secret".into(),
        is_read_only: true,
    };
    let told = |user, mode, script: &str| {
        place.tell(&as_user(user, Run { mounts: vec![secret(mode)], ..sh(script) }))
    };
    let look =
        "cat /run/secret && test -f /run/secret && test -s /run/secret && stat -c '%s %a %u' /run/secret";
    assert_eq!(told(1000, 0o400, look).stdout, "s3cret\n7 400 1000\n");
    assert_eq!(told(0, 0o400, look).stdout, "s3cret\n7 400 1000\n");
    assert_eq!(told(1001, 0o400, look).exit, Exit::Code(1));
    assert_eq!(told(1001, 0o444, "cat /run/secret").stdout, "s3cret\n");
    let written = told(0, 0o666, "echo x > /run/secret");
    assert!(written.stderr.contains("Read-only file system"), "{written:?}");
    assert!(place.tree().iter().all(|line| !line.contains("secret")));
}

#[test]
fn names_are_looked_up_as_the_network_has_them() {
    let place = Place::new();
    let run = Run { mounts: name_service(Network::None, &[]), ..sh("cat /etc/hosts") };
    assert!(place.tell(&run).stdout.starts_with("127.0.0.1\tlocalhost estaleiro\n"));
}

#[test]
fn what_cannot_be_started_is_told_as_in_the_other_sandbox() {
    let place = Place::new();
    let message = |run: &Run| place.try_tell(run).unwrap_err().to_string();
    assert!(message(&run(["missing"])).contains("is not in the image"));
    fs::write(place.path("root/bin/text"), "no program").unwrap();
    fs::set_permissions(place.path("root/bin/text"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(message(&run(["text"])).contains("a script needs a first line"));
    let nowhere = Run { workdir: "/nowhere".into(), ..run(["true"]) };
    assert!(message(&nowhere).contains("change to the working directory /nowhere"));
    fs::remove_dir_all(place.path("root/dev")).ok();
    std::os::unix::fs::symlink("/bin", place.path("root/dev")).unwrap();
    assert!(message(&run(["true"])).contains("one of them is a symbolic link in the image"));
    assert!(place.path("root/bin/busybox").exists());
}

#[test]
fn two_runs_at_a_time_do_not_meet() {
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                let place = Place::new();
                let script = format!(
                    "for i in $(seq 50); do echo {n} > /dev/null; cat /proc/self/comm; done | sort -u"
                );
                assert_eq!(place.says(&script), "cat\n");
            });
        }
    });
}

#[test]
fn a_working_directory_is_made_where_it_shall_be_and_belongs_to_root() {
    let place = Place::new();
    let run = Run { workdir: "/srv/app".into(), makes_workdir: true, ..sh("pwd") };
    assert_eq!(place.tell(&as_user(1000, run)).stdout, "/srv/app\n");
    assert_eq!(fs::metadata(place.path("root/srv/app")).unwrap().uid(), 0);
}
