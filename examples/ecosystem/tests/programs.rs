//! Runs the programs as their users would, under each mapping, and with one worker.
#![forbid(unsafe_code)]

use std::process::Command;

#[test]
fn programs_say_what_their_headers_say_under_every_mapping() {
    for (program, source) in [
        (env!("CARGO_BIN_EXE_httparse_server"), include_str!("../src/bin/httparse_server.rs")),
        (env!("CARGO_BIN_EXE_hyper_both"), include_str!("../src/bin/hyper_both.rs")),
        (env!("CARGO_BIN_EXE_rustls_lines"), include_str!("../src/bin/rustls_lines.rs")),
        (env!("CARGO_BIN_EXE_ureq_client"), include_str!("../src/bin/ureq_client.rs")),
        (env!("CARGO_BIN_EXE_websocket_echo"), include_str!("../src/bin/websocket_echo.rs")),
    ] {
        let header = source.split("```").nth(1).expect("an output");
        let promised = header.lines().filter_map(|line| line.strip_prefix("//! ")).nth(1).unwrap();
        for (mapping, workers) in [("1:1", "2"), ("n:1", "1"), ("m:n", "1"), ("m:n", "4")] {
            let mut command = Command::new("timeout");
            command.args(["60", program]).env("RUST_BACKTRACE", "0");
            command.env("SYLVAN_MAPPING", mapping).env("SYLVAN_WORKERS", workers);
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} under {mapping}: {errors}");
            assert_eq!(said.trim_end(), promised, "{program} under {mapping}: {errors}");
        }
    }
}
