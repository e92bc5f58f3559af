//! The program that `cargo xtask faults` runs.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    sessile_faults::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: all of it: strace, tmpfs and loop mounts are Linux's");
    println!("faults: 0 passed, 0 failed, 1 skipped");
}
