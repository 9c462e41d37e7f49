//! Generates the interfaces that the tests use.

fn main() -> Result<(), outboard_build::Error> {
    outboard_build::compile(
        &[
            "proto/greeter.proto",
            "proto/kv.proto",
            "proto/counter.proto",
            "proto/streamer.proto",
        ],
        &["proto"],
    )?;
    // The second call must not disturb what the first one wrote.
    outboard_build::configure()
        .include_file("odd_all.rs")
        .rename_service("odd.Clash", "ClashService")
        .bytes([".odd.Everything.raw"])
        .compile(
            &["odd/odd.proto", "odd/none.proto", "odd/extended.proto"]
                .map(|p| format!("proto/{p}")),
            &["proto/odd"],
        )
}
